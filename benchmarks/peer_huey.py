"""The peer of dispatch: huey, a job queue on Redis that keeps no state of a job. Left out where it is not installed."""

import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from benchmarks.processes import child
from tests.support.redis import RealRedis

PATIENCE = 120.0


def rate(jobs: int) -> list[float]:
    """No-ops processed a second by one worker process, from the first enqueue to the end of the last; empty without huey."""
    if find_spec("huey") is None:
        return []
    with RealRedis() as redis, child("peer_huey", str(redis.socket)):
        queue = _queue(str(redis.socket))
        no_op = queue.task(name="no_op")(_nothing)
        _process(queue, no_op, 100)  # a warm-up
        return [jobs / _process(queue, no_op, jobs)]


def _process(queue: Any, no_op: Any, jobs: int) -> float:
    began = time.perf_counter()
    for _ in range(jobs):
        no_op()
    while queue.pending_count():
        if time.perf_counter() - began > PATIENCE:
            raise TimeoutError("huey did not work its queue off")
        time.sleep(0.002)
    return time.perf_counter() - began


def _queue(socket: str) -> Any:
    return import_module("huey").RedisHuey("bench", url=f"unix://{socket}", results=False)


def _nothing() -> None:
    """The task."""


def consume(socket: str) -> None:
    """The consumer, until it is terminated."""
    queue = _queue(socket)
    queue.task(name="no_op")(_nothing)
    consumer = queue.create_consumer(workers=1, periodic=False)
    click.echo("ready")
    sys.stdout.flush()
    consumer.run()


if __name__ == "__main__":
    # A task is known by its function's module, which must have the same name on both sides.
    import_module("benchmarks.peer_huey").consume(sys.argv[1])
