"""How fast old history goes beside intake: ``python -m benchmarks.overdue [--store MongoDB] [--writers N]``; no part of ``make bench``.

Writers make jobs, start and end them, as fast as the store takes them, each with the moments of hours ago. So each is overdue as soon as it
has ended, and a worker's pruner, which runs beside them, finds itself behind. Nothing has to be run: the store alone is measured. The last
lines say how many jobs were made and went in the same time, and on MongoDB how many commands one of either takes.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import uvloop

from benchmarks.stores import MONGO, SQLITE, Place, places
from fastlane import log
from fastlane.clock import SystemClock
from fastlane.models import transitions
from fastlane.models.job import Ending, Started
from fastlane.models.retention import Retention
from fastlane.models.status import Status
from fastlane.scheduler.pruner import Pruner, RetentionRules
from fastlane.storage.base import Store
from fastlane.storage.mongo.rows import META
from tests.support.factories import new
from tests.support.recorded_calls import recorded_commands

AGE, RULE = 3 * 3_600_000, 3_600_000
"""How old the jobs are when they are made, and how old they may become, in milliseconds."""
TASKS = 20


@click.command()
@click.option("--store", type=click.Choice([SQLITE, MONGO]), default=SQLITE, show_default=True)
@click.option("--writers", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=1), default=30.0, show_default=True)
@click.option("--before", type=click.IntRange(min=1), default=400, show_default=True, help="Overdue jobs that are there when it begins.")
def main(store: str, writers: int, seconds: float, before: int) -> None:
    """Measures intake and deletion side by side."""
    log.configure("json", "error")
    with tempfile.TemporaryDirectory(prefix="fastlane-overdue-") as folder, places(Path(folder)) as make:
        uvloop.run(_measure(make(store), writers, seconds, before))


async def _measure(place: Place, writers: int, seconds: float, before: int) -> None:
    makers = place.store()
    with recorded_commands() as made_by:
        await makers.open()
    other = makers if place.name == SQLITE else place.store()
    with recorded_commands() as gone_by:
        if other is not makers:
            await other.open()
    try:
        await _in_turn(makers, writers, lambda count: count < before)
        pruner = Pruner(other, SystemClock(), (), RetentionRules(Retention(jobs=RULE)))
        made_by.clear()
        gone_by.clear()
        began = time.perf_counter()
        until = began + seconds
        made, gone = await asyncio.gather(_in_turn(makers, writers, lambda _: time.perf_counter() < until), _prune(pruner, until))
        took = time.perf_counter() - began
    finally:
        await makers.close()
        if other is not makers:
            await other.close()
    click.echo(f"{place.name}, {writers} writers, {took:.0f} s: made {made / took:,.1f} a second, went {gone / took:,.1f} a second")
    click.echo(f"  overdue when it began: {before:,}, when it ended: {before + made - gone:,}")
    if place.name == MONGO and made and gone:
        for words, commands, count in (("made", made_by, made), ("deleted", gone_by, gone)):
            click.echo(f"  commands for each job that was {words}: {sum(found[verb] != META for verb, found in commands) / count:.2f}")


async def _prune(pruner: Pruner, until: float) -> int:
    """Makes rounds until then. How many jobs went."""
    total = 0
    while time.perf_counter() < until:
        total += (await pruner.prune_all()).jobs
    return total


async def _in_turn(store: Store, writers: int, goes_on: Callable[[int], bool]) -> int:
    """Makes jobs by so many writers at once, as long as the number made says. How many were made."""
    made = 0

    async def write(number: int) -> None:
        nonlocal made
        while goes_on(made):
            made += 1
            await _run_a_job(store, f"task-{(number + made) % TASKS}")

    await asyncio.gather(*(write(number) for number in range(writers)))
    return made


async def _run_a_job(store: Store, task: str) -> None:
    """Makes a job of hours ago that runs once: what an API server and a worker write."""
    at = time.time_ns() // 1_000_000 - AGE
    job, tick, execution = new(task, now=at)
    await store.create(job, tick, execution)
    claimed = await store.claim(execution.id, lambda row: transitions.claim(row, host="h", pool="p", now=at))
    assert claimed is not None
    row = claimed.execution
    steps = (
        lambda: transitions.bind(row, service_id="s", swarm_id="w", image_digest=None, now=at),
        lambda: transitions.run(row, Started("t", "c", at), now=at),
        lambda: transitions.end(row, Ending(Status.DONE, at, 0), settled=True, now=at),
        lambda: transitions.clean(row),
    )
    for step in steps:
        changed = await store.change(step())
        assert changed is not None
        row = changed


if __name__ == "__main__":
    main()
