"""The search, measured: ``make bench-search`` over the standard library, ``make bench-scale`` over 1 GB.

Prints how fast files are indexed, into an index that is kept, with the peak memory of the process that does it; what
the next start takes with nothing changed; and what queries take, asked over loopback by blocking clients, one at a time
and eight at once: p50 and p99 in milliseconds, the conversation included.

The files of ``--files N`` are made up of pieces of the standard library's ``.py`` files, in random order and of random
length (log-normal, 10 kB on average), with lines of words that occur once; the same files on each run of one Python.
"""

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import sysconfig
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import letterhead
from letterhead.search.application import application
from letterhead.search.index import Index
from letterhead.search.update import Changes, Update

QUERIES = {
    "rare word": "xylophonist",
    "common word": "import",
    "most common word": "self",
    "two words": "event loop",
    "phrase": '"return none"',
    "neighbours": "os.path",
    "prefix": "conn*",
    "filtered": "import path:test",
    "no match": "xylofonist",
}
EVERY = 977
"""One of so many made-up files holds the rare word."""


def standard_library() -> list[Path]:
    """The standard library's ``.py`` files; test packages belong to it, site-packages do not."""
    library = Path(sysconfig.get_path("stdlib"))
    return sorted(path for path in library.rglob("*.py") if "site-packages" not in path.parts)


def copy(folder: Path) -> None:
    """Copy the standard library."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in standard_library():
        place = folder / path.relative_to(library)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    (folder / "rare.txt").write_text("xylophonist")


def make_up(folder: Path, files: int) -> None:
    """Write so many files."""
    chance = random.Random(1)
    lines: list[str] = []
    for path in standard_library():
        lines += path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for number in range(files):
        place = folder / f"{number // 1000:03}" / f"{'test' if number % 7 == 0 else 'part'}{number // 50 % 20}"
        place.mkdir(parents=True, exist_ok=True)
        wanted = chance.lognormvariate(8.8, 0.9)
        pieces = [f"# Note {number}\n"]
        size = 0
        while size < wanted:
            at = chance.randrange(len(lines) - 60)
            piece = "".join(lines[at : at + chance.randrange(5, 60)])
            pieces += [piece, f"# once{chance.getrandbits(40):x}\n"]
            size += len(piece)
        if number % EVERY == 0:
            pieces.append("xylophonist\n")
        (place / f"note-{number}.md").write_text("".join(pieces), encoding="utf-8")


def update(folder: Path, place: Path) -> tuple[Changes, int]:
    """Bring the index up to date; what it came to, and this process's peak memory in bytes."""
    with Index(place) as index:
        changes = Update(index, [folder]).all()
    return changes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(place: Path, addresses: "multiprocessing.Queue[str]") -> None:
    """Serve the index."""
    application(place).run("127.0.0.1:0", on_ready=lambda server: addresses.put(server.addresses[0]))


def ask(address: str, count: int, start: threading.Barrier, times: dict[str, list[float]], refused: list[str]) -> None:
    """Ask each query ``count`` times, in turns; note what each took, and which were refused as too slow."""
    with letterhead.Client(address) as client:
        client.call("letterhead.ping", 0)
        start.wait()
        for _ in range(count):
            for name, query in QUERIES.items():
                began = time.perf_counter()
                try:
                    client.call("search", query=query)
                except letterhead.DeadlineExceeded:
                    refused.append(name)
                times[name].append((time.perf_counter() - began) * 1e3)


def measure(address: str, clients: int, count: int) -> tuple[dict[str, list[float]], list[str]]:
    """Ask by so many clients at once."""
    times: dict[str, list[float]] = {name: [] for name in QUERIES}
    refused: list[str] = []
    start = threading.Barrier(clients)
    threads = [threading.Thread(target=ask, args=(address, count, start, times, refused)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, refused


def cuts(times: Sequence[float]) -> str:
    """p50 and p99."""
    percentiles = statistics.quantiles(times, n=100)
    return f"{percentiles[49]:>9.1f}{percentiles[98]:>9.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=0, help="make up so many files, instead of the standard library")
    parser.add_argument("--rounds", type=int, default=3, help="how often it is indexed anew")
    parser.add_argument("--queries", type=int, default=100, help="how often each query is asked, by each client")
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="letterhead-bench-") as scratch,
        processes.Pool(1, maxtasksperchild=1) as pool,  # each in a process of its own: peaks do not add up
    ):
        folder, place = Path(scratch, "library"), Path(scratch, "index")
        folder.mkdir()
        if options.files:
            make_up(folder, options.files)
        else:
            copy(folder)
        rounds = []
        for _ in range(max(1, options.rounds)):
            place.unlink(missing_ok=True)
            rounds.append(pool.apply(update, (folder, place)))
        speeds = [changes.bytes / 1e6 / changes.seconds for changes, _ in rounds]
        changes, peak = rounds[-1]
        print(f"{changes.documents:,} files, {changes.bytes / 1e6:.1f} MB; index {place.stat().st_size / 1e6:.1f} MB")
        print(
            f"indexing {statistics.median(speeds):.1f} MB/s ({min(speeds):.1f} to {max(speeds):.1f}), "
            f"peak memory {peak / 1e6:.0f} MB"
        )
        pool.apply(update, (folder, place))  # files younger than two seconds are read once more
        again = statistics.median(pool.apply(update, (folder, place))[0].seconds for _ in range(3))
        print(f"with nothing changed {again:.2f} s, {again / changes.documents * 1e4:.2f} s for 10,000 files")
        addresses: multiprocessing.Queue[str] = processes.Queue()
        server = processes.Process(target=serve, args=(place, addresses))
        server.start()
        try:
            address = addresses.get(timeout=30)
            measure(address, 1, 3)  # what the system reads from disk once is not measured
            one, refused = measure(address, 1, options.queries)
            eight, refused_of_eight = measure(address, 8, max(1, options.queries // 8))
            with letterhead.Client(address) as client:
                totals = {
                    name: client.call("search", query=query, timeout=60)["total"] for name, query in QUERIES.items()
                }
            memory = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        finally:
            server.terminate()
            server.join()
    print(f"{'':<18}{'query':<18}{'found':>8}{'p50 ms':>9}{'p99 ms':>9}{'8 at once: p50':>16}{'p99 ms':>9}")
    for name, query in QUERIES.items():
        print(f"{name:<18}{query:<18}{totals[name]:>8,}{cuts(one[name])}{'':>7}{cuts(eight[name])}")
    for clients, late in ((1, refused), (8, refused_of_eight)):
        print(
            f"refused as too slow, {clients} at once: {len(late)} of {sum(map(len, one.values()))} {sorted(set(late))}"
        )
    print(f"memory of the server {memory / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
