"""A classic client against a Letterhead server: the table of protocol section 2."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from letterhead import App, Limits, Message, Refused, current
from tests.classic import client
from tests.leaks import PATIENCE
from tests.net.conftest import Serve
from tests.net.raw import all_received, connect, received
from tests.wire.frames import json_frame

SAMPLES = {"morpheus": "Follow the white rabbit. 🐰", "🐶": "🐾 Playing ball! 🏐"}


def search_app(limits: Limits | None = None) -> App:
    """A search with its classic form, and some other actions."""
    app = App("search", limits=limits or Limits(linger_quiet_seconds=0.05))

    @app.action
    async def search(query: str, limit: int = 10) -> dict[str, Any]:
        return {"query": query, "limit": limit}

    @app.classic("search")
    def search_classic(value: Any) -> str:
        return SAMPLES.get(value, f"No match for '{value}'.") if isinstance(value, str) else f"No match for '{value}'."

    @app.action
    async def add(first: int, second: int = 1) -> int:
        return first + second

    @app.action(name="add-thread")
    def add_in_thread(first: int) -> int:
        return first + 1

    @app.action
    async def nothing() -> None:
        return None

    @app.action
    async def data() -> bytes:
        return b"\x00\xff"

    @app.action
    async def fail(how: str) -> None:
        if how == "refuse":
            raise Refused("not-found", "no order 17", order=17)
        raise ValueError("a secret")

    @app.action
    async def headers() -> dict[str, Any]:
        return dict(current().headers)

    return app


@contextmanager
def asked(serve: Serve, app: App | None = None) -> Iterator[socket.socket]:
    with serve(app or search_app(), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        yield sock


def answer(sock: socket.socket, value: Any, **extra: Any) -> Any:
    """The reply's JSON, in a frame as classic clients need it."""
    client.send_json(sock, value, extra=extra)
    reply = client.receive_reply(sock)
    assert (reply.header["content-type"], reply.header["content-encoding"]) == ("text/json", "utf-8")
    assert "id" not in reply.header
    assert "status" not in reply.header
    return reply.json()


@pytest.mark.smoke
def test_the_classic_client_as_it_is_gets_its_answers(serve: Serve) -> None:
    with serve(search_app(), "127.0.0.1:0") as served:
        host, port = served.server.addresses[0].split(":")
        address = (host, int(port))
        for title, text in SAMPLES.items():
            assert client.request(address, "search", title).json() == {"result": text}
        assert client.request(address, "search", "ring").result == "No match for 'ring'."
        assert client.request(address, "dance", 1).result == "Error: invalid action 'dance'."
        binary = client.request_binary(address, b"0123456789abc")
        assert binary.content == b"First 10 bytes of request: 0123456789"
        assert binary.header["content-type"] == "binary/custom-server-binary-type"
        assert binary.header["content-encoding"] == "binary"


@pytest.mark.parametrize("value", ["", None, 0, False, [], {}, 5, 1.5, ["a"], {"query": "ring"}], ids=str)
def test_any_value_is_searched_for_as_it_stands(serve: Serve, value: Any) -> None:
    with asked(serve) as sock:
        assert answer(sock, {"action": "search", "value": value}) == {"result": f"No match for '{value}'."}


def test_an_action_with_a_classic_form_keeps_its_own_on_multiplexed_connections(serve: Serve) -> None:
    with asked(serve) as sock:
        client.send_json(sock, {"action": "search", "value": "morpheus"}, extra={"id": 1})
        assert received(sock).header["max-open"] == 128
        assert received(sock).result == {"query": "morpheus", "limit": 10}


@pytest.mark.parametrize(
    ("request_", "result"),
    [
        ({"action": "add", "value": 4}, 5),
        ({"action": "add", "value": {"first": 4, "second": 5}}, 9),
        ({"action": "add-thread", "value": 4}, 5),
        ({"action": "nothing", "value": None}, None),
        ({"action": "nothing"}, None),
        ({"action": "letterhead.ping", "value": [1]}, [1]),
        ({"action": "letterhead.ping"}, None),
    ],
    ids=str,
)
def test_other_actions_are_answered_likewise(serve: Serve, request_: Any, result: Any) -> None:
    with asked(serve) as sock:
        assert answer(sock, request_) == {"result": result}


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({"action": "dance"}, "dance"),
        ({"action": ""}, ""),
        ({"action": None}, "None"),
        ({"value": 1}, "None"),
        ({}, "None"),
        (None, "None"),
        ([], "None"),
        ("search", "None"),
        (5, "None"),
        ({"action": 5}, "5"),
        ({"action": ["search"]}, "['search']"),
        ({"action": {"a": 1}}, "{'a': 1}"),
        ({"action": True}, "True"),
    ],
    ids=str,
)
def test_an_unknown_action_is_named(serve: Serve, request_: Any, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with asked(serve) as sock:
        told = answer(sock, request_)
        assert told["result"] == f"Error: invalid action '{name}'."
        assert told["error"]["code"] == "unknown-action"
        assert answer(sock, {"action": "add", "value": 1}) == {"result": 2}, "the connection was kept"
    assert not caplog.records


def test_any_failure_is_told_with_code_and_message(serve: Serve) -> None:
    with asked(serve) as sock:
        refused = answer(sock, {"action": "fail", "value": "refuse"})
        assert refused == {
            "result": "Error: no order 17",
            "error": {"code": "not-found", "message": "no order 17", "order": 17},
        }
        internal = answer(sock, {"action": "fail", "value": "bug"})
        assert internal["error"]["code"] == "internal"
        assert internal["result"] == f"Error: {internal['error']['message']}"
        assert "secret" not in str(internal)
        invalid = answer(sock, {"action": "add", "value": "x"})
        assert (invalid["error"]["code"], invalid["error"]["argument"]) == ("invalid-argument", "first")
        for content in (b"", b"{", b"\xff", b'"\\ud800"'):
            client.send_frame(sock, content, content_type="text/json", content_encoding="utf-8")
            assert client.receive_reply(sock).json()["error"]["code"] == "bad-content"


def test_bytes_as_result_are_sent_as_they_are(serve: Serve) -> None:
    with asked(serve) as sock:
        client.send_json(sock, {"action": "data"})
        reply = client.receive_reply(sock)
        assert (reply.content, reply.header["content-type"]) == (b"\x00\xff", "application/octet-stream")


@pytest.mark.parametrize("content", [b"", b"abc", b"0123456789", b"\xff" * 100_000])
@pytest.mark.parametrize("content_type", ["binary/custom-client-binary-type", "text/plain", "application/x-mine"])
def test_any_other_content_type_goes_to_the_binary_handler(serve: Serve, content_type: str, content: bytes) -> None:
    with asked(serve) as sock:
        client.send_frame(sock, content, content_type=content_type, content_encoding="utf-8")
        assert client.receive_reply(sock).content == b"First 10 bytes of request: " + content[:10]


def test_an_application_may_answer_binary_requests_itself(serve: Serve) -> None:
    app = search_app()

    @app.binary
    async def upper(message: Message) -> Message:
        return Message(bytes(message.content).upper(), {"content-type": "text/plain", "content-encoding": "ascii"})

    with asked(serve, app) as sock:
        client.send_frame(sock, b"abc", content_type="text/plain", content_encoding="ascii", extra={"x-id": 1})
        reply = client.receive_reply(sock)
        assert (reply.content, reply.header["content-type"]) == (b"ABC", "text/plain")


@pytest.mark.parametrize("content_type", ["application/json", "TEXT/JSON", "text/json; charset=utf-8"])
def test_json_is_known_by_either_name_without_case_and_parameters(serve: Serve, content_type: str) -> None:
    with asked(serve) as sock:
        content = b'{"action": "add", "value": 1}'
        client.send_frame(sock, content, content_type=content_type, content_encoding="UTF-8")
        assert client.receive_reply(sock).json() == {"result": 2}


@pytest.mark.parametrize("field", ["more", "credit", "cancel", "supersedes"])
def test_four_fields_are_refused_and_the_connection_kept(serve: Serve, field: str) -> None:
    with asked(serve) as sock:
        told = answer(sock, {"action": "add", "value": 1}, **{field: 1})
        assert told["error"]["code"] == "bad-header"
        assert answer(sock, {"action": "add", "value": 1}) == {"result": 2}


def test_other_fields_of_the_conversation_are_ignored_where_their_type_is_wrong(serve: Serve) -> None:
    with asked(serve) as sock:
        odd = {"deadline": "soon", "timing": "yes", "accept": 5, "action": 7, "status": [], "traceparent": 1}
        assert answer(sock, {"action": "add", "value": 1}, **odd, compression=5) == {"result": 2}
        told = answer(sock, {"action": "headers"}, **{"x-mine": [1], "mine": {"a": None}})
        assert told["result"]["x-mine"] == [1]
        assert told["result"]["mine"] == {"a": None}


def test_one_request_runs_at_a_time_and_replies_come_in_order(serve: Serve) -> None:
    app = search_app()
    running: list[int] = []
    most: list[int] = []
    gate = threading.Event()

    @app.action
    def slow(number: int) -> int:
        running.append(number)
        most.append(len(running))
        if number == 0:
            gate.wait(PATIENCE)
        running.remove(number)
        return number

    with asked(serve, app) as sock:
        requests = [json_frame({"action": "slow", "value": number}) for number in range(30)]
        sock.sendall(b"".join(requests))
        gate.set()
        assert [received(sock).result for _ in range(30)] == list(range(30))
    assert set(most) == {1}


def test_the_connection_is_kept_and_may_be_closed_by_the_client_after_a_reply(serve: Serve) -> None:
    with asked(serve) as sock:
        for number in range(20):
            assert answer(sock, {"action": "add", "value": number}) == {"result": number + 1}
        sock.shutdown(socket.SHUT_WR)
        assert all_received(sock) == []


def test_a_classic_request_a_byte_at_a_time_is_answered(serve: Serve) -> None:
    with asked(serve) as sock:
        for byte in json_frame({"action": "add", "value": 1}):
            sock.sendall(bytes([byte]))
        assert received(sock).json() == {"result": 2}


def test_a_late_classic_answer_is_an_error_and_the_next_request_is_answered(serve: Serve) -> None:
    app = search_app()
    gate = threading.Event()

    @app.action
    def stuck() -> None:
        gate.wait(PATIENCE)

    with asked(serve, app) as sock:
        told = answer(sock, {"action": "stuck"}, deadline=50)
        assert told["error"]["code"] == "deadline-exceeded"
        assert answer(sock, {"action": "add", "value": 1}) == {"result": 2}
        gate.set()
