"""Compression: what comes back, what is refused, and that nothing hostile costs more than the limit."""

import contextlib
import gzip
import io
import json
import os
import sys
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.content import compression
from letterhead.content.compression import NAMES, compress, decompress, readable, smaller, usable
from letterhead.content.encoded import Encoded
from letterhead.errors import BadContent, TooLarge, UsageError

MIB = 1 << 20
TEXT = json.dumps([{"id": n, "name": f"row {n}"} for n in range(100)]).encode()
each_name = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def without_zstandard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the package were not installed."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    compression._zstandard.cache_clear()
    yield
    compression._zstandard.cache_clear()


def streamed(content: bytes) -> bytes:
    """A zstd frame that does not say its size."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(content) + compressor.flush()


def bombs(name: str, size: int) -> list[bytes]:
    """Small content of which this much comes."""
    if name == "gzip":
        return [gzip.compress(bytes(size))]
    return [zstandard.ZstdCompressor().compress(bytes(size)), streamed(bytes(size))]


@pytest.mark.smoke
@each_name
@settings(deadline=None)
@given(content=st.binary(max_size=5000) | st.binary(max_size=9).map(lambda piece: piece * 999))
def test_what_was_compressed_comes_back(name: str, content: bytes) -> None:
    assert decompress(compress(content, name), name, len(content)) == content


@each_name
@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_buffer_can_be_compressed(name: str, kind: type) -> None:
    assert decompress(compress(kind(TEXT), name), name, MIB) == TEXT


def test_others_read_what_is_written() -> None:
    assert gzip.decompress(compress(TEXT, "gzip")) == TEXT
    assert zstandard.ZstdDecompressor().decompress(compress(TEXT, "zstd")) == TEXT


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gzip", gzip.compress(TEXT, 9)),
        ("zstd", zstandard.ZstdCompressor(level=19, write_checksum=True).compress(TEXT)),
        ("zstd", streamed(TEXT)),
        ("zstd", streamed(b"")),
        ("zstd", zstandard.ZstdCompressor().compress(b"")),
    ],
)
def test_what_others_write_is_read(name: str, content: bytes) -> None:
    assert decompress(content, name, MIB) in (TEXT, b"")


@each_name
@pytest.mark.parametrize("size", [0, 1, 1000, 200_000])
def test_content_of_exactly_the_limit_is_taken_and_one_byte_more_refused(name: str, size: int) -> None:
    for content, more in zip(bombs(name, size), bombs(name, size + 1), strict=True):
        assert decompress(content, name, size) == bytes(size)
        with pytest.raises(TooLarge) as caught:
            decompress(more, name, size)
        assert caught.value.limit == size


@each_name
def test_a_bomb_costs_no_more_memory_than_the_limit_and_a_little(name: str) -> None:
    for content in bombs(name, 300 * MIB):
        tracemalloc.start()
        try:
            with pytest.raises(TooLarge):
                decompress(content, name, MIB)
            assert tracemalloc.get_traced_memory()[1] < 12 * MIB
        finally:
            tracemalloc.stop()


def test_a_frame_that_wants_a_window_of_128_mib_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    content = compressor.compress(TEXT) + compressor.flush()
    assert zstandard.get_frame_parameters(content).window_size == 128 * MIB
    with pytest.raises(BadContent, match="memory"):
        decompress(content, "zstd", 16 * MIB)


@pytest.mark.parametrize("lie", [256, 299, 301, 5000])
def test_a_frame_that_lies_about_its_size_is_refused(lie: int) -> None:
    told = zstandard.ZstdCompressor().compress(bytes(300))
    assert told[5:7] == (300 - 256).to_bytes(2, "little"), "where the size stands"
    with pytest.raises(BadContent):
        decompress(told[:5] + (lie - 256).to_bytes(2, "little") + told[7:], "zstd", MIB)


def test_a_frame_that_announces_a_tebibyte_is_too_large() -> None:
    told = zstandard.ZstdCompressor().compress(bytes(300))
    with pytest.raises(TooLarge) as caught:
        decompress(told[:4] + b"\xe0" + (1 << 40).to_bytes(8, "little") + told[7:], "zstd", MIB)
    assert (caught.value.size, caught.value.limit) == (1 << 40, MIB)


@each_name
@pytest.mark.parametrize("sample", [TEXT, b"", b"a"])
def test_what_is_cut_off_followed_or_twice_is_bad_content(name: str, sample: bytes) -> None:
    made = [compress(sample, name)] + ([streamed(sample)] if name == "zstd" else [])
    for whole in made:
        for content in (whole[:-1], whole[:5], whole + b"x", whole + whole, whole + compress(b"more", name), b""):
            with pytest.raises(BadContent):
                decompress(content, name, MIB)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gzip", b"plain text"),
        ("gzip", zlib.compress(TEXT)),
        ("gzip", compress(TEXT, "zstd")),
        ("zstd", b"plain text"),
        ("zstd", compress(TEXT, "gzip")),
        ("zstd", b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"),
        ("zstd", b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + compress(TEXT, "zstd")),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("brotli", TEXT),
        ("\x1b[31m" * 100, TEXT),
    ],
    ids=lambda item: repr(item)[:30],
)
def test_what_is_something_else_is_bad_content(name: str, content: bytes) -> None:
    with pytest.raises(BadContent) as caught:
        decompress(content, name, MIB)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_damage_that_a_checksum_shows_is_bad_content() -> None:
    content = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(TEXT))
    content[-1] ^= 1
    with pytest.raises(BadContent):
        decompress(bytes(content), "zstd", MIB)
    member = bytearray(compress(TEXT, "gzip"))
    member[-5] ^= 1
    with pytest.raises(BadContent):
        decompress(bytes(member), "gzip", MIB)


@each_name
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_hostile_bytes_raise_nothing_undocumented(name: str, data: st.DataObject) -> None:
    sound = bytearray(data.draw(st.sampled_from([compress(TEXT, name), *bombs(name, 5000)])))
    for _ in range(data.draw(st.integers(0, 4))):
        sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    hostile = data.draw(st.binary(max_size=40)) if data.draw(st.booleans()) else bytes(sound)
    limit = data.draw(st.integers(0, 10_000))
    with contextlib.suppress(BadContent, TooLarge):  # the two that are documented
        assert len(decompress(hostile, name, limit)) <= limit


# smaller


def json_of(size: int) -> Encoded:
    return Encoded("text/json", "utf-8", b'"%s"' % (b"a" * (size - 2)))


@each_name
def test_a_value_is_compressed_where_that_makes_it_smaller(name: str) -> None:
    encoded = Encoded("text/json", "utf-8", TEXT, {"x-a": 1})
    made = smaller(encoded, [name])
    assert (made.content_type, made.encoding, made.fields) == ("text/json", "utf-8", {"x-a": 1, "compression": name})
    assert len(made.content) < len(TEXT)
    assert decompress(bytes(made.content), name, MIB) == TEXT
    assert encoded.fields == {"x-a": 1}, "the value itself is not changed"


def test_the_first_name_that_is_known_counts() -> None:
    for names, chosen in ((("gzip", "zstd"), "gzip"), (("zstd", "gzip"), "zstd"), (("br", "", "gzip"), "gzip")):
        assert smaller(json_of(5000), names).fields == {"compression": chosen}


@pytest.mark.parametrize("names", [(), ("br",), ("GZIP",)])
def test_without_a_name_that_is_known_a_value_stays_as_it_is(names: tuple[str, ...]) -> None:
    encoded = json_of(5000)
    assert smaller(encoded, names) is encoded


@each_name
def test_less_than_a_kibibyte_stays_as_it_is(name: str) -> None:
    assert smaller(json_of(1024), [name]).fields == {"compression": name}
    encoded = json_of(1023)
    assert smaller(encoded, [name]) is encoded


@each_name
@pytest.mark.parametrize("size", [1024, 100_000, MIB])
def test_what_does_not_get_smaller_stays_as_it_is(name: str, size: int) -> None:
    encoded = Encoded("application/octet-stream", "binary", os.urandom(size))
    assert smaller(encoded, [name]) is encoded


def test_of_what_cannot_be_compressed_only_a_piece_is_tried() -> None:
    encoded = Encoded("image/png", "binary", os.urandom(8 * MIB))
    tracemalloc.start()
    try:
        assert smaller(encoded, ["gzip"]) is encoded
        assert tracemalloc.get_traced_memory()[1] < MIB, "all of it would have come to 8 MiB"
    finally:
        tracemalloc.stop()


def test_a_value_in_a_view_is_compressed_too() -> None:
    encoded = Encoded("binary/ndarray", "binary", memoryview(bytes(MIB)), {"dtype": "uint8", "shape": [MIB]})
    assert decompress(bytes(smaller(encoded, ["gzip"]).content), "gzip", MIB) == bytes(MIB)


# names


def test_an_application_may_choose_each_compression_once() -> None:
    assert readable(["gzip"]) == ("gzip",)
    assert readable(("zstd", "gzip", "zstd")) == ("zstd", "gzip")
    assert readable(()) == ()
    assert usable() == ("zstd", "gzip")


@pytest.mark.parametrize("names", ["gzip", ["br"], [5], ["GZIP"]])
def test_what_is_no_compression_is_refused(names: list[str]) -> None:
    with pytest.raises(UsageError, match="gzip"):
        readable(names)


@pytest.mark.usefixtures("without_zstandard")
def test_without_zstandard_zstd_is_refused_with_what_to_install() -> None:
    assert usable() == ("gzip",)
    assert readable(["gzip"]) == ("gzip",)
    for use in (lambda: readable(["zstd"]), lambda: compress(TEXT, "zstd")):
        with pytest.raises(UsageError, match="extra zstd"):
            use()
    with pytest.raises(BadContent, match="zstd"):
        decompress(TEXT, "zstd", MIB)
    assert smaller(json_of(5000), ["zstd", "gzip"]).fields == {"compression": "gzip"}


def test_gzip_is_written_without_a_time_or_a_name() -> None:
    made = compress(TEXT, "gzip")
    assert made[3:8] == bytes(5), "no flags, no time"
    assert gzip.GzipFile(fileobj=io.BytesIO(made)).read() == TEXT
