"""A worker in a process of its own, as ``fastlane worker``, but on the engine of ``engine_process``; works until a SIGTERM.

Its settings are fastlane's own; beside them ``FASTLANE_TEST_SOCKET``: the engine's socket. What takes minutes in earnest is shortened.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace

import uvloop

from fastlane import app, log, process
from fastlane.config.load import load
from fastlane.scheduler.repair import rebuilder
from tests.support.engine_process import SharedExecutor

RECONCILE = 2.0
rebuilder.BUILDER_LOST_AFTER = 3000


async def work() -> None:
    """One worker, until it is told to stop."""
    settings = load("worker", options={}, config=None).settings
    log.configure(settings.log_format, settings.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    factories = app.Factories(
        executor=lambda settings, _clock: SharedExecutor(os.environ["FASTLANE_TEST_SOCKET"], app.hosts_of(settings.pools)),
        worker_settings=lambda settings: replace(app.worker_settings(settings), reconcile=RECONCILE),
    )
    async with app.running("worker", settings, factories):
        await stop.wait()


if __name__ == "__main__":
    sys.setswitchinterval(process.SWITCH_INTERVAL)
    uvloop.run(work())
