"""One-use tickets in Redis: each is a key that expires."""

from fastlane.queue.redis.keys import Keys
from fastlane.queue.redis.pipeline import Pipeline


class RedisTickets:
    """The port's ``TicketStore``."""

    def __init__(self, pipeline: Pipeline, keys: Keys) -> None:
        self._pipeline = pipeline
        self._keys = keys

    async def put(self, digest: str, text: str, *, ttl: int) -> bool:
        """Keeps a text for ``ttl`` milliseconds; returns False when the digest is in use."""
        return await self._pipeline.call("SET", self._keys.ticket(digest), text, "PX", ttl, "NX") is not None

    async def take(self, digest: str) -> str | None:
        """Returns the text to one caller, and removes it."""
        text: str | None = await self._pipeline.call("GETDEL", self._keys.ticket(digest))
        return text

    async def peek(self, digest: str) -> str | None:
        """Returns the text and leaves it."""
        text: str | None = await self._pipeline.call("GET", self._keys.ticket(digest))
        return text
