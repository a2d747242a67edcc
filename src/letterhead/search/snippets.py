"""The piece of a text that shows best why it was found: one line, with its matches between « and ».

It is cut from the original text. Each term is looked for with a regular expression in which a letter stands for
all those that the tokenizer folds to it; the time it takes is linear in the text's length. ``lines`` tells where all of
them stand.

Databases and files are not known here.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from letterhead.search.syntax import Term
from letterhead.search.terms import MARKS, UNSPACED, fold, lone, spellings, stands_alone
from letterhead.search.titles import BLANK

WIDTH = 160
"""Characters in a snippet, about: never many more, save where the matches themselves are longer."""

_CUT = "…"
# Further occurrences of a word are not looked at: the first ones show it as well.
_MAX_MATCHES = 100
# How many characters may stand between the parts of a word like ``os.path`` that is still shown as one match.
_MAX_GAP = 40
# Characters that are looked through at a time; the overlap is longer than any match.
_PIECE = 32 << 10
_OVERLAP = 4 << 10
# The piece of a word at a cut; longer ones are scripts without spaces, which are cut where it comes.
_HEAD = re.compile(r"^[^\W_]{1,30}(?![^\W_])")
_TAIL = re.compile(r"(?<![^\W_])[^\W_]{1,30}$")
_MARK = re.compile(f"[{MARKS}]")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a text, on one line, with the matches between « and »; and the line, from 1, of the first of them."""

    text: str
    line: int


def snippet(
    text: str,
    terms: Sequence[Term],
    width: int = WIDTH,
    reach: int = sys.maxsize,
    check: Callable[[], None] | None = None,
) -> Snippet:
    """About ``width`` characters of ``text``: the first of those places that hold the most different terms.

    White space and control characters are folded to single spaces; what is cut off is cut between words and
    shown by ``…``. Where no term stands in the first ``reach`` characters of the text, its beginning, and line 0.
    ``check`` is called again and again while terms are looked for; what it raises ends that.
    """
    matches = _matches(text, terms, reach, check)
    if not matches:
        return Snippet(_after(text, 0, width).lstrip(), 0)
    spans = _merged(_densest(matches, width))
    start, end = spans[0][0], spans[-1][1]
    core = _marked(text, spans)
    room = max(width - len(core), 0)
    # Half of the room goes to each side, and what one side does not need to the other.
    after = _after(text, end, max(room - len(_before(text, start, room // 2)), 0))
    before = _before(text, start, max(room - len(after), 0))
    return Snippet(before + core + after, text.count("\n", 0, start) + 1)


def lines(text: str, terms: Sequence[Term], most: int, check: Callable[[], None]) -> list[int]:
    """The first ``most`` lines, from 1, in which a term begins, in order.

    ``check`` is called again and again while they are looked for; what it raises ends that.
    """
    looked_in, plain = _prepared(text)
    found: set[int] = set()
    for term in terms:
        line, position, new = 1, 0, set()
        for start, _ in _occurrences(term, looked_in, plain, check):
            line += text.count("\n", position, start)
            position = start
            new.add(line)
            if len(new) == most:
                break
        found |= new
    return sorted(found)[:most]


def _matches(
    text: str, terms: Sequence[Term], reach: int, check: Callable[[], None] | None
) -> list[tuple[int, int, int]]:
    """Where terms stand, in order: start, end, number of the term."""
    text, plain = _prepared(text[:reach])
    found = []
    for number, term in enumerate(terms):
        spans = islice(_occurrences(term, text, plain, check), _MAX_MATCHES)
        found += [(start, end, number) for start, end in spans]
    return sorted(found)


def _prepared(text: str) -> tuple[str, bool]:
    """What is looked through for ``text``, and whether that is lower-case ASCII."""
    plain = text.isascii()
    # Lower case keeps every place in ASCII, and letters are found ten times as fast as sets of letters.
    return (text.lower() if plain else text), plain


def _occurrences(term: Term, text: str, plain: bool, check: Callable[[], None] | None) -> Iterator[tuple[int, int]]:
    pattern = _pattern(term, plain)
    # In pieces, since other threads stand still while an expression looks for its next match; smaller ones for phrases
    # of many words, each of which may be tried at each place.
    step = max(_PIECE // len(term.word), _OVERLAP)
    for piece in range(0, len(text), step):
        if check is not None:
            check()
        for match in pattern.finditer(text, piece, piece + step + _OVERLAP):
            if match.start() >= piece + step:
                break
            yield match.span()


def _pattern(term: Term, plain: bool) -> re.Pattern[str]:
    """What finds ``term`` in any text, or only in lower-case ASCII where ``plain``."""
    # Nothing that a gap takes can begin a token, so that it need never give anything back; but Python before 3.11.4
    # does not match a possessive repetition of a group that is empty.
    after, gap = (
        ("", rf"[\W_]{{0,{_MAX_GAP}}}+") if plain else (f"[{MARKS}]*+", rf"(?:(?![{lone()}])[\W_]){{0,{_MAX_GAP}}}")
    )
    # What stands alone ends a word as well as white space does.
    inside = r"[^\W_]" if plain else rf"[^\W_{UNSPACED}]"
    rest = f"{inside}*+" if plain else f"(?:{inside}|[{MARKS}])*"
    # Look-behinds have a fixed length: a letter before, or a letter with a mark.
    no_letter_before = f"(?<!{inside}.)" + ("" if plain else f"(?<!{inside}[{MARKS}].)")
    tokens = []
    for number, token in enumerate(term.word, 1):
        letters = [fold(letter) for letter in _MARK.sub("", token)]
        if not plain:
            letters = [f"[{spellings(letter)}]" for letter in letters]
        if not stands_alone(token):
            # They stand after the first letter: so the search can skip from one such letter to the next.
            letters[0] += no_letter_before
            letters.append(rest if term.prefix and number == len(term.word) else f"(?!{inside})")
        tokens.append(after.join(letters))
    return re.compile(gap.join(tokens), re.DOTALL)


def _densest(matches: list[tuple[int, int, int]], width: int) -> list[tuple[int, int, int]]:
    """The neighbours within ``width`` characters with the most different words, then the most matches."""
    inside: Counter[int] = Counter()
    first, best, most = 0, matches[:1], (0, 0)
    for last, (_, end, word) in enumerate(matches):
        inside[word] += 1
        while first < last and end - matches[first][0] > width:
            dropped = matches[first][2]
            inside[dropped] -= 1
            if not inside[dropped]:
                del inside[dropped]
            first += 1
        if (len(inside), last - first) > most:
            most, best = (len(inside), last - first), matches[first : last + 1]
    return best


def _merged(matches: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for start, end, _ in matches:
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _marked(text: str, spans: list[tuple[int, int]]) -> str:
    """``text`` from the first span to the last on one line, each span between « and »."""
    pieces = []
    position = spans[0][0]
    for start, end in spans:
        pieces += [text[position:start], "«", text[start:end], "»"]
        position = end
    return BLANK.sub(" ", "".join(pieces))


def _before(text: str, end: int, room: int) -> str:
    """At most ``room`` characters of ``text`` that lead up to ``end``, on one line."""
    # More is read than fits, since white space is folded (source code is indented).
    start = max(end - 4 * room, 0)
    line = BLANK.sub(" ", text[start:end])
    if start == 0 and len(line.lstrip()) <= room:
        return line.lstrip()
    kept = line[max(len(line) - room, 0) :]
    if len(kept) == len(line) or line[-room - 1].isalnum():
        kept = _HEAD.sub("", kept)
    return _CUT + kept.lstrip()


def _after(text: str, start: int, room: int) -> str:
    """At most ``room`` characters of ``text`` that follow ``start``, on one line."""
    end = min(start + 4 * room, len(text))
    line = BLANK.sub(" ", text[start:end])
    if end == len(text) and len(line.rstrip()) <= room:
        return line.rstrip()
    kept = line[:room]
    if len(kept) == len(line) or line[room].isalnum():
        kept = _TAIL.sub("", kept)
    return kept.rstrip() + _CUT
