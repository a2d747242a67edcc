"""Bytes to text."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead.search.encodings import declared, decode


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "windows-1252"])
def test_text_is_read_in(encoding: str) -> None:
    assert decode("Füße, naïve, 5 €\r\n".encode(encoding)) == "Füße, naïve, 5 €\r\n"


@pytest.mark.parametrize(("mark", "encoding"), [(b"\xfe\xff", "utf-16-be"), (b"\x00\x00\xfe\xff", "utf-32-be")])
def test_text_is_read_in_big_endian_order(mark: bytes, encoding: str) -> None:
    assert decode(mark + "Füße".encode(encoding)) == "Füße"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["A line.\r\nAnother.\n", "Съешь ещё этих булок\n"])
def test_wide_text_without_a_mark_is_read_where_it_is_clear(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("number", ["<H", ">H", "<I"])
def test_numbers_are_no_wide_text(number: str) -> None:
    assert decode(struct.pack(f"{number[0]}256{number[1]}", *range(256))) is None


@pytest.mark.parametrize(
    "data", [b"one\0two\0", b"text\0more!", "Grüße\0Köln".encode(), "Grüße\0Köln".encode("cp1252")]
)
def test_words_with_nul_between_them_are_no_wide_text(data: bytes) -> None:
    assert decode(data) is None
    assert decode(data + b"!") is None


def test_text_may_hold_terminal_colours_and_form_feeds() -> None:
    assert decode(b"\x1b[31mred\x1b[0m \xfc\x0c\x08") == "\x1b[31mred\x1b[0m \xfc\x0c\x08"


@pytest.mark.parametrize(
    "data",
    [
        b"text\0more",
        b"\x7fELF\x02\x01\x01\x00",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0\x10JFIF\x01",
        b"\xff\xfea",
        b"\xff\xfea\0\0\0",
        b"\xff\xfe\x00\xd8a\x00",
        b"\xef\xbb\xbf\xff",
        b"caf\xe9 \x81",
        b"charset=koi8-r \x01\xff",
    ],
)
def test_binary_is(data: bytes) -> None:
    assert decode(data) is None


@given(st.binary())
def test_any_bytes_are_binary_or_a_text_without_nul(data: bytes) -> None:
    text = decode(data)
    assert text is None or ("\0" not in text and text.encode() is not None)


@given(st.text().filter(lambda text: "\0" not in text and not text.startswith("\ufeff")))
def test_every_text_in_utf8_is_read_as_it_is(text: str) -> None:
    assert decode(text.encode()) == text


# -- what a file says of itself ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "codec"),
    [
        (b"# -*- coding: koi8-r -*-", "koi8-r"),
        (b"# vim: set fileencoding=iso-8859-2 :", "iso8859-2"),
        (b";; -*- coding: iso-8859-2-unix -*-", "iso8859-2"),
        (b'<?xml version="1.0" encoding="Windows-1251"?>', "cp1251"),
        (b'<meta charset="gb2312">', "gb18030"),
        (b'<meta http-equiv=Content-Type content="text/html; charset=Shift_JIS">', "cp932"),
        (b'"Content-Type: text/plain; charset=ISO-8859-1\\n"', "cp1252"),
        (b"scriptencoding euc-jp", "euc_jp"),
    ],
)
def test_a_file_names_its_encoding(line: bytes, codec: str) -> None:
    assert declared(line) == codec


@pytest.mark.parametrize("name", [b"no-such", b"zlib", b"idna", b"utf-7", b"rot13", b"unicode_escape", b"utf-16"])
def test_a_name_that_is_not_on_the_list_is_ignored(name: bytes) -> None:
    assert declared(b"coding: " + name) is None


def test_the_first_name_on_the_list_counts() -> None:
    assert declared(b"charset=CHARSET, charset=koi8-r, charset=gbk") == "koi8-r"


def test_a_name_far_from_the_beginning_is_ignored() -> None:
    assert declared(b" " * 5000 + b"charset=koi8-r") is None


def test_a_file_is_read_in_the_encoding_that_it_names() -> None:
    text = "# coding: cp1251\nёж\n"
    assert decode(text.encode("cp1251")) == text


def test_utf8_is_utf8_whatever_the_file_says() -> None:
    text = "# coding: latin-1\nFüße\n"
    assert decode(text.encode()) == text


def test_a_wrong_name_is_passed_over() -> None:
    text = "# coding: ascii, or euc-jp\nGrüße aus Füssen\n"
    assert decode(text.encode("cp1252")) == text


def test_utf8_with_a_fault_loses_the_fault_alone() -> None:
    data = "Виноградов, Müller\n".encode() * 3 + "Müller\n".encode("latin-1")
    assert decode(data) == "Виноградов, Müller\n" * 3 + "M\ufffdller\n"
