"""What fails while a server leaves costs what failed: others get their answers, hooks run, `close` ends."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from letterhead import App, Cancelled, Limits, current
from letterhead.server.server import Server
from letterhead.testing import memory
from tests import leaks
from tests.app.calling import client_to, served
from tests.conftest import Run
from tests.net.raw import named

QUICK = Limits(linger_quiet_seconds=0.02, drain_cancel_seconds=0.1)


class Fault(Exception):
    """A bug, somewhere."""


class Broken:
    """A connection that fails in these steps of its end, and does nothing in the others."""

    def __init__(self, server: Server, *steps: str) -> None:
        self._shared = server.shared
        self._steps = steps
        self.taken: list[str] = []
        self._shared.joined(self)

    def drain(self) -> None:
        self._step("drain")

    def cut_off(self) -> None:
        self._step("cut_off")

    def abort(self) -> None:
        self._step("abort")
        self._shared.left(self)

    def _step(self, name: str) -> None:
        self.taken.append(name)
        if name in self._steps:
            raise Fault(name)


class Scene:
    """An application with an action that waits, and what happened, in its order."""

    def __init__(self) -> None:
        self.app = App(limits=QUICK)
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.order: list[str] = []
        self.app.on_stop(lambda: self.order.append("stopped"))

        @self.app.action
        async def wait() -> str:
            self.begun.set()
            await self.gate.wait()
            return "answer"


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as failed while the server left."""
    return [vars(record)["reason"] for record in caplog.records if vars(record).get("event") == "leaving-failed"]


def test_one_that_cannot_be_told_is_cut_and_the_others_are_told(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene()
        server = served(scene.app)
        async with server, client_to(server) as client:
            broken = [Broken(server, "drain") for _ in range(3)]
            call = asyncio.ensure_future(client.call("wait"))
            await scene.begun.wait()
            draining = asyncio.ensure_future(server.drain())
            await leaks.until(lambda: server.shared.runner.draining)
            scene.gate.set()
            assert await call == "answer"
            await client.close()
            assert await draining is True
            assert [each.taken for each in broken] == [["drain", "abort"]] * 3
        assert scene.order == ["stopped"]

    run(main())
    assert len(failures(caplog)) == 3
    assert failures(caplog)[0] == "Fault('drain')"


@pytest.mark.parametrize("step", ["cut_off", "abort"])
def test_one_that_cannot_be_cut_keeps_nobody_from_a_last_word(
    run: Run, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    async def main() -> None:
        scene = Scene()
        server = served(scene.app)
        async with server, client_to(server) as client:
            Broken(server, step)
            call = asyncio.ensure_future(client.call("wait"))
            await scene.begun.wait()
            await server.close(0.0)
            with pytest.raises(Cancelled):
                await call
        assert scene.order == ["stopped"]

    run(main())
    assert set(failures(caplog)) == {f"Fault('{step}')"}


def test_one_that_fails_whatever_is_done_does_not_keep_the_server(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene()
        server = served(scene.app)
        async with server:
            Broken(server, "drain", "cut_off", "abort")
            async with asyncio.timeout(leaks.PATIENCE):
                await server.close(0.0)
        assert scene.order == ["stopped"]

    run(main())
    assert len(failures(caplog)) >= 3


class BrokenPipe(memory.MemoryTransport):
    """A transport that raises, from a moment on, whatever is written to it."""

    broken = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.broken:
            raise Fault("write")
        super().write(data)


def test_a_transport_that_fails_costs_its_own_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        reported: list[Any] = []
        loop.set_exception_handler(lambda _, context: reported.append(context.get("exception")))
        scene = Scene()
        server = served(scene.app)
        async with server, client_to(server) as client:
            pipes: list[BrokenPipe] = []

            async def accept(server: Server, inward: Any, outward: Any) -> None:
                pipes.append(BrokenPipe(loop, inward, outward))
                server.attach(pipes[0], "broken")
                pipes[0].start()

            other = memory.wires(server, loop, accept)
            wire = await asyncio.to_thread(other, memory.ADDRESS, None)
            wire.send([named(1, "letterhead.ping")])
            await leaks.until(lambda: server.shared.counters.served)
            pipes[0].broken = True
            call = asyncio.ensure_future(client.call("wait"))
            await scene.begun.wait()
            async with asyncio.timeout(leaks.PATIENCE):
                await server.close(0.0)
            with pytest.raises(Cancelled):
                await call
            wire.close()
        assert scene.order == ["stopped"]
        assert all(isinstance(error, Fault) for error in reported)

    asyncio.run(main())


def test_stop_hooks_run_where_the_loop_ends_while_what_is_open_is_cut_off() -> None:
    """`asyncio.run` cancels every task when its main one has ended; the server's own end is one of them."""
    order: list[str] = []

    async def main() -> None:
        app = App(limits=Limits(drain_cancel_seconds=600.0))
        app.on_stop(lambda: order.append("stopped"))
        server = served(app)
        await server.start()
        Broken(server)
        closing = asyncio.ensure_future(server.close(0.0))
        await leaks.until(lambda: server.shared.awaited and not closing.done())
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert order == ["stopped"]


def test_stop_hooks_find_what_start_hooks_have_set_and_nothing_of_who_closes_the_server(run: Run) -> None:
    async def main() -> None:
        place: ContextVar[str] = ContextVar("place", default="nowhere")
        app = App(limits=QUICK)
        seen: list[Any] = []
        app.on_start(lambda: place.set("set by a start hook"))

        @app.on_stop
        def stop() -> None:
            try:
                caller: Any = current().action
            except Exception as error:
                caller = type(error).__name__
            seen.append((place.get(), caller))

        server = served(app)
        closing: list[asyncio.Task[None]] = []

        @app.action
        async def leave() -> None:
            place.set("set by a handler")
            closing.append(asyncio.ensure_future(server.close(0.0)))

        async with server, client_to(server) as client:
            await client.call("leave")
            await asyncio.gather(*closing)
        assert seen == [("set by a start hook", "UsageError")]

    run(main())


def test_a_listener_that_cannot_be_closed_keeps_nothing_from_being_done(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        app = App(limits=QUICK)
        order: list[str] = []
        app.on_stop(lambda: order.append("stopped"))
        server = Server(app, ["127.0.0.1:0"])
        async with server:
            (listener,) = server._listeners.listeners
            close: Callable[[], None] = listener.close

            def fails() -> None:
                close()
                raise Fault("close")

            monkeypatch.setattr(listener, "close", fails)
        assert order == ["stopped"]

    run(main())
