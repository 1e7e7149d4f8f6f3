"""The real queue, with its time in the test's hands."""

from fastlane.queue.redis.queue import RedisQueue
from tests.support.factories import NOW
from tests.support.waiting import PATIENCE


class ClockedQueue(RedisQueue):
    """A queue for which it is ``NOW``, until ``at`` says that it is another moment (milliseconds)."""

    def __init__(self, url: str, installation: str, *, deadline: float = PATIENCE) -> None:
        super().__init__(url, installation, deadline=deadline, time=lambda: self._now)
        self._now = NOW

    def at(self, now: int) -> "ClockedQueue":
        """This queue, for which it is that moment from here on."""
        self._now = now
        return self
