"""What retention costs those beside it: ``python -m benchmarks.retention [EXECUTIONS]``, on a SQLite file; no part of ``make bench``.

The store has so many executions that have ended, 100 of each job, of which retention keeps 50. Measured before, while a worker's pruner
removes the others, and after: first pages of lists, and a new job's commit. The last lines say how fast history went, and the file's size.
With 1,000,000 executions it takes some minutes, and 1.5 GB of disk.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import click
import uvloop

from benchmarks.figures import percentile
from benchmarks.history import lengthen
from fastlane.clock import SystemClock
from fastlane.models.paging import Wanted, Window
from fastlane.models.retention import Retention
from fastlane.models.status import FINAL, Status
from fastlane.scheduler.pruner import Pruned, Pruner, RetentionRules
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import new

KEPT = 50
PAGE = Window(1, 20)
TURNS, PAUSE = 200, 0.005

Call = Callable[[], Awaitable[object]]


@click.command()
@click.argument("executions", type=click.IntRange(min=1_000), default=100_000)
def main(executions: int) -> None:
    """Measures beside EXECUTIONS executions that have ended."""
    with tempfile.TemporaryDirectory(prefix="fastlane-retention-") as folder:
        file = Path(folder) / "fastlane.db"
        uvloop.run(_fill(file, executions))
        before = file.stat().st_size
        gone, took = uvloop.run(_measure(file))
        _conclude(gone, took, before, file.stat().st_size)


async def _measure(file: Path) -> tuple[Pruned, float]:
    """What went, and the seconds that it took."""
    store = SqliteStore(file)
    await store.open()
    first = (await store.list_executions(Wanted(), PAGE)).rows[0]
    calls: dict[str, Call] = {
        "all executions": lambda: store.list_executions(Wanted(), PAGE),
        "executions that failed": lambda: store.list_executions(Wanted(frozenset({Status.FAILED})), PAGE),
        "executions of a task": lambda: store.list_executions(Wanted(FINAL, first.task_id), PAGE),
        "executions of a job": lambda: store.list_executions_of(first.job_id, PAGE),
        "tasks": lambda: store.list_tasks(PAGE),
        "a new job": lambda: store.create(*new("beside")),
    }
    try:
        _show("before", await _timed(calls, lambda turn: turn < TURNS))
        pruner = Pruner(store, SystemClock(), (), RetentionRules(Retention(max_executions=KEPT)))
        began, work = time.monotonic(), asyncio.create_task(pruner.prune_all())
        _show("while history goes", await _timed(calls, lambda _: not work.done()))
        gone, took = await work, time.monotonic() - began
        _show("after", await _timed(calls, lambda turn: turn < TURNS))
    finally:
        await store.close()
    return gone, took


async def _fill(file: Path, executions: int) -> None:
    store = SqliteStore(file)
    await store.open()
    job, tick, execution = new("long")
    await store.create(job, tick, replace(execution, status=Status.DONE, finished_at=1, settled=True, cleaned=True))
    await store.close()
    await asyncio.to_thread(lengthen, file, executions)


async def _timed(calls: dict[str, Call], goes_on: Callable[[int], bool]) -> dict[str, list[float]]:
    """Milliseconds of each call, one after another, again and again."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    turn = 0
    while goes_on(turn):
        for name, call in calls.items():
            began = time.perf_counter()
            await call()
            times[name].append((time.perf_counter() - began) * 1_000)
        await asyncio.sleep(PAUSE)
        turn += 1
    return times


def _show(when: str, times: dict[str, list[float]]) -> None:
    click.echo(f"{when}:")
    for name, values in times.items():
        p50, p99 = (percentile(values, percent) for percent in (50.0, 99.0))
        click.echo(f"  {name:<24} {len(values):>6} times  p50 {p50:8.2f} ms  p99 {p99:8.2f} ms")


def _conclude(gone: Pruned, took: float, before: int, after: int) -> None:
    click.echo(f"{gone.executions:,} executions went in {took:.1f} s: {gone.executions / took:,.0f} a second")
    click.echo(f"the file: {before / 2**20:,.1f} MiB before, {after / 2**20:,.1f} MiB after")


if __name__ == "__main__":
    main()
