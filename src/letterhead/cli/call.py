"""``letterhead call``: one call, its result on stdout, or the items of it as they come.

One call takes either a result or a stream, so that nobody has to know beforehand how an action answers. ``--timeout``
has no default, since a stream may be meant to go on for days; for results the server has its own.
"""

from typing import Any

import click

from letterhead.cli import completing, stdin
from letterhead.cli.calling import Options, about_stream, client_options
from letterhead.cli.text import as_json, print_value
from letterhead.cli.values import named
from letterhead.cli.words import spelled_out
from letterhead.errors import InvalidArgument

_FITTING = {
    "Expected `str`": ("text", "--stdin=text sends each line as text"),
    "Expected `bytes`": ("bytes", "--stdin=bytes sends bytes"),
    "Invalid base64": ("bytes", "--stdin=bytes sends bytes"),
}
"""By what is said of an item that does not fit: the form of standard input that would, and how to say so."""
_UPLOAD = ""
"""A name that nobody can type: the argument that is a stream is not sent by its name."""


class _Call(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spelled_out(args))


@click.command(
    cls=_Call,
    epilog="""\b
Examples:
  letterhead call 127.0.0.1:65432 greet name=Ada times=2
  letterhead call 127.0.0.1:65432 greet 'name="3"'          the text 3, not the number
  letterhead call 127.0.0.1:65432 add 'terms=[1, 2, 3]'
  letterhead call 127.0.0.1:65432 stock --json | jq .pencil
  letterhead call 127.0.0.1:65432 watch folder=/tmp         prints each item as it comes
  seq 100 | letterhead call 127.0.0.1:65432 total --stdin
  letterhead call 127.0.0.1:65432 words --stdin=text < book.txt
  letterhead call 127.0.0.1:65432 digest --stdin=bytes < film.mp4
  letterhead describe 127.0.0.1:65432                       what there is to call""",
)
@click.argument("address", shell_complete=completing.addresses)
@click.argument("action", shell_complete=completing.actions)
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=completing.arguments)
@click.option(
    "--stdin",
    "form",
    type=click.Choice(list(stdin.FORMS)),
    metavar="[=values|text|bytes]",
    help="Stream standard input to the action: its lines, each a VALUE (as --stdin alone does) or as text whatever it "
    "looks like, or its bytes in pieces of up to 64 KiB.",
)
@client_options(None)
def command(address: str, action: str, arguments: tuple[str, ...], form: str | None, options: Options) -> None:
    """Call ACTION of the server at ADDRESS and print its result.

    A VALUE that is JSON is sent as that: 3, true, null, [1, 2], {"a": 1}, "text". Anything else is sent as text.

    A result that is text is printed as it is (what a terminal would obey as \\x1b and the like), bytes as well,
    anything else as indented JSON. With --json every result is JSON: text in quotes, bytes in base64.

    An action that answers with a stream has each item printed as it comes: text as it is, anything else as one line of
    JSON. With --json every item is one line of JSON. Ctrl-C ends it.
    """
    if not action:
        raise click.UsageError("ACTION is empty")
    values = named(arguments, "argument")
    if form is not None:
        values[_UPLOAD] = stdin.FORMS[form]()
    result: list[Any] = []
    with options.calling(address, action) as client:
        try:
            with client.either(action, values, timeout=options.timeout) as answers:
                for answer in answers:
                    if answers.single:
                        result = [answer]
                    elif isinstance(answer, str) and not options.as_json:
                        print_value(answer)
                    else:
                        click.echo(as_json(answer, indent=0))
        except InvalidArgument as error:
            raise _in_shell_terms(error, arguments, form) from None
    for answer in result:
        if options.as_json:
            click.echo(as_json(answer))
        else:
            print_value(answer)


def _in_shell_terms(error: InvalidArgument, arguments: tuple[str, ...], form: str | None) -> InvalidArgument:
    """The same error; where something else is to be typed, it says what."""
    name = error.facts.get("argument")
    if form is None:
        error = about_stream(error, "--stdin streams the lines of standard input to it")
    elif error.message.startswith("an item of "):
        return _about_items(error, form)
    typed = next((argument for argument in arguments if argument.startswith(f"{name}=")), None)
    if typed is None or "Expected `str`" not in error.message:
        return error
    import shlex

    text = shlex.quote(f"{name}={as_json(typed.removeprefix(f'{name}='))}")
    return InvalidArgument(f"{error.message}; {text} sends text", **error.facts)


def _about_items(error: InvalidArgument, form: str) -> InvalidArgument:
    for said, (fitting, what_next) in _FITTING.items():
        if said in error.message and form != fitting:
            return InvalidArgument(f"{error.message}; {what_next}", **error.facts)
    return error
