"""A bound on the memory that all connections of a server hold, in and out.

What the bytes are, and what is done when they are too many, is not known here.
"""


class Budget:
    """Counts bytes that are held against ``limit``: content and headers that came, and answers that are not sent yet.

    What was received counts, not what was announced: a peer that announces much and sends nothing costs others nothing.
    """

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def fits(self, count: int) -> bool:
        """Whether so many bytes more may be held."""
        return self.used + count <= self.limit
