"""``letterhead completion``: the script that makes a shell complete this command."""

import click

from letterhead.cli.shells import SHELLS, VARIABLE


@click.command(
    epilog="""\b
Examples:
  letterhead completion bash     to have it always, put into ~/.bashrc:
                                   eval "$(letterhead completion bash)"
  letterhead completion zsh      into ~/.zshrc, below the line with compinit:
                                   eval "$(letterhead completion zsh)"
  letterhead completion fish     as a file of fish's own:
    letterhead completion fish > ~/.config/fish/completions/letterhead.fish"""
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete the command letterhead.

    Completed are commands, options, files, and the actions, argument names and values of the server whose ADDRESS
    stands on the line: it is asked when the key is pressed, and has half a second to answer.

    It needs bash 4.4, zsh 5.0 or fish 3.4, and letterhead in the PATH.
    """
    completion = SHELLS[shell](ctx.find_root().command, {}, "letterhead", VARIABLE)
    click.echo(completion.source(), nl=False)
