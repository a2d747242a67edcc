"""The signals that stop a program that serves, for ``App.run`` and the commands; how each of them stops is theirs."""

import signal


def stop_signals() -> list[signal.Signals]:
    """SIGTERM, and those of SIGINT and SIGHUP that were not ignored when the program began.

    A shell starts a background job of a script with SIGINT ignored, so that Ctrl-C ends what runs in the foreground
    alone, and ``nohup`` starts its program with SIGHUP ignored. A program that takes such a signal all the same undoes
    what whoever started it asked for.
    """
    left_alone = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]
    return [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if number not in left_alone]


def how_to_stop() -> str:
    """What stops it, for the line that says where it listens: Ctrl-C, where that reaches it."""
    return "Ctrl-C" if signal.SIGINT in stop_signals() else "SIGTERM"
