"""The vector files hold what README.md says they hold, and do not contradict themselves.

What lives here: a second reading of the data. Frames are read by a reader of their own, made of json and
struct straight from protocol section 1, contents by Python's codecs; both must come to what the files say.
The rules: nothing is read with the code that wrote the files, save the notation of parts.
What this file must not know: any implementation of the protocol.
"""

import codecs
import json
import math
import re
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vectors import binary_reading, generate
from tests.vectors.matching import CODES, same
from tests.vectors.notation import CONVERSATION_FILES, HERE, Case, bytes_of, parts_of, read_cases, sent_bytes

FRAMES, CONTENTS = read_cases("frames.json"), read_cases("contents.json")
CONVERSATIONS = [(file, case) for file in CONVERSATION_FILES for case in read_cases(file)]
FILES = ("frames.json", "contents.json", *CONVERSATION_FILES)
REQUIRED = ("byteorder", "content-length", "content-type", "content-encoding")
LIMIT, JSON_LIMIT = 16 << 20, 4 << 20
TYPE = re.compile(r"[^/;\s]+/[^/;\s]+\s*(;.*)?")


each_frame = pytest.mark.parametrize("case", FRAMES, ids=[case["name"] for case in FRAMES])
each_content = pytest.mark.parametrize("case", CONTENTS, ids=[case["name"] for case in CONTENTS])
each_conversation = pytest.mark.parametrize(
    ("file", "case"), CONVERSATIONS, ids=[f"{file}-{case['name']}" for file, case in CONVERSATIONS]
)


# A reading of section 1 of its own


def strict_json(text: str, depth: int) -> Any:
    """The JSON value of a text; ValueError for all that sections 1 and 3 refuse."""
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL)
    level = 0
    for bracket in re.findall(r"[\[\]{}]", outside):
        level += 1 if bracket in "[{" else -1
        if level > depth:
            raise ValueError("nested too deep")

    def number(digits: str) -> float:
        if math.isinf(value := float(digits)):
            raise ValueError("beyond all bounds")
        return value

    def constant(name: str) -> float:
        raise ValueError(f"{name} is not JSON")

    value = json.loads(text, parse_float=number, parse_constant=constant)
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # Lone surrogates cannot be encoded.
    return value


def is_bad_header(header: dict[str, Any]) -> bool:
    texts = [header.get(field) for field in REQUIRED if field != "content-length"]
    return (
        not all(isinstance(text, str) for text in texts)
        or header["byteorder"] not in ("little", "big")
        or not TYPE.fullmatch(header["content-type"])
        or len(header) > 64
    )


def read(data: bytes) -> Iterator[dict[str, Any]]:
    """The events of bytes that a server with default limits receives."""
    while len(data) >= 2:
        (size,) = struct.unpack(">H", data[:2])
        if not 2 <= size < 0x4000 or data[2:3] not in (b"", b"{"):
            yield {"error": "bad-frame", "connection": "closed"}
            return
        if len(data) < 2 + size:
            return
        try:
            header = strict_json(data[2 : 2 + size].decode("utf-8"), 8)
        except ValueError:
            header = {}
        length = header.get("content-length")
        if type(length) is not int or length < 0:
            yield {"error": "bad-frame", "connection": "closed"}
            return
        kind = str(header.get("content-type")).partition(";")[0].strip().lower()
        if length > (JSON_LIMIT if kind in ("text/json", "application/json") else LIMIT):
            yield {"error": "too-large", "connection": "closed"}
            return
        content = data[2 + size : 2 + size + length]
        data = data[2 + size + length :]
        if is_bad_header(header):
            yield {"error": "bad-header", "connection": "kept"}
        elif len(content) == length:
            yield {"header": header, "content": content}


def expanded(event: dict[str, Any]) -> dict[str, Any]:
    return event | {"content": bytes_of(event["content"])} if "header" in event else event


# All files


@pytest.mark.parametrize("file", FILES)
def test_every_case_has_a_name_of_its_own_and_says_what_it_is_about(file: str) -> None:
    cases = read_cases(file)
    names = [case["name"] for case in cases]
    assert len(names) == len(set(names)) > 100
    assert all(case["says"].strip() and case.get("choice", "x").strip() for case in cases)


@pytest.mark.parametrize("file", FILES)
def test_no_key_stands_twice_and_every_number_is_finite(file: str) -> None:
    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in members}) == len(members)
        return dict(members)

    text = (HERE / file).read_text(encoding="utf-8")
    document = json.loads(text, object_pairs_hook=pairs, parse_constant=pytest.fail)
    kind = "conversations" if file in CONVERSATION_FILES else file.removesuffix(".json")
    assert document["format"] == f"letterhead-{kind}/1"
    assert all(character == "\n" or character.isprintable() for character in text)


def test_the_generated_files_are_what_the_generator_writes() -> None:
    for file, text in generate.documents().items():
        assert (HERE / file).read_text(encoding="utf-8") == text, f"{file}: run python -m tests.vectors.generate"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        b"ab",
        b"\x00" * 100,
        b"abc" + b"c" * 60,
        b"\x00o{" + b'"a":1}',
        b"[" * 70 + b"]" * 70,
        b"\n \xff{}",
    ],
)
def test_parts_stand_for_the_bytes_they_were_made_of(data: bytes) -> None:
    assert bytes_of(parts_of(data)) == data


@pytest.mark.parametrize(
    "part",
    [
        "0", "zz", {"text": "\n"}, {"text": "é"}, {"text": "a", "times": 2}, {"repeat": "00"},
        {"repeat": "0", "times": 1}, {"repeat": "00", "times": 0}, {}, None,
    ],
)  # fmt: skip
def test_what_is_no_part_is_refused(part: Any) -> None:
    with pytest.raises(ValueError, match=r"no part|hexadecimal"):
        bytes_of([part])


# frames.json


@each_frame
def test_a_frame_case_is_whole(case: Case) -> None:
    assert set(case) - {"choice", "large"} == {"name", "says", "bytes", "events"}
    assert case.get("large", False) == (len(bytes_of(case["bytes"])) >= 1 << 20)
    for event in case["events"]:
        if "error" in event:
            assert set(event) == {"error", "connection"}
            assert event["error"] in CODES
            assert event["connection"] in ("kept", "closed")
        else:
            assert set(event) == {"header", "content"}
    assert not any(event.get("connection") == "closed" for event in case["events"][:-1])


@each_frame
def test_a_frame_case_follows_section_1(case: Case) -> None:
    events = list(read(bytes_of(case["bytes"])))
    expected = [expanded(event) for event in case["events"]]
    assert len(events) == len(expected)
    for one, other in zip(events, expected, strict=True):
        assert one.get("content") == other.get("content")
        assert same(one | {"content": None}, other | {"content": None})


def test_the_frames_cover_what_a_reader_can_refuse() -> None:
    errors = {(e["error"], e["connection"]) for case in FRAMES for e in case["events"] if "error" in e}
    assert errors == {("bad-frame", "closed"), ("too-large", "closed"), ("bad-header", "kept")}


# contents.json


@each_content
def test_a_content_case_is_whole(case: Case) -> None:
    optional = {"choice", "large", "also-in", "byteorder", "fields", "value", "tagged", "items", "error"}
    assert set(case) - optional == {"name", "says", "content-type", "content-encoding", "content"}
    assert case.get("large", False) == (len(bytes_of(case["content"])) >= 1 << 20)
    assert case.get("byteorder", "little") in ("little", "big")
    assert len({"value", "tagged", "items", "error"} & set(case)) <= 1
    assert case.get("error", "bad-content") == "bad-content"
    assert TYPE.fullmatch(case["content-type"])


def decoded(content: bytes, encoding: str, byteorder: str) -> str:
    """Strictly, as section 3 says; ValueError for an encoding that it does not list."""
    name = encoding.lower().replace("_", "-").replace("utf-", "utf").replace("utf", "utf-")
    name = name.replace("latin-", "latin")
    if name == "binary":
        name = "utf-8"
    listed = r"utf-(8|16|32|(16|32)-?(le|be))|(us-)?ascii|iso-?8859-\d+|latin\d|(windows-|cp)125\d|koi8-[ru]"
    if not re.fullmatch(listed + r"|gb18030|gbk|cp936|big5|s(hift-)?jis|euc-?(jp|kr)", name):
        raise ValueError("not on the list")
    if name in ("utf-16", "utf-32"):
        marks = {"little": f"{name}-le", "big": f"{name}-be"}
        for side in marks.values():
            mark = "\ufeff".encode(side)
            if content.startswith(mark):
                return content[len(mark) :].decode(side)
        return content.decode(marks[byteorder])
    try:
        return codecs.decode(content, name)
    except LookupError as error:
        raise ValueError("no such encoding") from error


def binary_result(case: Case, kind: str) -> Any:
    """What msgpack or an array is, in the notation of its case."""
    content, encoding = bytes_of(case["content"]), case["content-encoding"]
    try:
        if kind == "binary/ndarray":
            return binary_reading.items(content, encoding, case["byteorder"], case["fields"])
        return binary_reading.msgpack(content, encoding)
    except (ValueError, RecursionError):
        return {"error": "bad-content"}


@each_content
def test_a_content_case_follows_section_3(case: Case) -> None:
    kind = case["content-type"].partition(";")[0].strip().lower()
    content, byteorder = bytes_of(case["content"]), case.get("byteorder", "little")
    if kind in ("application/msgpack", "binary/ndarray"):
        found = binary_result(case, kind)
        if "tagged" in case:
            assert repr(found) == repr(binary_reading.untagged(case["tagged"], bytes_of))
        else:
            wanted = [case[name] for name in ("value", "items") if name in case]
            assert same(found, wanted[0] if wanted else {"error": case["error"]})
        return
    is_json = kind in ("text/json", "application/json")
    for encoding in [case["content-encoding"], *case.get("also-in", ())]:
        if not is_json and not kind.startswith("text/"):
            assert "value" not in case
            assert "error" not in case
            continue
        try:
            text = decoded(content, encoding, byteorder)
            value = strict_json(text, 64) if is_json else text
        except ValueError:
            assert case.get("error") == "bad-content"
        else:
            assert same(value, case["value"])


# classic.json and multiplexed.json


@each_conversation
def test_a_conversation_is_whole(file: str, case: Case) -> None:
    assert set(case) - {"choice", "large", "after"} == {"name", "section", "says", "steps", "afterwards"}
    assert case["afterwards"] in ("kept", "closed")
    assert case["steps"][0]["from"] == "client"
    for step in case["steps"]:
        kinds = {"client": {"frame", "bytes", "ends"}, "server": {"frame", "hello", "one-of", "drains"}}[step["from"]]
        options = {"client": {"times"}, "server": {"may"}}[step["from"]]
        assert len(set(step) & kinds) == 1
        assert set(step) <= kinds | options | {"from"}
        if step["from"] == "client":
            assert sent_bytes(step) or step["ends"] is True
        for frame in expected_frames(step):
            assert set(frame) <= {"header", "maybe", "present", "content"}
            content = frame["content"]
            assert next(iter(content)) in ("json", "json-has", "bytes", "error")
            assert set(content) - {"message", "result"} <= {"json", "json-has", "bytes", "error"}
            assert content.get("error") in CODES | {None}
            assert content.get("result") in ("present", "absent", None)
    size = max(len(sent_bytes(step)) for step in case["steps"] if step["from"] == "client")
    assert case.get("large", False) == (size >= 1 << 20)
    assert file == "multiplexed.json" or not any("hello" in step for step in case["steps"])


def expected_frames(step: dict[str, Any]) -> list[dict[str, Any]]:
    if step["from"] == "client" or {"hello", "drains"} & set(step):
        return []
    frames: list[dict[str, Any]] = step["one-of"] if "one-of" in step else [step["frame"]]
    return frames


def expected_errors(case: Case) -> list[str]:
    frames = [frame for step in case["steps"] for frame in expected_frames(step)]
    return [frame["content"]["error"] for frame in frames if "error" in frame["content"]]


@each_conversation
def test_what_the_client_sends_is_what_section_1_takes_it_for(file: str, case: Case) -> None:
    """An error that section 1 alone calls for is expected, and one that it forbids is not."""
    events = list(read(b"".join(sent_bytes(step) for step in case["steps"] if step["from"] == "client")))
    refused = [event["error"] for event in events if "error" in event]
    expected = expected_errors(case)
    for code in ("bad-frame", "too-large"):
        assert refused.count(code) == expected.count(code)
    assert refused.count("bad-header") <= expected.count("bad-header")
    if any(event.get("connection") == "closed" for event in events):
        assert case["afterwards"] == "closed"


@each_conversation
def test_the_first_frame_makes_the_connection_what_the_file_says(file: str, case: Case) -> None:
    first = next(read(b"".join(sent_bytes(step) for step in case["steps"] if step["from"] == "client")), None)
    if first is not None and "header" in first:
        assert (first["header"].get("id", False) is not False) == (file == "multiplexed.json")


@each_conversation
def test_every_id_that_the_server_names_was_sent_before(file: str, case: Case) -> None:
    sent: list[Any] = []
    answered: list[Any] = []
    for step in case["steps"]:
        if step["from"] == "client":
            sent += [event["header"].get("id") for event in read(sent_bytes(step)) if "header" in event]
            sent += re.findall(r'"id": ?(\d+)', sent_bytes(step)[:2000].decode("latin-1"))
            continue
        frames = [frame for frame in expected_frames(step) if "id" in frame.get("header", {})]
        named = [frame["header"]["id"] for frame in frames]
        named += [step["hello"]] if "hello" in step else []
        assert all(number in sent or str(number) in sent for number in named)
        assert not set(named) & set(answered), "nothing behind an exchange's last frame"
        answered += {frame["header"]["id"] for frame in frames if is_last(frame)}
    assert len(answered) == len(set(answered)), "one last frame for each exchange"
    assert file == "multiplexed.json" or not answered


def is_last(frame: dict[str, Any]) -> bool:
    """Whether a server's frame ends its exchange: it is no item, and gives no credit."""
    return frame["header"].get("more") is not True and "credit" not in frame.get("present", ())


@each_conversation
def test_a_connection_is_kept_or_closed_as_section_5_says(file: str, case: Case) -> None:
    last = expected_errors(case)[-1:]
    if {"bad-frame", "too-large"} & set(last):
        assert case["afterwards"] == "closed"
    if {"bad-content", "unknown-action", "invalid-argument"} & set(last):
        assert case["afterwards"] == "kept"
    if file == "classic.json" and last == ["bad-header"]:
        assert case["afterwards"] == "kept"
    ends = any({"ends", "drains"} & set(step) for step in case["steps"])
    assert case["afterwards"] == "closed" or not ends
