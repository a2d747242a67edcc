"""The legal moves: what the tables allow, and that whatever they leave out is refused."""

from typing import Any

import pytest

from letterhead.errors import BadHeader
from letterhead.protocol.fields import Kind
from letterhead.protocol.states import AT_CLIENT, AT_SERVER, IdState, Move, move

# Protocol section 4, "a frame from the client with `id` …".
FROM_CLIENT = {
    (IdState.NEW, Kind.NAMED): Move.OPEN,
    (IdState.NEW, Kind.PLAIN): Move.OPEN,
    (IdState.UPLOADING, Kind.PLAIN): Move.PART,
    (IdState.UPLOADING, Kind.CANCEL): Move.CANCEL,
    (IdState.UPLOADING, Kind.CREDIT): Move.CREDIT,
    (IdState.OPEN, Kind.CANCEL): Move.CANCEL,
    (IdState.OPEN, Kind.CREDIT): Move.CREDIT,
    (IdState.PAST, Kind.NAMED): Move.DROP,
    (IdState.PAST, Kind.PLAIN): Move.DROP,
    (IdState.PAST, Kind.CANCEL): Move.IGNORE,
    (IdState.PAST, Kind.CREDIT): Move.IGNORE,
}
EVERY_PAIR = [(state, kind) for state in IdState for kind in Kind]
Pair = tuple[IdState, Kind]


def shown(value: Any) -> str:
    return str(value.name.lower())


@pytest.mark.smoke
@pytest.mark.parametrize(("state", "kind"), EVERY_PAIR, ids=shown)
def test_a_server_takes_what_section_4_allows_and_refuses_all_else(state: IdState, kind: Kind) -> None:
    if (state, kind) in FROM_CLIENT:
        assert move(AT_SERVER, state, kind) is FROM_CLIENT[state, kind]
    else:
        with pytest.raises(BadHeader):
            move(AT_SERVER, state, kind)


@pytest.mark.parametrize("kind", Kind, ids=shown)
def test_a_client_refuses_any_frame_for_an_id_it_never_opened(kind: Kind) -> None:
    with pytest.raises(BadHeader):
        move(AT_CLIENT, IdState.NEW, kind)


@pytest.mark.parametrize("state", IdState, ids=shown)
@pytest.mark.parametrize("kind", [Kind.NAMED, Kind.PLAIN, Kind.CANCEL], ids=shown)
def test_a_client_refuses_what_only_clients_send(state: IdState, kind: Kind) -> None:
    with pytest.raises(BadHeader):
        move(AT_CLIENT, state, kind)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ((IdState.OPEN, Kind.REPLY), Move.REPLY),
        ((IdState.OPEN, Kind.CREDIT), Move.CREDIT),
        ((IdState.PAST, Kind.CREDIT), Move.IGNORE),
        ((IdState.PAST, Kind.REPLY), Move.DROP),
        ((IdState.NONE, Kind.REPLY), Move.FAIL),
        ((IdState.NONE, Kind.CLOSING), Move.CLOSING),
    ],
)
def test_a_client_s_moves(pair: Pair, expected: Move) -> None:
    assert move(AT_CLIENT, *pair) is expected


def test_a_refused_move_says_what_came_for_what() -> None:
    with pytest.raises(BadHeader, match=r"named.*open") as caught:
        move(AT_SERVER, IdState.OPEN, Kind.NAMED)
    assert caught.value.field == "id"
