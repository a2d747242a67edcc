"""A scheme is one file; servers, both clients and lists of addresses take it by its name."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from letterhead import Client, ConnectRefused, Limits, UsageError
from letterhead.echo import EchoServer
from letterhead.testing import proxy
from letterhead.testing.background import running
from letterhead.transport import schemes
from letterhead.transport.address import Address, parse, parse_all
from tests import leaks
from tests.net.conftest import Serve
from tests.net.kinds import Make, each_client
from tests.net.ports import free_port
from tests.net.raw import connect, echo_app, opening, received
from tests.transport.greeting import GREETING

pytestmark = pytest.mark.usefixtures("greeting_scheme")


def test_an_address_says_its_scheme_and_is_written_as_it_was_read() -> None:
    for text in ("greeting://127.0.0.1:80", "greeting://[::1]:80", "127.0.0.1:80", "unix:/run/a.sock"):
        assert str(parse(text)) == text
    assert parse("greeting://localhost:80") == Address("localhost", 80, scheme="greeting")
    assert parse("tcp://localhost:80") == parse("localhost:80") == Address("localhost", 80)


def test_a_scheme_reads_its_own_addresses() -> None:
    with pytest.raises(UsageError, match="an address is HOST:PORT"):
        parse("greeting://nowhere")


@pytest.mark.parametrize("text", ["os://a:1", "GREETING://a:1", "greeting.x://a:1", "../greeting://a:1", "://a:1"])
def test_what_names_no_scheme_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not supported here: write HOST:PORT or unix:PATH"):
        parse(text)


def test_the_servers_of_a_client_may_be_of_several_schemes_each_once() -> None:
    written = ["127.0.0.1:80", "greeting://127.0.0.1:80", "tcp://127.0.0.1:80", "unix:a"]
    assert list(parse_all(written)) == ["127.0.0.1:80", "greeting://127.0.0.1:80", "unix:a"]
    with pytest.raises(UsageError, match="takes an address"):
        parse_all([])


@pytest.mark.smoke
def test_a_new_scheme_serves_and_is_called(serve: Serve) -> None:
    with serve(echo_app(), "greeting://127.0.0.1:0") as served:
        (address,) = served.server.addresses
        assert address.startswith("greeting://127.0.0.1:")
        assert not address.endswith(":0")

        @each_client
        async def called(make: Make) -> None:
            assert await make(address).call("echo", "hello") == "hello"

        for kind in ("Client-asyncio", "AsyncClient-asyncio", "AsyncClient-uvloop"):
            called(kind)


@each_client
async def test_a_list_of_servers_mixes_schemes(make: Make) -> None:
    with TemporaryDirectory(prefix="letterhead-") as folder, ExitStack() as stack:
        places = [f"unix:{Path(folder, 's')}", "127.0.0.1:0", "greeting://127.0.0.1:0"]
        there = [stack.enter_context(running(echo_app(Limits(linger_quiet_seconds=0.02)), place)) for place in places]
        client = make([served.server.addresses[0] for served in there])
        done = await asyncio.gather(*(client.call("echo", number) for number in range(30)))
        assert done == list(range(30))
        async with asyncio.timeout(leaks.PATIENCE):
            while not all(served.server.shared.counters.served for served in there):
                await asyncio.gather(*(client.call("echo", number) for number in range(30)))


@each_client
async def test_nothing_listening_there_is_told_with_the_address_as_written(make: Make) -> None:
    address = f"greeting://127.0.0.1:{free_port()}"
    with pytest.raises(ConnectRefused, match=f"nothing listens at {address}"):
        await make(address).call("echo", 1)


def test_who_does_not_greet_is_not_served_and_others_are(serve: Serve) -> None:
    with serve(echo_app(), "greeting://127.0.0.1:0") as served:
        address = served.server.addresses[0]
        with connect(address.removeprefix("greeting://")) as rude:
            rude.sendall(b"x")
            assert rude.recv(1) == b""
        with Client(address) as client:
            assert client.call("echo", 1) == 1
        served.run(leaks.until(lambda: not served.server.shared.arriving))


def test_who_says_nothing_while_being_let_in_has_as_long_as_for_a_first_byte(serve: Serve) -> None:
    with (
        serve(echo_app(Limits(first_byte_seconds=0.1)), "greeting://127.0.0.1:0") as served,
        connect(served.server.addresses[0].removeprefix("greeting://")) as silent,
    ):
        assert silent.recv(1) == b""
        served.run(leaks.until(lambda: not served.server.shared.arriving))


def test_who_is_being_let_in_counts(serve: Serve) -> None:
    """Else connections that never come to be would be without bound."""
    with serve(echo_app(Limits(connections=1)), "greeting://127.0.0.1:0") as served:
        place = served.server.addresses[0].removeprefix("greeting://")
        with connect(place) as silent, connect(place) as other:
            other.sendall(GREETING)
            assert received(other).header["status"] == "too-many"
            silent.sendall(GREETING + opening(None, "echo", 1))
            assert received(silent).result == 1


def test_a_server_that_leaves_waits_for_nobody_who_says_nothing(serve: Serve) -> None:
    limits = Limits(first_byte_seconds=600.0, drain_seconds=0.1, drain_cancel_seconds=0.1)
    with serve(echo_app(limits), "greeting://127.0.0.1:0") as served:
        silent = connect(served.server.addresses[0].removeprefix("greeting://"))
        served.run(leaks.until(lambda: served.server.shared.arriving))
    with silent:
        assert silent.recv(1) == b""


def test_programs_that_take_plain_sockets_say_so() -> None:
    for make in (EchoServer, proxy):
        with pytest.raises(UsageError, match="this takes plain sockets"):
            make("greeting://127.0.0.1:0")


def test_what_a_scheme_needs_and_does_not_find_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path(tmp_path, "lacking.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.setattr(schemes, "__path__", [*schemes.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        parse("lacking://a:1")
