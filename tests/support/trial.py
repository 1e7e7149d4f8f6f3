"""A process on trial: fastlane's own parts, a worker's or an API's, with their ports watched. (``nursery.py`` starts it.)

Its settings are fastlane's own. Beside them: ``FASTLANE_TEST_TRIP`` where to end or freeze (see ``seams.Trip``; empty: nowhere),
``FASTLANE_TEST_JOURNAL`` the journal's path, ``FASTLANE_TEST_WITNESS`` a folder that every container gets at ``/witness``,
``FASTLANE_TEST_RECONCILE`` seconds between the reconciler's rounds. What takes minutes in earnest is shortened.
"""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastlane import app, log
from fastlane.config.load import load
from fastlane.config.settings import Settings
from fastlane.config.types import Role
from fastlane.executors.swarm.service import spec
from fastlane.scheduler.repair import rebuilder
from fastlane.scheduler.watch import execution_watch
from fastlane.scheduler.worker import WorkerSettings
from tests.support.seams import Hook, Journal, Trip, report_idleness, watched

execution_watch.RECHECK = 1.0
rebuilder.BUILDER_LOST_AFTER = 3000
GONE_AFTER = 3.0
RENEW = 0.5


def with_witness(folder: str) -> None:
    """Gives each container of this process the folder, where it tells of its start: a mount, which these jobs do not ask for."""
    plain = spec.creation

    def creation(*arguments: Any) -> dict[str, Any]:
        made = plain(*arguments)
        made["TaskTemplate"]["ContainerSpec"]["Mounts"] = [{"Type": "bind", "Source": folder, "Target": "/witness"}]
        return made

    spec.creation = creation


def writes_ended(path: Path) -> Callable[[], None]:
    """Returns when the writer thread has done what it had to do: a process frozen amid a transaction would lock the others out.

    It is called in the event loop's thread, so nothing new comes meanwhile.
    """

    def wait() -> None:
        time.sleep(0.05)
        db = sqlite3.connect(path, timeout=10, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
        db.close()

    return wait


def quick_worker(settings: Settings) -> WorkerSettings:
    """A worker's settings with short intervals."""
    usual = app.worker_settings(settings)
    reconcile = float(os.environ["FASTLANE_TEST_RECONCILE"])
    return replace(usual, renew=RENEW, reconcile=reconcile, limits=replace(usual.limits, gone_after=GONE_AFTER))


def watched_by(hook: Hook) -> app.Factories:
    """What fastlane runs on, with its ports watched."""
    return app.Factories(
        store=lambda settings: watched("store", app.make_store(settings), hook),
        queue=lambda settings, url: watched("queue", app.make_queue(settings, url), hook),
        executor=lambda settings, clock: watched("engine", app.make_executor(replace(settings, breaker_reset=2.0), clock), hook),
        worker_settings=quick_worker,
    )


async def main(role: Role) -> None:
    """Runs one process until a SIGTERM."""
    settings = load(role).settings
    log.configure(settings.log_format, settings.log_level)
    journal = Journal(Path(os.environ["FASTLANE_TEST_JOURNAL"]))
    hook = Hook(journal, Trip.of(os.environ.get("FASTLANE_TEST_TRIP", "")), writes_ended(settings.store_path))
    with_witness(os.environ["FASTLANE_TEST_WITNESS"])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    reporting = asyncio.create_task(report_idleness(journal))
    async with app.running(role, settings, watched_by(hook)):
        await stop.wait()
    reporting.cancel()
