"""What a client says where there is no server, or another one: each its own exception, with a sentence that helps."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from letterhead import (
    AsyncClient,
    BadFrame,
    Client,
    ConnectionFailed,
    ConnectionLost,
    ConnectRefused,
    ConnectTimedOut,
    DeadlineExceeded,
    ForeignProtocol,
    Limits,
    Message,
    NoReply,
    Rejected,
)
from tests import leaks
from tests.net import peers
from tests.net.conftest import Serve
from tests.net.ports import free_port
from tests.net.raw import echo_app
from tests.wire.frames import frame, json_frame

Ask = Callable[..., Any]
KINDS = ("Client", "AsyncClient-asyncio", "AsyncClient-uvloop")


@pytest.fixture(params=KINDS)
def ask(request: pytest.FixtureRequest) -> Ask:
    """`ask(address, …)`: one call of a fresh client of either kind, `echo` with 1 unless told otherwise."""

    def ask(address: str, action: str = "echo", *arg: Any, limits: Limits | None = None, **args: Any) -> Any:
        if request.param == "Client":
            with Client(address, limits=limits) as client:
                return client.call(action, *(arg or (1,)), **args)

        async def main() -> Any:
            async with AsyncClient(address, limits=limits) as client:
                return await client.call(action, *(arg or (1,)), **args)

        return leaks.run(main(), request.param.partition("-")[2])

    return ask


@pytest.mark.smoke
def test_nobody_listens(ask: Ask) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ConnectRefused, match="nothing listens at") as caught:
        ask(address)
    assert (caught.value.address, isinstance(caught.value, ConnectionError)) == (address, True)


def test_there_is_no_socket_file(ask: Ask, short_path: object) -> None:
    with pytest.raises(ConnectRefused, match="nothing listens at unix:"):
        ask(f"unix:{short_path}/none")


def test_a_socket_file_without_a_server(ask: Ask, short_path: object) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(f"{short_path}/s")
        with pytest.raises(ConnectRefused):
            ask(f"unix:{short_path}/s")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64, "a..b"])
def test_a_name_without_an_address(ask: Ask, host: str) -> None:
    with pytest.raises(ConnectionFailed, match="cannot be resolved"):
        ask(f"{host}:80")


def test_a_server_that_lets_nobody_in(ask: Ask) -> None:
    with peers.full_backlog() as address:
        with pytest.raises(ConnectTimedOut, match=r"did not answer within 0.2 s") as caught:
            ask(address, limits=Limits(connect_seconds=0.2))
        assert isinstance(caught.value, TimeoutError)


def test_the_timeout_of_a_call_covers_the_connecting(ask: Ask) -> None:
    with peers.full_backlog() as address, pytest.raises(DeadlineExceeded):
        ask(address, timeout=0.2)


def test_a_server_that_never_answers(ask: Ask) -> None:
    with peers.peer(peers.never_answers) as address:
        for action, arg in (("echo", 1), ("echo", b"bytes")):  # the second is preceded by a ping
            with pytest.raises(DeadlineExceeded):
                ask(address, action, arg, timeout=0.1)


@pytest.mark.parametrize("how", ["closes_at_once", "closes_after_request"])
def test_a_server_that_hangs_up_without_a_reply(ask: Ask, how: str) -> None:
    with peers.peer(getattr(peers, how)) as address:
        for arg in (1, b"bytes"):
            with pytest.raises((NoReply, ConnectionLost)) as caught:
                ask(address, "echo", arg)
            assert caught.value.address == address
            if how == "closes_after_request":
                assert isinstance(caught.value, NoReply)
                assert "without a reply" in str(caught.value)


def test_a_server_that_resets(ask: Ask) -> None:
    with peers.peer(peers.resets) as address, pytest.raises(NoReply, match="reset"):
        ask(address)


FOREIGN = {
    "an HTTP answer": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "TLS": b"\x15\x03\x03\x00\x02\x02\x46",
    "an SMTP or FTP greeting": b"220 mail.example ESMTP\r\n",
    "Redis or POP3": b"-ERR unknown command\r\n",
    "": b"\x1b[31mgarbage" * 10,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_somebody_who_speaks_another_protocol(ask: Ask, name: str) -> None:
    with peers.peer(peers.says(FOREIGN[name])) as address, pytest.raises(ForeignProtocol) as caught:
        ask(address)
    assert name in str(caught.value)
    assert "\x1b" not in str(caught.value) + str(caught.value.facts)
    assert len(str(caught.value)) < 500


BREACHES = {
    "header is no object": b"\x00\x02[]",
    "reply without hello": json_frame({"result": 1}, {"id": 1}),
    "a status of its own": json_frame({"result": 1}, {"id": 1, "status": "internal"}),
    "hello for another id": frame({"id": 9, "max-open": 5, "credit": 5}),
    "hello with content": frame({"id": 1, "max-open": 5, "credit": 5}, b"x"),
    "hello without slots": frame({"id": 1, "max-open": 0, "credit": 5}),
    "another's reply": frame({"id": 1, "max-open": 5, "credit": 5}) + json_frame({"result": 1}, {"id": 7}),
    "a byte order of its own": frame({"byteorder": "middle"}),
}


@pytest.mark.parametrize("what", BREACHES)
def test_somebody_who_breaks_the_protocol(ask: Ask, what: str) -> None:
    with peers.peer(peers.says(BREACHES[what])) as address, pytest.raises(ForeignProtocol):
        ask(address)


def test_a_letterhead_server_that_refuses_the_connection(ask: Ask) -> None:
    content = {"error": {"code": "too-many", "message": "full", "limit": 7, "status": "x", "address": "y"}}
    refusal = json_frame(content, {"status": "too-many"})
    with peers.peer(peers.says(refusal)) as address:
        for arg in (1, b"bytes"):
            with pytest.raises(Rejected, match="refused the connection: full") as caught:
                ask(address, "echo", arg)
            assert (caught.value.status, caught.value.limit, caught.value.address) == ("too-many", 7, address)


def test_a_connection_error_fails_every_open_call_with_its_code(ask: Ask) -> None:
    hello = frame({"id": 1, "max-open": 5, "credit": 5})
    error = json_frame({"error": {"code": "bad-frame", "message": "you are odd"}}, {"status": "bad-frame"})
    with peers.peer(peers.says(hello + error)) as address, pytest.raises(BadFrame, match="you are odd"):
        ask(address)


def test_a_stream_that_ends_inside_a_reply(ask: Ask) -> None:
    whole = frame({"id": 1, "max-open": 5, "credit": 5}) + json_frame({"result": "x" * 1000}, {"id": 1})
    with peers.peer(peers.says(whole[:-10])) as address, pytest.raises(ConnectionLost, match="closed the connection"):
        ask(address)


def test_a_client_that_failed_works_once_there_is_a_server(serve: Serve) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    with Client(address) as client:
        for number in range(2):
            with pytest.raises(ConnectRefused):
                client.call("echo", 1, timeout=0.2)  # which it waits, once it has had a connection
            with serve(echo_app(Limits(linger_quiet_seconds=0.05)), address):
                assert client.call("echo", number) == number

    async def main() -> None:
        async with AsyncClient(address) as client:
            for number in range(2):
                with pytest.raises(ConnectRefused):
                    await client.call("echo", 1, timeout=0.2)
                with ExitStack() as stack:
                    stack.enter_context(serve(echo_app(Limits(linger_quiet_seconds=0.05)), address))
                    assert await client.call("echo", number) == number
                    # The loop goes on meanwhile, so that the client sees the server go.
                    await asyncio.to_thread(stack.pop_all().close)

    leaks.run(main())


def test_one_callers_short_timeout_does_not_fail_those_who_wait_for_the_same_connection() -> None:
    """The first one's call makes the connection; the others have all the time they need."""
    dialled = threading.Event()
    gate = threading.Event()

    def connector(server: str, timeout: float | None) -> Any:
        dialled.set()
        if timeout is not None and timeout < 1:
            gate.wait(timeout)
            raise TimeoutError
        raise ConnectionRefusedError

    with Client("127.0.0.1:1", connector=connector) as client:
        outcomes: dict[str, Exception] = {}

        def call(name: str, timeout: float | None) -> None:
            try:
                client.call("echo", 1, timeout=timeout)
            except Exception as error:
                outcomes[name] = error

        first = threading.Thread(target=call, args=("first", 0.2))
        first.start()
        assert dialled.wait(leaks.PATIENCE)
        second = threading.Thread(target=call, args=("second", None))
        second.start()
        for thread in (first, second):
            thread.join(leaks.PATIENCE)
        assert isinstance(outcomes["first"], DeadlineExceeded)
        assert isinstance(outcomes["second"], ConnectRefused), "it tried by itself"


def test_who_waits_for_a_connection_that_another_makes_has_a_timeout_of_its_own() -> None:
    dialled, gate = threading.Event(), threading.Event()

    def connector(server: str, timeout: float | None) -> Any:
        dialled.set()
        gate.wait(leaks.PATIENCE)
        raise ConnectionRefusedError

    with Client("127.0.0.1:1", connector=connector) as client:

        def call() -> None:
            with pytest.raises(ConnectRefused):
                client.call("echo", 1)

        first = threading.Thread(target=call)
        first.start()
        assert dialled.wait(leaks.PATIENCE)
        with pytest.raises(DeadlineExceeded):
            client.call("echo", 1, timeout=0.1)
        gate.set()
        first.join(leaks.PATIENCE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_connector_that_fails_in_its_own_way_fails_the_calls_that_wait_for_it(kind: str) -> None:
    def blocking(server: str, timeout: float | None) -> Any:
        raise ValueError("a bug of the connector")

    async def connector(server: str, factory: Any) -> object:
        await asyncio.sleep(0)
        raise ValueError("a bug of the connector")

    async def main() -> None:
        async with AsyncClient("127.0.0.1:1", connector=connector) as client:
            results = await asyncio.gather(*(client.call("echo", n) for n in range(5)), return_exceptions=True)
            assert all(isinstance(result, ConnectionFailed) for result in results)
            with pytest.raises(ConnectionFailed, match="a bug of the connector"):
                await client.call("echo", 1)

    if kind == "Client":
        with Client("127.0.0.1:1", connector=blocking) as client, pytest.raises((ValueError, ConnectionFailed)):
            client.call("echo", 1)
    else:
        leaks.run(main(), kind.partition("-")[2])


def test_send_reports_failures_as_call_does() -> None:
    with Client(f"127.0.0.1:{free_port()}") as client, pytest.raises(ConnectRefused):
        client.send(Message(b"x"))


def test_calls_that_wait_for_the_first_reply_go_to_connections_of_their_own_if_it_is_classic() -> None:
    reply = json_frame({"result": "classic"})
    with peers.peer(peers.says(reply)) as address:

        async def main() -> None:
            async with AsyncClient(address) as client:
                results = await asyncio.gather(*(client.call("echo", n) for n in range(10)))
                assert results == ["classic"] * 10

        leaks.run(main())
