"""``letterhead proxy``: a bad network between a client and a server, whatever they speak.

What it does to bytes is decided in ``letterhead.testing``; here stand the units that people type, and the signals.
"""

import math
import re
import signal
from typing import TYPE_CHECKING, Any

import click

from letterhead.cli import completing

if TYPE_CHECKING:
    from letterhead.testing.forwarding import Proxy

_DIRECTIONS = ("both", "to-server", "to-client")
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0}
_SIZES = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_TIME = re.compile(r"(\d{1,12}(?:\.\d{1,12})?|\.\d{1,12})(us|ms|s|m|)", re.ASCII)
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)([kMG]i?|)(?:B|)", re.ASCII)


class Duration(click.ParamType):  # type: ignore[type-arg]  # older clicks have no arguments for it
    """A time: a number with ``us``, ``ms``, ``s`` or ``m`` behind it, in seconds without."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = _TIME.fullmatch(value)
        if found is None:
            self.fail(f"a time is written as 50ms, 1.5s, 2m, or 2 (seconds), not '{value}'", param, ctx)
        return float(found[1]) * _TIMES[found[2]]


class Size(click.ParamType):  # type: ignore[type-arg]  # older clicks have no arguments for it
    """A number of bytes: ``64k`` is 64,000, ``64Ki`` is 65,536; a ``B`` may stand behind it."""

    name = "size"

    def __init__(self, *, zero: bool) -> None:
        self._zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(value)
        if found is None:
            self.fail(f"a number of bytes is written as 1000, 64k, 64KiB or 1.5M, not '{value}'", param, ctx)
        size = math.floor(float(found[1]) * _SIZES[found[2]])
        if not size and not self._zero:
            self.fail(f"it takes at least 1 byte, not '{value}'", param, ctx)
        return size


_SECONDS, _BYTES, _AT_LEAST_ONE = Duration(), Size(zero=True), Size(zero=False)


@click.command(
    epilog="""\b
Examples:
  letterhead proxy 127.0.0.1:65432 --delay 50ms --jitter 20ms
  letterhead proxy 127.0.0.1:65432 --listen 127.0.0.1:7000 --bandwidth 64k -v
  letterhead proxy unix:/run/search.sock --single-bytes
  letterhead proxy 127.0.0.1:65432 --reset-chance 0.01 --seed 7
  letterhead proxy 127.0.0.1:65432 --half-open-after 1M --direction to-client"""
)
@click.argument("target", shell_complete=completing.addresses)
@click.option(
    "--listen",
    default="127.0.0.1:0",
    show_default=True,
    metavar="ADDRESS",
    shell_complete=completing.addresses,
    help="Listen there: HOST:PORT, [::1]:PORT, :PORT (every interface) or unix:PATH; port 0 takes a free one.",
)
@click.option("--delay", type=_SECONDS, default=0.0, metavar="TIME", help="Hand every byte on so much later.")
@click.option("--jitter", type=_SECONDS, default=0.0, metavar="TIME", help="Up to so much more, each time anew.")
@click.option("--bandwidth", type=_AT_LEAST_ONE, metavar="BYTES", help="Hand on no more than so many bytes a second.")
@click.option("--single-bytes", is_flag=True, help="Write every byte by itself.")
@click.option(
    "--stall-after", type=_BYTES, metavar="BYTES", help="After so many bytes let nothing pass, and tell nobody."
)
@click.option("--reset-after", type=_BYTES, metavar="BYTES", help="After so many bytes reset both sides.")
@click.option(
    "--reset-chance",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="P",
    help="Reset at each piece, with P of 0 to 1.",
)
@click.option(
    "--half-open-after",
    type=_BYTES,
    metavar="BYTES",
    help="After so many bytes swallow all that either side sends, its end too.",
)
@click.option(
    "--direction",
    type=click.Choice(_DIRECTIONS),
    default="both",
    show_default=True,
    help="Where all this happens, and where bytes are counted for it.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="What chance begins with: the same, each time."
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Log each connection's coming and going, and what is done to it, to stderr."
)
def command(target: str, listen: str, verbose: bool, **faults: Any) -> None:
    """Listen, and lead whoever connects to TARGET through a network that does what the options say, until Ctrl-C.

    Without an option the network is a good one. TARGET is HOST:PORT, [::1]:PORT or unix:PATH; it may speak whatever it
    likes. A TIME is written 50ms, 1.5s or 2m; BYTES are written 1000, 64k (64,000), 64Ki (65,536) or 1.5M. Each
    direction of each connection counts its bytes for itself. A connection for which TARGET cannot be reached is reset,
    as all are at the end.
    """
    import asyncio
    import logging
    import sys

    from letterhead.testing.faults import Faults
    from letterhead.testing.forwarding import proxy

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s.%(msecs)03d %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    running = proxy(target, Faults(**faults), listen=listen)
    asyncio.run(_until_signal(running))
    counts = running.counts
    logging.info(
        "%d connections, %d bytes to the server, %d to the client; %d reset, %d stalled, %d half open, %d unreachable",
        *(counts.connections, counts.to_server, counts.to_client),
        *(counts.reset, counts.stalled, counts.half_open, counts.unreachable),
    )


async def _until_signal(proxy: "Proxy") -> None:
    """Run until the first signal; a second one ends the process at once."""
    import asyncio

    from letterhead.cli.listening import say_where
    from letterhead.server.signals import stop_signals

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    numbers = stop_signals()

    def on_signal() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    async with proxy:
        for number in numbers:
            loop.add_signal_handler(number, on_signal)
        say_where(proxy.addresses)
        await stop.wait()
