"""One worker, of the parts that ``fastlane worker`` joins, but with the executor that ends at once; works until it is terminated.

The folder, the Redis URL and the installation come as ``FASTLANE_…`` settings, as for ``fastlane worker``.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence

import click
import uvloop

from fastlane import app, log
from fastlane.clock import SystemClock
from fastlane.config import load
from fastlane.models.placement import HostView
from fastlane.queue.redis import RedisQueue
from fastlane.scheduler.worker import Worker
from tests.support.instant import InstantExecutor


class Instant(InstantExecutor):
    """Says without counting how much runs on a host: nothing, since everything ends as it starts."""

    def hosts(self) -> Sequence[HostView]:
        """As the port says."""
        return self._views

    async def open(self) -> None:
        """Looks once."""
        self._views = super().hosts()


async def work() -> None:
    """For ever, once it has said ``ready``."""
    settings = load("worker", options={}, config=None).settings
    log.configure(settings.log_format, settings.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with app.open_store(settings) as store:
        queue = RedisQueue(settings.redis_url or "", settings.installation)
        executor = Instant(app.hosts_of(settings.pools), SystemClock())
        worker = Worker(store, queue, executor, SystemClock(), app.worker_settings(settings))
        async with app.opened(queue), app.working(executor, worker):
            click.echo("ready")
            sys.stdout.flush()
            await stop.wait()


if __name__ == "__main__":
    sys.setswitchinterval(app.SWITCH_INTERVAL)
    uvloop.run(work())
