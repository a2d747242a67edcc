"""Every bound of a server or client, one frozen dataclass: default, unit and reason beside each.

The defaults were chosen against what trusted servers use (nginx, HAProxy, gRPC, NATS, Redis, websockets); see
``docs/limits.md``. Sizes are bytes, times seconds. ``Limits(content_bytes=64 << 20)`` raises one and keeps the rest.
"""

from dataclasses import dataclass, fields

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what a peer may cost.

    Raises:
        ValueError: a limit is out of its range; the sentence names it.
    """

    # -- frames ----------------------------------------------------------------------------------------------------
    header_bytes: int = 16_383
    """Largest header. Never more: ASCII text is told from a frame by its length bytes (protocol section 1)."""
    header_fields: int = 64
    """Fields in one header."""
    header_depth: int = 8
    """Nesting of a header, itself being depth 1."""
    content_bytes: int = 16 * MIB
    """Content of one frame, also once decompressed (gRPC's 4 MiB is its users' complaint)."""
    json_bytes: int = 4 * MIB
    """JSON content: decoding costs several times its size in memory."""
    msgpack_bytes: int = 4 * MIB
    """Msgpack content: one byte may become an empty list of 56, where JSON spends three bytes on that."""
    content_depth: int = 64
    """Nesting of JSON and msgpack content; deeper is an attack on recursion, not data."""

    # -- one connection --------------------------------------------------------------------------------------------
    max_open: int = 128
    """Exchanges open at once on one connection (nginx 128)."""
    initial_credit: int = MIB
    """Bytes of stream items that may be sent before credit is given."""
    late_bytes: int = 18 * MIB
    """Late frames dropped before the connection is closed: one largest frame, and some."""
    skip_bytes: int = MIB
    """Over-large content up to this size is skipped, the connection kept; above, skipping costs more than closing."""
    control_frames: int = 200
    """Control frames in ``control_seconds`` before the connection is closed (HTTP/2's rapid reset)."""
    control_seconds: float = 10.0
    """The window of ``control_frames``."""
    write_high: int = 256 * KIB
    """Unsent bytes above which a connection is no longer read, and no further handler of it begins, anywhere."""
    write_low: int = 64 * KIB
    """Unsent bytes below which it is read again."""

    # -- the whole server ------------------------------------------------------------------------------------------
    connections: int = 10_000
    """Connections at once; also never above the open-file limit less 256."""
    buffered_bytes: int = 256 * MIB
    """Memory held over all connections: content and headers of requests, and answers that are not sent yet."""
    backlog: int = 1_024
    """Connections that the kernel queues before they are accepted."""
    log_lines: int = 10
    """Log lines a second about misbehaving peers; further ones are counted."""

    # -- times -----------------------------------------------------------------------------------------------------
    connect_seconds: float = 10.0
    """A client's wait for a connection."""
    first_byte_seconds: float = 10.0
    """From the accepted connection to its first byte."""
    header_seconds: float = 10.0
    """From a header's first byte to its last."""
    content_quiet_seconds: float = 20.0
    """Content without a single byte."""
    content_rate: int = 1_000
    """Bytes a second that must come of content, and that a peer must take, in ``content_quiet_seconds`` and beyond."""
    idle_seconds: float = 300.0
    """A connection on which nothing is open and nothing comes."""
    write_seconds: float = 10.0
    """Unsent bytes of which none are taken."""
    deadline_seconds: float = 30.0
    """A request whose client named no deadline; at a client, how long it waits where a call names no timeout."""
    deadline_max_seconds: float = 300.0
    """The longest deadline accepted; longer ones are shortened to it."""
    stream_quiet_seconds: float = 60.0
    """A stream in a thread whose peer is waited for. It is ended only while others wait for a thread."""
    linger_quiet_seconds: float = 2.0
    """Lingering close: how long the peer must be quiet."""
    linger_seconds: float = 10.0
    """Lingering close: how long in all."""
    drain_seconds: float = 30.0
    """From the request to stop until what is still open is cancelled."""
    drain_cancel_seconds: float = 2.0
    """From then until what does not end although it was cancelled is cut off."""
    keepalive_idle_seconds: int = 20
    """TCP keepalive: quiet before the first probe."""
    keepalive_interval_seconds: int = 5
    """TCP keepalive: between probes."""
    keepalive_probes: int = 3
    """TCP keepalive: unanswered probes before the connection is given up, if the user timeout has not ended it."""
    user_timeout_seconds: float = 25.0
    """TCP user timeout: sent bytes that the peer does not acknowledge."""

    # -- a client that keeps going ---------------------------------------------------------------------------------
    ping_after_seconds: float = 20.0
    """Quiet on a connection of which something is expected, before a ping asks whether the server is there."""
    ping_wait_seconds: float = 20.0
    """From that ping without a single byte until the connection is given up."""
    reconnect_seconds: float = 0.1
    """Longest wait before a client tries again; doubles with each failure. Each is a random part (full jitter)."""
    reconnect_max_seconds: float = 2.0
    """That longest wait grows up to this."""
    repeats: int = 5
    """How often a client sends a call again that was written, where that is safe."""
    slow_start_seconds: float = 10.0
    """How long a server that came back is given less than its share of the calls."""
    eyeballs_seconds: float = 0.25
    """Of a name with several addresses: how long one may take before the next is tried, too (RFC 8305, section 5)."""

    # -- search ----------------------------------------------------------------------------------------------------
    search_query_bytes: int = 1_024
    """A query, in UTF-8."""
    search_terms: int = 16
    """Words, phrases and filters in a query."""
    search_prefixes: int = 2
    """Words that end in ``*`` in a query: each stands for many."""
    search_prefix_letters: int = 3
    """Letters before a ``*`` at least."""
    search_ranked: int = 20_000
    """Of the documents that match, so many are ranked, and those with the words in their title besides."""
    search_seconds: float = 0.25
    """One query (an unbounded one of 5,000 terms was measured to hold SQLite for 57 s)."""
    search_rows: int = 100
    """Hits in one answer."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type is int
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise ValueError(f"{field.name} takes {'an integer' if whole else 'a number'}, not {value!r}")
            if not 0 <= value < float("inf"):
                raise ValueError(f"{field.name} cannot be {value!r}: it takes 0 or more")
        _between("header_bytes", self.header_bytes, 128, 16_383, "longer ones could not be told from other protocols")
        _between("header_depth", self.header_depth, 2, 64, "recursion is bounded")
        _between("header_fields", self.header_fields, 16, 1_024, "the protocol's own fields need room")
        _between("content_depth", self.content_depth, 1, 512, "recursion is bounded")
        _between("max_open", self.max_open, 1, 65_535, "each open exchange holds a slot")
        _between("initial_credit", self.initial_credit, 1, 2**31 - 1, "the hello says it")
        _between("content_bytes", self.content_bytes, 1_024, 2**31 - 1, "one frame is held in memory whole")
        if self.reconnect_max_seconds < self.reconnect_seconds:
            raise ValueError("reconnect_max_seconds must not be below reconnect_seconds, which grows up to it")
        if self.write_low >= self.write_high:
            raise ValueError("write_low must be below write_high, else reading would never start again")


def _between(name: str, value: int, low: int, high: int, reason: str) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} takes {low} to {high}, not {value}: {reason}")
