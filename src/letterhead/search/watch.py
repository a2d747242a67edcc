"""``Watch``: an index kept in step with its folders while they change.

The operating system tells what changes (watchfiles); the folders in which something did are compared as an update
compares them, so that an event told twice, late or for another file costs little and breaks nothing. What the system
does not tell (network file systems, more events than it keeps) is found by looking through everything now and then.

One thread of its own, which is the only one to write the index while it runs.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator

from watchfiles import Change, watch

from letterhead.errors import LetterheadError, Unavailable
from letterhead.search.update import Changes, Update

_log = logging.getLogger("letterhead.search")

_ALL_SECONDS = 600.0
"""How often everything is looked through."""
_UNTOLD_SECONDS = 60.0
_WAKE_MS = 1_000
_GATHER_MS = 500
_AGAIN_SECONDS = 10.0


class Watch:
    """Keeps the index of ``update`` in step from ``start`` to ``stop``.

    ``on_change`` is called, in the watching thread, with what each update came to that changed something. An update
    that fails, as on a full disk, is tried again after ``again_seconds``.
    """

    def __init__(
        self,
        update: Update,
        on_change: Callable[[Changes], None] | None = None,
        *,
        again_seconds: float = _AGAIN_SECONDS,
    ) -> None:
        self._update = update
        self._on_change = on_change
        self._again_seconds = again_seconds
        self._all_seconds = _ALL_SECONDS
        self._stop = threading.Event()
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
        paths: set[str] = set()
        due = 0.0  # when everything is to be looked through; at first, now that changes are told
        resting = 0.0
        for told in self._told():
            paths |= {path for _, path in told}
            now = time.monotonic()
            if now < resting or (not paths and now < due):
                continue
            try:
                changes = self._update.all() if now >= due else self._update.some(paths)
            except Unavailable as error:
                _log.warning("the index was not updated: %s", error)
                resting = now + self._again_seconds
                continue
            except LetterheadError as error:
                _log.error("the index is not updated any more: %s", error)
                return
            if now >= due:
                due = now + self._all_seconds
            paths.clear()
            if self._on_change is not None and (changes.added or changes.changed or changes.removed):
                self._on_change(changes)

    def _told(self) -> Iterator[set[tuple[Change, str]]]:
        """What changed, about every second, if only nothing."""
        try:
            yield from watch(
                *self._update.folders,
                watch_filter=None,
                stop_event=self._stop,
                debounce=_GATHER_MS,
                rust_timeout=_WAKE_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
        except OSError as error:
            _log.warning("the system does not tell what changes (%s): all is looked through every minute", error)
            self._all_seconds = _UNTOLD_SECONDS
            while not self._stop.wait(_WAKE_MS / 1_000):
                yield set()
