"""Cases for section 3, the content: what content of some type and encoding is, or that it cannot be read.

What lives here: the source of contents.json: text encodings with their names, what does not decode, JSON.
The rules: content bytes are written down or made by Python's own codec of the same standard; the value of a
case is never computed by decoding.
What this file must not know: any implementation of the protocol.
"""

import codecs
import json
from collections.abc import Sequence
from typing import Any

from tests.vectors.binary_cases import add_binary_cases
from tests.vectors.building import MIB
from tests.vectors.notation import Case, parts_of, shown

UNREADABLE = object()

# Name, aliases, sample. iso-8859-12 was never published.
ENCODINGS: list[tuple[str, list[str], str]] = [
    ("utf-8", ["utf8", "utf_8"], "naïve 🐇 日本"),
    ("ascii", ["us-ascii"], "plain ~ text"),
    ("iso-8859-1", ["iso8859-1", "iso_8859-1", "latin1", "latin-1"], "naïve ½ ÿ"),
    ("iso-8859-2", ["iso8859-2", "iso_8859-2", "latin2"], "Příliš žluťoučký"),
    ("iso-8859-3", ["iso8859-3", "iso_8859-3"], "Ĉu ĝi ŝvebas? ħ"),
    ("iso-8859-4", ["iso8859-4", "iso_8859-4"], "ķēniņš ŋ"),
    ("iso-8859-5", ["iso8859-5", "iso_8859-5"], "Привет Ђ №"),
    ("iso-8859-6", ["iso8859-6", "iso_8859-6"], "مرحبا"),
    ("iso-8859-7", ["iso8859-7", "iso_8859-7"], "Καλημέρα"),
    ("iso-8859-8", ["iso8859-8", "iso_8859-8"], "שלום"),
    ("iso-8859-9", ["iso8859-9", "iso_8859-9"], "Değişik İş"),
    ("iso-8859-10", ["iso8859-10", "iso_8859-10"], "þjóð ŋ đ"),
    ("iso-8859-11", ["iso8859-11", "iso_8859-11"], "สวัสดี"),
    ("iso-8859-13", ["iso8859-13", "iso_8859-13"], "Žemė ų “"),
    ("iso-8859-14", ["iso8859-14", "iso_8859-14"], "Ŵy Ẁ ẃ Ḃ"),
    ("iso-8859-15", ["iso8859-15", "iso_8859-15", "latin9", "latin-9"], "Œuvre à 5 €"),
    ("iso-8859-16", ["iso8859-16", "iso_8859-16"], "Țară și €"),
    ("windows-1250", ["cp1250"], "Příliš „žluť“ €"),
    ("windows-1251", ["cp1251"], "Привет — €"),
    ("windows-1252", ["cp1252"], "“naïve” €"),
    ("windows-1253", ["cp1253"], "Καλημέρα €"),
    ("windows-1254", ["cp1254"], "Değişik €"),
    ("windows-1255", ["cp1255"], "שלום ₪"),
    ("windows-1256", ["cp1256"], "مرحبا پ €"),
    ("windows-1257", ["cp1257"], "Žemė „ų“ €"),
    ("windows-1258", ["cp1258"], "Đ ă ơ ư ₫"),
    ("koi8-r", ["koi8_r"], "Привет ╬"),
    ("koi8-u", ["koi8_u"], "Їжак ґанок"),
    ("gb18030", [], "中文 🐇 ß"),
    ("gbk", ["cp936"], "中文 镕"),
    ("big5", [], "中文繁體"),
    ("shift_jis", ["shift-jis", "sjis"], "日本語 ｶﾅ"),
    ("euc-jp", ["euc_jp", "eucjp"], "日本語 ｶﾅ"),
    ("euc-kr", ["euc_kr", "euckr"], "한국어"),
]
WIDE = "aß日🐇"
ALIAS = "which aliases are the usual ones is not said"
BINARY_TEXT = "text in encoding binary is read as utf-8, as JSON is"
BOM_KEPT = "only plain utf-16 and utf-32 take a byte-order mark away; elsewhere it is a character"
NUMBERS = "a number that no usual reader represents is no JSON"


class Contents(list[Case]):
    """The cases of contents.json, in order."""

    def add(
        self,
        name: str,
        says: str,
        kind: str,
        encoding: str,
        content: bytes,
        value: Any,
        *,
        choice: str = "",
        byteorder: str = "little",
        also: Sequence[str] = (),
    ) -> None:
        """One content. `value`: what it is, UNREADABLE, or the type `bytes` for the content bytes.

        `also`: other names of the encoding, under which the same holds.
        """
        case: Case = {"name": name, "says": says}
        if choice:
            case["choice"] = choice
        if len(content) >= MIB:
            case["large"] = True
        case |= {"content-type": kind, "content-encoding": encoding}
        if also:
            case["also-in"] = list(also)
        if "16" in encoding or "32" in encoding:
            case["byteorder"] = byteorder
        case["content"] = parts_of(content)
        if value is UNREADABLE:
            case["error"] = "bad-content"
        elif value is not bytes:
            case["value"] = value
        self.append(case)

    def text(
        self,
        name: str,
        says: str,
        encoding: str,
        content: bytes,
        value: Any,
        *,
        choice: str = "",
        byteorder: str = "little",
        also: Sequence[str] = (),
    ) -> None:
        """A text/plain content."""
        self.add(name, says, "text/plain", encoding, content, value, choice=choice, byteorder=byteorder, also=also)

    def binary(
        self,
        name: str,
        says: str,
        kind: str,
        content: bytes,
        result: dict[str, Any] | object,
        *,
        choice: str = "",
        encoding: str = "binary",
        byteorder: str | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        """A content that is neither text nor JSON; see binary_cases.py."""
        case: Case = {"name": name, "says": says}
        if choice:
            case["choice"] = choice
        case |= {"content-type": kind, "content-encoding": encoding}
        if byteorder is not None:
            case["byteorder"] = byteorder
        if fields is not None:
            case["fields"] = fields
        case["content"] = parts_of(content) if content else []
        case |= result if isinstance(result, dict) else {"error": "bad-content"}
        self.append(case)

    def json(self, name: str, says: str, content: bytes, value: Any, choice: str = "") -> None:
        """A text/json content in utf-8."""
        self.add(name, says, "text/json", "utf-8", content, value, choice=choice)


def _names(cases: Contents) -> None:
    for name, aliases, sample in ENCODINGS:
        content = sample.encode(name)
        says = "an encoding by its name, without regard to case"
        cases.text(f"text-{name}", says, name, content, sample, also=[name.upper(), name.capitalize()])
        if aliases:
            also = [*aliases[1:], aliases[-1].upper()]
            says = f"aliases of {name}"
            cases.text(f"text-{name}-aliases", says, aliases[0], content, sample, also=also, choice=ALIAS)


def _wide(cases: Contents) -> None:
    for bits in ("16", "32"):
        plain = f"utf-{bits}"
        for order, side in (("little", "le"), ("big", "be")):
            named = f"{plain}-{side}"
            encoded = WIDE.encode(named)
            mark = "\ufeff".encode(named)
            kept = "\ufeff" + WIDE
            other = "big" if order == "little" else "little"
            says = "the byte order stands in the name, whatever byteorder says"
            cases.text(f"text-{named}", says, named, encoded, WIDE, byteorder=other, also=[named.upper()])
            also = [f"utf_{bits}_{side}", f"UTF-{bits}{side.upper()}"]
            name = f"text-{named}-aliases"
            cases.text(name, says, f"utf-{bits}{side}", encoded, WIDE, byteorder=other, also=also, choice=ALIAS)
            says = "without byte-order mark: in the frame's byteorder"
            name = f"text-{plain}-{order}"
            cases.text(name, says, plain, encoded, WIDE, byteorder=order, also=[plain.upper()])
            also = [f"utf_{bits}"]
            name += "-aliases"
            cases.text(name, says, f"utf{bits}", encoded, WIDE, byteorder=order, also=also, choice=ALIAS)
            says = "a byte-order mark goes before byteorder, and is no character"
            for said in (order, other):
                name = f"text-{plain}-bom-{side}-in-{said}"
                cases.text(name, says, plain, mark + encoded, WIDE, byteorder=said)
            says = "only the first byte-order mark is one"
            cases.text(f"text-{plain}-two-boms-{side}", says, plain, mark + mark + encoded, kept)
            says = "a byte-order mark where the name says the order"
            cases.text(f"text-{named}-bom", says, named, mark + encoded, kept, choice=BOM_KEPT)
        mark = "\ufeff".encode(f"{plain}-be")
        cases.text(f"text-{plain}-bom-alone", "nothing but a byte-order mark", plain, mark, "")
        cases.text(f"text-{plain}-empty", "length 0 is the empty text", plain, b"", "")
    says = "a byte-order mark in utf-8"
    cases.text("text-utf-8-bom", says, "utf-8", b"\xef\xbb\xbfa", "\ufeffa", choice=BOM_KEPT)


def _undecodable(cases: Contents) -> None:
    bad = {
        "utf-8": [
            b"\xff", b"caf\xe9", b"\x80", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80",
            b"\xed\xa0\xbd\xed\xb0\xb6", b"\xf4\x90\x80\x80", b"a\xf0\x9f\x90",
        ],
        "ascii": [b"caf\xc3\xa9", b"\x80"],
        "utf-16": [b"a", b"a\0b", b"\x3d\xd8", b"\x36\xdc\x3d\xd8", b"\x3d\xd8a\0", b"\xff\xfe\0"],
        "utf-16-be": [b"\0", b"\xd8\x3d", b"\xdc\x36\0a"],
        "utf-32": [b"a\0\0", b"\0\xd8\0\0", b"\0\0\x11\0", b"\xff\xff\xff\xff"],
        "utf-32-be": [b"\0\0\xd8\0", b"a\0\0\0"],
        "iso-8859-3": [b"\xa5"], "iso-8859-6": [b"\xa1"], "iso-8859-7": [b"\xff"], "iso-8859-8": [b"\xa1"],
        "iso-8859-11": [b"\xdb"], "windows-1250": [b"\x81"], "windows-1252": [b"\x81", b"\x9d"],
        "windows-1253": [b"\xaa"], "windows-1255": [b"\xd9"], "windows-1257": [b"\xa5"],
        "gb18030": [b"\x81", b"\xff", b"\x81\x30\x81"], "gbk": [b"a\x81", b"\xff"],
        "big5": [b"\xa4", b"\xff"], "shift_jis": [b"\x83", b"\xff"], "euc-jp": [b"\xa4", b"\xff"],
        "euc-kr": [b"\xb0", b"\xff"],
    }  # fmt: skip
    for encoding, contents in bad.items():
        single = encoding.startswith(("iso", "windows"))
        choice = "a position that the published table leaves empty does not decode" if single else ""
        for content in contents:
            says = f"not {encoding}"
            cases.text(f"bad-{encoding}-{content.hex()}", says, encoding, content, UNREADABLE, choice=choice)
    control = bytes(range(128, 160))
    says = "every byte is a character"
    cases.text("iso-8859-1-controls", says, "iso-8859-1", control, "".join(map(chr, control)))


def _unknown_encodings(cases: Contents) -> None:
    choice = "an unknown encoding is bad-content where, and only where, the content is read as text or JSON"
    says = "not on the list of encodings"
    for name in (
        "utf-99", "", "iso-8859-12", "iso-8859-17", "windows-1259", "utf-7", "utf-8-sig", "utf-8-le", "idna",
        "punycode", "rot13", "hex", "base64", "zlib", "unicode_escape", "raw_unicode_escape", "undefined",
        "mbcs", "cp437", "utf 8", " utf-8", "utf-8\0", "../utf-8", "ütf-8",
    ):  # fmt: skip
        cases.text(f"unknown-encoding-{shown(name)}", says, name, b"abcd", UNREADABLE, choice=choice)
    cases.add("unknown-encoding-json", says, "text/json", "utf-99", b"{}", UNREADABLE, choice=choice)
    says = "where content is bytes the encoding is not looked at"
    for kind in ("application/octet-stream", "binary/custom-client-binary-type", "image/png"):
        cases.add(f"unknown-encoding-{kind}", says, kind, "utf-99", b"\xff", bytes, choice=choice)
    cases.add("bytes-in-utf-8", says, "application/octet-stream", "utf-8", b"\xff", bytes)


def _types(cases: Contents) -> None:
    for kind in ("application/octet-stream", "binary/x", "image/png", "application/x-unknown", "texts/plain"):
        cases.add(f"bytes-{kind}", "content that is bytes", kind, "binary", b"\x00\xff", bytes)
        cases.add(f"no-bytes-{kind}", "length 0 is empty bytes", kind, "binary", b"", bytes)
    for kind in ("text/plain", "text/html", "text/jsonl", "TEXT/PLAIN", "text/plain; charset=utf-16"):
        cases.add(f"text-{kind}", "any text/ is text, parameters ignored", kind, "utf-8", b"[\xc3\xa9", "[é")
        cases.add(f"no-text-{kind}", "length 0 is the empty text", kind, "utf-8", b"", "")
    kind, also, choice = "text/plain", ["BINARY"], BINARY_TEXT
    cases.add("text-in-binary", "text", kind, "binary", b"\xc3\xa9", "é", also=also, choice=choice)
    cases.add("bad-text-in-binary", "text", kind, "binary", b"\xe9", UNREADABLE, also=also, choice=choice)
    kind, says = "text/json", "JSON in binary is in utf-8"
    cases.add("json-in-binary", says, kind, "binary", b'"\xc3\xa9"', "é", also=also)
    cases.add("bad-json-in-binary", says, kind, "binary", b'"\xe9"', UNREADABLE, also=also)
    for kind in (
        "application/json",
        "TEXT/JSON",
        "Application/Json",
        "text/json;charset=latin1",
        "text/json ; x=y",
    ):
        choice = "white space before the ; belongs to the parameters" if " ;" in kind else ""
        cases.add(f"json-{kind}", "read as text/json", kind, "utf-8", b'["\xc3\xa9"]', ["é"], choice=choice)
        cases.add(f"no-json-{kind}", "JSON of length 0", kind, "utf-8", b"", UNREADABLE, choice=choice)


def _json_in_encodings(cases: Contents) -> None:
    kind, said = "text/json", {"text": "é日🐇"}
    text = json.dumps(said, ensure_ascii=False)
    for order, side in (("little", "le"), ("big", "be")):
        for plain in ("utf-16", "utf-32"):
            named = f"{plain}-{side}"
            encoded, mark = text.encode(named), "\ufeff".encode(named)
            cases.add(f"json-{named}", "JSON in that encoding", kind, named, encoded, said)
            says = "in the frame's byteorder"
            cases.add(f"json-{plain}-{order}", says, kind, plain, encoded, said, byteorder=order)
            says = "a byte-order mark goes before byteorder"
            cases.add(f"json-{plain}-bom-{side}", says, kind, plain, mark + encoded, said)
    words = {
        "iso-8859-1": "café",
        "windows-1252": "5 €",
        "koi8-r": "да",
        "shift_jis": "日本",
        "gb18030": "🐇",
    }
    for name, word in words.items():
        content = json.dumps([word], ensure_ascii=False).encode(name)
        cases.add(f"json-{name}", "JSON in that encoding", kind, name, content, [word])
    cases.add("json-ascii-with-utf-8", "not ascii", kind, "ascii", b'"\xc3\xa9"', UNREADABLE)
    cases.add("json-utf-16-odd", "not utf-16", kind, "utf-16", b"1", UNREADABLE)
    says = "a byte-order mark is no JSON"
    cases.json("json-utf-8-bom", says, codecs.BOM_UTF8 + b"1", UNREADABLE, BOM_KEPT)


def _json(cases: Contents) -> None:
    values: dict[bytes, Any] = {
        b"null": None, b"true": True, b"false": False, b"0": 0, b"-1.5e3": -1500.0, b'""': "", b"[]": [],
        b"{}": {}, b" \t\r\n[ 1 , 2 ]\n": [1, 2], b'{"a":{"b":[null]}}': {"a": {"b": [None]}},
        b'"\\ud83d\\udc36"': "🐶", b'"\\u0000"': "\0", b"18446744073709551616": 2**64, b'"\x7f"': "\x7f",
        b'"\xf4\x8f\xbf\xbf"': "\U0010ffff",
    }  # fmt: skip
    for content, value in values.items():
        cases.json(f"json-{shown(content)}", "any JSON value", content, value)
    twice = "the last one counts, as in a header"
    cases.json("json-key-twice", "a key that stands twice", b'{"a":1,"\\u0061":2}', {"a": 2}, twice)
    bad = (
        b" ", b"\n", b"\0", b"{", b"[1", b"]", b"[1,]", b'{"a":1,}', b"{a:1}", b"'a'", b'{"a" 1}', b"[1 2]",
        b"01", b"+1", b"1.", b".5", b"1e", b"-", b"0x1", b"1_000", b"True", b"nul", b"undefined", b"NaN",
        b"Infinity", b"-Infinity", b"[NaN]", b'"a', b'"a\nb"', b'"\\x41"', b'"\\u12"', b"1 2", b"{}{}",
        b"[] x", b"null\0", b"1//", b"{}\xc2\xa0", b'"\xff"', b'{"\xff":1}', b'"\xed\xa0\x80"', b'"\xc0\x80"',
    )  # fmt: skip
    for content in bad:
        cases.json(f"bad-json-{shown(content)}", "no JSON, or data behind it", content, UNREADABLE)
    for content in (
        b'"\\ud83d"', b'"\\ud83dabcdefgh"', b'"\\ud83d\\u0041"', b'"\\udc36"', b'"\\udc36\\ud83d"',
        b'{"\\ud83d":1}', b'[{"a":"b\\udfff"}]',
    ):  # fmt: skip
        cases.json(f"lone-surrogate-{content.decode()}", "a lone surrogate", content, UNREADABLE)
    for content in (b"1e999", b"[-1e400]", b"1" * 4301):
        name = f"number-{content[:8].decode()}"
        cases.json(name, "a number beyond all bounds", content, UNREADABLE, NUMBERS)


def _nesting(cases: Contents) -> None:
    says, choice = "nesting is bounded by 64", "the outermost array or object is the first level"
    value: Any = []
    tree: Any = {}
    for _ in range(63):
        value, tree = [value], {"a": tree}
    arrays, objects = json.dumps(value).encode(), json.dumps(tree).encode()
    cases.json("nesting-64-arrays", says, arrays, value, choice)
    cases.json("nesting-64-objects", says, objects, tree, choice)
    cases.json("nesting-65-arrays", says, b"[" + arrays + b"]", UNREADABLE, choice)
    cases.json("nesting-65-objects", says, b'{"a":' + objects + b"}", UNREADABLE, choice)
    cases.json("nesting-65-mixed", says, b'[1,{"a":' + arrays[1:-1] + b"}]", UNREADABLE, choice)
    twice = b'{"a":' + arrays + b',"a":1}'
    cases.json("nesting-65-in-a-value-that-does-not-count", says, twice, UNREADABLE, choice)
    cases.json("nesting-100000", says, b"[" * 100_000 + b"]" * 100_000, UNREADABLE)
    cases.json("nesting-not-closed", says, b"[" * 10_000, UNREADABLE)
    brackets = "[" * 100
    says = "brackets in a string nest nothing"
    cases.json("brackets-in-a-string", says, f'"{brackets}"'.encode(), brackets)
    cases.json("brackets-behind-a-quote", says, f'"\\"{brackets}"'.encode(), '"' + brackets)
    says = "nested side by side is not deeper"
    cases.json("brackets-side-by-side", says, b"[" + b"[]," * 99 + b"[]]", [[]] * 100)
    cases.json("json-4-mib", "as much JSON as is allowed", b"null" + b" " * (4 * MIB - 4), None)


def content_cases() -> list[Case]:
    """All cases of contents.json."""
    cases = Contents()
    groups = (_names, _wide, _undecodable, _unknown_encodings, _types, _json_in_encodings, _json, _nesting)
    for group in groups:
        group(cases)
    add_binary_cases(cases)
    return cases
