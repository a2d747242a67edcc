"""What goes compressed: only where the server is known to read it, on whichever connection the call is in the end."""

import gzip

import pytest

from letterhead.client.calls import action_call, stream_call
from letterhead.client.openings import pack
from letterhead.content.compression import compress
from letterhead.errors import BadContent, ForeignProtocol, TooLarge
from letterhead.limits import Limits
from tests.client.core.world import Asked, World
from tests.protocol.pairs import control, hello, reply
from tests.wire.frames import Frame, frame

LONG = "x" * 5_000
READS_GZIP = frame({"id": 1, "max-open": 128, "credit": 1 << 20, "accept-compression": ["gzip", "zstd", "br"]})


def reads_gzip(frames: list[Frame]) -> bytes:
    """The script of a server that reads gzip and answers with the size of what came."""
    said = b""
    for sent in frames:
        if sent.id == 1:
            said += READS_GZIP + reply(1, {"result": None})
        else:
            said += reply(sent.id, len(sent.content))
    return said


def packed_call(world: World) -> Asked:
    """A call whose arguments were compressed in advance, as a shell does."""
    call: Asked = action_call(world.settings, "store", (), {"text": LONG}, None, None, None, None)
    pack(call.opening, world.settings.compression)
    assert call.opening.packed is not None
    return call


def test_where_the_server_reads_it_a_call_goes_compressed() -> None:
    world = World(compression=["gzip"])
    world.site.script = reads_gzip
    assert world.core.compressions() == ()
    world.calls("first")
    assert world.core.compressions() == ("gzip",)
    call = world.submits(packed_call(world))
    sent = world.site.sent[-1]
    assert sent.header["compression"] == "gzip"
    assert gzip.decompress(sent.content) == b'{"text":"%b"}' % LONG.encode()
    assert world.result(call) == len(sent.content)


def test_where_it_is_not_known_to_the_call_goes_as_it_is() -> None:
    world = World(compression=["gzip"])
    world.site.script = reads_gzip
    world.submits(packed_call(world))
    assert "compression" not in world.site.sent[0].header
    assert world.site.sent[0].value["value"] == {"text": LONG}


def test_a_call_that_goes_elsewhere_is_compressed_only_if_it_is_read_there() -> None:
    world = World("a:1", "b:1", compression=["gzip"], chance=lambda: 0.0)
    world.site.script = lambda frames: READS_GZIP + reply(1, {"result": None}) if frames[0].id == 1 else b""
    world.calls("first")
    call = world.submits(packed_call(world))
    assert world.site.sent[-1].header["compression"] == "gzip"
    world.says(control(None, closing=1))
    assert world.result(call) == {"text": LONG}
    other = world.sites["b:1"]
    assert all("compression" not in sent.header for sent in other.sent)


def test_only_what_is_wanted_and_read_is_used_and_the_clients_order_counts() -> None:
    world = World(compression=["gzip"])
    world.site.script = reads_gzip
    world.calls("first")
    assert world.core.compressions() == ("gzip",)
    plain = World()
    plain.site.script = reads_gzip
    plain.calls("first")
    assert plain.core.compressions() == ()


def test_of_several_servers_it_is_that_of_the_calls_own() -> None:
    world = World("a:1", "b:1", compression=["gzip"], chance=lambda: 0.0)
    world.site.script = lambda frames: READS_GZIP + reply(1, {"result": None}) if frames[0].id == 1 else b""
    world.calls("first")
    call = world.uploads("store")
    assert (world.core.compressions(), world.core.compressions(call)) == ((), ("gzip",))


def test_the_server_is_told_what_is_read_here() -> None:
    world = World(compression=["gzip"])
    world.calls("first")
    world.calls("second")
    assert [sent.header.get("accept-compression") for sent in world.site.sent] == [["gzip"], ["gzip"]]


def answered(content: bytes, compression: list[str], limits: Limits | None = None) -> Asked:
    world = World(compression=compression, limits=limits or Limits())
    said = {"id": 1, "compression": "gzip", "content-type": "text/json", "content-encoding": "utf-8"}
    world.site.script = lambda _: hello() + frame(said, content)
    return world.calls("first")


def test_a_compressed_answer_is_read_up_to_the_limit() -> None:
    limits = Limits(json_bytes=2_000, content_bytes=3_000)
    fits = compress(b'{"result":"%b"}' % (b"x" * 1_500), "gzip")
    grows = compress(b'{"result":"%b"}' % (b"x" * 2_500), "gzip")
    call = answered(fits, ["gzip"], limits)
    assert call.result(None, limits) == "x" * 1_500
    with pytest.raises(TooLarge):
        answered(grows, ["gzip"], limits).result(None, limits)
    with pytest.raises(BadContent):
        answered(b"no gzip", ["gzip"], limits).result(None, limits)


def test_one_that_was_not_asked_for_is_a_breach() -> None:
    call = answered(compress(b'{"result":1}', "gzip"), [])
    assert isinstance(call.error, ForeignProtocol)


def test_a_stream_is_opened_compressed_too() -> None:
    world = World(compression=["gzip"])
    world.site.script = reads_gzip
    world.calls("first")
    call: Asked = stream_call(world.settings, "search", (), {"text": LONG}, None, None, None)
    pack(call.opening, world.settings.compression)
    world.submits(call)
    assert world.site.sent[-1].header["compression"] == "gzip"
