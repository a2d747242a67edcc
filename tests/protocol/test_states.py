"""The legal moves: what the tables allow, and that whatever they leave out is refused."""

from typing import Any

import pytest

from letterhead.errors import BadHeader
from letterhead.protocol.fields import Kind
from letterhead.protocol.states import AT_CLIENT, AT_SERVER, Move, Standing, move

# Protocol section 4, "a frame from the client with `id` …".
FROM_CLIENT = {
    (Standing.NEW, Kind.NAMED): Move.OPEN,
    (Standing.NEW, Kind.PLAIN): Move.OPEN,
    (Standing.UPLOADING, Kind.PLAIN): Move.PART,
    (Standing.UPLOADING, Kind.CANCEL): Move.CANCEL,
    (Standing.UPLOADING, Kind.CREDIT): Move.CREDIT,
    (Standing.OPEN, Kind.CANCEL): Move.CANCEL,
    (Standing.OPEN, Kind.CREDIT): Move.CREDIT,
    (Standing.PAST, Kind.NAMED): Move.DROP,
    (Standing.PAST, Kind.PLAIN): Move.DROP,
    (Standing.PAST, Kind.CANCEL): Move.IGNORE,
    (Standing.PAST, Kind.CREDIT): Move.IGNORE,
}
EVERY_PAIR = [(standing, kind) for standing in Standing for kind in Kind]
Pair = tuple[Standing, Kind]


def shown(value: Any) -> str:
    return str(value.name.lower())


@pytest.mark.smoke
@pytest.mark.parametrize(("standing", "kind"), EVERY_PAIR, ids=shown)
def test_a_server_takes_what_section_4_allows_and_refuses_all_else(standing: Standing, kind: Kind) -> None:
    if (standing, kind) in FROM_CLIENT:
        assert move(AT_SERVER, standing, kind) is FROM_CLIENT[standing, kind]
    else:
        with pytest.raises(BadHeader):
            move(AT_SERVER, standing, kind)


@pytest.mark.parametrize("kind", Kind, ids=shown)
def test_a_client_refuses_any_frame_for_an_id_it_never_opened(kind: Kind) -> None:
    with pytest.raises(BadHeader):
        move(AT_CLIENT, Standing.NEW, kind)


@pytest.mark.parametrize("standing", Standing, ids=shown)
@pytest.mark.parametrize("kind", [Kind.NAMED, Kind.PLAIN, Kind.CANCEL], ids=shown)
def test_a_client_refuses_what_only_clients_send(standing: Standing, kind: Kind) -> None:
    with pytest.raises(BadHeader):
        move(AT_CLIENT, standing, kind)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ((Standing.OPEN, Kind.REPLY), Move.REPLY),
        ((Standing.OPEN, Kind.CREDIT), Move.CREDIT),
        ((Standing.PAST, Kind.CREDIT), Move.IGNORE),
        ((Standing.PAST, Kind.REPLY), Move.DROP),
        ((Standing.NONE, Kind.REPLY), Move.FAIL),
        ((Standing.NONE, Kind.CLOSING), Move.CLOSING),
    ],
)
def test_a_client_s_moves(pair: Pair, expected: Move) -> None:
    assert move(AT_CLIENT, *pair) is expected


def test_a_refused_move_says_what_came_for_what() -> None:
    with pytest.raises(BadHeader, match=r"named.*open") as caught:
        move(AT_SERVER, Standing.OPEN, Kind.NAMED)
    assert caught.value.field == "id"
