"""Who has waited long enough."""

from letterhead.waiting import NEVER, Waiting


def test_nobody_is_never_due() -> None:
    assert Waiting[str](5.0).due == NEVER


def test_the_first_to_begin_is_the_first_to_end() -> None:
    waiting = Waiting[str](5.0)
    waiting.begin("a", 1.0)
    waiting.begin("b", 2.0)
    assert waiting.due == 6.0
    assert list(waiting.over(5.9)) == []
    assert list(waiting.over(7.0)) == ["a", "b"]
    assert waiting.due == NEVER


def test_to_begin_again_is_to_wait_from_then_on() -> None:
    waiting = Waiting[str](5.0)
    waiting.begin("a", 1.0)
    waiting.begin("b", 2.0)
    waiting.begin("a", 3.0)
    assert list(waiting.over(7.5)) == ["b"]
    assert waiting.due == 8.0


def test_who_is_forgotten_waits_no_more() -> None:
    waiting = Waiting[str](5.0)
    waiting.begin("a", 1.0)
    waiting.forget("a")
    waiting.forget("b")
    assert "a" not in waiting
    assert list(waiting.over(100.0)) == []


def test_a_shorter_time_holds_for_who_waits_already() -> None:
    waiting = Waiting[str](5.0)
    waiting.begin("a", 1.0)
    waiting.seconds = 1.0
    assert list(waiting.over(2.0)) == ["a"]


def test_who_begins_again_while_others_are_given_out_is_not_given_out_again() -> None:
    waiting = Waiting[str](1.0)
    waiting.begin("a", 1.0)
    waiting.begin("b", 1.0)
    given = []
    for who in waiting.over(2.0):
        given.append(who)
        waiting.begin(who, 2.0)
    assert given == ["a", "b"]
