"""huey: its consumer with one worker thread, and its scheduler as it comes."""

from collections.abc import Callable
from datetime import UTC, datetime

from huey import RedisHuey

from benchmarks.witness import note


class Peer:
    """The queue at a unix socket. ``delay`` takes a moment in seconds since 1970."""

    def __init__(self, socket: str) -> None:
        self._huey = RedisHuey("bench", url=f"unix://{socket}", results=False)
        self._task = self._huey.task(name="note")(note)

    def enqueue(self, token: str) -> None:
        """Enqueues a job for now."""
        self._task(token)

    def delay(self, token: str, due: float) -> None:
        """Enqueues a job for later."""
        self._task.schedule((token,), eta=datetime.fromtimestamp(due, UTC))

    def work(self, ready: Callable[[], None]) -> None:
        """Works forever."""
        consumer = self._huey.create_consumer(workers=1, periodic=False)
        ready()
        consumer.run()
