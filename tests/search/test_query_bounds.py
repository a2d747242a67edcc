"""What a question may cost, from how many threads, and what an index that is none answers."""

import math
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from letterhead.errors import DeadlineExceeded, Internal, InvalidArgument, Unavailable
from letterhead.limits import Limits
from letterhead.search.documents import SAMPLES
from letterhead.search.index import build
from letterhead.search.query import Searcher

MakeSearcher = Callable[..., Searcher]
SAMPLE_TEXTS = {sample.title: sample.text for sample in SAMPLES}
# Enough for SQLite to look at the clock while it counts them.
MANY = {f"{number}": "follow the white rabbit" for number in range(4_000)}


def found(searcher: Searcher, query: str) -> list[str]:
    """The titles of the hits, best first."""
    result = searcher.search(query, limit=100)
    assert result.total == len(result.hits)
    return [hit.title for hit in result.hits]


# -- bounds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "offset", "argument"),
    [(-1, 0, "limit"), (101, 0, "limit"), (10, -1, "offset"), (10, 2**63, "offset")],
)
def test_rows_are_bounded(searcher_over: MakeSearcher, limit: int, offset: int, argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        searcher_over(SAMPLE_TEXTS).search("rabbit", limit, offset)
    assert caught.value.argument == argument
    assert argument in caught.value.message


def test_as_many_rows_as_allowed_are_given(searcher_over: MakeSearcher) -> None:
    assert len(searcher_over({f"{n}": "x" for n in range(120)}).search("x", 100).hits) == 100


@pytest.mark.parametrize("query", ["a" * 1_025, "é" * 513, " " * 1_025, "\ud800", "rabbit \udc00"])
def test_a_query_too_long_or_not_unicode_is_refused(searcher_over: MakeSearcher, query: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        searcher_over(SAMPLE_TEXTS).search(query)
    assert caught.value.argument == "query"


def test_a_query_of_the_largest_size_is_answered(searcher_over: MakeSearcher) -> None:
    assert searcher_over(SAMPLE_TEXTS).search("a" * 1_024).total == 0


def test_words_are_bounded(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over(SAMPLE_TEXTS)
    assert searcher.search(" ".join(f"w{n}" for n in range(16))).total == 0
    with pytest.raises(InvalidArgument) as caught:
        searcher.search(" ".join(f"w{n}" for n in range(17)))
    assert (caught.value.argument, caught.value.size, caught.value.limit) == ("query", 17, 16)


def test_the_bounds_are_those_of_the_limits(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over(SAMPLE_TEXTS, Limits(search_query_bytes=5, search_terms=1, search_rows=2))
    assert searcher.search("abcde", 2).total == 0
    for arguments in (("abcdef",), ("a b",), ("a", 3)):
        with pytest.raises(InvalidArgument):
            searcher.search(*arguments)


def test_what_short_texts_leave_is_used_to_look_through_long_ones(searcher_over: MakeSearcher) -> None:
    texts = {**{f"{n}": "rabbit" for n in range(99)}, "long": "." * 1_000_000 + " rabbit"}
    hits = searcher_over(texts, Limits(search_seconds=60.0)).search("rabbit", 100).hits
    assert {hit.title: hit.snippet for hit in hits}["long"].endswith("«rabbit»")


def test_without_time_there_is_no_answer(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over(SAMPLE_TEXTS, Limits(search_seconds=0))
    for ask in (searcher.search, searcher.classic):
        with pytest.raises(DeadlineExceeded) as caught:
            ask("rabbit")
        assert caught.value.seconds == 0


FIRST_QUERIES = """
import sys
from pathlib import Path

from letterhead import Limits
from letterhead.search.index import build
from letterhead.search.items import Document
from letterhead.search.query import Searcher

build(Path(sys.argv[1]), [Document("one", "one", "a header limit of größer size")])
with Searcher(Path(sys.argv[1]), Limits(search_seconds=60.0)) as searcher:
    for _ in range(2):
        count = 0

        def note(_frame, event, _arg):
            global count
            count += event in ("call", "c_call")

        sys.setprofile(note)
        searcher.search("header größer")
        sys.setprofile(None)
        print(count)
"""


def test_the_first_query_of_a_server_has_little_more_to_do_than_the_next(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_QUERIES, str(tmp_path / "index")], capture_output=True, text=True, check=True
    )
    first, second = map(int, done.stdout.split())
    assert first < 100 * second, "steps: tables that all queries need are made before"


def clock_that_jumps_after(calls: int) -> Callable[[], float]:
    """A clock that stands still for so many readings, and is past every deadline from then on."""
    readings = iter([0.0] * calls)
    return lambda: next(readings, math.inf)


def test_time_that_runs_out_inside_sqlite_stops_it(searcher_over: MakeSearcher) -> None:
    # Read twice before SQLite begins: at the start and when a connection is given out.
    searcher = searcher_over(MANY, clock=clock_that_jumps_after(2))
    with pytest.raises(DeadlineExceeded) as caught:
        searcher.search("rabbit")
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert "sql" not in caught.value.message.lower()


def test_time_that_runs_out_while_snippets_are_made_stops_them(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over(SAMPLE_TEXTS, clock=clock_that_jumps_after(2))
    with pytest.raises(DeadlineExceeded) as caught:
        searcher.search("rabbit")
    assert caught.value.__cause__ is None


def test_a_search_that_ran_out_of_time_harms_no_later_one(searcher_over: MakeSearcher) -> None:
    now = iter([0.0, 0.0, 1.0])
    searcher = searcher_over(MANY, clock=lambda: next(now, 1.0))
    with pytest.raises(DeadlineExceeded):
        searcher.search("rabbit")
    assert searcher.search("rabbit").total == len(MANY)


# -- threads and ends ----------------------------------------------------------------------------------------


def test_many_threads_may_ask_at_once(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over({f"{n}": f"rabbit number{n % 7}" for n in range(500)}, Limits(search_seconds=60.0))
    barrier = threading.Barrier(8)

    def ask(number: int) -> list[int]:
        barrier.wait()
        return [searcher.search(f"rabbit number{(number + turn) % 7}").total for turn in range(20)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))
    counts = [sum(n % 7 == rest for n in range(500)) for rest in range(7)]
    assert answers == [[counts[(number + turn) % 7] for turn in range(20)] for number in range(8)]


def open_files(path: Path) -> int:
    links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sum(str(path) in str(link.readlink()) for link in links)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_connections_are_shared_by_threads_that_do_not_ask_at_once_and_closed_at_the_end(
    tmp_path: Path,
) -> None:
    build(tmp_path / "index", SAMPLES)
    searcher = Searcher(tmp_path / "index")
    for _ in range(5):
        thread = threading.Thread(target=searcher.search, args=("rabbit",))
        thread.start()
        thread.join()
    assert open_files(tmp_path) == 3  # the index, its log and the log's table
    searcher.close()
    assert open_files(tmp_path) == 0


def test_a_closed_searcher_is_unavailable(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over(SAMPLE_TEXTS)
    searcher.close()
    searcher.close()
    for ask in (searcher.search, searcher.classic):
        with pytest.raises(Unavailable, match="closed"):
            ask("rabbit")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_closing_stops_a_search_that_runs(searcher_over: MakeSearcher, tmp_path: Path) -> None:
    readings = 0
    closers: list[threading.Thread] = []

    def clock() -> float:
        nonlocal readings
        readings += 1
        if readings == 3:  # SQLite asks whether to go on
            closers.append(threading.Thread(target=searcher.close))
            closers[0].start()
            with pytest.raises(Unavailable):
                while True:
                    searcher.search("caves")
        return 0.0

    searcher = searcher_over(MANY, clock=clock)
    with pytest.raises(Unavailable, match="closed"):
        searcher.search("rabbit")
    closers[0].join()
    assert open_files(tmp_path) == 0


# -- indexes that are none -----------------------------------------------------------------------------------


def test_a_missing_index_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        Searcher(tmp_path / "missing")
    assert str(tmp_path) not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("no database " * 1_000)
    with pytest.raises(Internal, match="damaged"):
        Searcher(tmp_path / "index")


def test_another_database_is_no_index(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "index")
    connection.execute("CREATE TABLE documents (id)")
    connection.close()
    with pytest.raises(Unavailable, match="another version"):
        Searcher(tmp_path / "index")


def test_an_index_of_another_format_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    connection = sqlite3.connect(tmp_path / "index")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(Unavailable, match="another version"):
        Searcher(tmp_path / "index")


def test_a_damaged_index_is_an_error_and_never_an_answer(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    data = bytearray((tmp_path / "index").read_bytes())
    page = 16 << 10
    data[page:] = b"\xff" * (len(data) - page)
    (tmp_path / "index").write_bytes(data)
    with pytest.raises(Internal, match=r"^the index is damaged: build it anew with"):
        Searcher(tmp_path / "index")


def test_a_damaged_one_is_told_before_its_version(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"SQLite format 3\0" + b"\xff" * 5_000)
    with pytest.raises(Internal, match="damaged"):
        Searcher(tmp_path / "index")


def test_an_index_with_an_odd_name_is_found(tmp_path: Path) -> None:
    path = tmp_path / "my index?mode=rwc#1 %41"
    build(path, SAMPLES)
    with Searcher(path) as searcher:
        assert found(searcher, "rabbit") == ["morpheus"]


def test_nothing_can_be_written_through_a_searcher(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    before = (tmp_path / "index").read_bytes()
    with Searcher(tmp_path / "index") as searcher:
        searcher.search("rabbit")
        searcher.classic("ring")
    assert (tmp_path / "index").read_bytes() == before
