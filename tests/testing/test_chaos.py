"""Whatever a network does, and in whatever order: each call ends, with its own answer or with an error of ours."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead import App, LetterheadError, testing
from letterhead.testing import Connected, Faults

FAULTS = st.builds(
    Faults,
    delay=st.sampled_from([0.0, 0.2, 3.0]),
    jitter=st.sampled_from([0.0, 0.5]),
    bandwidth=st.sampled_from([None, 100.0, 10_000.0]),
    single_bytes=st.booleans(),
    stall_after=st.none() | st.integers(0, 500),
    reset_after=st.none() | st.integers(0, 500),
    reset_chance=st.sampled_from([0.0, 0.0, 0.3]),
    half_open_after=st.none() | st.integers(0, 500),
    direction=st.sampled_from(["both", "to-server", "to-client"]),
    seed=st.integers(0, 5),
)
STEPS = st.lists(
    st.sampled_from(["partition", "refuse", "reset_all", "heal"]) | FAULTS | st.sampled_from([0.1, 1.0, 10.0]),
    max_size=8,
)


def application() -> App:
    app = App()

    @app.action
    async def echo(number: int, filler: str) -> int:
        await asyncio.sleep(0.1)
        return number

    return app


async def do(step: "str | Faults | float", connection: Connected, clock: testing.FixedClock) -> None:
    if isinstance(step, str):
        getattr(connection, step)()
    elif isinstance(step, Faults):
        connection.faults = step
    else:
        await clock.advance(step)


@settings(max_examples=60)
@given(steps=STEPS)
def test_each_call_ends_and_with_a_good_network_all_is_well_again(steps: "list[str | Faults | float]") -> None:
    clock = testing.fixed_clock(jumps=True)

    async def main() -> None:
        connection = testing.connected(application())
        async with connection as client:
            calls = []
            for number, step in enumerate(steps):
                await do(step, connection, clock)
                filler = "x" * (number * 300)
                calls.append(asyncio.create_task(client.call("echo", number=number, filler=filler, timeout=5.0)))
                await clock.advance(0.05)
            for number, outcome in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
                assert outcome == number or isinstance(outcome, LetterheadError), outcome
            connection.heal()
            connection.reset_all()
            await clock.advance(0)
            assert await client.call("echo", number=7, filler="", timeout=30.0) == 7
        await clock.advance(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert connection.counts.open_now == 0

    clock.run(main())
