"""`letterhead search`."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import letterhead as library
from letterhead.search.application import application as search_application
from letterhead.search.documents import SAMPLES
from letterhead.search.index import build
from letterhead.search.items import Document
from letterhead.testing.background import running
from tests.classic import server as classic_server
from tests.cli import application
from tests.cli.application import HARM, OBEYED
from tests.cli.conftest import Everything
from tests.cli.shell import Done, failure, letterhead, on_terminal


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[str]:
    """The address of a search over the samples and twelve documents about hats."""
    hats = [Document(f"hat {number}", f"hats/{number}.txt", "a hat " * number) for number in range(1, 13)]
    build(tmp_path / "index", [*SAMPLES, *hats])
    with running(search_application(tmp_path / "index"), "127.0.0.1:0") as served:
        yield served.server.addresses[0]


@pytest.mark.smoke
def test_hits_are_shown_with_title_score_path_and_snippet(samples: str) -> None:
    done = letterhead("search", samples, "rabbit")
    assert (done.status, done.err) == (0, "")
    assert re.fullmatch(
        r"1 document for 'rabbit' \(\d+\.\d ms\)\n\n"
        r"  1\. morpheus  \(score \d+\.\d\d\)\n"
        r"     morpheus:1\n"
        r"     Follow the white «rabbit». 🐰\n",
        done.out,
    )


def test_a_path_is_shown_where_it_says_more_than_the_title(samples: str) -> None:
    assert "  1. hat 12  (score" in letterhead("search", samples, "12").out
    assert "\n     hats/12.txt\n" in letterhead("search", samples, "12").out


def test_words_are_one_query(samples: str) -> None:
    assert letterhead("search", samples, "misty", "caves").out.startswith("1 document for 'misty caves' ")


def test_limit_and_offset_choose_the_part_that_is_shown(samples: str) -> None:
    done = letterhead("search", samples, "hat", "--limit", "2", "--offset", "3")
    assert done.out.startswith("12 documents for 'hat', 4 to 5 (")
    assert re.findall(r"^ *(\d+)\. ", done.out, re.MULTILINE) == ["4", "5"]
    assert done.out.endswith("\nmore: --offset 5\n")


def test_the_last_part_names_no_further_one(samples: str) -> None:
    assert "more:" not in letterhead("search", samples, "hat", "--offset", "10").out


def test_beyond_the_last_hit_there_is_none(samples: str) -> None:
    assert letterhead("search", samples, "hat", "--offset", "50").out.startswith("12 documents for 'hat', none of them")


def test_no_hit_is_no_failure(samples: str) -> None:
    done = letterhead("search", samples, "zebra")
    assert done.status == 0
    assert done.out.startswith("0 documents for 'zebra' (")


def test_matches_are_bold_on_a_terminal(samples: str) -> None:
    out = on_terminal("search", samples, "rabbit").out
    assert "Follow the white \x1b[1mrabbit\x1b[0m. 🐰\n" in out
    assert "«" not in out


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_style_shows_marks(samples: str, variables: dict[str, str]) -> None:
    out = on_terminal("search", samples, "rabbit", **variables).out
    assert "white «rabbit»." in out
    assert "\x1b" not in out


def test_a_long_snippet_is_wrapped_on_a_terminal(samples: str) -> None:
    lines = on_terminal("search", samples, "hat", "--limit", "1", "--offset", "11", COLUMNS="60").out.splitlines()
    assert max(len(re.sub("\x1b.*?m", "", line)) for line in lines) < 60


def test_a_classic_servers_string_is_shown_as_it_is() -> None:
    with classic_server.running() as (host, port):
        assert letterhead("search", f"{host}:{port}", "ring").out == "In the caves beneath the Misty Mountains. 💍\n"


@pytest.mark.parametrize("run", [letterhead, on_terminal])
def test_a_hit_cannot_command_the_terminal(server: Everything, run: Callable[..., Done]) -> None:
    done = run("search", server.address, "word")
    shown = re.sub("\x1b\\[[0-9]*m", "", done.out) if run is on_terminal else done.out
    assert shown.count("owned") == 3
    assert not [character for character in application.OBEYED if character in shown]


def test_an_answer_that_is_no_search_result_is_told(server: Everything) -> None:
    status, line = failure("search", server.address, "unlike")
    assert status == 1
    assert "(bad-content)" in line


def test_a_server_that_is_down_is_told(nobody: str) -> None:
    status, line = failure("search", nobody, "rabbit")
    assert (status, line.startswith(f"nothing listens at {nobody}; ")) == (1, True)


def test_what_the_server_refuses_is_told(samples: str) -> None:
    status, line = failure("search", samples, "rabbit", "--limit", "101")
    assert status == 1
    assert line.startswith(f"search at {samples} failed (invalid-argument): limit is 101; it takes 0 to 100; ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["127.0.0.1:1"], "Missing argument 'QUERY...'"),
        (["127.0.0.1:1", "rabbit", "--limit", "-1"], "Invalid value for '--limit'"),
        (["127.0.0.1:1", "rabbit", "--offset", "some"], "Invalid value for '--offset'"),
        (["nowhere", "rabbit"], "an address is HOST:PORT"),
    ],
)
def test_wrong_usage_is_status_2(words: list[str], says: str) -> None:
    status, line = failure("search", *words)
    assert status == 2
    assert says in line


# What a server may tell beside the text, and leave out.


@contextmanager
def answering(**answer: object) -> Iterator[tuple[str, list[object]]]:
    """The address of a search that always answers so, and the queries that it was asked."""
    app = library.App()
    asked: list[object] = []

    @app.action
    async def search(query: str, limit: int = 10) -> object:
        asked.append(query)
        return {"total": 0, "hits": [], **answer}

    with running(app, "127.0.0.1:0") as served:
        yield served.server.addresses[0], asked


def test_the_line_of_the_first_match_stands_behind_the_path() -> None:
    hits = [
        {"title": "Alice", "path": "alice.md", "line": 7, "type": "markdown", "score": 1.5},
        {"title": "hat.txt", "path": "hat.txt", "line": 1},
        {"title": "none.txt", "path": "none.txt", "line": 0, "type": "text"},
    ]
    with answering(total=3, hits=hits) as (address, _):
        done = letterhead("search", address, "rabbit")
    assert done.out == (
        "3 documents for 'rabbit'\n\n"
        "  1. Alice  (score 1.50, markdown)\n     alice.md:7\n\n"
        "  2. hat.txt\n     hat.txt:1\n\n"
        "  3. none.txt  (text)\n"
    )


def test_a_score_that_rounds_to_nothing_is_not_shown() -> None:
    hits = [{"title": name, "score": score} for name, score in {"a": 0.0, "b": -0.001, "c": 0.004, "d": 0.006}.items()]
    with answering(total=4, hits=hits) as (address, _):
        lines = letterhead("search", address, "rabbit").out.splitlines()
    assert lines[2::2] == ["  1. a", "  2. b", "  3. c", "  4. d  (score 0.01)"]


def test_what_was_meant_is_told_where_nothing_matches() -> None:
    with answering(suggestion=f"rabbit{HARM}") as (address, _):
        out = letterhead("search", address, "rabit").out
    assert "\ndid you mean: rabbit\\x1b]0;owned" in out
    assert not [character for character in OBEYED if character in out]


def test_where_something_matches_nothing_else_was_meant() -> None:
    with answering(total=1, hits=[{"title": "a"}], suggestion="rabbit") as (address, _):
        assert "did you mean" not in letterhead("search", address, "rabit").out


def test_json_is_what_the_server_says(samples: str) -> None:
    with library.Client(samples) as client:
        said = client.call("search", query="rabbit", limit=2)
    told = json.loads(letterhead("search", samples, "rabbit", "--limit", "2", "--json").out)
    assert told["hits"] == said["hits"]
    assert told["total"] == 1


def test_json_of_a_classic_server_is_a_string() -> None:
    with classic_server.running() as (host, port):
        out = letterhead("search", f"{host}:{port}", "ring", "--json").out
    assert json.loads(out) == "In the caves beneath the Misty Mountains. 💍"


# Words that begin with a hyphen.


@pytest.mark.parametrize(
    ("typed", "query"),
    [
        (["white", "-rabbit"], "white -rabbit"),
        (["-rabbit", "white"], "-rabbit white"),
        (["-hat", "-verbose", "-x"], "-hat -verbose -x"),
        (["a", "-"], "a -"),
        (["--limit", "3", "-rabbit", "white"], "-rabbit white"),
        (["white", "-rabbit", "--limit=3", "hat"], "white -rabbit hat"),
        (["white", "--", "--rabbit", "-v", "--"], "white --rabbit -v --"),
        (['"white rabbit"', "rab*", "path:a/b", "type:md"], '"white rabbit" rab* path:a/b type:md'),
        (["white rabbit"], "white rabbit"),
    ],
)
def test_words_reach_the_server_as_they_are_typed(typed: list[str], query: str) -> None:
    with answering() as (address, asked):
        done = letterhead("search", address, *typed)
    assert (done.status, asked) == (0, [query]), done.err


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["white", "--limt", "3"], "No such option '--limt'"),
        (["white", "--limit"], "Option '--limit' requires an argument"),
        (["white", "--limit", "-rabbit"], "Invalid value for '--limit': '-rabbit'"),
        (["--timeout", "0", "white"], "Invalid value for '--timeout'"),
    ],
)
def test_what_begins_with_two_hyphens_is_an_option(typed: list[str], says: str) -> None:
    status, line = failure("search", "127.0.0.1:1", *typed)
    assert status == 2
    assert says in line


def test_short_options_are_options_among_words(samples: str) -> None:
    assert "* connected to" in letterhead("search", samples, "white", "-v", "rabbit").err
    assert letterhead("search", samples, "white", "-h").out.startswith("Usage: ")
