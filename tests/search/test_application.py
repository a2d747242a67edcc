"""The search as an application on a server."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

import letterhead
from letterhead.app.describe import describe
from letterhead.errors import DeadlineExceeded, InvalidArgument, Unavailable
from letterhead.limits import Limits
from letterhead.search.answers import SearchResult
from letterhead.search.application import application
from letterhead.search.documents import SAMPLES
from letterhead.search.index import build
from tests.classic import client as classic

T = TypeVar("T")
Asking = Callable[[letterhead.AsyncClient], Awaitable[T]]


def served(tmp_path: Path, ask: Asking[T], limits: Limits | None = None) -> T:
    """What ``ask`` gives for a client of a server that searches the samples."""
    build(tmp_path / "index", SAMPLES)

    async def serve() -> T:
        app = application(tmp_path / "index", limits)
        async with app.serve("127.0.0.1:0") as server, letterhead.AsyncClient(server.addresses[0]) as client:
            return await ask(client)

    return asyncio.run(serve())


def asked_classically(tmp_path: Path, value: Any) -> Any:
    """The reply to a classic client that searches for ``value``."""
    build(tmp_path / "index", SAMPLES)

    async def serve() -> Any:
        async with application(tmp_path / "index").serve("127.0.0.1:0") as server:
            host, _, port = server.addresses[0].rpartition(":")
            return await asyncio.to_thread(classic.request, (host, int(port)), "search", value)

    return asyncio.run(serve()).json()


def test_a_search_is_answered(tmp_path: Path) -> None:
    answer = served(tmp_path, lambda client: client.call("search", query="rabbit"))
    assert (answer["query"], answer["total"]) == ("rabbit", 1)
    (hit,) = answer["hits"]
    assert (hit["title"], hit["snippet"]) == ("morpheus", "Follow the white «rabbit». 🐰")


def test_a_search_can_be_had_as_typed_objects(tmp_path: Path) -> None:
    answer = served(tmp_path, lambda client: client.call("search", query="🐶", returns=SearchResult))
    assert [hit.title for hit in answer.hits] == ["🐶"]


def test_limit_and_offset_choose_hits(tmp_path: Path) -> None:
    async def ask(client: letterhead.AsyncClient) -> list[list[str]]:
        pages = [await client.call("search", query="the", limit=1, offset=offset) for offset in range(3)]
        return [[hit["title"] for hit in page["hits"]] for page in pages]

    assert served(tmp_path, ask) == [["ring"], ["morpheus"], []]


def test_an_argument_out_of_range_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        served(tmp_path, lambda client: client.call("search", query="rabbit", limit=101))
    assert caught.value.argument == "limit"


def test_a_search_without_time_is_a_deadline_exceeded(tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded):
        served(tmp_path, lambda client: client.call("search", query="rabbit"), Limits(search_seconds=0))


def test_many_searches_run_at_once(tmp_path: Path) -> None:
    async def ask(client: letterhead.AsyncClient) -> list[int]:
        answers = await asyncio.gather(*(client.call("search", query="rabbit") for _ in range(100)))
        return [answer["total"] for answer in answers]

    assert served(tmp_path, ask, Limits(search_seconds=60.0)) == [1] * 100


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("morpheus", "Follow the white rabbit. 🐰"),
        ("🐶", "🐾 Playing ball! 🏐"),
        ("misty", "ring: In the caves beneath the «Misty» Mountains. 💍"),
        ("zebra", "No match for 'zebra'."),
        (None, "No match for 'None'."),
        ([1, "a"], "No match for '[1, 'a']'."),
        ("", "No match for ''."),
    ],
)
def test_a_classic_client_gets_a_string(tmp_path: Path, value: object, result: str) -> None:
    assert asked_classically(tmp_path, value) == {"result": result}


def test_a_classic_client_is_told_what_is_wrong(tmp_path: Path) -> None:
    reply = asked_classically(tmp_path, "a" * 2_000)
    assert reply["error"]["code"] == "invalid-argument"
    assert reply["result"].startswith("Error: value is 2000 bytes long")


def test_the_index_is_closed_when_the_server_has_stopped(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    app = application(tmp_path / "index")

    async def serve() -> None:
        async with app.serve("127.0.0.1:0"):
            assert app.state.searcher.search("rabbit").total == 1

    asyncio.run(serve())
    with pytest.raises(Unavailable, match="closed"):
        app.state.searcher.search("rabbit")


def test_an_application_can_be_served_again(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    app = application(tmp_path / "index")

    async def serve() -> int:
        async with app.serve("127.0.0.1:0") as server, letterhead.AsyncClient(server.addresses[0]) as client:
            total: int = (await client.call("search", query="rabbit"))["total"]
            return total

    assert [asyncio.run(serve()), asyncio.run(serve())] == [1, 1]


def test_without_an_index_the_server_does_not_start(tmp_path: Path) -> None:
    async def serve() -> None:
        async with application(tmp_path / "missing").serve("127.0.0.1:0"):
            pytest.fail("it started")

    with pytest.raises(Unavailable):
        asyncio.run(serve())


def test_describe_tells_users_what_search_takes_and_gives(tmp_path: Path) -> None:
    search = describe(application(tmp_path / "index"))["actions"]["search"]
    assert "best first" in search["doc"]
    assert search["parameters"]["required"] == ["query"]
    assert list(search["parameters"]["properties"]) == ["query", "limit", "offset"]
    assert set(search["$defs"]["Hit"]["properties"]) == {"title", "path", "snippet", "score", "line", "type"}
