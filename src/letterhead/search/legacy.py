"""Which of the older encodings a text is in that is not UTF-8: ``encoding`` guesses, by what languages look like.

In a Latin script nearly every byte beyond ASCII is an accented letter that stands alone in its word; in all others
they come in runs. So the length of the runs tells which of two ways to go:

* Latin scripts: each encoding is judged by how well the bytes fit one language's letters, the common ones counting
  most. Windows-1252 wins ties. (charset-normalizer alone was measured to take half of the texts in Portuguese and
  Dutch for Windows-1250.)
* Other scripts: kana tell Japanese; else charset-normalizer decides, by how often letters occur.

The result is a guess from a sample: the caller decodes the whole strictly. UTF and binary files are not known here.
"""

import re
from collections import Counter
from functools import cache

from charset_normalizer import from_bytes

_SAMPLE = 16 << 10
# Cut before one of these, which are never a part of a character of several bytes.
_SAFE_CUT = re.compile(rb"[\n\r\t ]")
_RUN = re.compile(rb"[\x80-\xff]+")
# Measured on texts of 200 bytes: runs of up to 2.05 bytes in Latin scripts, of 2.0 (Big5) to 60 in all others.
_LONGEST_LATIN_RUN = 2.2
_SHORTEST_OTHER_RUN = 1.5
_LEAST_LATIN_FIT = 0.55

# The letters beyond ASCII of each language, the most frequent first.
_LANGUAGES = (
    ("cp1252", "üäöß"),  # German
    ("cp1252", "éèàêçùûôîâëïœæ"),  # French
    ("cp1252", "áéíóúñü"),  # Spanish
    ("cp1252", "àèéìòù"),  # Italian
    ("cp1252", "ãçáéêíóõúâàô"),  # Portuguese
    ("cp1252", "äöåé"),  # Swedish, Finnish
    ("cp1252", "øåæé"),  # Danish, Norwegian
    ("cp1252", "éëïèöüóá"),  # Dutch
    ("cp1252", "ðáíéóúýþæö"),  # Icelandic
    ("cp1252", "àçèéíïòóúü·"),  # Catalan
    ("iso8859-2 cp1250", "ąęłóżćńśź"),  # Polish
    ("iso8859-2 cp1250", "íáéěčřžýůúšňťóď"),  # Czech
    ("iso8859-2 cp1250", "áíčéýžúšľťňôäóďĺŕ"),  # Slovak
    ("iso8859-2 cp1250", "čšžćđ"),  # Croatian, Slovene
    ("iso8859-2 cp1250", "ăîţşâ"),  # Romanian
    ("cp1250 iso8859-2", "éáóöőíüúű"),  # Hungarian
    ("cp1254", "ıüşçöğİâ"),  # Turkish
    ("cp1257", "ėšųžįąūčę"),  # Lithuanian
    ("cp1257", "āīēšņūģļķčž"),  # Latvian
    ("cp1257", "äüõöšž"),  # Estonian
)
_LATIN_CODECS = tuple(dict.fromkeys(" ".join(codecs for codecs, _ in _LANGUAGES).split()))
# Far more files are in it than in the others: a word like "è" or "ò" alone is Italian, not Czech.
_FIRST_CHOICE = "cp1252"
_FIRST_CHOICE_BONUS = 1.05
_PUNCTUATION = dict.fromkeys("«»“”„\u2018’–—…°·¿¡\xa0", 0.9) | dict.fromkeys("ºª©®™§€£•²³½×", 0.6)
# What a letter weighs less for each that is more frequent, and as a capital: enough to decide between languages that
# have the same letters otherwise, too little to outweigh a letter that does not belong.
_RANK_COSTS = 0.02
_CAPITAL_COSTS = 0.12

_MULTI_BYTE = ["shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"]
_SINGLE_BYTE = [
    *("cp1251", "koi8-r", "koi8-u", "iso8859-5", "cp866"),
    *("cp1253", "iso8859-7", "cp1255", "cp1256", "iso8859-6", "cp874"),
]
_JAPANESE = ("cp932", "euc_jp")
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa]")
_LEAST_KANA = 0.25
_SUPERSETS = {"shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs"}
# charset-normalizer's share of mess above which an encoding is out of the question. Its own 0.2 refuses short texts in
# Chinese and Korean.
_MULTI_BYTE_MESS = 0.35
_SINGLE_BYTE_MESS = 0.2
# Japanese, Chinese and Korean in the wrong script do not reach it.
_COHERENT = 0.5
_MANY_BYTES = 100


def encoding(data: bytes) -> str | None:
    """Python's codec for the encoding of ``data``, which is not ASCII; None where it is like no language known here."""
    sample = _sampled(data)
    runs = _RUN.findall(sample)
    length = sum(map(len, runs)) / len(runs)
    if length < _LONGEST_LATIN_RUN:
        codec, fit = _latin(sample)
        if fit >= _LEAST_LATIN_FIT:
            return codec
    return _other_script(sample) if length >= _SHORTEST_OTHER_RUN else None


def _sampled(data: bytes) -> bytes:
    """Lines of ``data`` with bytes beyond ASCII, up to some KiB of them."""
    parts, size = [], 0
    for line in data.splitlines(keepends=True):
        if line.isascii():
            continue
        part = line
        if size + len(part) > _SAMPLE:
            # A line may be all the file: what stands before its first such byte is of no use.
            first = _RUN.search(line)
            assert first is not None  # it is not ASCII
            part = line[first.start() : first.start() + _SAMPLE - size]
            ends = list(_SAFE_CUT.finditer(part))
            part = part[: ends[-1].start()] if ends else part
        parts.append(part)
        size += len(part)
        if size >= _SAMPLE or part is not line:
            break
    return b"".join(parts)


def _latin(sample: bytes) -> tuple[str | None, float]:
    """The best encoding for a Latin script, and how well it fits: 0 to about 1."""
    counts = Counter(byte for byte in sample if byte >= 0x80)
    total = sum(counts.values())
    letters = {codec: _letters(codec, frozenset(counts)) for codec in _LATIN_CODECS}
    best, most = None, 0.0
    for number, (codecs, _) in enumerate(_LANGUAGES):
        weights = _weights(number)
        for codec in codecs.split():
            meaning = letters[codec]
            if meaning is None:
                continue
            fit = sum(weights.get(meaning[byte], 0.0) * count for byte, count in counts.items()) / total
            if codec == _FIRST_CHOICE:
                fit *= _FIRST_CHOICE_BONUS
            if fit > most:
                best, most = codec, fit
    return best, most


def _letters(codec: str, used: frozenset[int]) -> dict[int, str] | None:
    """What each byte means in ``codec``; None where one means nothing, or a control character."""
    try:
        meaning = {byte: bytes([byte]).decode(codec) for byte in used}
    except UnicodeDecodeError:
        return None
    return None if any(letter < "\xa0" for letter in meaning.values()) else meaning


@cache
def _weights(language: int) -> dict[str, float]:
    _, letters = _LANGUAGES[language]
    lower = {letter: 1 - _RANK_COSTS * rank for rank, letter in enumerate(letters)}
    upper = {letter.upper(): weight - _CAPITAL_COSTS for letter, weight in lower.items() if len(letter.upper()) == 1}
    return _PUNCTUATION | upper | lower


def _other_script(sample: bytes) -> str | None:
    for codec in _JAPANESE:
        if _is_japanese(sample, codec):
            return codec
    several = _best(sample, _MULTI_BYTE, _MULTI_BYTE_MESS)
    one = _best(sample, _SINGLE_BYTE, _SINGLE_BYTE_MESS)
    if several is not None and (
        one is None or _surely_several(several[0], sample) or several[1] >= min(one[1], _COHERENT)
    ):
        return _SUPERSETS.get(several[0], several[0])
    if one is None:
        return None
    return _greek(sample) if one[0] in ("cp1253", "iso8859_7") else one[0]


def _is_japanese(sample: bytes, codec: str) -> bool:
    """Whether it has as much kana as only Japanese text has: other encodings have rare characters in those places."""
    try:
        text = sample.decode(codec)
    except UnicodeDecodeError:
        return False
    return len(_KANA.findall(text)) >= _LEAST_KANA * sum(letter > "\x7f" for letter in text)


def _surely_several(codec: str, sample: bytes) -> bool:
    """Whether it has too many characters of several bytes to be text of a single-byte encoding by chance."""
    # In Shift_JIS most of the bytes that are Cyrillic letters elsewhere are characters of their own.
    return codec != "shift_jis" and sum(map(len, _RUN.findall(sample))) >= _MANY_BYTES


def _greek(sample: bytes) -> str:
    # They differ in one common letter, the capital alpha with an accent: each has it where the other has a sign.
    return "iso8859-7" if sample.count(b"\xb6") > sample.count(b"\xa2") else "cp1253"


def _best(sample: bytes, codecs: list[str], mess: float) -> tuple[str, float] | None:
    """charset-normalizer's choice of ``codecs``, and how coherent it finds it."""
    # Without `preemptive_behaviour` it does not look for names in the sample, which would reach Python's codec search.
    found = from_bytes(
        sample, threshold=mess, cp_isolation=codecs, preemptive_behaviour=False, enable_fallback=False
    ).best()
    return None if found is None else (found.encoding, found.coherence)
