"""A worker made of the same parts as ``fastlane worker``, but with an executor that ends each job at once. Runs until it is terminated.

With the word ``up`` it is made of the parts of ``fastlane up``.

It reads the folder, the Redis URL and the installation from ``FASTLANE_…`` settings. If a witness is named, it records the job's id
whenever the executor starts an execution.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import cast

import click
import uvloop

from benchmarks import witness
from fastlane import app, log, process
from fastlane.config.load import load
from fastlane.config.types import Role
from fastlane.executors.port import Activation
from fastlane.models.host import HostView
from tests.support.defaults import hosts_of
from tests.support.instant import InstantExecutor


class Forgetful(list[str]):
    """A list of starts that keeps none, so that a worker's memory is its own."""

    def append(self, _start: str) -> None:
        """Keeps nothing."""


class Instant(InstantExecutor):
    """Reports without counting that nothing runs on a host, because everything ends as it starts."""

    witnessed = witness.VARIABLE in os.environ

    def hosts(self) -> Sequence[HostView]:
        """See the port."""
        return self._views

    async def open(self) -> None:
        """Takes one snapshot."""
        self._views = super().hosts()

    async def activate(self, host: str, service_id: str) -> Activation:
        """See the port."""
        if self.witnessed:
            witness.note(self._run(host, service_id).order.job_id)
        return await super().activate(host, service_id)


async def work(role: Role) -> None:
    """Prints ``ready``, then works forever."""
    settings = load(role, options={}, config=None).settings
    log.configure(settings.log_format, settings.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    factories = app.Factories(executor=lambda settings, clock: Instant(hosts_of(settings.pools), clock, witness=Forgetful()))
    async with app.running(role, settings, factories):
        click.echo("ready")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    process.tune_interpreter()
    uvloop.run(work(cast(Role, sys.argv[1] if len(sys.argv) > 1 else "worker")))
