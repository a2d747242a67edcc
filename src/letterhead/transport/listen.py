"""The listening sockets of a server, and how many connections its process has room for.

Whatever accepts (an event loop, a selector) takes the sockets from here and gives back nothing: what was opened at an
address, a socket file too, is cleared away by ``close``.
"""

import errno
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from letterhead.limits import Limits
from letterhead.log import say
from letterhead.transport import address as addresses
from letterhead.transport.address import Address

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What ``accept`` fails with where descriptors or memory ran out: it would fail again at once, so it has to rest."""
REST_SECONDS = 0.2
"""How long accepting rests then; what waits stays in the kernel's queue."""
_SPARE_DESCRIPTORS = 256
_FEWEST = 16


class Listeners:
    """Listening sockets at any number of addresses.

    Args:
        log: where to say what an operator should know of them.
        risk: what others can do who reach one, for the warning about an address that is not only this machine's.

    Attributes:
        sockets: they, non-blocking.
        addresses: where they listen, as a client would write it (the real port where 0 was asked for).
    """

    def __init__(self, log: logging.Logger, risk: str) -> None:
        self.sockets: list[socket.socket] = []
        self.addresses: list[str] = []
        self._log = log
        self._risk = risk
        self._files: list[tuple[Path, int]] = []

    def open(self, where: Sequence[Address], limits: Limits) -> None:
        """Listen at all of them, or at none.

        Raises:
            ListenFailed: an address cannot be listened at; the sentence says what to do.
        """
        self.addresses.clear()
        try:
            for place in where:
                self._open(place, limits)
        except BaseException:
            self.close()
            raise

    def _open(self, place: Address, limits: Limits) -> None:
        sockets = addresses.listen(place, limits)
        self.sockets += sockets
        bound = [addresses.of_socket(sock) for sock in sockets]
        self.addresses += map(str, bound)
        if place.path is not None:
            path = Path(place.path)
            self._files.append((path, path.stat().st_ino))
        if place.host and len(bound) > 1:
            told = [str(address) for address in bound]
            say(
                self._log, logging.INFO, "several-addresses", "%s has several addresses: listening at %s",
                place.host, " and ".join(told), host=place.host, addresses=told,
            )  # fmt: skip
        for address in bound:
            if addresses.is_beyond_loopback(address):
                say(
                    self._log, logging.WARNING, "open-to-others",
                    "%s can be reached from other machines: %s; use 127.0.0.1 to keep it to this one",
                    address, self._risk, address=str(address),
                )  # fmt: skip

    def close(self) -> None:
        """Close them, and remove the files of those that have one. ``addresses`` stays."""
        sockets, self.sockets = self.sockets, []
        for sock in sockets:
            sock.close()
        for path, inode in self._files:
            try:
                if path.stat().st_ino == inode:
                    path.unlink()
            except FileNotFoundError:
                continue  # somebody removed it; nothing left to do
            except OSError as error:  # such as rights that were dropped after the start
                say(
                    self._log, logging.WARNING, "socket-file-stays", "the socket file %s stays: %s",
                    path, error.strerror, path=str(path), reason=error.strerror,
                )  # fmt: skip
        self._files.clear()


def most_connections(limits: Limits) -> int:
    """How many connections a server may have: by its limits, and by the process's limit on open files."""
    return min(limits.connections, max(_FEWEST, descriptor_limit() - _SPARE_DESCRIPTORS))


def descriptor_limit() -> int:
    """How many files, sockets included, this process may have open."""
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return 2**31
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft
