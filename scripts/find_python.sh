#!/bin/sh
# Prints the path of a Python that can make the project's virtual environment; uses nothing but the shell.
#
#   find_python.sh            the preferred one: $PYTHON if set, else 3.11, else the newest version known here,
#                             else any python3 from 3.11 up. Without one: a line that says what to do, exit 1.
#   find_python.sh 3.12       one of that version, or exit 1 in silence.
#
# A name in PATH proves nothing (pyenv's shims stand there for versions that are switched off), so each candidate
# is run and asked. Behind shims, and in PYENV_ROOT, the versions themselves are looked at too.
set -u

# Of an interpreter inside a virtual environment the one behind it is meant: that environment may be removed.
probe='
import sys
def has(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True
able = sys.version_info >= (3, 11) and has("venv") and (has("pip") or has("ensurepip"))
print("%d %d %s %s" % (sys.version_info[0], sys.version_info[1], "able" if able else "lame",
                       getattr(sys, "_base_executable", sys.executable)))
'
lame=

# try CANDIDATE MINOR: prints its path and succeeds if it runs, can make an environment and is Python 3.MINOR
# (MINOR "any": 3.11 or newer).
try() {
    answer=$("$1" -c "$probe" 2>/dev/null </dev/null) || return 1
    read -r major minor ability path <<END
$answer
END
    [ "$major" = 3 ] && [ "$minor" -ge 11 ] || return 1
    [ "$2" = any ] || [ "$minor" = "$2" ] || return 1
    if [ "$ability" != able ]; then
        lame="$path"
        lame_version="$major.$minor"
        return 1
    fi
    printf '%s\n' "$path"
}

# look_for MINOR: the same over PATH and pyenv's folders.
look_for() {
    names="python3.$1"
    [ "$1" != any ] || names="python3 python"
    old_ifs=$IFS
    IFS=:
    set -f
    for folder in $PATH; do
        IFS=$old_ifs
        set +f
        for name in $names; do
            [ -x "$folder/$name" ] && try "$folder/$name" "$2" && return 0
        done
        case $folder in
        */shims) in_versions "${folder%/shims}" "$1" && return 0 ;;
        esac
    done
    IFS=$old_ifs
    set +f
    in_versions "${PYENV_ROOT:-${HOME:-/}/.pyenv}" "$1"
}

# in_versions ROOT MINOR: the same over one pyenv root.
in_versions() {
    [ "$2" != any ] || return 1
    for file in "$1"/versions/3."$2".*/bin/python3."$2"; do
        [ -x "$file" ] && try "$file" "$2" && return 0
    done
    return 1
}

if [ $# -gt 0 ]; then
    look_for "${1#3.}" "${1#3.}"
    exit
fi

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON" any && exit 0
    if [ -z "$lame" ]; then
        echo "PYTHON=$PYTHON is not a Python 3.11 or newer that runs: name another one, or leave PYTHON out" >&2
        exit 1
    fi
else
    for minor in 11 14 13 12 any; do
        look_for "$minor" "$minor" && exit 0
    done
fi

if [ -n "$lame" ]; then
    echo "$lame has neither pip nor the modules venv and ensurepip:" \
        "install them (on Debian and Ubuntu: apt-get install python$lame_version-venv)" >&2
else
    echo "no Python 3.11 or newer was found: install one (on Debian 12 or newer: apt-get install python3-venv)," \
        "or name it with make PYTHON=/path/to/python3.11" >&2
fi
exit 1
