"""Ports of loopback that are free."""

import contextlib
import random
import socket


def free_port() -> int:
    """A port at which nobody listens, and which the system gives to no connection of anybody meanwhile."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)  # below those that it gives out by itself
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
