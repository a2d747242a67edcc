"""`testing.connected`: an application and a client of it, and the network between them."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from letterhead import (
    App,
    Client,
    ConnectionLost,
    ConnectRefused,
    DeadlineExceeded,
    LetterheadError,
    Limits,
    UsageError,
    testing,
)
from letterhead.testing import Faults
from tests import leaks
from tests.conftest import Run


def greeter() -> App:
    app = App("greeter")
    app.state.told = []

    @app.on_start
    async def begin() -> None:
        app.state.told.append("start")

    @app.on_stop
    async def end() -> None:
        app.state.told.append("stop")

    @app.action
    async def greet(name: str) -> str:
        return f"hello {name}"

    @app.action
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @app.action
    async def size(content: bytes) -> int:
        return len(content)

    @app.action
    async def wait() -> None:
        app.state.told.append("waits")
        try:
            await asyncio.Event().wait()
        finally:
            app.state.told.append("left")

    return app


@pytest.mark.smoke
def test_async_with_gives_an_async_client_of_a_server_on_the_same_loop(run: Run) -> None:
    async def main() -> None:
        app = greeter()
        async with testing.connected(app) as client:
            assert await client.call("greet", name="Ada") == "hello Ada"
            assert [number async for number in client.stream("count", to=3)] == [0, 1, 2]
            assert app.state.told == ["start"]
        assert app.state.told == ["start", "stop"]

    run(main())


@pytest.mark.smoke
def test_with_gives_a_blocking_client_of_a_server_in_a_thread() -> None:
    app = greeter()
    with testing.connected(app) as client:
        assert client.call("greet", name="Ada") == "hello Ada"
        assert list(client.stream("count", to=3)) == [0, 1, 2]
        assert app.state.told == ["start"]
    assert app.state.told == ["start", "stop"]


def test_options_of_clients_pass_through() -> None:
    async def main() -> None:
        async with testing.connected(greeter(), timeout=0.05, limits=Limits(max_open=1)) as client:
            with pytest.raises(DeadlineExceeded) as raised:
                await client.call("wait")
            assert 0 < raised.value.facts["seconds"] <= 0.05  # less by what connecting took

    leaks.run(main())
    with testing.connected(greeter(), timeout=0.05) as client, pytest.raises(DeadlineExceeded):
        client.call("wait")


def test_an_option_that_clients_do_not_have_is_told_before_anything_starts() -> None:
    app = greeter()

    async def main() -> None:
        async with testing.connected(app, colour="red"):
            pytest.fail("it began")

    with pytest.raises(TypeError, match="colour"):
        leaks.run(main())
    with pytest.raises(TypeError, match="colour"), testing.connected(app, colour="red"):
        pytest.fail("it began")
    assert app.state.told == []


@pytest.mark.parametrize("form", ["async", "blocking"])
def test_what_a_start_hook_raises_is_raised_where_the_block_begins(form: str) -> None:
    app = App()

    @app.on_start
    def begin() -> None:
        raise FileNotFoundError("no configuration")

    async def main() -> None:
        async with testing.connected(app):
            pytest.fail("it began")

    with pytest.raises(FileNotFoundError, match="no configuration"):
        if form == "async":
            leaks.run(main())
        else:
            testing.connected(app).__enter__()


@pytest.mark.parametrize("form", ["async", "blocking"])
def test_what_a_stop_hook_raises_is_raised_where_the_block_ends(form: str) -> None:
    app = App()

    @app.on_stop
    def end() -> None:
        raise OSError("the disk is full")

    async def main() -> None:
        async with testing.connected(app):
            pass

    with pytest.raises(OSError, match="the disk is full"):
        if form == "async":
            leaks.run(main())
        else:
            with testing.connected(app):
                pass


def test_handlers_that_still_run_are_cancelled_when_the_block_ends() -> None:
    app = greeter()

    async def main() -> None:
        async with testing.connected(app) as client:
            call = asyncio.ensure_future(client.call("wait"))
            await leaks.until(lambda: "waits" in app.state.told)
        with pytest.raises(ConnectionLost):
            await call

    leaks.run(main())
    assert app.state.told == ["start", "waits", "left", "stop"]


def test_an_error_in_the_block_is_raised_and_all_is_ended() -> None:
    app = greeter()
    with pytest.raises(ZeroDivisionError), testing.connected(app) as client:
        client.call("greet", name="Ada")
        raise ZeroDivisionError
    assert app.state.told == ["start", "stop"]


def test_one_that_is_in_use_cannot_be_entered_again_until_it_has_ended() -> None:
    connection = testing.connected(greeter())
    with connection as client:
        with pytest.raises(UsageError, match="in use"):
            connection.__enter__()
        assert client.call("greet", name="Ada") == "hello Ada"
    with connection as client:
        assert client.call("greet", name="Bob") == "hello Bob"


def test_one_server_may_have_several_clients(run: Run) -> None:
    async def main() -> None:
        connection = testing.connected(greeter())
        async with connection as client, connection.async_client(timeout=5.0) as other:
            assert await client.call("greet", name="Ada") == "hello Ada"
            assert await other.call("greet", name="Bob") == "hello Bob"

            def in_a_thread() -> str:
                with connection.client() as blocking:
                    answer: str = blocking.call("greet", name="Cy")
                    return answer

            assert await asyncio.to_thread(in_a_thread) == "hello Cy"
            assert connection.counts.connections == 3

    run(main())
    connection = testing.connected(greeter())
    with connection as client, connection.client() as other:
        assert (client.call("greet", name="Ada"), other.call("greet", name="Bob")) == ("hello Ada", "hello Bob")


def test_after_its_end_nobody_is_there() -> None:
    connection = testing.connected(greeter())
    with connection:
        late = connection.client()
    with late, pytest.raises((ConnectRefused, DeadlineExceeded)):
        late.call("greet", name="Ada", timeout=0.5)


def test_further_clients_are_had_where_the_server_is_and_while_it_runs() -> None:
    async def main(connection: testing.Connected) -> None:
        connection.async_client()

    connection = testing.connected(greeter())
    with pytest.raises(UsageError, match="not in use"):
        connection.client()
    with connection, pytest.raises(UsageError, match="a loop of its own"):
        leaks.run(main(connection))


# -- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        Faults(single_bytes=True),
        Faults(delay=0.001, jitter=0.002),
        Faults(bandwidth=10_000_000),
        Faults(single_bytes=True, direction="to-client", delay=0.001),
    ],
    ids=str,
)
def test_a_slow_network_changes_nothing_but_the_time(run: Run, faults: Faults) -> None:
    async def main() -> None:
        connection = testing.connected(greeter(), faults=faults)
        async with connection as client:
            assert await client.call("greet", name="Ada") == "hello Ada"
            assert [number async for number in client.stream("count", to=20)] == list(range(20))
            assert await client.call("size", bytes(3_000)) == 3_000
            assert connection.counts.connections == connection.counts.open_now == 1
            assert connection.counts.to_server > 3_000

    run(main())


def test_a_delay_is_taken_in_each_direction() -> None:
    clock = testing.fixed_clock(jumps=True)

    async def main() -> None:
        async with testing.connected(greeter(), faults=Faults(delay=2.0)) as client:
            await client.call("greet", name="Ada")
            before = clock.now()
            await client.call("greet", name="Ada")
            assert clock.now() - before == pytest.approx(4.0)

    clock.run(main())


def test_what_is_sent_slowly_arrives_at_its_bandwidth() -> None:
    clock = testing.fixed_clock(jumps=True)

    async def main() -> None:
        async with testing.connected(greeter(), faults=Faults(bandwidth=100_000, direction="to-server")) as client:
            assert await client.call("size", bytes(1_000_000), timeout=60.0) == 1_000_000
            assert clock.now() == pytest.approx(10.0, abs=0.1)

    clock.run(main())


def test_a_stalled_upload_holds_a_bounded_amount_and_goes_on_when_healed() -> None:
    async def main() -> None:
        connection = testing.connected(greeter(), faults=Faults(stall_after=1_000))
        async with connection as client:
            call = asyncio.ensure_future(client.call("size", bytes(8_000_000)))
            await leaks.until(lambda: connection.counts.stalled)
            for _ in range(50):
                await asyncio.sleep(0)
            assert connection.counts.to_server == 1_000
            connection.heal()
            assert await call == 8_000_000

    leaks.run(main())


def test_a_reset_ends_open_calls_and_the_next_one_connects_again() -> None:
    async def main() -> None:
        connection = testing.connected(greeter())
        async with connection as client:
            call = asyncio.ensure_future(client.call("wait"))
            await leaks.until(lambda: connection.counts.to_server)
            await client.call("greet", name="Ada")
            connection.reset_all()
            with pytest.raises(ConnectionLost):
                await call
            assert await client.call("greet", name="Bob") == "hello Bob"
            assert (connection.counts.connections, connection.counts.reset) == (2, 1)

    leaks.run(main())


def test_a_connection_is_reset_after_so_many_bytes() -> None:
    connection = testing.connected(greeter())
    with connection as client:
        client.call("greet", name="Ada")
        connection.faults = Faults(reset_after=1_000, direction="to-server")
        with pytest.raises(ConnectionLost):
            client.call("size", bytes(1_000_000))
        assert connection.counts.reset == 1
        connection.heal()
        assert client.call("greet", name="Bob") == "hello Bob"


def test_a_half_open_connection_says_nothing_to_anybody() -> None:
    app = greeter()

    async def main() -> None:
        connection = testing.connected(app)
        async with connection as client:
            call = asyncio.ensure_future(client.call("wait", timeout=0.2))
            await leaks.until(lambda: "waits" in app.state.told)
            connection.faults = Faults(half_open_after=0)
            with pytest.raises(DeadlineExceeded):
                await client.call("greet", name="Ada", timeout=0.01)
            with pytest.raises(DeadlineExceeded):
                await call
            assert connection.counts.half_open == 1
            assert connection.counts.open_now == 1

    leaks.run(main())


def test_chance_resets_the_same_connections_each_time() -> None:
    async def outcomes(seed: int) -> list[str]:
        found = []
        async with testing.connected(greeter(), faults=Faults(reset_chance=0.2, seed=seed)) as client:
            for _ in range(20):
                try:
                    found.append(await client.call("greet", name="Ada"))
                except LetterheadError as error:
                    found.append(error.code)
        return found

    first, again = leaks.run(outcomes(5)), leaks.run(outcomes(5))
    assert first == again
    assert "hello Ada" in first
    assert len(set(first)) > 1


@pytest.mark.parametrize("form", ["async", "blocking"])
def test_a_network_that_refuses_lets_nobody_in_until_it_is_healed(form: str) -> None:
    connection = testing.connected(greeter())

    async def main() -> None:
        async with connection as client:
            connection.refuse()
            with pytest.raises((ConnectRefused, DeadlineExceeded)):
                await client.call("greet", name="Ada", timeout=0.5)
            assert connection.counts.connections == 0
            connection.heal()
            assert await client.call("greet", name="Ada") == "hello Ada"
            connection.refuse()
            assert await client.call("greet", name="Bob") == "hello Bob", "open connections go on"

    if form == "async":
        leaks.run(main())
        return
    with connection as client:
        connection.refuse()
        with pytest.raises((ConnectRefused, DeadlineExceeded)):
            client.call("greet", name="Ada", timeout=0.5)
        assert connection.counts.connections == 0
        connection.heal()
        assert client.call("greet", name="Ada") == "hello Ada"


def test_a_partition_loses_nothing() -> None:
    async def main() -> None:
        connection = testing.connected(greeter())
        async with connection as client:
            await client.call("greet", name="Ada")
            connection.partition()
            call = asyncio.ensure_future(client.call("greet", name="Bob"))
            await leaks.until(lambda: connection.counts.stalled)
            assert not call.done()
            connection.heal()
            assert await call == "hello Bob"

    leaks.run(main())


def test_nobody_connects_while_the_network_is_parted() -> None:
    connection = testing.connected(greeter())
    with connection as client:
        connection.partition()
        with pytest.raises(DeadlineExceeded):
            client.call("greet", name="Ada", timeout=0.1)
        assert connection.counts.connections == 0
        connection.heal()
        assert client.call("greet", name="Ada") == "hello Ada"


def test_handles_take_effect_from_any_thread_before_they_return() -> None:
    connection = testing.connected(greeter())
    with connection as client:
        client.call("greet", name="Ada")
        thread = threading.Thread(target=connection.reset_all)
        thread.start()
        thread.join()
        assert (connection.counts.reset, connection.counts.connections) == (1, 1)
        assert isinstance(client, Client)


def test_leaving_the_block_does_not_wait_for_a_network_on_which_nothing_passes() -> None:
    clock = testing.fixed_clock(jumps=True)
    app = greeter()

    async def main() -> None:
        connection = testing.connected(app)
        async with connection as client:
            call = asyncio.ensure_future(client.call("wait"))
            await clock.advance(0)
            connection.partition()
        with pytest.raises(ConnectionLost):
            await call
        assert clock.now() < 0.1

    clock.run(main())
    assert app.state.told == ["start", "waits", "left", "stop"]
