"""``python -m tests.support.process ROLE``: ``fastlane ROLE`` with the parts and intervals that its ``ProcessOptions`` replace."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastlane import app, log, process, sealing
from fastlane.clock import Clock
from fastlane.config.load import load
from fastlane.config.settings import Settings
from fastlane.config.types import Role
from fastlane.executors.port import Executor
from fastlane.executors.swarm import spec
from fastlane.scheduler import archiver, deliverer, rebuilder, watcher
from fastlane.scheduler.ports import WorkerSettings
from fastlane.sources import labels
from tests.support.process_options import ProcessOptions
from tests.support.seams import Hook, Journal, Trip, Watched, report_idleness


def run(role: Role) -> int:
    """Runs the process until a signal. Returns the exit code."""
    options = ProcessOptions.of_environment()
    loaded = load(role)
    settings = loaded.settings
    log.configure(settings.log_format, settings.log_level)
    change_constants(options)
    factories = factories_of(options)
    if options.journal is None:
        return app.run(role, settings, factories, loaded.access, read_pools=lambda: load(role).settings.pools)
    journal = Journal(Path(options.journal))
    hook = Hook(journal, Trip.of(options.trip), wait_for_writer(settings))
    return process.run(journaled(role, settings, watched_by(hook, factories), journal))


def factories_of(options: ProcessOptions) -> app.Factories:
    """What fastlane runs on."""

    def executor(settings: Settings, clock: Clock) -> Executor:
        reset = settings.breaker_reset if options.breaker_reset is None else options.breaker_reset
        return app.make_executor(replace(settings, breaker_reset=reset), clock)

    def worker_settings(settings: Settings) -> WorkerSettings:
        usual = app.worker_settings(settings)
        changed = {name: value for name in ("renew", "reconcile") if (value := getattr(options, name)) is not None}
        limits = usual.limits if options.gone_after is None else replace(usual.limits, gone_after=options.gone_after)
        return replace(usual, limits=limits, **changed)

    return app.Factories(executor=executor, worker_settings=worker_settings)


def change_constants(options: ProcessOptions) -> None:
    """Changes what is no setting, in this process."""
    if options.recheck is not None:
        watcher.RECHECK = options.recheck
    if options.record_within is not None:
        deliverer.RECORD_WITHIN = options.record_within
    if options.builder_lost_after_ms is not None:
        rebuilder.BUILDER_LOST_AFTER = options.builder_lost_after_ms
    if options.seal_lag_ms is not None:
        sealing.LAG = options.seal_lag_ms
    if options.archive_every is not None:
        archiver.EVERY = options.archive_every
    if options.labels_gone_after_ms is not None:
        labels.GONE_AFTER = options.labels_gone_after_ms
    if options.mount is not None:
        mount_in_all(options.mount)


def mount_in_all(folder: str) -> None:
    """Mounts the folder at ``/witness`` in each container of this process."""
    plain = spec.creation

    def creation(*arguments: Any) -> dict[str, Any]:
        made = plain(*arguments)
        made["TaskTemplate"]["ContainerSpec"]["Mounts"] = [{"Type": "bind", "Source": folder, "Target": "/witness"}]
        return made

    spec.creation = creation


def watched_by(hook: Hook, factories: app.Factories) -> app.Factories:
    """The same, with its ports watched."""
    return replace(
        factories,
        store=lambda settings: Watched("store", factories.store(settings), hook),
        queue=lambda settings, url: Watched("queue", factories.queue(settings, url), hook),
        executor=lambda settings, clock: Watched("engine", factories.executor(settings, clock), hook),
    )


def wait_for_writer(settings: Settings) -> Callable[[], None]:
    """Returns a function that waits until SQLite's writer thread has nothing to do: a process that freezes inside a transaction would lock
    the others out.

    It is called in the event loop's thread, so nothing new arrives meanwhile.
    """

    def wait() -> None:
        if settings.store_is_mongo:
            return
        time.sleep(0.05)  # the writer takes what was handed to it before it takes the lock again
        db = sqlite3.connect(settings.store_path, timeout=10, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
        db.close()

    return wait


@asynccontextmanager
async def journaled(role: Role, settings: Settings, factories: app.Factories, journal: Journal) -> AsyncIterator[app.Running]:
    """The running role, which also writes into the journal whether it works."""
    reporting = asyncio.create_task(report_idleness(journal))
    async with app.running(role, settings, factories, read_pools=lambda: load(role).settings.pools) as running:
        yield running
    reporting.cancel()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
