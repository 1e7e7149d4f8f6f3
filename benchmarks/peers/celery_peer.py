"""Celery: a worker that runs its jobs in its own process (the solo pool), without results."""

from collections.abc import Callable
from datetime import UTC, datetime

from celery import Celery
from celery.signals import worker_ready

from benchmarks.witness import note


class Peer:
    """The queue at a unix socket. ``delay`` takes a moment in seconds since 1970."""

    def __init__(self, socket: str) -> None:
        self._app = Celery("bench", broker=f"redis+socket://{socket}", broker_connection_retry_on_startup=True, task_ignore_result=True)
        self._task = self._app.task(name="note")(note)

    def enqueue(self, token: str) -> None:
        """Enqueues a job for now."""
        self._task.delay(token)

    def delay(self, token: str, due: float) -> None:
        """Enqueues a job for later."""
        self._task.apply_async((token,), eta=datetime.fromtimestamp(due, UTC))

    def work(self, ready: Callable[[], None]) -> None:
        """Works forever."""
        worker_ready.connect(lambda **_: ready(), weak=False)
        quiet = {"quiet": True, "loglevel": "ERROR", "without_gossip": True, "without_mingle": True, "without_heartbeat": True}
        self._app.Worker(pool="solo", **quiet).start()
