"""``Lock``: lets one program at a time write an index, and tells the next one in which state it was left.

Beside the index ``FILE`` stands ``FILE.letterhead-lock``. Whoever holds its lock (``flock``) may write; the system
releases it when the process ends, however it ends. The file says

* while somebody writes: which process;
* afterwards: size and time of the index file, as the last writer left it, and of its log, if it left one.

An index file that is not as its last writer left it was changed by something else: then it is in doubt, and is looked
through before it is used. One whose writer was killed is not: SQLite's log makes it whole again.

The content of an index is not known here.
"""

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec

from letterhead.errors import Unavailable

ENDING = ".letterhead-lock"
"""What the name of a lock file adds to that of its index; nobody else's files are called so."""
_MOST_BYTES = 4096
_NEVER = (-1,)


class _State(msgspec.Struct):
    """What the lock file says. While somebody writes, size and time are not known."""

    writer: int
    left: tuple[int, ...] | None = None


class Lock:
    """The lock for writing the index at ``path``, held until ``release``.

    Attributes:
        known: whether the index file has had a writer before.
        doubtful: whether something else has changed the index file since.

    Raises:
        Unavailable: another program holds it, or the lock file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(beside(path, ENDING), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"the index {path} cannot be written: {error.strerror}") from None
        try:
            self._take()
            state, found = self._read(), _found(path)
            self._made = not os.fstat(self._descriptor).st_size
            self.known = state is not None
            killed = state is not None and state.left is None
            self.doubtful = found is not None and not killed and (state is None or state.left != found)
        except BaseException:
            os.close(self._descriptor)
            raise

    def begin(self) -> None:
        """Record this process as the writer; to be called before anything is written.

        Raises:
            Unavailable: the lock file cannot be written.
        """
        self._write(_State(os.getpid()))

    def forget(self) -> None:
        """Release the lock, and leave everything as it was: the file is no index of Letterhead's."""
        if self._made:
            with contextlib.suppress(OSError):
                beside(self._path, ENDING).unlink()
        os.close(self._descriptor)

    def release(self, *, sound: bool) -> None:
        """Release the lock. Unless the index file, closed by now, is ``sound``, the next writer looks it through."""
        with contextlib.suppress(Unavailable):  # on a full disk it stays "somebody writes": nothing to doubt
            self._write(_State(os.getpid(), (_found(self._path) if sound else None) or _NEVER))
        os.close(self._descriptor)

    def _take(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = self._read()
            who = f" (process {state.writer})" if state is not None else ""
            raise Unavailable(
                f"the index {self._path} is being written by another program{who}: wait until it is done, stop it, or "
                "name another file with --index"
            ) from None
        except OSError as error:  # a file system that has no locks
            raise Unavailable(f"the index {self._path} cannot be locked: {error.strerror}") from None

    def _read(self) -> _State | None:
        try:
            return msgspec.json.decode(os.pread(self._descriptor, _MOST_BYTES, 0), type=_State)
        except msgspec.DecodeError:
            return None

    def _write(self, state: _State) -> None:
        data = msgspec.json.encode(state)
        try:
            os.pwrite(self._descriptor, data, 0)
            os.ftruncate(self._descriptor, len(data))
        except OSError as error:
            raise Unavailable(f"the index {self._path} cannot be written: {error.strerror}") from None


def beside(path: Path, ending: str) -> Path:
    """The file beside an index whose name adds ``ending`` to that of the index."""
    return path.with_name(path.name + ending)


def _found(path: Path) -> tuple[int, ...] | None:
    """Size and time of an index with something in it, and of its log, if that has something in it."""
    found: tuple[int, ...] = ()
    for place in (path, beside(path, "-wal")):
        try:
            status = place.stat()
        except OSError:
            continue
        if status.st_size:
            found += (status.st_size, status.st_mtime_ns)
    return found or None
