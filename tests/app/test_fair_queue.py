"""``FairQueue`` against the simplest thing that does the same: lists that are looked through."""

from hypothesis import given
from hypothesis import strategies as st

from letterhead.app.fair_queue import FairQueue

OWNERS = ["a", "b", "c"]
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "take", "take", "end", "remove", "pause", "resume"]), st.integers(0, 50)),
    max_size=80,
)


@given(STEPS, st.sampled_from([None, 1, 2, 5]))
def test_what_begins_is_the_oldest_of_an_owner_with_the_least_under_way(
    steps: list[tuple[str, int]], share: int | None
) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(share)
    waiting: list[tuple[str, int]] = []
    under_way: list[str] = []
    paused: set[str] = set()

    def may_begin(owner: str) -> int:
        count = sum(work[0] == owner for work in waiting)
        left = count if share is None else max(0, share - under_way.count(owner))
        return 0 if owner in paused else min(count, left)

    for number, (step, chance) in enumerate(steps):
        owner = OWNERS[chance % 3]
        if step == "put":
            waiting.append((owner, number))
            queue.put(owner, (owner, number))
        elif step == "take":
            taken = queue.take()
            ready = [each for each in OWNERS if may_begin(each)]
            assert (taken is None) == (not ready)
            if taken is not None:
                least = min(under_way.count(each) for each in ready)
                assert taken[0] in ready and under_way.count(taken[0]) == least
                assert taken == next(work for work in waiting if work[0] == taken[0])
                waiting.remove(taken)
                under_way.append(taken[0])
        elif step == "end" and under_way:
            ended = under_way.pop(chance % len(under_way))
            queue.ended(ended)
        elif step == "remove":
            work = (
                waiting.pop(chance % len(waiting)) if waiting and chance % 5 else (owner, -1)
            )  # also what is not there
            queue.remove(work[0], work)
        elif step == "pause":
            paused.add(owner)
            queue.pause(owner)
        elif step == "resume":
            paused.discard(owner)
            queue.resume(owner)
        assert sorted(queue) == sorted(waiting)
        for each in OWNERS:
            count = sum(work[0] == each for work in waiting)
            assert queue.may_begin(each) == may_begin(each)
            assert queue.waits_for_own(each) == (each not in paused and count > may_begin(each))
        ready_in_all = sum(may_begin(each) for each in OWNERS)
        assert [queue.more_than(places) for places in range(4)] == [ready_in_all > places for places in range(4)]


def test_owners_with_equally_much_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for owner in ("a", "b"):
        for number in range(3):
            queue.put(owner, f"{owner}{number}")
    order = []
    while (work := queue.take()) is not None:
        order.append(work)
        queue.ended(work[0])
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]
