"""A bound on content held in memory, shared by all connections of a server."""


class Budget:
    """Counts bytes held for requests against ``limit``.

    What was received counts, not what was announced: a peer that announces much and sends nothing costs others nothing.
    """

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
