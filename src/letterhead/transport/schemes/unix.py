"""``unix:PATH``: Unix sockets, with a file of that name.

A server that was killed leaves its file behind, and the next one replaces it. It differs from a living server's in that
nobody answers, which for a moment is also true of a server that just starts. So a server takes its name under a lock, a
file beside the socket that is gone again when it listens: of two that start together, one gets the name, and the other
is told that it is in use.

What is said on a connection is not known here.
"""

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from letterhead.errors import ListenFailed, UsageError, escaped
from letterhead.limits import Limits
from letterhead.transport.address import Address, Listener, P, Transport
from letterhead.transport.sockets import SocketListener
from letterhead.transport.stop import Stop
from letterhead.transport.wire import SocketWire

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

_LONGEST_PATH = 107
_QUEUE_PAUSE = 0.01
"""Seconds between two tries where a listener's queue is full. No event tells that it has room again, and a socket that
blocks takes a signal meanwhile for a connection: Python asks it for an error, and it has none."""
_LOCK_SECONDS = 5.0
"""How long the lock is waited for. Another server holds it for a second at most, unless it was stopped meanwhile."""
_LOCK_PAUSE = 0.01
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems without locks say, such as some that are mounted over a network."""
_PROBE_SECONDS = 1.0


def _parse(text: str) -> Address:
    if not text:
        raise UsageError("a Unix socket's address is unix:PATH")
    if "\0" in text or len(os.fsencode(text)) > _LONGEST_PATH:
        raise UsageError(f"the path of a Unix socket has at most {_LONGEST_PATH} bytes: {escaped(text)}")
    return Address(path=text, scheme="unix")


# -- connecting ------------------------------------------------------------------------------------------------------


def _try(sock: socket.socket, path: str) -> bool:
    """Connect now; False where the listener's queue is full.

    Raises:
        OSError: there is no connection to be had.
    """
    try:
        sock.connect(path)
    except BlockingIOError:
        return False
    except FileNotFoundError as error:
        raise ConnectionRefusedError(error.errno, "there is no such socket file") from None
    return True


def _connect(address: Address, seconds: float, limits: Limits, stop: Stop) -> SocketWire:
    until = time.monotonic() + seconds
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while not _try(sock, address.path):
            if stop.stopped or time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            time.sleep(min(_QUEUE_PAUSE, seconds))
        return SocketWire(sock)
    except BaseException:
        sock.close()
        raise


async def _connect_async(
    address: Address, factory: Callable[[], P], seconds: float, limits: Limits
) -> tuple["asyncio.Transport", P]:
    import asyncio

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(seconds):
            while not _try(sock, address.path):  # noqa: ASYNC110  # no event tells that the queue has room
                await asyncio.sleep(_QUEUE_PAUSE)
        return await asyncio.get_running_loop().create_unix_connection(factory, sock=sock)
    except BaseException:
        sock.close()
        raise


# -- listening -------------------------------------------------------------------------------------------------------


class _UnixListener(SocketListener):
    """A listening Unix socket, and its file."""

    def __init__(self, sock: socket.socket, address: Address, limits: Limits) -> None:
        super().__init__([sock], [address], limits)
        self._file = os.stat(address.path)  # noqa: PTH116  # pathlib takes clients milliseconds to import

    def close(self) -> None:
        path = self.addresses[0].path
        # The file goes first: as long as the socket is open, no other file can have its number.
        try:
            if os.path.samestat(os.lstat(path), self._file):
                os.unlink(path)  # noqa: PTH108
        except FileNotFoundError:
            return  # somebody removed it; nothing left to do
        finally:
            super().close()


def _listen(address: Address, limits: Limits) -> Listener:
    from pathlib import Path

    path = Path(address.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with _lock(path.parent / f".{path.name}.letterhead-lock", address):
            _clear_stale(path, address)
            sock.bind(address.path)
            try:
                sock.listen(limits.backlog)
                return _UnixListener(sock, address, limits)
            except BaseException:
                path.unlink()
                raise
    except BaseException as error:
        sock.close()
        if not isinstance(error, OSError) or isinstance(error, ListenFailed):
            raise
        reason = error.strerror or str(error)
        if isinstance(error, FileNotFoundError):
            reason = f"there is no folder '{escaped(str(path.parent))}'"
        raise ListenFailed(f"cannot listen at {address}: {reason}", address=str(address)) from None


@contextmanager
def _lock(path: "Path", address: Address) -> Iterator[None]:
    """Keep other servers from looking at the address, and from taking it, while the block runs."""
    until = time.monotonic() + _LOCK_SECONDS
    while (file := _locked(path)) is None:
        if time.monotonic() >= until:
            raise ListenFailed(
                f"cannot listen at {address}: another program has been about to do so for {_LOCK_SECONDS:g} s; "
                f"see who has the lock on {escaped(str(path), 200)}",
                address=str(address),
            )
        time.sleep(_LOCK_PAUSE)
    try:
        yield
    finally:
        with suppress(OSError):  # a server of another user was killed and left it: it may be ours to lock only
            path.unlink()
        os.close(file)


def _locked(path: "Path") -> int | None:
    """Make the file if need be, and lock it: its descriptor, or None where somebody else has the lock."""
    import fcntl

    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        file = os.open(path, flags)
    except FileNotFoundError:
        try:
            file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return None  # somebody has made it in this moment
    ours = False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.fstat(file).st_nlink > 0  # else the one who had the lock has removed the file meanwhile
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        ours = True  # where there are no locks a server listens without
    finally:
        if not ours:
            os.close(file)
    return file if ours else None


def _clear_stale(path: "Path", address: Address) -> None:
    """Remove the socket file of a server that is gone; refuse what is anything else.

    Raises:
        ListenFailed: a server listens there, or it is a file of another kind.
    """
    import stat

    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenFailed(f"cannot listen at {address}: a file of that name exists", address=str(address))
    if _answers(address.path):
        raise ListenFailed(
            f"cannot listen at {address}: another program listens there; stop it or choose another path",
            address=str(address),
        )
    path.unlink(missing_ok=True)


def _answers(path: str) -> bool:
    """Whether a program listens there, as far as can be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # its queue is full, or it is not ours to open
    return True


TRANSPORT = Transport(_parse, _connect, _connect_async, _listen)
