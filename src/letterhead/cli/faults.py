"""Errors that a user's code raised, as one sentence with a file and a line.

The place is the last line of the user's own that was running. Below it there may be more: Letterhead, which refused
what it was told, or a library. Those are where the error was found, not where it is to be mended. What is neither
Letterhead's nor of an installed package counts as the user's own; where nothing is, what is not Letterhead's does.

An error's own words are shown, so this is for errors of code that the user runs, never of a peer.
"""

import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

_LETTERHEAD = f"{Path(__file__).parents[1]}/"
_INSTALLED = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def told(error: BaseException) -> str:
    """The error's type, what it says, and where in the user's code it was raised, if it was there."""
    # A SyntaxError says its place itself, beside the message proper.
    said = (error.msg if isinstance(error, SyntaxError) else str(error)).strip()
    sentence = f"{type(error).__name__}: {said}" if said else type(error).__name__
    place = _place(error)
    return sentence if place is None else f"{sentence} ({place[0]}, line {place[1]})"


def without_letterhead(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the user's code; None where all of it is Letterhead's."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_LETTERHEAD):
        trace = trace.tb_next
    return trace


def _place(error: BaseException) -> tuple[str, int] | None:
    if isinstance(error, SyntaxError) and error.filename is not None and error.lineno is not None:
        return error.filename, error.lineno
    frames = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.lineno is not None and not frame.filename.startswith((_LETTERHEAD, "<frozen "))
    ]
    own = [frame for frame in frames if not frame[0].startswith(_INSTALLED)]
    frames = own or frames
    return frames[-1] if frames else None
