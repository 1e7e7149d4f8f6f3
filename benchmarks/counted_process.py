"""``fastlane api`` or ``fastlane worker``, of which the instructions are counted. Its own time stands still, so it does what it is asked.

A worker's executor ends each container at once. It reads its settings from ``FASTLANE_…`` variables, prints ``ready``, and runs until it is
terminated.
"""

import asyncio
import signal
import sys
from typing import cast

import click
import uvloop

from benchmarks.counts import EVER_FRESH
from fastlane import app, log, process
from fastlane.config.load import load
from fastlane.config.types import Role
from fastlane.scheduler import launcher
from tests.support.clock import FakeClock
from tests.support.defaults import hosts_of
from tests.support.instant import InstantExecutor


async def work(role: Role) -> None:
    """Prints ``ready``, then works until it is terminated."""
    settings = load(role, options={}, config=None).settings
    log.configure(settings.log_format, settings.log_level)
    clock, stop = FakeClock(), asyncio.Event()
    executor = InstantExecutor(hosts_of(settings.pools), clock)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    factories = app.Factories(clock=lambda: clock, executor=lambda _settings, _clock: executor)
    async with app.running(role, settings, factories):
        click.echo("ready")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    launcher.FRESH = EVER_FRESH
    process.tune_interpreter()
    uvloop.run(work(cast(Role, sys.argv[1])))
