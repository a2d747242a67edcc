"""``Engine``: carries out what the core of a blocking client asks for, with the threads that call and some of its own.

Everything about calls and connections is decided in the core (``client/core.py``), which one lock guards. A *step* is
one visit to the core with the lock held, after which its events are carried out. Nobody waits with the lock held.

There are two modes:

* **Alone.** A call that is the only thing open is carried by its own thread, which connects, sends, receives and minds
  the time: two system calls a call, and no other thread.
* **Shared.** As soon as anything else is open (another call, a stream, an answer that nobody waits for any longer, a
  connection that is kept alive), a reader thread for each connection receives for all, a driver thread minds the time,
  and callers sleep until their call has ended. When nothing is open, these threads linger for a moment, then end.

Signal handlers run in the main thread between any two instructions, and may raise (Ctrl-C does). So:

* What was received is in the connection's inbox before they can (``connection.py``), and that of SIGINT is called
  behind a step, never within. While calls of others are open the driver takes the main thread's steps. Where a step
  breaks off all the same, the core is replaced by one that has no calls and connections; those that were open fail.
* Flags that a thread sets for itself are taken back in ``finally``, by one assignment.
* What finalizers and signal handlers ask for is left to the driver. Calls from there are refused while their thread
  waits in a call, which would wait for itself.

Nothing here imports asyncio: a program that only calls should start fast.
"""

import _thread
import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import ParamSpec, TypeVar, assert_never

from letterhead import clock
from letterhead.app.context import refuse_to_block
from letterhead.client import log
from letterhead.client.balancer import NEVER
from letterhead.client.blocking.connection import (
    BlockingCall,
    BlockingCore,
    BlockingDial,
    BlockingEvent,
    ClientConnection,
)
from letterhead.client.calls import Call, left_early
from letterhead.client.core import ClientCore, Close, Dial, Logged, Readable, Send, StateChanged, Writable
from letterhead.client.openings import pack
from letterhead.client.settings import Settings
from letterhead.client.state import State
from letterhead.content.encoded import Encoded
from letterhead.errors import ConnectionFailed, ConnectionLost, ConnectTimedOut, LetterheadError, UsageError
from letterhead.transport import address as addresses
from letterhead.transport.address import Address
from letterhead.transport.connect import connect
from letterhead.transport.sigint import at_most, wait_by, without_sigint
from letterhead.transport.stop import Stop
from letterhead.transport.wire import Received, Wire, is_interruption

Connector = Callable[[str, float | None], Wire]
P = ParamSpec("P")
T = TypeVar("T")

_LINGER_SECONDS = 0.5
_STALE_SECONDS = 0.01
"""A connection that idled for longer is looked at before a call goes there: the server may have closed it."""
_CLOSE_TO = 0.01
"""Seconds: a connection that timed out this close to the end of a call's time did so because of that call."""
_GRACE_SECONDS = 1.0
"""So long after its time a call ends by itself, if no driver did that: the system may have had no thread for one."""

_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()


def _taken() -> threading.Lock:
    """A lock to sleep on, until somebody releases it."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Engine:
    """The threads and connections of one client.

    Args:
        settings: what the client was told.
        servers: their addresses.
        connector: how to connect, if not by the address.

    Attributes:
        core: decides.
        settings: what the client was told.
    """

    def __init__(self, settings: Settings, servers: dict[str, Address], connector: Connector | None) -> None:
        self.settings = settings
        self.core: BlockingCore = ClientCore(settings, clock.chance)
        self._servers = servers
        self._connector = connector
        self._lock = threading.Lock()
        self._inside: set[int] = set()  # threads that wait here, or run here for others
        self._events: list[BlockingEvent] = []  # those that are being carried out
        self._alone: BlockingCall | None = None  # the call whose thread does everything
        self._own_dial: BlockingDial | None = None  # the connection which that one is to make
        self._pipes: set[ClientConnection] = set()
        self._threads: set[threading.Thread] = set()
        self._stop = Stop()
        self._closing = False
        self._posted: deque[Callable[[], object]] = deque()  # what the driver is to do
        self._driver: threading.Thread | None = None
        self._driver_due = NEVER  # when it wakes by itself
        self._kick = _taken()
        self._lines: deque[Logged] = deque()  # for the log, once the lock is free
        self._states = StateTeller(settings.on_state)
        self._warned = False
        _engines.add(self)

    # -- calls -----------------------------------------------------------------------------------------------------

    def perform(self, call: BlockingCall, key: Hashable, upload: Callable[[], object] | None) -> None:
        """Submit a call and wait until it has ended; ``upload`` begins to send its items, where it has any.

        Raises:
            UsageError: the client is closed, the key cannot be hashed, or this thread must not wait here.
        """
        self._before(call)
        thread = self._enter()
        try:
            self._inside.add(thread)
            self._do(call, self._submit, call, key, upload is None)
            if upload is not None:
                upload()
            while not call.done:
                if self._alone is not call:
                    self.sleep(call)
                elif call.connection is not None:
                    self._receive_alone(call, call.connection.pipe)
                elif self._own_dial is not None:
                    self._dial_alone(call)
                else:
                    self.sleep(call, self.core.due)  # until a server may be tried again
        except BaseException:  # Ctrl-C, or whatever else was raised here: nobody waits for the result
            self._do(call, self._cancel, call)
            raise
        finally:
            if self._alone is call:
                self._alone = None
            self._inside.discard(thread)

    def open(self, call: BlockingCall, key: Hashable, upload: Callable[[], object] | None) -> None:
        """Submit a call whose result is a stream; raises what ``perform`` does."""
        self._before(call)
        with self.waiting():
            try:
                self._do(call, self._submit, call, key, False)
                if upload is not None:
                    upload()
            except BaseException:
                self._do(call, self._cancel, call)
                raise

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark this thread as one that waits here.

        Raises:
            UsageError: it is one already.
        """
        thread = self._enter()
        try:
            self._inside.add(thread)
            yield
        finally:
            self._inside.discard(thread)

    def sleep(self, call: BlockingCall, until: float | None = None) -> None:
        """Wait until something has happened to a call, as long as it may take, or ``until`` then."""
        waiter = call.waiter = _taken()
        if call.done or (call.incoming is not None and call.incoming.items):
            return  # before the waiter was there
        seconds = clock.seconds_until(call.ends + _GRACE_SECONDS if until is None else until)
        if not wait_by(partial(waiter.acquire, True), seconds):
            self._do(call, self._tick)

    def leave(self, call: BlockingCall) -> None:
        """Cancel a stream whose rest nobody wants; from a signal handler or a finalizer, by the driver."""
        if threading.get_ident() in self._inside:
            self.abandon(call)
        else:
            with self.waiting():
                self._do(call, self._cancel, call)

    def abandon(self, call: BlockingCall) -> None:
        """Have the driver cancel a call soon; may be called from anywhere, in the midst of anything."""
        self._posted.append(partial(self._do, None, self._cancel, call))
        if self._driver is not None:
            self._wake_driver()
        else:
            with contextlib.suppress(RuntimeError):  # no more threads: the process ends, and so do its connections
                _thread.start_new_thread(self._start_driver, ())

    def give_back(self, call: BlockingCall) -> None:
        """Items were taken: send the credit that is due for them."""
        with self.waiting():
            self._do(call, lambda: self.core.give_back(call, clock.monotonic()))

    def close(self) -> None:
        """End everything and wait for the threads.

        Raises:
            UsageError: this thread is in the midst of a call.
        """
        with self.waiting():
            self._closing = True
            self._do(None, lambda: self.core.close(clock.monotonic()))
            self._wake_driver()
            self._stop.stop()
            for thread in self._threads - {threading.current_thread()}:
                while thread.is_alive():
                    thread.join(at_most(threading.TIMEOUT_MAX))

    # -- uploads ---------------------------------------------------------------------------------------------------

    def writable(self, call: BlockingCall) -> bool:
        """Wait until an item of its upload may be sent; False once the call has ended."""
        while not call.done:
            sender = _taken()
            if self._do(call, self._ask_to_send, call, sender):
                return True
            sender.acquire()
        return False

    def send_item(self, call: BlockingCall, item: Encoded, small: Encoded) -> bool:
        """Send an item, as ``small`` where the server reads that, once it may be sent; False if the call has ended.

        Raises:
            UsageError: a header field of its own cannot be sent.
        """
        while self.writable(call):
            if self._do(call, lambda: self.core.send_item(call, item, clock.monotonic(), small)):
                return True
        return False

    def end_upload(self, call: BlockingCall) -> None:
        """Say that no more items will come."""
        if call.upload_begun or self.writable(call):
            self._do(call, lambda: self.core.end_upload(call, clock.monotonic()))

    def fail_upload(self, call: BlockingCall, failure: BaseException) -> bool:
        """The upload of a call raised this; whether the caller hears of it."""
        return self._do(call, lambda: self.core.fail_upload(call, failure, clock.monotonic()))

    def _before(self, call: BlockingCall) -> None:
        if refuse_to_block() and not self._warned:
            self._warned = True
            log.write_blocking(self.settings.address)
        if self.settings.compression:
            pack(call.opening, self.core.compressions())

    def _enter(self) -> int:
        """This thread, which does not wait here already.

        Raises:
            UsageError: this thread waits here already.
        """
        thread = threading.get_ident()
        if thread in self._inside:
            raise UsageError(
                "this thread is in the midst of a call of this client, and would wait for itself: use another client "
                "in signal handlers, finalizers and log handlers, or set a flag there that the program looks at"
            )
        return thread

    # -- a call alone ----------------------------------------------------------------------------------------------

    def _receive_alone(self, call: BlockingCall, pipe: ClientConnection) -> None:
        try:
            with self._lock:
                if self._alone is not call:
                    return
                pipe.reader = call
                due = self.core.due
            left = at_most(clock.seconds_until(due))
            seconds = left if left < NEVER else None
            if pipe.outbox and not pipe.inbox:
                pipe.wait(read=True, timeout=seconds)
                seconds = 0.0
            pipe.receive(seconds)
            self._do(call, self._take_in_alone, call, pipe)
        finally:
            if pipe.reader is call:
                pipe.reader = None

    def _take_in_alone(self, call: BlockingCall, pipe: ClientConnection) -> None:
        """Take in what came, and let others receive; nothing, if one does already since this thread was interrupted."""
        if pipe.reader is call:
            pipe.reader = None
        if pipe.reader is None:
            self._take_in(pipe)

    def _dial_alone(self, call: BlockingCall) -> None:
        dial: BlockingDial | None = None
        try:
            with self._lock:
                dial, self._own_dial = self._own_dial, None
            if dial is not None:
                self._dial(dial, call)
        except BaseException:
            if dial is not None:
                self._do(call, self._interrupted, dial, call)
            raise

    def _interrupted(self, dial: BlockingDial, call: BlockingCall) -> None:
        self._cancel(call)  # first: it needs no other connection
        self.core.dial_abandoned(dial, clock.monotonic())

    # -- steps -----------------------------------------------------------------------------------------------------

    def _do(self, own: BlockingCall | None, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Take a step: call ``step`` with the lock held, and carry out what the core asks for.

        Args:
            own: the call that this thread is here for. The driver takes the main thread's step where others are open.
        """
        try:
            if threading.get_ident() != threading.main_thread().ident:
                with self._lock:
                    return self._step(step, *args, **kwargs)
            bound_step = partial(step, *args, **kwargs)
            results = without_sigint(self._main_step, own, bound_step)
        finally:
            while self._lines:
                with contextlib.suppress(IndexError):  # another thread writes them, too
                    log.write(self._lines.popleft())
        return results[0] if results else self._by_driver(bound_step)

    def _main_step(self, own: BlockingCall | None, step: Callable[[], T]) -> list[T]:
        """Take a step in the main thread, unless it is the driver's, as the one before it may be still."""
        with self._lock:
            calls = self.core.calls
            return [] if self._posted or len(calls) > (own in calls) else [self._step(step)]

    def _step(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """With the lock held: take a step."""
        try:
            try:
                result = step(*args, **kwargs)
            except LetterheadError:
                self._handle()
                raise
            self._handle()
            return result
        except LetterheadError:
            raise
        except BaseException:  # nobody knows how far the step came
            self._start_anew("the connection was given up: a thread was interrupted in the midst of a step on it")
            raise

    def _by_driver(self, step: Callable[[], T]) -> T:
        """Have the driver take a step in the place of this thread."""
        done = _taken()
        results: list[T] = []
        failures: list[BaseException] = []

        def run() -> None:
            try:
                results.append(self._do(None, step))
            except BaseException as failure:
                failures.append(failure)
            finally:
                done.release()

        if self._start_driver():
            self._posted.append(run)
            self._wake_driver()
            wait_by(partial(done.acquire, True))
        else:  # the system has no more threads
            with self._lock:
                return self._step(step)
        if failures:
            raise failures[0]
        return results[0]

    def _submit(self, call: BlockingCall, key: Hashable, alone: bool) -> None:
        core = self.core
        for pipe in list(self._pipes):
            if pipe.reader is None and clock.monotonic() - pipe.connection.heard > _STALE_SECONDS:
                pipe.receive(0.0)
                self._tell(pipe)
        busy = (
            core.calls or core.connecting or any(pipe.reader or core.is_wanted(pipe.connection) for pipe in self._pipes)
        )
        self._alone = call if alone and not busy else None
        core.submit(call, clock.monotonic(), key)

    def _cancel(self, call: BlockingCall) -> None:
        for pipe in list(self._pipes):  # what came while its thread was interrupted
            if pipe.reader is None:
                self._tell(pipe)
        if not call.done and call not in self.core.calls:  # it was refused, or was never submitted
            call.fail(left_early())
        self.core.cancel(call, clock.monotonic())

    def _ask_to_send(self, call: BlockingCall, sender: threading.Lock) -> bool:
        if call.done or self.core.may_send(call):
            return True
        call.sender = sender
        return False

    def _tick(self) -> None:
        now = clock.monotonic()
        if self.core.due <= now:
            self.core.tick(now)

    def _take_in(self, pipe: ClientConnection) -> None:
        """Tell the core what came on a connection, and what time it is."""
        self._tell(pipe)
        if pipe.closed:
            self._free(pipe)
        elif pipe.outbox:
            self._flush(pipe)
        self._tick()

    def _tell(self, pipe: ClientConnection) -> None:
        """Tell the core what came on a connection."""
        connection, core = pipe.connection, self.core
        while pipe.inbox:
            came: Received = pipe.inbox.popleft()
            if pipe.closed:
                continue
            if not came:
                core.closed(connection, "closed the connection", clock.monotonic())
            elif isinstance(came, bytes):
                core.received(connection, came, clock.monotonic())
            elif isinstance(came, int):
                core.filled(connection, came, clock.monotonic())
            else:
                core.closed(connection, addresses.how_it_broke(came), clock.monotonic())

    # -- what the core asks for ------------------------------------------------------------------------------------

    def _handle(self) -> None:
        """Carry out the core's events, and see that somebody reads, writes and minds the time where that is due."""
        core = self.core
        while True:
            while core.events:
                self._events, core.events = core.events, []
                for event in self._events:
                    if isinstance(event, Call):
                        self._ended(event)
                    elif isinstance(event, Send):
                        self._flush(event.connection.pipe)
                    elif isinstance(event, Readable):
                        _wake_reader(event.call)
                    elif isinstance(event, Writable):
                        _wake_sender(event.call)
                    elif isinstance(event, Dial):
                        self._begin_dial(event)
                    elif isinstance(event, Close):
                        event.connection.pipe.close()
                        self._free(event.connection.pipe)
                    elif isinstance(event, StateChanged):
                        self._states.tell(event.state)
                    elif isinstance(event, Logged):
                        self._lines.append(event)
                    else:
                        assert_never(event)
                self._events.clear()  # nothing of a call is kept that has ended
            if not self._is_alone:
                self._share()
            if not core.events:
                return

    @property
    def _is_alone(self) -> bool:
        """Whether one call is all that is open, and its thread does everything."""
        return self._alone is not None and not self._alone.done

    def _share(self) -> None:
        """In shared mode: start the threads that are needed and not there."""
        dial, self._own_dial = self._own_dial, None
        if dial is not None:
            self._start_dial(dial)
        needed = bool(self.core.calls)
        for pipe in list(self._pipes):
            if pipe.outbox and pipe.writer is None:
                self._start_writer(pipe)
            if self.core.is_wanted(pipe.connection):
                needed = True
                if pipe.reader is None:
                    self._start_reader(pipe)
        if needed and (self._driver is None or self.core.due < self._driver_due):
            self._ensure_driver()
            self._driver_due = self.core.due
            self._wake_driver()

    def _ended(self, call: BlockingCall) -> None:
        if not call.opening.streams:  # else it is told with the end of the items
            call.tell_timing()
        _wake_reader(call)
        _wake_sender(call)

    def _flush(self, pipe: ClientConnection) -> None:
        """Send what goes without waiting."""
        if pipe.closed:
            return
        core, connection, outbox = self.core, pipe.connection, pipe.outbox
        try:
            outbox.send(connection.protocol.out)
        except Exception as error:
            if is_interruption(error):
                raise
            core.closed(connection, addresses.how_it_broke(error), clock.monotonic())
            return
        if outbox:
            if outbox.until_stalled() <= 0:
                core.stalled(connection, clock.monotonic())
            elif not pipe.paused:
                pipe.paused = True
                core.pause_writing(connection)
        elif pipe.paused:
            pipe.paused = False
            core.resume_writing(connection, clock.monotonic())

    def _free(self, pipe: ClientConnection) -> None:
        """Part with a connection that is closed, once nobody waits on it."""
        if pipe.free():
            self._pipes.discard(pipe)

    # -- connecting ------------------------------------------------------------------------------------------------

    def _begin_dial(self, dial: BlockingDial) -> None:
        if self._alone is not None and len(self._servers) == 1 and self._own_dial is None:
            self._own_dial = dial  # its thread has nothing else to do
        else:
            self._alone = None
            self._start_dial(dial)

    def _start_dial(self, dial: BlockingDial) -> None:
        name = dial.endpoint.name
        if not self._start(partial(self._dial, dial), "letterhead-connect"):
            failure = ConnectionFailed(f"cannot connect to {name}: the system has no more threads", address=name)
            self.core.connect_failed(dial, failure, clock.monotonic())

    def _dial(self, dial: BlockingDial, call: BlockingCall | None = None) -> None:
        """Make a connection.

        Args:
            dial: the core's wish.
            call: the one that this thread is here for.
        """
        limits, name = self.settings.limits, dial.endpoint.name
        where = self._servers[name]
        wire: Wire | None = None
        try:
            try:
                seconds = None if call is None else max(0.001, clock.seconds_until(call.ends, limits.connect_seconds))
                if self._connector is None:
                    wire = connect(where, seconds, limits, self._stop)
                else:
                    wire = self._connector(name, seconds)
                if wire is None:
                    raise ConnectionFailed(f"the connector made no connection to {where}", address=name)
            except BaseException as error:  # also what a connector of the user's own raises
                theirs = self._connector is not None and isinstance(error, Exception)
                if call is not None and not theirs and is_interruption(error):
                    raise
                failure = addresses.connect_failed(where, error, limits.connect_seconds)
                own = call is not None and clock.monotonic() > call.ends - _CLOSE_TO
                if own and isinstance(failure, ConnectTimedOut):  # others, who may have more time, try by themselves
                    self._do(call, self._dial_abandoned, dial)
                else:
                    self._do(call, lambda: self.core.connect_failed(dial, failure, clock.monotonic()))
                return
            self._do(call, self._connected, dial, wire)
        except BaseException:
            made = wire
            if made is not None:
                self._do(call, lambda: None if any(pipe.wire is made for pipe in self._pipes) else made.close())
            raise

    def _connected(self, dial: BlockingDial, wire: Wire) -> None:
        pipe = ClientConnection(wire, self.settings.limits.write_seconds)
        self._pipes.add(pipe)
        pipe.connection = self.core.connected(dial, pipe, clock.monotonic())

    def _dial_abandoned(self, dial: BlockingDial) -> None:
        self._tick()  # first: a call whose time is over needs no other connection
        self.core.dial_abandoned(dial, clock.monotonic())

    # -- threads ---------------------------------------------------------------------------------------------------

    def _start(self, run: Callable[[], object], name: str) -> threading.Thread | None:
        """Start a thread that works for all; None where the system has no more."""
        thread = threading.Thread(target=self._run, args=(run,), name=name, daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except BaseException as failure:
            if thread.ident is None:
                self._threads.discard(thread)
            if not isinstance(failure, RuntimeError):
                raise
            return None if thread.ident is None else thread  # what interrupts ``start`` may come out as one, too
        return thread

    def _run(self, run: Callable[[], object]) -> None:
        """In a thread of ours: no call may be made here, by a handler of log lines for instance."""
        ident = threading.get_ident()
        self._inside.add(ident)
        try:
            run()
        finally:
            self._inside.discard(ident)
            self._threads.discard(threading.current_thread())

    def _start_reader(self, pipe: ClientConnection) -> None:
        """See that somebody receives for all."""
        if pipe.thread is None:
            pipe.thread = self._start(partial(self._read, pipe), "letterhead-reader")
        if pipe.thread is None:
            self.core.closed(pipe.connection, "cannot be read: the system has no more threads", clock.monotonic())
            return
        pipe.reader = pipe.thread  # at once, so that nobody else begins to
        pipe.unpark()

    def _read(self, pipe: ClientConnection) -> None:
        """Receive for all, as long as something is open."""
        while self._do(None, self._read_on, pipe) or self._park(pipe):
            pipe.receive(None)

    def _read_on(self, pipe: ClientConnection) -> bool:
        """Take in what came; whether to receive more."""
        self._take_in(pipe)
        return self._claim(pipe)

    def _claim(self, pipe: ClientConnection) -> bool:
        """Whether this thread receives: where somebody waits for bytes, and nobody else receives them."""
        if pipe.reader is not None and pipe.reader is not pipe.thread:
            return False
        on = not pipe.closed and not self._is_alone and self.core.is_wanted(pipe.connection)
        pipe.reader = pipe.thread if on else None
        return on

    def _park(self, pipe: ClientConnection) -> bool:
        """Nothing is open: sleep until something is, or end; whether to receive."""
        while True:
            with self._lock:
                if self._claim(pipe):
                    return True
                if pipe.closed or self._closing:
                    pipe.thread = None
                    self._free(pipe)
                    return False
                parked = pipe.parked = _taken()
            self._wake_driver()  # it may be that nothing is left for it to mind, either
            if parked.acquire(timeout=_LINGER_SECONDS):
                continue
            with self._lock:
                pipe.parked = None
                if pipe.reader is None:
                    pipe.thread = None
                    return False

    def _start_writer(self, pipe: ClientConnection) -> None:
        """See that what is unsent goes."""
        pipe.writer = self._start(partial(self._write, pipe), "letterhead-writer")
        if pipe.writer is None:
            self.core.closed(pipe.connection, "cannot be written to: the system has no more threads", clock.monotonic())

    def _write(self, pipe: ClientConnection) -> None:
        while self._do(None, self._write_on, pipe):
            pipe.wait(read=False, timeout=None)

    def _write_on(self, pipe: ClientConnection) -> bool:
        """Send what goes; whether there is more."""
        self._flush(pipe)
        if pipe.outbox and not pipe.closed:
            return True
        pipe.writer = None
        self._free(pipe)
        return False

    def _ensure_driver(self) -> None:
        if self._driver is None:
            self._driver_due = NEVER
            self._driver = self._start(self._drive, "letterhead-driver")

    def _start_driver(self) -> bool:
        """Whether there is a driver now; where the system has no more threads, there is none."""
        with self._lock:
            self._ensure_driver()
            return self._driver is not None

    def _wake_driver(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is awake, or about to be
            self._kick.release()

    def _take_posted(self) -> None:
        while self._posted:
            try:
                self._posted[0]()
            finally:
                self._posted.popleft()  # not before: until then nothing may overtake it

    def _drive(self) -> None:
        """Do what was posted, and mind the time, as long as anything is open."""
        with self._lock:
            if self._driver is None:  # whoever started it was interrupted
                self._driver = threading.current_thread()
            elif self._driver is not threading.current_thread():
                return
        try:
            while True:
                self._take_posted()
                self._do(None, self._tick)
                with self._lock:
                    needed = self._is_needed()
                    self._driver_due = self.core.due if needed else NEVER
                if needed:
                    self._kick.acquire(timeout=clock.seconds_until(self._driver_due, -1))
                elif not (self._closing or not self._kick.acquire(timeout=_LINGER_SECONDS)):
                    continue
                elif self._dismiss():
                    return
        finally:
            if self._driver is threading.current_thread():  # a step of it failed
                self._driver = None
                if self._posted:
                    self._start_driver()

    def _dismiss(self) -> bool:
        """Let the driver end, unless there is something to do."""
        with self._lock:
            if self._posted or self._is_needed():
                return False
            self._driver = None
            if self._posted:  # by a finalizer, which takes no lock, and which still saw the driver
                self._driver = threading.current_thread()
                return False
            return True

    def _is_needed(self) -> bool:
        core = self.core
        return bool(core.calls) or any(core.is_wanted(pipe.connection) for pipe in self._pipes)

    # -- beginning anew --------------------------------------------------------------------------------------------

    def _start_anew(self, why: str) -> None:
        """With the lock held: go on with a new core; what is open fails with ``ConnectionLost``."""
        old, pipes = self.core, self._pipes
        self.core, self._pipes = old.successor(), set()
        self._own_dial = None
        lost = ConnectionLost(why, address=self.settings.address)
        untold = [event for event in (*self._events, *old.events) if isinstance(event, Call)]
        for call in (*old.calls, *untold):
            if not call.done:
                call.fail(lost)
            self._ended(call)
        for pipe in pipes:
            pipe.close()

    def forget(self) -> None:
        """In the child of a fork: what the parent has open stays the parent's; this side connects anew."""
        pipes = self._pipes
        for pipe in pipes:  # no thread of the parent waits here
            pipe.reader = pipe.writer = pipe.thread = pipe.parked = None
        self._lock = threading.Lock()  # a thread of the parent may have held it
        self._inside, self._threads, self._stop = set(), set(), Stop()
        self._posted.clear()
        self._driver, self._driver_due, self._kick = None, NEVER, _taken()
        self._lines.clear()
        self._states = StateTeller(self.settings.on_state)
        self._alone = None
        self._start_anew("this process was forked; the connection is its parent's")


class StateTeller:
    """Calls ``on_state`` with each state, one after the other, in a thread that lives while there is one to tell."""

    def __init__(self, on_state: Callable[[State], object] | None) -> None:
        self._on_state = on_state
        self._states: deque[State] = deque()
        self._lock = threading.Lock()
        self._running = False

    def tell(self, state: State) -> None:
        """Call it soon."""
        if self._on_state is None:
            return
        with self._lock:
            self._states.append(state)
            if self._running:
                return
            self._running = True
        try:
            threading.Thread(target=self._run, name="letterhead-state", daemon=True).start()
        except RuntimeError:  # the system has no more threads: it is told with the next one
            self._running = False

    def _run(self) -> None:
        on_state = self._on_state
        while on_state is not None:
            with self._lock:
                if not self._states:
                    self._running = False
                    return
                state = self._states.popleft()
            try:
                on_state(state)
            except BaseException as error:  # nobody else would hear of it
                log.write_failure("on-state-failed", "on_state failed", error)


def _wake_reader(call: BlockingCall) -> None:
    """Wake who waits for its result, or for the next item of that."""
    waiter, call.waiter = call.waiter, None
    if waiter is not None:
        waiter.release()


def _wake_sender(call: BlockingCall) -> None:
    """Wake who waits to send an item of its upload."""
    sender, call.sender = call.sender, None
    if sender is not None:
        sender.release()


def _forget_connections() -> None:
    for engine in _engines:
        engine.forget()


os.register_at_fork(after_in_child=_forget_connections)
