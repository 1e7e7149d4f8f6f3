"""A job that runs and writes a line every few milliseconds, through fastlane's own pump: ``python -m benchmarks.followers_writer LINES``.

The executor is a fake; the store, the hints and the pump are those of a worker. It prints ``ready``, then the path of the job's
WebSocket. A line begins with the time of its creation (``time.monotonic_ns``, which processes of one machine share) and its number.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from typing import Any, cast

import click
import uvloop

from fastlane import app, log
from fastlane.clock import SystemClock
from fastlane.config.load import load
from fastlane.models import transitions
from fastlane.models.job import Spec, Started
from fastlane.models.log import STDOUT, Mark, Piece, Portion
from fastlane.models.schedule import Schedule
from fastlane.streams.pump import Pump

LENGTH = 78


def line(number: int) -> bytes:
    """A new line."""
    return b"%d %d " % (time.monotonic_ns(), number) + b"x" * (LENGTH - 27 - len(str(number))) + b"\n"


class Lines:
    """The fake engine: one log, a line at a time."""

    def __init__(self, a_second: float) -> None:
        self._pause = 1 / a_second

    async def logs(self, *_what: object, **_how: object) -> AsyncGenerator[Portion, None]:
        loop = asyncio.get_running_loop()
        number, due = 0, loop.time()
        while True:
            due += self._pause
            await asyncio.sleep(due - loop.time())
            now = time.time_ns()
            yield Portion([Piece(STDOUT, now, line(number))], {STDOUT: Mark(now, 1)})
            number += 1


async def run(a_second: float) -> None:
    """Creates the job, and writes forever."""
    settings, clock = load("worker").settings, SystemClock()
    log.configure("json", "warning")
    redis_url = settings.redis_url or ""
    store, hub, queue = app.make_store(settings), app.make_hub(settings, redis_url), app.make_queue(settings, redis_url)
    async with app.opened(store), app.opened(hub), app.opened(queue):
        services = app.make_services(settings, store, queue, hub, clock)
        made = await services.submissions.enqueue("bench", Spec("ubuntu:latest"), Schedule())
        execution = await store.execution(made.execution_id or "")
        assert execution is not None
        changes = (
            lambda row: transitions.claim(row, host="h", pool="default", now=clock.now()),
            lambda row: transitions.bind(row, service_id="s", swarm_id="s", image_digest=None, now=clock.now()),
            lambda row: transitions.run(row, Started("t", "c", clock.now())),
        )
        for change in changes:
            execution = await store.change(change(execution))
            assert execution is not None
        click.echo("ready")
        click.echo(f"/tasks/bench/jobs/{made.job_id}/ws")
        pump = Pump(store, cast(Any, Lines(a_second)), clock, execution.id, most=1 << 40, publish=hub.publish)
        await pump.follow("h", "t")


if __name__ == "__main__":
    uvloop.run(run(float(sys.argv[1])))
