"""dramatiq: one worker process with eight threads, as it comes, without results."""

import time
from collections.abc import Callable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.witness import note


class Peer:
    """The queue at a unix socket. ``delay`` takes a moment in seconds since 1970."""

    def __init__(self, socket: str) -> None:
        self._broker = RedisBroker(url=f"unix://{socket}")
        self._actor = dramatiq.actor(note, actor_name="note", broker=self._broker)

    def enqueue(self, token: str) -> None:
        """Enqueues a job for now."""
        self._actor.send(token)

    def delay(self, token: str, due: float) -> None:
        """Enqueues a job for later."""
        self._actor.send_with_options(args=(token,), delay=max(0, round((due - time.time()) * 1000)))

    def work(self, ready: Callable[[], None]) -> None:
        """Works forever."""
        self._broker.emit_after("process_boot")
        dramatiq.Worker(self._broker, worker_threads=8).start()
        ready()
        while True:
            time.sleep(3600)
