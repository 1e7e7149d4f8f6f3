"""One worker, of the parts that ``fastlane worker`` joins, but with the executor that ends at once; works until it is terminated.

The folder, the Redis URL and the installation come as ``FASTLANE_…`` settings, as for ``fastlane worker``. Where a witness is named, it
is told the job's id whenever the executor is asked to start an execution.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import click
import uvloop

from benchmarks import witness
from fastlane import app, log, process
from fastlane.config.load import load
from fastlane.executors.base import Activation
from fastlane.models.placement.host import HostView
from tests.support.instant import InstantExecutor


class Instant(InstantExecutor):
    """Says without counting how much runs on a host: nothing, since everything ends as it starts."""

    witnessed = witness.VARIABLE in os.environ

    def hosts(self) -> Sequence[HostView]:
        """As the port says."""
        return self._views

    async def open(self) -> None:
        """Looks once."""
        self._views = super().hosts()

    async def activate(self, host: str, service_id: str) -> Activation:
        """As the port says."""
        if self.witnessed:
            witness.note(self._run(host, service_id).order.job_id)
        return await super().activate(host, service_id)


async def work() -> None:
    """For ever, once it has said ``ready``."""
    settings = load("worker", options={}, config=None).settings
    log.configure(settings.log_format, settings.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    factories = app.Factories(executor=lambda settings, clock: Instant(app.hosts_of(settings.pools), clock))
    async with app.running("worker", settings, factories):
        click.echo("ready")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.setswitchinterval(process.SWITCH_INTERVAL)
    uvloop.run(work())
