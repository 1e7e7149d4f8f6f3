"""The release before beside today's on one store: it refuses a newer job that it would run at other times, and what it writes back of the
others can be read and changed by today's."""

import json
from dataclasses import replace

from fastlane.models.backfill import Backfill
from fastlane.models.cron import Cron
from fastlane.models.failing import Failing
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.skip_dates import read_range
from fastlane.models.status import Status
from fastlane.models.tick import backfill_key, make_tick
from fastlane.models.upstream import AfterJobs, ChainState, UpstreamEnd
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import make_spec, new_job
from tests.support.previous_release import output_of

DUE = 1_700_000_040_000
DATES = (read_range("2026-12-24"),)
OLD = """
import asyncio, json, sys
from fastlane.errors import Unreadable
from fastlane.models.job_change import run_now
from fastlane.storage.mongo.store import MongoStore
from fastlane.storage.sqlite.store import SqliteStore

async def main(where, jobs, written, execution, due):
    store = MongoStore(where, deadline=60.0) if where.startswith("mongodb") else SqliteStore(where)
    await store.open()
    read = []
    for id in jobs:
        try:
            await store.job(id)
            read.append(id)
        except Unreadable:
            pass
    to_come = [job.id for job in await store.jobs_due(2**60, 100)]
    for id in written:
        job = await store.job(id)
        change = run_now(job, job.spec, now=due, by=None)
        assert await store.advance(job, change.job, change.ticks, change.execution)
    try:
        await store.execution(execution)
        raise AssertionError("it would run for another due time")
    except Unreadable:
        pass
    assert {one.id for one in await store.jobs_of("t", 100)} == set(read)
    await store.close()
    print(json.dumps([read, to_come]))

asyncio.run(main(sys.argv[1], *map(json.loads, sys.argv[2:])))
"""


def minutely(spec, **fields):
    return replace(new_job("t", at=DUE), spec=spec, schedule=Schedule(ScheduleKind.CRON, cron=Cron("* * * * *")), **fields)


async def test_the_release_before_refuses_chosen_times_and_leaves_the_rest_of_a_newer_job_readable(store, request, tmp_path):
    where = str(tmp_path / "store.db") if isinstance(store, SqliteStore) else request.getfixturevalue("mongo_url")
    plain = minutely(make_spec())
    chosen = [
        replace(plain, id=f"chosen-{number}", schedule=replace(plain.schedule, cron=cron.settled("seed", DUE), skip=skip))
        for number, (cron, skip) in enumerate(
            ((Cron("0 3 * * *", spread=60_000), ()), (Cron("H 3 * * *"), ()), (Cron("@every 45m"), ()), (plain.schedule.cron, DATES))
        )
    ]
    follower = replace(
        new_job("t"),
        next_tick=None,
        schedule=Schedule(ScheduleKind.MANUAL, overlap=Overlap.QUEUE, after=AfterJobs((plain.id,))),
        chain=ChainState((UpstreamEnd(plain.id, "e", Status.DONE),), ("e",)),
    )
    unique = minutely(make_spec(unique=True), unique_key="key")
    failing = minutely(make_spec(pause_after=3), failing=Failing(ends=(-1,)))
    jobs = [plain, *chosen, follower, unique, failing]
    for job in jobs:
        await store.create(job, None, None)
    backfill = Backfill(plain.id, "t", plain.incarnation, "b", 5, 1, DUE, 1, 1, (DUE,), 1)
    assert await store.backfills.write(backfill)
    spec = make_spec(due_at=DUE, backfill="b")
    tick, execution = make_tick(replace(plain, spec=spec), backfill_key("b", DUE), sequence=2, due=DUE, now=DUE)
    after = replace(plain, sequence=2)
    assert await store.advance(plain, after, (tick,), execution)

    written = [follower, unique, failing]
    given = ([job.id for job in jobs], [job.id for job in written], execution.id, DUE)
    read, due = json.loads(output_of(OLD, where, *map(json.dumps, given)).splitlines()[-1])
    assert read == [job.id for job in jobs if job not in chosen]
    assert sorted(due) == sorted([plain.id, unique.id, failing.id])

    for job in (after, *chosen):
        assert await store.job(job.id) == job
    assert await store.backfills.of_job(plain.id) == backfill
    assert await store.execution(execution.id) == execution
    assert await store.followers(plain.id, 10) == []
    for job in written:
        found = await store.job(job.id)
        assert found is not None
        assert (found.sequence, found.schedule.kind, found.schedule.cron) == (2, job.schedule.kind, job.schedule.cron)
        assert await store.advance(found, replace(job, sequence=3), (), None)
        assert await store.job(job.id) == replace(job, sequence=3)
    assert await store.followers(plain.id, 10) == [replace(follower, sequence=3)]
    assert await store.unique_job("key") == replace(unique, sequence=3)
