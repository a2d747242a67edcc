"""How connections end: half-closes, errors that must arrive, breaches of the protocol, resets."""

import asyncio
import logging
import socket
import struct
import threading

import pytest

from letterhead import Client, ForeignProtocol, Limits
from tests.classic.client import ClassicError, Frame, receive_frame
from tests.leaks import PATIENCE
from tests.net.conftest import Serve
from tests.net.raw import all_received, code_of, connect, echo_app, named, opening, received
from tests.wire.frames import frame, framed

MIB = 1024 * 1024
QUICK = Limits(linger_quiet_seconds=0.05)
RESET = struct.pack("ii", 1, 0)


def test_requests_received_whole_before_a_half_close_are_answered_on_classic_connections(serve: Serve) -> None:
    with serve(echo_app(QUICK), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(
            b"".join(opening(None, "echo", number) for number in range(50)) + opening(None, "echo", "cut")[:-5]
        )
        sock.shutdown(socket.SHUT_WR)
        assert [frame.result for frame in all_received(sock)] == list(range(50))


def test_a_half_close_cancels_what_is_open_on_multiplexed_connections(serve: Serve) -> None:
    app = echo_app(QUICK)
    begun = threading.Event()

    @app.action
    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(opening(1, "wait"))
        assert begun.wait(PATIENCE)
        sock.shutdown(socket.SHUT_WR)
        _, told = all_received(sock)
        assert (code_of(told), told.header["id"]) == ("cancelled", 1)


def upload_while_reading(sock: socket.socket, data: bytes) -> tuple[list[Frame], Exception | None]:
    """Send all of it from a thread, read all frames meanwhile; the frames, and how the sending failed."""
    failures: list[Exception] = []

    def send() -> None:
        try:
            sock.sendall(data)
        except OSError as error:
            failures.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        frames = all_received(sock)
    finally:
        sock.close()
        sender.join(PATIENCE)
    return frames, failures[0] if failures else None


@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.parametrize("id", [None, 1])
def test_an_error_arrives_under_a_running_upload(serve: Serve, id: int | None, attempt: int) -> None:
    """A plain close would lose it to a reset."""
    with serve(echo_app(Limits(content_bytes=MIB)), "127.0.0.1:0") as served:
        sock = connect(served.server.addresses[0])
        own = {} if id is None else {"id": id}
        upload = frame({"content-type": "binary/x", **own}, bytes(32 * MIB))
        frames, _ = upload_while_reading(sock, upload)
        assert code_of(frames[-1]) == "too-large"
        assert frames[-1].json()["error"]["size"] == 32 * MIB
        assert len(frames) == (1 if id is None else 2)


def test_an_upload_that_never_ends_is_not_read_for_ever(serve: Serve) -> None:
    limits = Limits(content_bytes=MIB, linger_seconds=0.3, linger_quiet_seconds=0.2)
    with serve(echo_app(limits), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(frame({"content-type": "binary/x", "content-length": 1 << 40}))
        assert code_of(received(sock)) == "too-large"
        with pytest.raises(ConnectionError):
            while True:
                sock.sendall(bytes(100_000))


BREACHES: dict[str, tuple[bytes, str]] = {
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bad-frame"),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "bad-frame"),
    "ssh": (b"SSH-2.0-OpenSSH_9.6\r\n", "bad-frame"),
    "redis": (b"*1\r\n$4\r\nPING\r\n", "bad-frame"),
    "zeros": (bytes(1000), "bad-frame"),
    "ones": (b"\xff" * 1000, "bad-frame"),
    "header too short": (framed(b"{"), "bad-frame"),
    "no object": (framed(b"[1, 2, 3]"), "bad-frame"),
    "not JSON": (framed(b'{"content-length": 0,}'), "bad-frame"),
    "no length": (framed(b'{"byteorder": "big"}'), "bad-frame"),
    "length is text": (frame({"content-length": "12"}), "bad-frame"),
    "too deep": (framed(b'{"content-length": 0, "x": ' + b"[" * 20 + b"]" * 20 + b"}"), "bad-frame"),
    "cancel first": (frame({"id": 1, "cancel": True}), "bad-header"),
    "id 0": (opening(1, "echo", 1) + opening(0, "echo", 1), "bad-header"),
    "no id any more": (opening(1, "echo", 1) + opening(None, "echo", 1), "bad-header"),
    "cancel with content": (opening(1, "wait") + frame({"id": 1, "cancel": True}, b"x"), "bad-header"),
    "an open id again": (opening(1, "wait") + named(1, "echo"), "bad-header"),
}


@pytest.mark.parametrize("what", BREACHES)
def test_a_breach_of_the_protocol_is_told_and_closes_the_connection(
    serve: Serve, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = echo_app(QUICK)
    gate = threading.Event()

    @app.action
    def wait() -> None:
        gate.wait(PATIENCE)

    data, code = BREACHES[what]
    with serve(app, "127.0.0.1:0") as served:
        with connect(served.server.addresses[0]) as sock:
            sock.sendall(data)
            last = all_received(sock)[-1]
            assert (code_of(last), last.header.get("id")) == (code, None)
            gate.set()
        with Client(served.server.addresses[0]) as other:
            assert other.call("echo", 1) == 1
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1, "one bad connection, one line"
    assert code in lines[0].getMessage()
    assert lines[0].exc_info is None


def test_what_is_no_frame_but_text_is_named_in_the_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve(echo_app(QUICK), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        all_received(sock)
    assert "HTTP" in caplog.text


def test_a_request_that_is_refused_keeps_the_connection(serve: Serve) -> None:
    with serve(echo_app(QUICK), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(opening(1, "echo", "first"))
        assert received(sock).header["max-open"] == 128
        assert received(sock).result == "first"
        refused = [
            (frame({"id": 2, "byteorder": "middle", "content-length": 100}, bytes(100)), "bad-header"),
            (frame({"id": 3, "action": 7}), "bad-header"),
            (frame({"id": 4, "content-type": "text/json"}), "bad-content"),
            (named(5, "echo", b"{"), "bad-content"),
            (named(6, "dance"), "unknown-action"),
            (named(7, "size", b'{"data": 5}'), "invalid-argument"),
            (named(8, "echo", deadline=0), "bad-header"),
        ]
        for number, (data, code) in enumerate(refused, 2):
            sock.sendall(data)
            told = received(sock)
            assert (told.header["id"], code_of(told)) == (number, code)
        sock.sendall(opening(9, "echo", "last"))
        assert received(sock).result == "last"


def test_a_reset_ends_its_own_connection_in_silence(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve(echo_app(QUICK), "127.0.0.1:0") as served:
        for data in (b"", opening(None, "echo", 1), opening(1, "echo", 1), named(1, "size", bytes(100_000))[:-5]):
            with connect(served.server.addresses[0]) as sock:
                sock.sendall(data)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with Client(served.server.addresses[0]) as other:
            assert other.call("echo", 1) == 1
    assert not caplog.records


def test_a_frame_cut_off_by_the_end_is_dropped_without_a_reply(serve: Serve) -> None:
    with serve(echo_app(QUICK), "127.0.0.1:0") as served:
        whole = opening(None, "echo", 1)
        for cut in (1, 2, 3, 50, len(whole) - 1):
            with connect(served.server.addresses[0]) as sock:
                sock.sendall(whole[:cut])
                sock.shutdown(socket.SHUT_WR)
                assert all_received(sock) == []
        assert served.server.shared.counters.served == 0


def test_a_letterhead_client_does_not_take_itself_for_a_server() -> None:
    """Somebody who echoes bytes is not a Letterhead server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def mirror() -> None:
            sock, _ = listener.accept()
            with sock:
                while data := sock.recv(65536):
                    sock.sendall(data)

        thread = threading.Thread(target=mirror)
        thread.start()
        with Client(f"127.0.0.1:{listener.getsockname()[1]}") as client, pytest.raises(ForeignProtocol):
            client.call("echo", 1)
        thread.join(PATIENCE)


def test_the_tests_reader_sees_a_stream_that_ends_inside_a_frame() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(opening(None, "echo", 1)[:-3])
        with pytest.raises(ClassicError, match="inside a frame"):
            receive_frame(ours)
