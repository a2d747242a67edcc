"""Items that come when their exchange has ended: those that crossed its last frame are expected, more are not."""

from letterhead.limits import Limits
from tests.protocol.pairs import LIMITS, ServerSide, end, item, named, opening, server_side
from tests.wire.frames import WHOLE, Cut, each_cut, frame

NEXT = frame({"id": 3, "action": "next"})


def uploading(limits: Limits = LIMITS, cut: Cut = WHOLE) -> ServerSide:
    """A connection on which request 2 is open, and its upload goes on."""
    return server_side(limits, cut).hears(frame({"id": 2, "action": "store", "more": True}))


@each_cut
def test_what_was_under_way_when_its_exchange_ended_is_skipped(cut: Cut) -> None:
    one = item(2, bytes(70_000))
    side = uploading(cut=cut).hears(one[:50_000]).answers(0, "enough").hears(one[50_000:], NEXT)
    assert side.actions == ["store", "next"]
    assert [sent.value for sent in side.sent] == ["enough"]


def test_items_within_their_credit_that_cross_the_last_frame_never_close() -> None:
    side = server_side(Limits(late_bytes=1_000, content_bytes=10_000, initial_credit=50_000))
    for id in range(2, 40):
        side.hears(named(id, "store", more=True)).answers(id - 2, "enough")
        side.hears(*[item(id, bytes(9_000))] * 5, item(id, bytes(10_000)), end(id))
    assert not side.ending


def test_the_late_ends_of_very_many_uploads_never_close() -> None:
    side = server_side(Limits(late_bytes=1_000, initial_credit=500))
    for id in range(2, 200):  # each has spent its credit, so that nothing may come but its end
        side.hears(named(id, "store", more=True), item(id, bytes(600)))
        side.answers(id - 2, "enough").hears(end(id))
    assert not side.ending


def test_items_for_a_refused_opening_are_expected() -> None:
    side = server_side(Limits(max_open=1, late_bytes=1_000, content_bytes=10_000, initial_credit=50_000))
    side.hears(opening(2, "a"), named(3, "store", more=True), *[item(3, bytes(10_000))] * 5, end(3))
    assert side.codes == [(3, "too-many")]
    assert not side.ending


def test_more_late_items_than_could_be_expected_close() -> None:
    side = uploading(Limits(late_bytes=1_000, content_bytes=10_000, initial_credit=50_000)).answers(0, "enough")
    side.hears(*[item(2, bytes(10_000))] * 20)
    assert side.codes[-1] == (None, "too-many")
    assert side.ending


def test_items_behind_the_end_that_was_told_are_not_expected() -> None:
    side = uploading(Limits(late_bytes=1_000)).hears(end(2)).answers(0, "done").hears(item(2, bytes(1_000)))
    assert side.codes[-1] == (None, "too-many")
