"""Cases for section 1, the frame: what a server with default limits makes of the bytes it receives.

What lives here: the source of frames.json, one call a case, grouped as section 1 tells its rules.
The rules: the expected header of a case is written down here, never computed by decoding the bytes.
What this file must not know: any implementation of the protocol.
"""

import struct
from typing import Any

from tests.vectors.building import (
    MIB,
    NEXT,
    Cases,
    compact,
    error_event,
    fields,
    frame_event,
    framed,
    spelled,
)
from tests.vectors.notation import Case, shown


def _arrival(cases: Cases) -> None:
    one, two = fields(length=3), fields({"x": 1}, length=5)
    cases.good("smallest", "the four required fields and no content", fields())
    cases.good("with-content", "content follows the header", one, b"\x00\x01\xff")
    cases.good("big-endian", "byteorder may be big", fields({"byteorder": "big"}))
    cases.add(
        "three-in-one-read",
        "frames back to back are told apart",
        framed(one, b"abc") + framed(two, b"defgh") + framed(fields()),
        [frame_event(one, b"abc"), frame_event(two, b"defgh"), frame_event(fields())],
    )
    inner = framed(fields())
    cases.good("frame-in-content", "content is not looked into", fields(length=len(inner)), inner)
    cases.good("braces-in-content", "content may begin like a header", fields(length=4), b'{"a"')
    cases.add("nothing-yet", "no bytes, no event", b"", [])
    cases.add("one-length-byte", "half of the length bytes decides nothing", b"\x00", [])
    cases.add("length-bytes-only", "the two length bytes alone are sound", b"\x00\x50", [])
    cases.add("first-header-byte", "a header that has just begun", b"\x00\x50{", [])
    cases.add("header-cut", "all but the last byte of the header", framed(fields())[:-1], [])
    cases.add("content-cut", "all but the last byte of the content", framed(one, b"ab"), [])
    cases.add(
        "frame-and-a-half",
        "the whole frame is read, the other is waited for",
        framed(one, b"abc") + framed(two, b"defgh")[:-1],
        [frame_event(one, b"abc")],
    )


def _lengths(cases: Cases) -> None:
    for length in (0, 1):
        cases.lost(f"header-length-{length}", "H below 2, known from two bytes", struct.pack(">H", length))
    cases.lost("header-length-2", "the shortest header lacks content-length", b"\x00\x02{}")
    text = compact(fields())
    cases.spelt("header-length-0x0100", "H is in network order", text.ljust(0x100), fields())
    cases.spelt("header-length-0x3fff", "the longest header", text.ljust(0x3FFF), fields())
    for length in (0x4000, 0x4745, 0x7FFF, 0x8000, 0xFFFF):
        says = "H above the limit, known from two bytes" + (' (an HTTP "GET")' if length == 0x4745 else "")
        cases.lost(f"header-length-0x{length:04x}", says, struct.pack(">H", length))
    starts = {
        "space": b" ", "newline": b"\n", "array": b"[", "string": b'"', "number": b"1", "nul": b"\x00",
        "bom": b"\xef", "closing-brace": b"}", "tls": b"\x01",
    }  # fmt: skip
    for name, byte in starts.items():
        says = "the first header byte must be {, known from the third byte"
        cases.lost(f"starts-with-{name}", says, b"\x00\x80" + byte)
    cases.lost("whole-header-after-a-space", "the first header byte must be {", framed(" " + text))
    cases.lost("whole-header-after-a-bom", "no byte-order mark", framed("\ufeff" + text))
    cases.lost("array-header", "the header is an object", framed(f"[{text}]"))


def _json(cases: Cases) -> None:
    text = compact(fields())
    cases.spelt(
        "white-space",
        "JSON white space counts for nothing",
        text.replace(":", " :\t").replace(",", "\r\n,"),
        fields(),
    )
    cases.spelt("white-space-at-the-end", "also behind the object", text + " \r\n\t", fields())
    cases.spelt(
        "any-order",
        "the order of fields counts for nothing",
        compact(dict(reversed(fields({"x": 1}).items()))),
        fields({"x": 1}),
    )
    malformed = {
        "not-closed": text[:-1],
        "trailing-brace": text + "}",
        "second-object": text + "{}",
        "trailing-nul": text + "\0",
        "trailing-comma": text[:-1] + ",}",
        "comment": text[:-1] + "/**/}",
        "no-break-space": text[:-1] + "\u00a0}",
        "form-feed": text[:-1] + "\f}",
        "single-quotes": text.replace('"', "'"),
        "bare-key": spelled("x:1"),
        "no-value": spelled('"x":'),
        "no-comma": spelled('"x":1 "y":2'),
        "nan": spelled('"x":NaN'),
        "infinity": spelled('"x":Infinity'),
        "minus-infinity": spelled('"x":[-Infinity]'),
        "capital-true": spelled('"x":True'),
        "cut-literal": spelled('"x":nul'),
        "leading-zero": spelled('"x":01'),
        "leading-plus": spelled('"x":+1'),
        "no-digits-before-the-point": spelled('"x":.5'),
        "no-digits-after-the-point": spelled('"x":5.'),
        "hexadecimal": spelled('"x":0x10'),
        "raw-newline-in-a-string": spelled('"x":"a\nb"'),
        "raw-nul-in-a-string": spelled('"x":"a\0b"'),
        "unknown-escape": spelled('"x":"\\x41"'),
        "short-escape": spelled('"x":"\\u041"'),
        "string-not-closed": text[:-1] + ',"x":"}',
    }
    for name, header in malformed.items():
        cases.lost(f"json-{name}", "the header is not JSON", framed(header))
    for name, value in {"1e999": "1e999", "4301-digits": "1" * 4301}.items():
        choice = "a number that no usual reader represents makes the header no JSON"
        cases.lost(f"number-{name}", "a number beyond all bounds", framed(spelled(f'"x":{value}')), choice)
    surrogates = {
        "high": "a\\ud83d", "high-before-text": "\\ud83dabcdefgh", "high-before-an-escape": "\\ud83d\\u0041",
        "low": "\\udc36a", "reversed": "\\udc36\\ud83d",
    }  # fmt: skip
    for name, value in surrogates.items():
        choice = "section 3 refuses lone surrogates in content, so they are no JSON in a header either"
        cases.lost(f"lone-surrogate-{name}", "a lone surrogate", framed(spelled(f'"x":"{value}"')), choice)
        if name in ("high", "low"):
            data = framed(spelled(f'"{value}":1'))
            cases.lost(f"lone-surrogate-{name}-in-a-key", "a lone surrogate", data, choice)


def _utf8(cases: Cases) -> None:
    bad = {
        "latin-1": b"caf\xe9!", "lone-continuation": b"\x80", "overlong-slash": b"\xc0\xaf",
        "overlong-nul": b"\xe0\x80\x80", "surrogate": b"\xed\xa0\xbd",
        "surrogate-pair": b"\xed\xa0\xbd\xed\xb0\xb6", "above-10ffff": b"\xf4\x90\x80\x80",
        "cut-sequence": b"\xf0\x9f\x90", "ff": b"\xff",
    }  # fmt: skip
    for name, value in bad.items():
        says = "bad UTF-8 in a field that nobody knows"
        cases.lost(f"utf8-{name}", says, framed(spelled('"x":"@"').encode().replace(b"@", value)))
    text = spelled("").encode()
    in_a_key = spelled('"@":1').encode().replace(b"@", b"\xff")
    cases.lost("utf8-bad-in-a-key", "bad UTF-8 in a key", framed(in_a_key))
    nested = spelled('"x":[{"y":["@"]}]').encode().replace(b"@", b"\xff")
    cases.lost("utf8-bad-deep-down", "bad UTF-8 in a value within a value", framed(nested))
    known = text.replace(b"little", b"litt\xffle")
    cases.lost("utf8-bad-in-a-known-field", "bad UTF-8 goes before a wrong value", framed(known))
    cases.lost("utf8-bad-behind-the-object", "bad UTF-8 behind the object", framed(text + b"\xff"))
    cases.lost("utf16-header", "the header is UTF-8", framed(text.decode().encode("utf-16-le")))
    cases.good("utf8-everywhere", "any Unicode text in keys and values", fields({"ключ": "🐰 \u00e9 e\u0301 \u007f"}))
    cases.spelt(
        "escapes",
        "escapes mean the characters they stand for",
        spelled('"x":"\\ud83d\\udc36 \\u00e9\\/\\"\\\\\\b\\f\\n\\r\\t\\u0000"'),
        fields({"x": '🐶 é/"\\\b\f\n\r\t\0'}),
    )


def _nesting(cases: Cases) -> None:
    choice = "the header object itself is the first level"
    cases.good("depth-8-arrays", "nested 8 deep", fields({"x": _nest(7)}), choice=choice)
    cases.good("depth-8-objects", "nested 8 deep", fields({"x": _nest_objects(7)}), choice=choice)
    cases.good("many-at-depth-3", "nested side by side is not deeper", fields({"x": [[] for _ in range(20)]}))
    cases.good("brackets-in-a-string", "brackets in a string nest nothing", fields({"x": '[[[[[[[[[[{{"\\'}))
    cases.good("brackets-in-a-key", "brackets in a key nest nothing", fields({"[[[[[[[[[[{{": 1}))
    cases.lost("depth-9-arrays", "nested deeper than 8", framed(fields({"x": _nest(8)})), choice)
    cases.lost("depth-9-objects", "nested deeper than 8", framed(fields({"x": _nest_objects(8)})), choice)
    mixed = fields({"x": [{"y": [{"z": [{"w": [{}]}]}]}]})
    cases.lost("depth-9-mixed", "nested deeper than 8", framed(mixed), choice)
    after = fields({"s": '\\"]]]]', "x": _nest(8)})
    cases.lost("depth-9-behind-a-string", "brackets in a string close nothing", framed(after), choice)
    twice = spelled('"x":' + compact({"": _nest(9)})[4:-1] + ',"x":1')
    cases.lost("depth-9-in-a-value-that-does-not-count", "nested deeper than 8", framed(twice))
    cases.lost("depth-8000", "nested as deep as a header can be", framed(spelled('"x":' + "[" * 8000 + "]" * 8000)))
    cases.lost("depth-16000-not-closed", "only opening brackets", framed(spelled('"x":' + "[" * 16000)))


def _nest(levels: int) -> list[Any]:
    return [] if levels == 1 else [_nest(levels - 1)]


def _nest_objects(levels: int) -> dict[str, Any]:
    return {} if levels == 1 else {"a": _nest_objects(levels - 1)}


def _keys(cases: Cases) -> None:
    cases.spelt("key-twice", "the last one counts", spelled('"x":1,"x":2'), fields({"x": 2}))
    cases.spelt("key-twice-by-escapes", "after unescaping", spelled('"x\\u0031":1,"x1":2'), fields({"x1": 2}))
    escaped = spelled('"x1":1,"\\u0078\\u0031":2')
    cases.spelt("key-twice-escaped-last", "after unescaping", escaped, fields({"x1": 2}))
    nested = spelled('"x":{"a":1,"\\u0061":2}')
    cases.spelt("key-twice-within", "also within a value", nested, fields({"x": {"a": 2}}))
    cases.spelt("key-by-case", "keys are told apart by case", spelled('"X":1,"x":2'), fields({"X": 1, "x": 2}))
    cases.spelt(
        "required-key-by-case",
        "a required field in capitals is an unknown one",
        spelled('"Content-Length":99,"BYTEORDER":5'),
        fields({"Content-Length": 99, "BYTEORDER": 5}),
    )
    cases.spelt("content-length-twice", "the last one counts", spelled('"content-length":0', length="9"), fields())
    twice = spelled('"content\\u002dlength":0', length='"9"')
    cases.spelt("content-length-twice-by-escapes", "the one that does not count may be wrong", twice, fields())
    cases.lost(
        "content-length-twice-last-wrong",
        "the last one counts and is no integer",
        framed(spelled('"content\\u002dlength":"0"')),
    )
    cases.skipped("byteorder-twice-last-wrong", "the last one counts", spelled('"byteorder":"middle"'))
    names = (
        '{"\\u0062yteorder":"b\\u0069g","content\\u002dlength":0,'
        '"content-typ\\u0065":"a\\/b","content\\u002Dencoding":"binary"}'
    )
    cases.spelt(
        "required-keys-by-escapes",
        "all four spelled with escapes",
        names,
        {"byteorder": "big", "content-length": 0, "content-type": "a/b", "content-encoding": "binary"},
    )
    unknown: dict[str, Any] = {
        "": "empty name", "null": None, "no": False, "list": [1, "a", {}], "object": {"a": {"b": []}},
        "float": 1.5, "exponent": 1e300, "__proto__": 1, "x-trace": "1",
    }  # fmt: skip
    cases.good("unknown-fields", "unknown fields of every type are kept", fields(unknown))
    numbers = [2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**100]
    cases.good("huge-integers", "integers of any size in unknown fields are kept", fields({"x": numbers}))
    many = {f"x{n}": n for n in range(60)}
    cases.good("64-fields", "as many fields as are allowed", fields(many))
    cases.skipped("65-fields", "one field too many", fields(many | {"y": 1}))
    within = fields({"x": {f"k{n}": n for n in range(100)}})
    cases.good("100-keys-within-a-field", "fields are counted on the first level alone", within)


def _content_length(cases: Cases) -> None:
    wrong = {
        "true": "true", "false": "false", "null": "null", "1.0": "1.0", "0.0": "0.0", "1e3": "1e3",
        "0e0": "0e0", "string-12": '"12"', "empty-string": '""', "1.5": "1.5", "minus-1": "-1",
        "minus-2-to-64": str(-(2**64)), "minus-0.0": "-0.0", "list": "[0]", "object": "{}",
    }  # fmt: skip
    for name, value in wrong.items():
        says = "content-length is not an integer ≥ 0"
        cases.lost(f"content-length-{name}", says, framed(spelled("", length=value)))
    cases.lost("content-length-nan", "not JSON", framed(spelled("", length="NaN")))
    cases.lost("content-length-missing", "without it the framing is lost", framed(fields(without="content-length")))
    cases.lost(
        "nothing-is-read-after-bad-frame",
        "a sound frame behind a lost one is not read",
        framed(fields(without="content-length")) + framed(*NEXT),
    )
    choice = "-0 is spelled as an integer, and is 0"
    cases.spelt("content-length-minus-0", "an integer ≥ 0", spelled("", length="-0"), fields(), choice)
    large = fields(length=16 * MIB)
    cases.good("content-16-mib", "as much content as is allowed", large, bytes(16 * MIB))
    for name, length in {
        "16-mib-and-1": 16 * MIB + 1, "2-to-31": 2**31, "2-to-32": 2**32, "2-to-53": 2**53, "2-to-64": 2**64,
        "10-to-30": 10**30,
    }.items():  # fmt: skip
        says = "refused on the header, before any content"
        cases.add(f"content-{name}", says, framed(fields(length=length)), [error_event("too-large", "closed")])
    for name, kind in {
        "text-json": "text/json", "application-json": "application/json", "capitals": "TEXT/JSON; charset=x",
    }.items():  # fmt: skip
        header = fields({"content-type": kind, "content-encoding": "utf-8"}, length=4 * MIB + 1)
        says = "JSON has a limit of its own, 4 MiB"
        cases.add(f"json-4-mib-and-1-{name}", says, framed(header), [error_event("too-large", "closed")])
    text = fields({"content-type": "text/plain", "content-encoding": "utf-8"}, length=4 * MIB + 1)
    cases.add("text-4-mib-and-1", "the limit of JSON is not that of text", framed(text), [])
    for name, header in {
        "byteorder": fields({"byteorder": "middle"}, length=16 * MIB + 1),
        "no-content-type": fields(length=16 * MIB + 1, without="content-type"),
    }.items():
        says = "too-large goes before bad-header"
        cases.add(f"too-large-before-{name}", says, framed(header), [error_event("too-large", "closed")])
    both = framed(fields({"byteorder": 5, "content-length": True}))
    cases.lost("bad-frame-before-bad-header", "bad-frame goes before bad-header", both)


def _required(cases: Cases) -> None:
    value: Any
    for field in ("byteorder", "content-type", "content-encoding"):
        cases.skipped(f"{field}-missing", "a required field is missing", fields(without=field))
        for name, value in {
            "null": None,
            "number": 1,
            "true": True,
            "list": ["little"],
            "object": {},
        }.items():
            cases.skipped(f"{field}-{name}", "a required field of the wrong type", fields({field: value}))
    for value in ("", "Little", "BIG", "native", "<", "little "):
        says = "byteorder is little or big"
        cases.skipped(f"byteorder-{shown(value)}", says, fields({"byteorder": value}))
    choice = "type/subtype: a slash, and something on both sides of it"
    for value in ("", "json", "text/", "/json", "/", ";charset=utf-8"):
        says = "content-type is type/subtype"
        cases.skipped(f"content-type-{shown(value)}", says, fields({"content-type": value}), choice=choice)
    for value in (
        "a/b",
        "TEXT/Plain",
        "text/plain; charset=utf-8; x=y",
        "application/vnd.x+json",
        "image/svg+xml",
    ):
        says = "content-type is handed on as it came"
        cases.good(f"content-type-{shown(value)}", says, fields({"content-type": value}))
    wrong = fields({"byteorder": "middle"}, length=100_000)
    cases.skipped("bad-header-content-skipped", "the content is skipped", wrong, b"x" * 100_000)
    inner = framed(fields())
    looks = fields(length=len(inner), without="content-type")
    cases.skipped("bad-header-content-is-not-read", "skipped content is no frame", looks, inner)
    bad = framed(fields({"byteorder": "middle"}, length=3), b"abc")
    kept = error_event("bad-header", "kept")
    events = [kept, frame_event(*NEXT), kept, frame_event(*NEXT)]
    data = (bad + framed(*NEXT)) * 2
    cases.add("bad-header-twice", "the connection is kept each time", data, events)


def header_cases() -> list[Case]:
    """All cases of frames.json."""
    cases = Cases()
    for group in (_arrival, _lengths, _json, _utf8, _nesting, _keys, _content_length, _required):
        group(cases)
    return cases
