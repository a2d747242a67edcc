"""``letterhead send``: a file or stdin as one message, the reply's content on stdout.

Nothing is read that could not be sent: the size of a file is looked at first, and of a pipe no more is read than the
limit and one byte.
"""

import mimetypes
import os
import stat
import sys
from typing import IO

import click

from letterhead.cli import completing
from letterhead.cli.calling import Options, about_stream, client_options
from letterhead.cli.text import as_json, print_value
from letterhead.cli.values import named
from letterhead.content.registry import JSON, OCTETS, decode
from letterhead.errors import InvalidArgument, TooLarge, UsageError
from letterhead.limits import Limits
from letterhead.message import Message, media_type
from letterhead.wire.header import JSON_TYPES, content_limit

_STDIN = "-"
_OPTIONS = {"action": "--action", "content-encoding": "--encoding", "content-type": "--type"}
_ENCODINGS = ("binary", "utf-8", "utf-16", "utf-32", "ascii", "iso-8859-1", "windows-1252", "shift_jis", "gb18030")
_TYPES = (JSON, "text/plain", OCTETS)


@click.command(
    epilog="""\b
Examples:
  letterhead send 127.0.0.1:65432 picture.png --action image.rotate > rotated.png
  letterhead send 127.0.0.1:65432 order.json --action order --header x-token=secret
  letterhead send 127.0.0.1:65432 --type text/plain --encoding iso-8859-1 < letter.txt
  git diff | letterhead send 127.0.0.1:65432 --action review --type text/x-diff"""
)
@click.argument("address", shell_complete=completing.addresses)
@click.argument(
    "file",
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
    default=_STDIN,
    metavar="[FILE]",
)
@click.option(
    "--type",
    "content_type",
    metavar="T",
    help="What the content is, such as text/plain. Else the file's name says it.",
    shell_complete=completing.one_of(_TYPES),
)
@click.option(
    "--encoding",
    metavar="E",
    help="The encoding of text, such as utf-8, or binary. Else utf-8 for text and JSON, binary for the rest.",
    shell_complete=completing.one_of(_ENCODINGS),
)
@click.option("--header", "fields", multiple=True, metavar="NAME=VALUE", help="A field of the header; may be repeated.")
@click.option(
    "--action", metavar="A", help="Call this action with the content as arguments.", shell_complete=completing.actions
)
@client_options(30.0)
def command(
    address: str,
    file: str,
    content_type: str | None,
    encoding: str | None,
    fields: tuple[str, ...],
    action: str | None,
    options: Options,
) -> None:
    """Send FILE to the server at ADDRESS as one message and print the content of the reply.

    Without a FILE, or for -, stdin is sent. The bytes go as they are. The type is guessed by the file's name: text/json
    for .json, what Python's mimetypes knows for others, else application/octet-stream. Without --action the server's
    binary handler takes the message, or, if it is JSON, its content names the action in classic form.

    The VALUE of a header field that is JSON is sent as that, anything else as text.

    A reply that is text is printed as it is (what a terminal would obey as \\x1b and the like), bytes as well (escaped
    on a terminal), JSON indented. --json prints {"header": …, "content": …}; content that is bytes is there in base64,
    as "base64".
    """
    if action == "":
        raise click.UsageError("--action is empty")
    header = named(fields, "header field")
    for name, option in _OPTIONS.items():
        if name in header:
            raise click.UsageError(f"the header field '{name}' is given by {option}")
    if "content-length" in header:
        raise click.UsageError("the header field 'content-length' is counted, not given")
    guessed = not content_type
    content_type = content_type or _guessed(file)
    header["content-type"] = content_type
    header["content-encoding"] = encoding or _usual_encoding(content_type)
    if action is not None:
        header["action"] = action
    what = action or "send"
    try:
        content = _content(file, content_limit(media_type(content_type), Limits()))
    except TooLarge as error:
        raise options.failed(error, address, what) from None
    with options.calling(address, what) as client:
        try:
            reply = client.send(Message(content, header))
        except UsageError as error:
            raise _about_streamed(error, address, what) from None
        except InvalidArgument as error:
            told = about_stream(error, f"'letterhead call {address} {what} --stdin' streams to it")
            if told is not error or not guessed or content_type == JSON:
                raise told from None
            hint = f"it went as {content_type}: --type {JSON} sends JSON"
            raise InvalidArgument(f"{error.message.rstrip('.')}; {hint}", **error.facts) from None
        value = decode(reply)
    if options.as_json:
        click.echo(as_json({"header": reply.header, "base64" if isinstance(value, bytes) else "content": value}))
    else:
        print_value(value)


def _about_streamed(error: UsageError, address: str, what: str) -> UsageError:
    """The same error; where the answer is a stream, which a message has no place for, it names what prints one."""
    if "answers with a stream" not in error.message:
        return error
    return UsageError(
        f"{what} answers with a stream, which send does not print: use 'letterhead call {address} {what}'"
    )


def _guessed(file: str) -> str:
    # Without the system's own tables: one name, one type. Behind ./ a name with a colon is not taken for a URL.
    known, compression = mimetypes.MimeTypes().guess_type(f"./{file}")
    if known in JSON_TYPES:
        return JSON
    return OCTETS if known is None or compression else known


def _usual_encoding(content_type: str) -> str:
    kind = media_type(content_type)
    return "utf-8" if kind in JSON_TYPES or kind.startswith("text/") else "binary"


def _content(file: str, limit: int) -> bytes:
    if file != _STDIN:
        with open(file, "rb") as stream:  # noqa: PTH123  # a name that is no text stays as it was typed
            return _read(stream, file, limit)
    if sys.stdin is None:
        raise click.UsageError("there is no stdin to send: name a FILE")
    if sys.stdin.isatty():
        click.echo("reading from the terminal; Ctrl-D at the beginning of a line ends it", err=True)
    return _read(sys.stdin.buffer, "stdin", limit)


def _read(stream: IO[bytes], name: str, limit: int) -> bytes:
    told = os.fstat(stream.fileno())
    if stat.S_ISREG(told.st_mode) and told.st_size > limit:
        raise TooLarge(f"{name} has {told.st_size:,} bytes; the limit is {limit:,}", size=told.st_size, limit=limit)
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(f"{name} has more bytes than the limit of {limit:,}", limit=limit)
    return content
