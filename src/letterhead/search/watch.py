"""``Watch``: keeps an index up to date with its folders while they change.

The operating system tells what changes (watchfiles); the folders in which something did are compared as an update
compares them, so that an event told twice, late or for another file costs little and breaks nothing. What the system
does not tell (network file systems, more events than it keeps, a named folder that was replaced by another) is found by
looking through everything: every ten minutes, when watching had to begin anew, and when a named folder has changed its
identity. Where the system cannot tell at all, that is done every ten seconds.

Nothing that goes wrong ends the watch, save damage of the index: it is logged, and everything is looked through later.

One thread of its own, which is the only one to write the index while it runs.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator

from watchfiles import watch

from letterhead.errors import Internal, Unavailable
from letterhead.search.identity import identity
from letterhead.search.update import Changes, Update

_log = logging.getLogger("letterhead.search")

_ALL_SECONDS = 600.0
"""How often everything is looked through."""
_AGAIN_SECONDS = 10.0
_WAKE_SECONDS = 1.0
_GATHER_SECONDS = 0.5
_REST = 5
"""After an update, so many times what it took is left to others: a huge folder keeps no processor busy."""


class Watch:
    """Keeps the index of ``update`` up to date from ``start`` to ``stop``.

    ``on_change`` is called, in the watching thread, with what each update came to that changed something. An update
    that fails, as on a full disk, is tried again after ``again_seconds``; so is watching itself. Changes are gathered
    for ``gather_seconds``, and where nothing changes, the watch looks every ``wake_seconds`` what else is due.
    """

    def __init__(
        self,
        update: Update,
        on_change: Callable[[Changes], None] | None = None,
        *,
        again_seconds: float = _AGAIN_SECONDS,
        wake_seconds: float = _WAKE_SECONDS,
        gather_seconds: float = _GATHER_SECONDS,
    ) -> None:
        self._update = update
        self._on_change = on_change
        self._again_seconds = again_seconds
        self._wake_ms = round(wake_seconds * 1_000)
        self._gather_ms = round(gather_seconds * 1_000)
        self._stop = threading.Event()
        self._paths: set[str] = set()
        self._all_due = 0.0  # at first at once: for what changed since the last update
        self._resting = 0.0
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="letterhead-watch", daemon=True)

    def start(self) -> None:
        """Begin, with a look through everything: for what changed since the last update."""
        self._thread.start()

    def stop(self) -> None:
        """End, with what the update that is going on has done so far."""
        self._stop.set()
        self._update.end()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        for paths in self._told():
            self._paths |= paths
            began = time.monotonic()
            if began < self._resting or not (self._paths or began >= self._all_due):
                continue
            try:
                changes = self._look(began)
                if self._on_change is not None and (changes.added or changes.changed or changes.removed):
                    self._on_change(changes)
            except Internal as error:
                _log.error("the index is not updated any more: %s", error)
                return
            except Exception as error:
                self._say(error)
                self._all_due, self._resting = 0.0, time.monotonic() + self._again_seconds
                continue
            self._said = ""
            now = time.monotonic()
            self._resting = now + _REST * (now - began)

    def _look(self, now: float) -> Changes:
        everything = now >= self._all_due
        paths, self._paths = self._paths, set()  # gone, should it fail: then everything is due
        changes = self._update.all() if everything else self._update.some(paths)
        if everything:
            self._all_due = time.monotonic() + _ALL_SECONDS
        return changes

    def _say(self, error: Exception) -> None:
        """Log what went wrong, once as long as it is the same."""
        if isinstance(error, Unavailable):
            if str(error) != self._said:
                _log.warning("the index was not updated, and will be tried again: %s", error)
        else:
            _log.error("the index was not updated, and will be tried again", exc_info=error)
        self._said = str(error)

    def _told(self) -> Iterator[set[str]]:
        """The paths that changed, every ``wake_seconds`` or sooner; none where nothing did."""
        while not self._stop.is_set():
            folders = self._identities()
            try:
                for told in watch(
                    *(folder for folder in self._update.folders if identity(folder) is not None),
                    watch_filter=None,
                    stop_event=self._stop,
                    debounce=self._gather_ms,
                    rust_timeout=self._wake_ms,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                    ignore_permission_denied=True,
                ):
                    yield {path for _, path in told}
                    if self._identities() != folders:
                        break
            except Exception as error:  # too many folders for the system; a name that watchfiles cannot read
                _log.warning("what changes is not told for a while, so everything is looked through: %s", error)
                self._all_due = 0.0
                yield set()
                until = time.monotonic() + self._again_seconds
                while time.monotonic() < until and not self._stop.wait(self._wake_ms / 1_000):
                    yield set()
            self._all_due = 0.0  # what happened since is told to nobody

    def _identities(self) -> list[tuple[int, int] | None]:
        """Which folders stand at the places of the named ones: the system goes on telling of the one that was there."""
        return [identity(folder) for folder in self._update.folders]
