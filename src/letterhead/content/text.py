"""Text: the fixed list of encodings, and strict decoding.

A name from the wire is looked up here and never reaches Python's codec search, which would import modules by it.

Where the text comes from is not known here.
"""

import codecs

from letterhead.errors import BadContent, escaped

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_LIKE_MARKS = ("\ufeff", "\ufffe")
_MARKED = frozenset({"utf-16", "utf16", "utf-32", "utf32"})


def _names() -> dict[str, str]:
    """Every accepted name, lower case with hyphens → Python's codec."""
    names = {"utf-8": "utf-8", "utf8": "utf-8", "ascii": "ascii", "us-ascii": "ascii"}
    for bits in ("16", "32"):
        for order in ("", "le", "be"):
            codec = f"utf-{bits}-{order}".rstrip("-")
            names.update({codec: codec, f"utf-{bits}{order}": codec, f"utf{bits}{order}": codec})
            names[f"utf{bits}-{order}".rstrip("-")] = codec
    for part in (n for n in range(1, 17) if n != 12):  # there is no part 12
        codec = f"iso8859-{part}"
        names.update({f"iso-8859-{part}": codec, f"iso8859-{part}": codec})
    for number, part in enumerate((1, 2, 3, 4, 9, 10, 13, 14, 15, 16), 1):
        names.update(dict.fromkeys((f"latin-{number}", f"latin{number}", f"l{number}"), f"iso8859-{part}"))
    for page in range(1250, 1259):
        names.update({f"windows-{page}": f"cp{page}", f"cp{page}": f"cp{page}", f"cp-{page}": f"cp{page}"})
    for name, others in {
        "koi8-r": (),
        "koi8-u": (),
        "gb18030": (),
        "gbk": ("cp936",),
        "big5": ("big-5",),
        "shift_jis": ("shift-jis", "sjis"),
        "euc_jp": ("euc-jp", "eucjp"),
        "euc_kr": ("euc-kr", "euckr"),
    }.items():
        names.update(dict.fromkeys((name.replace("_", "-"), *others), name))
    return names


_CODECS = _names()


def codec_for(encoding: str, byteorder: str, data: bytes) -> str:
    """Python's codec for an encoding named on the wire.

    A plain ``utf-16`` or ``utf-32`` without a byte-order mark is in the frame's byte order.

    Raises:
        BadContent: the name is not on the list.
    """
    codec = _CODECS.get(encoding.lower().replace("_", "-"))
    if codec is None:
        raise BadContent(f"unknown content-encoding '{escaped(encoding)}'", encoding=escaped(encoding))
    if (codec == "utf-16" and not data.startswith(_UTF_16_MARKS)) or (
        codec == "utf-32" and not data.startswith(_UTF_32_MARKS)
    ):
        return codec + ("-le" if byteorder == "little" else "-be")
    return codec


def decode_text(data: bytes, encoding: str, byteorder: str) -> str:
    """The text that the bytes are.

    Raises:
        BadContent: the encoding is unknown, or the bytes are not text in it.
    """
    if encoding == "binary":
        encoding = "utf-8"
    codec = codec_for(encoding, byteorder, data)
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise BadContent(f"not {escaped(encoding)} text: {error.reason} at byte {error.start}") from None


def encode_text(text: object, encoding: str, byteorder: str) -> bytes:
    """The bytes of a text.

    Raises:
        BadContent: it is no text, or the encoding is unknown or cannot express it.
    """
    if encoding == "binary":
        encoding = "utf-8"
    if not isinstance(text, str):
        raise BadContent(f"text content is str, not {type(text).__name__}")
    codec = codec_for(encoding, byteorder, b"")
    if text.startswith(_LIKE_MARKS) and encoding.lower().replace("_", "-") in _MARKED:
        text = "\ufeff" + text  # else its first character would be read as a byte-order mark
    try:
        encoded: bytes = text.encode(codec)
    except UnicodeEncodeError as error:
        raise BadContent(f"{escaped(encoding)} cannot express the character at {error.start}") from None
    return encoded
