"""Both clients against a classic server, which answers one request and closes."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from letterhead import (
    AsyncClient,
    Client,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    Message,
    UsageError,
    decode,
)
from tests import leaks
from tests.classic import server
from tests.net import peers
from tests.net.conftest import Serve
from tests.net.raw import echo_app
from tests.wire.frames import json_frame

KINDS = ("Client", "AsyncClient-asyncio", "AsyncClient-uvloop")
Ask = Callable[..., Any]


@pytest.fixture
def address() -> Iterator[str]:
    with server.running() as where:
        yield ":".join(map(str, where))


@pytest.fixture(params=KINDS)
def each(request: pytest.FixtureRequest) -> Ask:
    """`each(address, *steps)`: the outcomes of steps with one client, each `(method, arguments, named ones)`."""

    def each(address: str, *steps: tuple[str, tuple[Any, ...], dict[str, Any]]) -> list[Any]:
        if request.param == "Client":
            results = []
            with Client(address) as client:
                for method, args, named in steps:
                    try:
                        results.append(getattr(client, method)(*args, **named))
                    except Exception as error:
                        results.append(error)
            return results

        async def main() -> list[Any]:
            results = []
            async with AsyncClient(address) as client:
                for method, args, named in steps:
                    try:
                        results.append(await getattr(client, method)(*args, **named))
                    except Exception as error:
                        results.append(error)
            return results

        result: list[Any] = leaks.run(main(), request.param.partition("-")[2])
        return result

    return each


def call(*args: Any, **named: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    return "call", args, named


def send(content: bytes, **header: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    return "send", (Message(content, {name.replace("_", "-"): value for name, value in header.items()}),), {}


@pytest.mark.smoke
def test_calls_are_answered_one_after_the_other(each: Ask, address: str) -> None:
    texts = each(address, *(call("search", title) for title in ("morpheus", "ring", "🐶", "morpheus")))
    assert texts == [*server.SAMPLES.values(), server.SAMPLES["morpheus"]]


def test_whatever_it_says_is_a_result(each: Ask, address: str) -> None:
    results = each(address, call("dance", 1), call("search", "xyzzy"), call("search", 7), call("search", ""))
    assert results == [
        "Error: invalid action 'dance'.",
        "No match for 'xyzzy'.",
        "No match for '7'.",
        "No match for ''.",
    ]


def test_values_that_it_cannot_look_up_end_without_a_reply(each: Ask, address: str) -> None:
    results = each(address, call("search", ["ring"]), call("search", query="ring"), call("search", "ring"))
    assert [type(result).__name__ for result in results[:2]] == ["NoReply", "NoReply"]
    assert results[2] == server.SAMPLES["ring"], "and the next call is answered"


def test_what_it_cannot_take_is_said_before_anything_is_sent(each: Ask, address: str) -> None:
    for first in ([], [call("search", "ring")]):  # unknown yet, and known
        results = each(address, *first, call("search", b"bytes"), call("search", None), call("search", "ring"))
        bytes_, none, text = results[len(first) :]
        assert isinstance(bytes_, ConnectionFailed)
        assert "classic" in str(bytes_)
        assert isinstance(none, ConnectionFailed)
        assert text == server.SAMPLES["ring"]


def test_messages_are_sent_as_they_are(each: Ask, address: str) -> None:
    for first in ([], [call("search", "ring")]):
        results = each(
            address,
            *first,
            send(b"0123456789abc", content_type="binary/custom-client-binary-type"),
            send(b'{"action": "search", "value": "ring"}', content_type="text/json", content_encoding="utf-8"),
        )
        binary, text = results[len(first) :]
        assert bytes(binary.content) == b"First 10 bytes of request: 0123456789"
        assert binary.type == "binary/custom-server-binary-type"
        assert decode(text) == {"result": server.SAMPLES["ring"]}


def test_results_are_converted_as_ever(each: Ask, address: str) -> None:
    (text, wrong) = each(address, call("search", "ring", returns=str), call("search", "ring", returns=int))
    assert text == server.SAMPLES["ring"]
    assert type(wrong).__name__ == "BadContent"


def test_what_it_never_answers_ends_with_the_timeout(each: Ask, address: str) -> None:
    empty = ("send", (Message(b"", {"content-type": "text/plain"}),), {"timeout": 0.2})
    results = each(address, call("search", "ring"), empty, call("search", "ring"))
    assert isinstance(results[1], DeadlineExceeded)
    assert results[2] == server.SAMPLES["ring"]


def test_many_calls_at_once_are_answered_each_on_its_own_connection(address: str) -> None:
    titles = list(server.SAMPLES) * 20

    async def main() -> None:
        async with AsyncClient(address) as client:
            for _ in range(2):
                texts = await asyncio.gather(*(client.call("search", title) for title in titles))
                assert texts == [server.SAMPLES[title] for title in titles]

    leaks.run(main())
    leaks.run(main(), "uvloop")


def test_many_threads_are_answered_each_on_its_own_connection(address: str) -> None:
    wrong: list[Any] = []

    def ask(client: Client) -> None:
        for title, text in list(server.SAMPLES.items()) * 5:
            answer = client.call("search", title)
            if answer != text:
                wrong.append(answer)

    with Client(address) as client:
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(leaks.PATIENCE)
        assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_many_first_calls_of_all_kinds_at_once(address: str) -> None:
    async def main() -> None:
        async with AsyncClient(address) as client:
            calls = [client.call("search", "ring"), client.call("search", b"x"), client.call("search", "🐶")] * 5
            results = await asyncio.gather(*calls, return_exceptions=True)
        for ring, bytes_, dog in zip(results[::3], results[1::3], results[2::3], strict=True):
            assert (ring, dog) == (server.SAMPLES["ring"], server.SAMPLES["🐶"])
            assert isinstance(bytes_, ConnectionFailed)

    leaks.run(main())


def test_closing_a_client_ends_calls_to_a_classic_server_too(address: str) -> None:
    """Those that wait for an answer, for a connection, and for their turn."""

    async def main() -> None:
        async with AsyncClient(address) as client:
            assert await client.call("search", "ring") == server.SAMPLES["ring"]
            silent = Message(b"", {"content-type": "text/plain"})  # never answered
            calls = [asyncio.ensure_future(client.send(silent)) for _ in range(40)]
            await asyncio.sleep(0)
            await client.close()
            async with asyncio.timeout(leaks.PATIENCE):
                results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, (ConnectionLost, UsageError)) for result in results)

    for loop in leaks.LOOPS:
        leaks.run(main(), loop)


@pytest.mark.parametrize("turns", range(8))
def test_closing_a_client_at_any_moment_of_connecting_to_a_classic_server(address: str, turns: int) -> None:
    async def main() -> None:
        async with AsyncClient(address) as client:
            assert await client.call("search", "ring") == server.SAMPLES["ring"]
            calls = [asyncio.ensure_future(client.call("search", "ring")) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await client.close()
            async with asyncio.timeout(leaks.PATIENCE):
                results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, (ConnectionLost, UsageError, str)) for result in results)

    leaks.run(main())


def test_a_server_that_is_exchanged_for_a_letterhead_one_is_noticed(serve: Serve) -> None:
    with server.running() as (host, port):
        address = f"{host}:{port}"
        blocking = Client(address)
        assert blocking.call("search", "ring") == server.SAMPLES["ring"]
    with serve(echo_app(), address), blocking:
        assert blocking.call("echo", 1) == 1
        assert blocking.call("size", b"now bytes can be sent") == 21

    async def main() -> None:
        client = AsyncClient(address)
        with server.running(host, port):
            assert await client.call("search", "ring") == server.SAMPLES["ring"]
        with serve(echo_app(), address):
            async with client:
                assert await asyncio.gather(*(client.call("echo", n) for n in range(10))) == list(range(10))
                assert await client.call("size", b"now bytes can be sent") == 21

    leaks.run(main())


def test_a_classic_reply_that_has_no_result_is_bad_content(each: Ask) -> None:
    with peers.peer(peers.says(json_frame({"answer": 1}))) as address:
        (result,) = each(address, call("search", "ring"))
        assert type(result).__name__ == "BadContent"
