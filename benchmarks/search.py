"""The search over the standard library's ``.py`` files: ``make bench-search``.

Prints how fast they are indexed (median of the rounds, each into a new file), and what a query takes, asked over
loopback by the blocking client, one at a time: p50 and p99 in milliseconds, the conversation included. Test packages
belong to it; site-packages do not.
"""

import argparse
import multiprocessing
import resource
import shutil
import statistics
import sysconfig
import tempfile
import time
from pathlib import Path

import letterhead
from letterhead.search.application import application
from letterhead.search.index import Built, build_folders

QUERIES = {
    "rare word": "commonprefix",
    "common word": "import",
    "most common word": "self",
    "two words": "event loop",
    "neighbours": "os.path",
    "no match": "xylophonist",
}


def copied(folder: Path) -> None:
    """Copy the standard library's ``.py`` files."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in library.rglob("*.py"):
        if "site-packages" not in path.parts:
            place = folder / path.relative_to(library)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def index(folder: Path, place: Path) -> tuple[Built, int]:
    """Index the folder; and this process's peak memory in bytes."""
    built = build_folders(place, [folder])
    return built, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(place: Path, addresses: "multiprocessing.Queue[str]") -> None:
    """Serve the index."""
    application(place).run("127.0.0.1:0", on_ready=lambda server: addresses.put(server.addresses[0]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often it is indexed")
    parser.add_argument("--queries", type=int, default=500, help="how often each query is asked")
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="letterhead-bench-") as scratch:
        folder, place = Path(scratch, "library"), Path(scratch, "index")
        folder.mkdir()
        copied(folder)
        with processes.Pool(1, maxtasksperchild=1) as pool:  # each in a process of its own: peaks do not add up
            rounds = [pool.apply(index, (folder, place)) for _ in range(options.rounds)]
        speeds = [built.bytes / 1e6 / built.seconds for built, _ in rounds]
        built, peak = rounds[-1]
        print(f"{built.documents:,} files, {built.bytes / 1e6:.1f} MB; index {place.stat().st_size / 1e6:.1f} MB")
        print(
            f"indexing {statistics.median(speeds):.0f} MB/s ({min(speeds):.0f} to {max(speeds):.0f}), "
            f"peak memory {peak / 1e6:.0f} MB"
        )
        addresses: multiprocessing.Queue[str] = processes.Queue()
        server = processes.Process(target=serve, args=(place, addresses))
        server.start()
        try:
            with letterhead.Client(addresses.get(timeout=30)) as client:
                measure(client, options.queries)
        finally:
            server.terminate()
            server.join()


def measure(client: letterhead.Client, count: int) -> None:
    """Ask each query so often, in turns; print a row for each."""
    times: dict[str, list[float]] = {name: [] for name in QUERIES}
    totals = {}
    for _ in range(count):
        for name, query in QUERIES.items():
            began = time.perf_counter()
            totals[name] = client.call("search", query=query)["total"]
            times[name].append((time.perf_counter() - began) * 1e3)
    print(f"{'':<18}{'query':<14}{'found':>7}{'p50 ms':>9}{'p99 ms':>9}")
    for name, query in QUERIES.items():
        cuts = statistics.quantiles(times[name], n=100)
        print(f"{name:<18}{query:<14}{totals[name]:>7,}{cuts[49]:>9.2f}{cuts[98]:>9.2f}")


if __name__ == "__main__":
    main()
