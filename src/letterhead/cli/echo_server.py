"""``letterhead echo-server``: sends back all that it receives."""

import logging
import signal
import sys
from types import FrameType

import click

from letterhead.cli.listening import say_where
from letterhead.echo import EchoServer
from letterhead.server.signals import stop_signals
from letterhead.transport.address import of_parts


@click.command(
    epilog="""\b
Examples:
  letterhead echo-server                           at 127.0.0.1:65432
  letterhead echo-server ::1 7000 -v
  letterhead echo-server 127.0.0.1 0               a free port"""
)
@click.argument("host", default="127.0.0.1")
@click.argument("port", default="65432")
@click.option(
    "-v", "--verbose", is_flag=True, help="Log each connection's coming and going, with its bytes, to stderr."
)
def command(host: str, port: str, verbose: bool) -> None:
    """Send back every byte that comes, on any number of connections, until Ctrl-C.

    HOST is a name or an IP address of this machine, '' every interface. A connection is closed when its peer has ended
    its sending side and got everything back, when it takes nothing for 10 s, or is quiet for 300 s.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s.%(msecs)03d %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    with EchoServer(str(of_parts(host, port))) as server:
        _stop_on_signals(server)
        say_where(server.addresses)
        server.run()


def _stop_on_signals(server: EchoServer) -> None:
    """The first signal ends the server in order, a second one the process at once."""
    numbers = stop_signals()

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        server.stop()

    for number in numbers:
        signal.signal(number, stop)
