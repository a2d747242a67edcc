"""How a server leaves within a program: drain, close, both at once, hooks that fail, what handlers can know."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from letterhead import App, Cancelled, Limits, current
from letterhead.server.server import Server
from tests import leaks
from tests.app.calling import client_to, served
from tests.conftest import Run
from tests.net.raw import all_received, code_of, connect, echo_app, named, opening, received

QUICK = Limits(linger_quiet_seconds=0.02, drain_cancel_seconds=0.3)


class Scene:
    """An application whose `wait` ends when `gate` says so, and what its hooks did."""

    def __init__(self, limits: Limits = QUICK) -> None:
        self.app = App(limits=limits)
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.order: list[str] = []
        self.app.on_stop(lambda: self.order.append("stopped"))

        @self.app.action
        async def wait() -> str:
            self.begun.set()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.order.append("cancelled")
                raise
            self.order.append("answered")
            return "answer"


def test_drain_answers_what_was_accepted_and_leaves_the_rest_to_close(run: Run) -> None:
    async def main() -> None:
        scene = Scene()
        async with served(scene.app) as server, client_to(server) as client:
            call = asyncio.ensure_future(client.call("wait"))
            await scene.begun.wait()
            draining = asyncio.ensure_future(server.drain())
            await asyncio.sleep(0)
            scene.gate.set()
            assert await call == "answer"
            await client.close()
            assert await draining is True
            assert scene.order == ["answered"]
        assert scene.order == ["answered", "stopped"]

    run(main())


def test_drain_cancels_nothing_when_its_time_is_over(run: Run) -> None:
    async def main() -> None:
        scene = Scene()
        async with served(scene.app) as server, client_to(server) as client:
            call = asyncio.ensure_future(client.call("wait"))
            await scene.begun.wait()
            assert await server.drain(timeout=0.01) is False
            assert await server.drain(timeout=0.0) is False
            scene.gate.set()
            assert await call == "answer"

    run(main())


def test_draining_what_does_not_run_is_done_at_once(run: Run) -> None:
    async def main() -> None:
        server = served(App())
        assert await server.drain() is True
        await server.close()

    run(main())


def test_nobody_new_is_let_in_from_then_on(run: Run) -> None:
    async def main() -> None:
        async with Server(echo_app(QUICK), ["127.0.0.1:0"]) as server:
            assert await server.drain() is True
            with pytest.raises(ConnectionRefusedError):
                host, port = server.addresses[0].split(":")
                await asyncio.open_connection(host, int(port))

    run(main())


def test_close_cancels_what_takes_longer_and_tells_its_caller(run: Run) -> None:
    async def main() -> None:
        scene = Scene()
        async with served(scene.app) as server, client_to(server) as client:
            call = asyncio.ensure_future(client.call("wait"))
            await scene.begun.wait()
            await server.close(timeout=0.01)
            with pytest.raises(Cancelled, match="the server is going away"):
                await call
        assert scene.order == ["cancelled", "stopped"]

    run(main())


def test_all_who_close_wait_for_one_end(run: Run) -> None:
    async def main() -> None:
        scene = Scene()
        async with served(scene.app) as server, client_to(server) as client:
            call = asyncio.ensure_future(client.call("wait"))
            await scene.begun.wait()
            ends = [asyncio.ensure_future(server.close()) for _ in range(3)]
            ends.append(asyncio.ensure_future(server.close(20.0)))
            await asyncio.sleep(0)
            assert not any(end.done() for end in ends)
            scene.gate.set()
            await asyncio.gather(*ends)
            assert await call == "answer"
        assert scene.order == ["answered", "stopped"]

    run(main())


def test_who_has_less_time_shortens_it_for_all(run: Run) -> None:
    async def main() -> None:
        scene = Scene()
        async with served(scene.app) as server, client_to(server) as client:
            call = asyncio.ensure_future(client.call("wait"))
            await scene.begun.wait()
            patient = asyncio.ensure_future(server.close(600.0))
            await asyncio.sleep(0)
            await server.close(0.0)
            await patient
            with pytest.raises(Cancelled):
                await call

    run(main())


@pytest.mark.parametrize("first", [True, False])
def test_one_who_waits_no_longer_takes_nothing_from_the_others(run: Run, first: bool) -> None:
    async def main() -> None:
        scene = Scene()
        async with served(scene.app) as server, client_to(server) as client:
            call = asyncio.ensure_future(client.call("wait"))
            await scene.begun.wait()
            ends = [asyncio.ensure_future(server.close()) for _ in range(2)]
            await asyncio.sleep(0)
            ends.pop(0 if first else 1).cancel()
            scene.gate.set()
            await ends[0]
            assert await call == "answer"
        assert scene.order == ["answered", "stopped"]

    run(main())


def test_an_event_loop_that_ends_meanwhile_skips_no_stop_hook() -> None:
    scene: list[Scene] = []

    async def main() -> None:
        scene.append(Scene())
        server = served(scene[0].app)
        await server.start()
        client = client_to(server)
        call = asyncio.ensure_future(client.call("wait"))
        await scene[0].begun.wait()
        call.add_done_callback(lambda call: call.cancelled() or call.exception())
        asyncio.ensure_future(server.close()).add_done_callback(lambda end: end.cancelled() or end.exception())
        await asyncio.sleep(0)

    asyncio.run(main())
    assert scene[0].order == ["cancelled", "stopped"]


def test_a_server_may_be_started_again_after_its_end(run: Run) -> None:
    async def main() -> None:
        server = served(echo_app(QUICK))
        for number in range(2):
            await server.start()
            async with client_to(server) as client:
                assert await client.call("echo", number) == number
            await server.close()

    run(main())


# Hooks


def failing(*errors: Exception) -> tuple[App, list[str]]:
    """An application with a stop hook for each error, and one before and behind them."""
    app, order = App(), list[str]()

    def fail(error: Exception) -> None:
        raise error

    app.on_stop(lambda: order.append("first entered"))
    for error in errors:
        app.on_stop(lambda error=error: fail(error))
    app.on_stop(lambda: order.append("last entered"))
    return app, order


def test_a_stop_hook_that_fails_does_not_skip_the_later_ones(run: Run) -> None:
    async def main() -> None:
        app, order = failing(ValueError("one"))
        server = served(app)
        await server.start()
        with pytest.raises(ValueError, match="one"):
            await server.close()
        assert order == ["last entered", "first entered"]
        await server.close()

    run(main())


def test_the_errors_of_several_stop_hooks_are_raised_together(run: Run) -> None:
    async def main() -> None:
        app, order = failing(ValueError("one"), KeyError("two"))
        server = served(app)
        await server.start()
        with pytest.raises(ExceptionGroup) as caught:
            await server.close()
        assert [type(error) for error in caught.value.exceptions] == [KeyError, ValueError]
        assert order == ["last entered", "first entered"]

    run(main())


def test_a_stop_hook_may_close_its_server_without_waiting_for_itself(run: Run) -> None:
    async def main() -> None:
        app = App()
        server = served(app)
        app.on_stop(server.close)
        await server.start()
        await server.close()

    run(main())


# What handlers and clients can know


def test_a_handler_knows_that_its_server_leaves(run: Run) -> None:
    async def main() -> None:
        app, begun = App(limits=QUICK), asyncio.Event()

        @app.action
        async def endless() -> AsyncIterator[bool]:
            begun.set()
            while not current().draining:
                yield current().draining
                await asyncio.sleep(0)
            yield current().draining

        async with served(app) as server, client_to(server) as client:
            items = client.stream("endless")
            got = [await anext(items)]
            await begun.wait()
            closing = asyncio.ensure_future(server.close())
            got += [item async for item in items]
            await closing
        assert (got[0], got[-1]) == (False, True)

    run(main())


def test_health_says_draining_on_connections_that_stand(run: Run) -> None:
    async def main() -> None:
        scene = Scene()
        async with Server(scene.app, ["127.0.0.1:0"]) as server:
            with connect(server.addresses[0]) as sock:
                told = await asyncio.to_thread(_talk, sock, scene, server, asyncio.get_running_loop())
        health = told[2]
        assert (told[0], told[1]) == ("unavailable", "answer")
        assert health["status"] == "draining"
        assert health["requests"]["refused-draining"] == 1
        assert health["requests"]["failed"] == {"unavailable": 1}

    run(main())


def _talk(sock: Any, scene: Scene, server: Server, loop: asyncio.AbstractEventLoop) -> tuple[str, Any, Any]:
    """Ask, have the server drain, ask for more: what was refused, answered, and the health."""
    sock.sendall(opening(1, "wait"))
    assert received(sock).header["max-open"] == 128
    asyncio.run_coroutine_threadsafe(scene.begun.wait(), loop).result()
    draining = asyncio.run_coroutine_threadsafe(server.drain(), loop)
    assert received(sock).header["closing"] == 1
    sock.sendall(named(2, "wait") + named(3, "letterhead.health"))
    refused, health = received(sock), received(sock)
    loop.call_soon_threadsafe(scene.gate.set)
    (answer,) = all_received(sock)
    sock.close()
    assert draining.result() is True
    return code_of(refused), answer.result, health.json()


def test_a_first_request_that_was_under_way_is_answered_unavailable(run: Run) -> None:
    async def main() -> None:
        limits = Limits(linger_quiet_seconds=leaks.PATIENCE)
        async with Server(echo_app(limits), ["127.0.0.1:0"]) as server:
            with connect(server.addresses[0]) as sock:
                await leaks.until(lambda: server.shared.connections)
                draining = asyncio.ensure_future(server.drain())
                await asyncio.sleep(0.01)
                sock.sendall(opening(1, "echo", 1))
                hello, closing, refused = await asyncio.to_thread(all_received, sock)
            assert (hello.header["id"], closing.header["closing"], code_of(refused)) == (1, 0, "unavailable")
            assert await draining is True

    run(main())
