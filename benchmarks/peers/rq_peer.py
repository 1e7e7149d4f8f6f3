"""RQ: its worker that forks for each job, with its scheduler."""

from collections.abc import Callable
from datetime import UTC, datetime

from redis import Redis
from rq import Queue, Worker


class Peer:
    """The queue at a unix socket. ``delay`` takes a moment in seconds since 1970."""

    def __init__(self, socket: str) -> None:
        self._redis = Redis(unix_socket_path=socket)
        self._queue = Queue(connection=self._redis)

    def enqueue(self, token: str) -> None:
        """Enqueues a job for now."""
        self._queue.enqueue("benchmarks.witness.note", token, result_ttl=0)

    def delay(self, token: str, due: float) -> None:
        """Enqueues a job for later."""
        self._queue.enqueue_at(datetime.fromtimestamp(due, UTC), "benchmarks.witness.note", token, result_ttl=0)

    def work(self, ready: Callable[[], None]) -> None:
        """Works forever."""
        worker = Worker([self._queue], connection=self._redis)
        ready()
        worker.work(with_scheduler=True, logging_level="ERROR")
