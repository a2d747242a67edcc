"""Text on its way to a terminal.

What a server sends may hold characters that a terminal obeys: they could rewrite what stands above, retitle the window
or paste into the shell. They are shown as escapes (``\\x1b``), on pipes too, since a pipe often ends in a terminal.
"""

import os
import re
import sys
from typing import Any

import click

# Control characters save tab and line end, and those that turn the direction of text around.
_OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")
_LINE_ENDS = re.compile("[\t\n\r\u2028\u2029]")
_MATCH = re.compile("«([^«»]*)»")


def harmless(text: str) -> str:
    """``text`` with its lines, and every character that a terminal would obey as an escape."""
    return _OBEYED.sub(_escape, text)


def one_line(text: str, limit: int) -> str:
    """``text`` harmless and on one line, at most ``limit`` characters of it."""
    shown = text[:limit] + ("…" if len(text) > limit else "")
    return _LINE_ENDS.sub(_escape, harmless(shown))


def as_json(value: Any, indent: int = 2) -> str:
    """A value as JSON, on one line where ``indent`` is 0; what a terminal would obey stands as JSON's own escapes.

    What JSON cannot say is shown as nearly as it can: arrays as lists, NaN as null, other keys and numbers as text.
    """
    import msgspec  # here: what only prints its help does not need it

    try:
        encoded = msgspec.json.encode(value, enc_hook=_sayable)
    except TypeError:  # msgpack has keys that JSON has not
        encoded = msgspec.json.encode(_with_keys_of_text(value), enc_hook=_sayable)
    shown = (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", shown)


def _sayable(value: Any) -> Any:
    if hasattr(value, "tolist"):  # an array
        return value.tolist()
    if hasattr(value, "code"):  # an extension of msgpack
        return {"code": value.code, "data": value.data}
    return str(value)


def _with_keys_of_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _with_keys_of_text(item) for key, item in value.items()}
    return [_with_keys_of_text(item) for item in value] if isinstance(value, list) else value


def print_value(value: Any) -> None:
    """What a server answered, on stdout: text as it is, anything else as JSON; bytes raw, save on a terminal."""
    if not isinstance(value, bytes):
        click.echo(harmless(value) if isinstance(value, str) else as_json(value))
    elif sys.stdout is None or sys.stdout.isatty():
        click.echo(harmless(value.decode("utf-8", "backslashreplace")))
    else:
        sys.stdout.buffer.write(value)
        sys.stdout.flush()


def with_style() -> bool:
    """Whether stdout is a terminal that knows bold, and nobody asked for plain text (https://no-color.org)."""
    if sys.stdout is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout.isatty()


def bold(text: str) -> str:
    """``text`` in bold where stdout knows that."""
    return click.style(text, bold=True) if with_style() else text


def highlighted(snippet: str) -> str:
    """A snippet with its matches in bold instead of between « and »."""
    return _MATCH.sub(lambda match: click.style(match[1], bold=True), snippet)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
