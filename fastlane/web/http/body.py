"""A request's body as it arrives. Each body has a limit, and all bodies together share a bounded amount of memory."""

DRAIN_LIMIT = 64 * 1024 * 1024
"""Unread request bodies are drained up to this size, in bytes; then the connection is closed."""
UNCOUNTED = 16 * 1024
"""The first bytes of each body do not count against the shared memory, so an ordinary job, which is far smaller, is always accepted."""
MAX_MEMORY = 64 * 1024 * 1024
"""The memory, in bytes, that all bodies share."""


class BodyMemory:
    """The memory that the bodies of all requests under way share. ``used`` is in bytes."""

    def __init__(self) -> None:
        self.used = 0

    def reserve(self, size: int) -> bool:
        """Takes more memory; False when there is not enough left."""
        if self.used + size > MAX_MEMORY:
            return False
        self.used += size
        return True

    def release(self, size: int) -> None:
        """Gives memory back."""
        self.used -= size


class RequestBody:
    """Receives one request's body. With a ``limit`` (in bytes) it keeps the body; without one it only drains it.

    ``data`` is what was kept so far. ``out_of_memory`` says that a part is missing because other requests use the shared memory.
    """

    __slots__ = ("_limit", "_memory", "_received", "_reserved", "data", "out_of_memory")

    def __init__(self, memory: BodyMemory, limit: int | None) -> None:
        self._memory = memory
        self._limit = limit
        self._received = 0
        self._reserved = 0
        self.data = bytearray()
        self.out_of_memory = False

    @property
    def too_large(self) -> bool:
        """Whether more than the limit has arrived."""
        return self._limit is not None and self._received > self._limit

    @property
    def undrainable(self) -> bool:
        """Whether the body is larger than ``DRAIN_LIMIT``: the connection is then closed instead of drained."""
        return self._received > DRAIN_LIMIT

    def exceeds_limit(self, content_length: str) -> bool:
        """Whether a body announced with this Content-Length is larger than the limit."""
        is_number = content_length.isascii() and content_length.isdigit()
        return self._limit is not None and is_number and int(content_length[:20]) > self._limit

    def receive(self, chunk: bytes) -> None:
        """Counts a chunk, and keeps it if the limit and the shared memory allow."""
        self._received += len(chunk)
        if self._limit is not None and not self.too_large and self._reserve():
            self.data.extend(chunk)

    def release(self) -> None:
        """Gives the shared memory back. Safe to repeat."""
        self._memory.release(self._reserved)
        self._reserved = 0

    def _reserve(self) -> bool:
        if self.out_of_memory:
            return False
        more = max(0, self._received - UNCOUNTED) - self._reserved
        if more > 0 and not self._memory.reserve(more):
            self.out_of_memory = True
            return False
        self._reserved += max(0, more)
        return True
