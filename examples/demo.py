"""Letterhead at work: documents are indexed and served, and three kinds of clients ask for them.

    python examples/demo.py               over this project's documentation and Python's standard library
    python examples/demo.py FOLDER …      over documents of yours

The server is `letterhead serve` in a process of its own. The clients are here: `letterhead.Client`, which blocks;
`letterhead.AsyncClient`, with many requests at once on one connection; and one that knows nothing but sockets and the
first two sections of the protocol. At the end stands what went over the wire, byte for byte where it matters.
"""

import argparse
import asyncio
import itertools
import json
import re
import shlex
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import letterhead
from letterhead.message import Buffer
from letterhead.search.answers import SearchResult
from letterhead.search.documents import documents
from letterhead.search.items import Document
from letterhead.transport.wire import Received, SocketWire
from letterhead.wire.reader import Reader

PROJECT = Path(__file__).resolve().parent.parent
QUESTIONS = [
    "two length bytes",
    "lingering close",
    "regular expression",
    "os.path.commonprefix",
    "event loop policy",
    "daylight saving time",
    "byte order mark",
    "turtle graphics",
    "mersenne twister",
    "golden ratio",
    "import",
    "self",
]
SHOWN = 3  # questions whose answers are shown
AT_ONCE = 64  # requests on their way at any time
SECONDS = 2.0  # for which questions are asked one by one
WIDTH = 100  # columns
LONGEST = 240  # bytes of content that are shown of a frame

console = Console(highlight=False)
console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH


class Piece(NamedTuple):
    """Bytes that went to the server (→) or came from it (←)."""

    way: str
    data: bytes


def main(folders: list[str]) -> None:
    """The whole demonstration; the server is stopped at its end, however that comes."""
    with chosen(folders) as (places, questions), serving(places) as (address, indexed):
        title("One at a time: letterhead.Client")
        times = ask_one_by_one(address, questions)
        title(f"{AT_ONCE} at once on one connection: letterhead.AsyncClient")
        searches, pings = asyncio.run(ask_at_once(address, questions))
        title("A classic client: a socket, json and struct")
        log = ask_classically(address, questions[0])
        title("What went over the wire: classic")
        show_frames(log, ["a request: the four header fields that every frame has", "the reply"])
        title("What went over the wire: many requests on one connection")
        show_frames(
            record_two_calls(address, questions[0]),
            [
                "the first request: in classic form, since who listens is unknown yet; only `id` is new",
                "the hello: this server takes many requests at once, and says how many",
                "the reply; it may come in any order, the `id` tells which it is",
                "the second request: the action in the header, the content is its arguments",
                "the reply",
            ],
        )
        title("Figures")
        cuts = statistics.quantiles(times, n=100)
        say(f"indexing               {indexed}")
        say(f"one search at a time   p50 {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.1f} ms")
        say(f"{AT_ONCE} searches at once    {searches:,.0f} a second")
        say(f"{AT_ONCE} pings at once       {pings:,.0f} a second")


# -- documents, and what to ask about them -----------------------------------------------------------------------------


@contextmanager
def chosen(folders: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """The folders to search, and questions that fit them."""
    if folders:
        yield folders, questions_about(folders)
        return
    with tempfile.TemporaryDirectory(prefix="letterhead-demo-") as folder:
        # A copy, because the project's own folder holds more than its documentation.
        project = Path(folder, "letterhead")
        shutil.copytree(PROJECT / "docs", project / "docs")
        for name in ("README.md", "CHANGELOG.md"):
            shutil.copy(PROJECT / name, project)
        yield [str(project), sysconfig.get_path("stdlib")], QUESTIONS


def questions_about(folders: Sequence[str]) -> list[str]:
    """Frequent words, rare ones and pairs of neighbours out of the first documents in the folders."""
    occurs_in: Counter[str] = Counter()
    pairs = []
    texts = (item.text for item in documents(folders) if isinstance(item, Document))
    for text in itertools.islice(texts, 300):
        words = re.findall(r"\b[^\W\d_]{4,16}\b", text[:50_000].lower())
        occurs_in.update(set(words))
        middle = words[len(words) // 2 :]
        pairs += [" ".join(pair) for pair in itertools.pairwise(middle[:2])]
    if not occurs_in:
        sys.exit(f"there are no words to ask for in {', '.join(folders)}: name a folder with documents in it")
    frequent = [word for word, _ in occurs_in.most_common(4)]
    rare = sorted((word for word in occurs_in if occurs_in[word] == 1), key=len)[-4:]
    mixed = itertools.chain.from_iterable(itertools.zip_longest(rare, frequent, pairs[:4]))
    return list(dict.fromkeys(filter(None, mixed)))


# -- the server --------------------------------------------------------------------------------------------------------


@contextmanager
def serving(folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A search server on a free port of loopback: its address, and what it said of its index.

    It ends with the block, and must end well.
    """
    title("Documents, indexed and served")
    with (
        tempfile.TemporaryDirectory(prefix="letterhead-demo-") as scratch,  # else the index would be kept
        _started(["letterhead", "serve", "--at", "127.0.0.1:0", "--index", f"{scratch}/index", *folders]) as server,
    ):
        assert server.stdout is not None
        said: dict[str, str] = {}
        try:
            while "listening at" not in said and (line := server.stdout.readline()):
                say(line.rstrip())
                said.update(re.findall(r"^(indexed|listening at) ([^;\n]*)", line))
            if "listening at" in said:
                yield said["listening at"], said.get("indexed", "")
        finally:
            asked = time.perf_counter()
            server.terminate()
            status = server.wait()
    if "listening at" not in said:
        sys.exit(status or 1)  # it has told why
    say(f"the server was told to stop, and did in {(time.perf_counter() - asked) * 1e3:.0f} ms, with status {status}")
    if status:
        sys.exit(status)


def _started(arguments: list[str]) -> "subprocess.Popen[str]":
    say(f"$ {shlex.join(arguments)}", style="bold")
    return subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, encoding="utf-8")


# -- three clients -----------------------------------------------------------------------------------------------------


def ask(client: letterhead.Client, question: str, hits: int) -> SearchResult | None:
    """The answer, or None where the server refused it as too slow: a frequent word in very many documents."""
    try:
        return client.call("search", query=question, limit=hits, returns=SearchResult)
    except letterhead.DeadlineExceeded:
        return None


def ask_one_by_one(address: str, questions: Sequence[str]) -> list[float]:
    """Ask and show the first questions, then all of them again and again; the seconds that each took."""
    times: list[float] = []
    refused = 0
    with letterhead.Client(address) as client:
        for question in questions[:SHOWN]:
            show_answer(question, ask(client, question, 2))
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until or len(times) < 100:
            question = questions[len(times) % len(questions)]
            began = time.perf_counter()
            refused += ask(client, question, 10) is None
            times.append(time.perf_counter() - began)
    console.print()
    say(f"{len(times):,} searches, {refused} of them refused as too slow")
    return times


async def ask_at_once(address: str, questions: Sequence[str]) -> tuple[float, float]:
    """Searches a second, and pings a second, with many on their way at any time over one connection."""
    async with letterhead.AsyncClient(address) as client:

        async def found(question: str) -> int:
            try:
                answer = await client.call("search", query=question, returns=SearchResult)
            except letterhead.DeadlineExceeded:
                return 0
            return answer.total

        began = time.perf_counter()
        totals = await asyncio.gather(*(found(questions[n % len(questions)]) for n in range(AT_ONCE)))
        searches = AT_ONCE / (time.perf_counter() - began)
        say(f"{len(totals)} searches found {sum(totals):,} documents: {searches:,.0f} searches a second")

        rounds = 100
        began = time.perf_counter()
        for _ in range(rounds):
            await asyncio.gather(*(client.call("letterhead.ping", n) for n in range(AT_ONCE)))
        pings = rounds * AT_ONCE / (time.perf_counter() - began)
        say(f"{rounds * AT_ONCE:,} pings, which cost nothing but the conversation: {pings:,.0f} a second")
    return searches, pings


def ask_classically(address: str, question: str) -> list[Piece]:
    """Ask as any language can, with nothing of Letterhead; what went and what came."""
    content = json.dumps({"action": "search", "value": question}).encode()
    fields = {
        "byteorder": sys.byteorder,
        "content-type": "text/json",
        "content-encoding": "utf-8",
        "content-length": len(content),
    }
    header = json.dumps(fields).encode()
    request = struct.pack(">H", len(header)) + header + content

    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as sock, sock.makefile("rb") as stream:
        sock.sendall(request)
        length = stream.read(2)
        header = stream.read(struct.unpack(">H", length)[0])
        content = stream.read(json.loads(header)["content-length"])

    for line in json.loads(content)["result"].splitlines()[:SHOWN]:
        say(highlighted(line))
    return [Piece("→", request), Piece("←", length + header + content)]


# -- the wire ----------------------------------------------------------------------------------------------------------


class Recorder(SocketWire):
    """A client's connection that keeps what goes over it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.pieces: list[Piece] = []

    def send(self, pieces: Sequence[Buffer]) -> int:
        sent = super().send(pieces)
        self.pieces.append(Piece("→", b"".join(pieces)[:sent]))
        return sent

    def receive(self, inbox: "deque[Received]", view: memoryview | None, timeout: float | None) -> bool:
        came = super().receive(inbox, view, timeout)
        if came and isinstance(inbox[-1], bytes):
            self.pieces.append(Piece("←", inbox[-1]))
        elif came and isinstance(inbox[-1], int) and view is not None:
            self.pieces.append(Piece("←", bytes(view[: inbox[-1]])))
        return came


def record_two_calls(address: str, question: str) -> list[Piece]:
    """What a client sends and gets in its first two calls."""
    host, _, port = address.rpartition(":")
    recorder = Recorder(socket.create_connection((host, int(port))))
    with letterhead.Client(address, connector=lambda server, timeout: recorder) as client:
        client.call("search", query=question, limit=1)
        client.call("search", query=question, limit=1, offset=1)
    return recorder.pieces


def frames(pieces: Sequence[Piece]) -> Iterator[tuple[str, bytes, str, bytes]]:
    """Each frame, once it is whole: which way it went, its length bytes, its header and its content."""
    readers = {way: Reader() for way in "→←"}
    streams = {way: bytearray() for way in "→←"}
    for way, data in pieces:
        stream = streams[way]
        stream += data
        readers[way].feed(data)
        while (message := readers[way].next_frame()) is not None:
            end = 2 + int.from_bytes(stream[:2], "big")
            yield way, bytes(stream[:2]), stream[2:end].decode(), bytes(message.content)
            del stream[: end + len(message.content)]


# -- what is printed ---------------------------------------------------------------------------------------------------


def title(text: str) -> None:
    """A heading."""
    console.print()
    console.rule(Text(text, style="bold"), align="left")


def say(text: str | Text, style: str = "") -> None:
    """A line or more, whatever stands in it."""
    shown = Text(printable(text)) if isinstance(text, str) else text
    console.print(Padding.indent(shown, 2), style=style)


def printable(text: str) -> str:
    """Without what a terminal would obey: titles and paths are other people's."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def highlighted(snippet: str) -> Text:
    """A snippet with its matches in bold; where there is no bold, they stay between « and »."""
    if not console.is_terminal:
        return Text(printable(snippet))
    shown = Text()
    for number, part in enumerate(re.split("[«»]", printable(snippet))):
        shown.append(part, style="bold yellow" if number % 2 else "")
    return shown


def show_answer(question: str, answer: SearchResult | None) -> None:
    """A question, how many documents answer it, and the best of them."""
    console.print()
    if answer is None:
        say(f"{question}?  refused as too slow", style="bold")
        return
    say(f"{question}?  {answer.total:,} found in {answer.took_ms:.1f} ms", style="bold")
    for hit in answer.hits:
        say(hit.path if hit.path.endswith(hit.title) else f"{hit.path}  ({hit.title})", style="cyan")
        say(highlighted(hit.snippet))


def show_frames(pieces: Sequence[Piece], meanings: Sequence[str]) -> None:
    """Frames as they stand on the wire, long contents cut short, with what they mean."""
    table = Table.grid(padding=(0, 1))
    for (way, length, header, content), meaning in zip(frames(pieces), meanings, strict=True):
        start = printable(content[:LONGEST].decode("utf-8", "replace")) + ("…" if len(content) > LONGEST else "")
        table.add_row(" " + way, "", Text(meaning, style="italic"))
        table.add_row("", length.hex(" "), Text(after_commas(header, console.width - 10), style="cyan"))
        table.add_row("", "", Text(start or "(no content)", style="dim", overflow="fold"))
    console.print(table)


def after_commas(header: str, width: int) -> str:
    """A header on lines that are cut after commas; nothing else is changed."""
    lines = [""]
    for field in re.split("(?<=,)", header):
        if len(lines[-1] + field) > width:
            lines.append("")
        lines[-1] += field
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="*", help="documents of yours")
    try:
        main([str(Path(folder).expanduser()) for folder in parser.parse_args().folder])
    except KeyboardInterrupt:
        sys.exit(130)
    except letterhead.LetterheadError as error:
        sys.exit(f"demo: {error}")
