"""Completion in bash, zsh and fish: the scripts that ask, and how each wants its answers.

click has classes for these shells; these take their place because bash cuts words at the colons and equals signs that
our addresses and arguments are full of, and because no blank may follow ``name=``. So a script hands over the line up
to the cursor as it is, and all cutting is done here. An answer is a line ``KIND,VALUE``, with a description where the
shell shows one; KIND is ``plain``, ``open`` (the word goes on, no blank follows it), ``file`` or ``dir``.

A script never prints an error: stderr goes nowhere.
"""

import os
from typing import Any

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

from letterhead.cli.stdin import spelled_out

VARIABLE = "_LETTERHEAD_COMPLETE"
_LINE = "_LETTERHEAD_LINE"
_WORD = "_LETTERHEAD_WORD"
_END = "\x01"
"""Put behind a line, it shows which word the cursor stands in, whatever quotes are open."""


class _Completion(ShellComplete):
    """What the three have in common."""

    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        words = split_arg_string(os.environ.get(_LINE, "") + _END)
        self._typed = words[-1].removesuffix(_END)
        return spelled_out(words[1:-1]), self._typed

    def get_completions(self, args: list[str], incomplete: str) -> "list[CompletionItem[str]]":
        found = super().get_completions(args, incomplete)
        option, equals, _ = self._typed.partition("=")
        if equals and option.startswith("--"):  # click completes the value by itself; the shell has the whole word
            for item in found:
                item.value = f"{option}={item.value}"
        return found

    def format_completion(self, item: "CompletionItem[Any]") -> str:
        help = f"\t{item.help}" if item.help else ""
        return f"{item.type},{item.value}{help}"


class Bash(_Completion):
    """What bash replaces is the part of the word behind its last colon or equals sign, which it says in ``$2``."""

    name = "bash"
    source_template = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            open) COMPREPLY+=("$value"); compopt -o nospace ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(_LETTERHEAD_LINE="${COMP_LINE:0:COMP_POINT}" _LETTERHEAD_WORD="$2" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def format_completion(self, item: "CompletionItem[Any]") -> str:
        word = os.environ.get(_WORD, "")
        before = self._typed.removesuffix(word) if word else self._typed
        value = item.value
        if self._typed.endswith(word) and before[-1:] in (":", "="):
            value = value.removeprefix(before)
        return f"{item.type},{value}"


class Zsh(_Completion):
    """zsh takes whole words; a colon parts a word from its description, so one in a word stands behind a backslash."""

    name = "zsh"
    source_template = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local -a plain open
    local line kind value
    while IFS= read -r line; do
        kind=${line%%%%,*}
        value=${line#*,}
        case $kind in
            plain) plain+=("$value") ;;
            open) open+=("$value") ;;
            file) _files ;;
            dir) _files -/ ;;
        esac
    done < <(_LETTERHEAD_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" \\
        %(complete_var)s=zsh_complete "${~words[1]}" 2>/dev/null)
    (( $#plain )) && _describe -V '' plain
    (( $#open )) && _describe -V '' open -S ''
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

    def format_completion(self, item: "CompletionItem[Any]") -> str:
        value = item.value.replace("\\", "\\\\").replace(":", "\\:")
        return f"{item.type},{value}" + (f":{item.help}" if item.help else "")


class Fish(_Completion):
    """fish takes whole words, and adds no blank behind ``=`` and ``:`` by itself."""

    name = "fish"
    source_template = """\
function %(complete_func)s
    set -l words (commandline -opc)
    env _LETTERHEAD_LINE=(commandline -cp | string collect) %(complete_var)s=fish_complete $words[1] 2>/dev/null |
        while read -l --delimiter , kind value
            switch $kind
                case plain open
                    printf '%%s\\n' $value
                case file
                    __fish_complete_path (commandline -ct)
                case dir
                    __fish_complete_directories (commandline -ct)
            end
        end
end
complete --no-files --keep-order --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


SHELLS: dict[str, type[ShellComplete]] = {shell.name: shell for shell in (Bash, Zsh, Fish)}


def register() -> None:
    """Have click answer these shells by the classes above."""
    for shell in SHELLS.values():
        add_completion_class(shell)
