"""What every store promises about jobs that follow others: found along an index, and read back with what they took in."""

import asyncio
from dataclasses import replace

from fastlane.models import transitions
from fastlane.models.job import Ending
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.upstream import AfterJobs, AfterOn, ChainState, UpstreamEnd
from tests.support.factories import first_of, new_job


def after(*ids: str, on: AfterOn = AfterOn.SUCCEEDS) -> Schedule:
    return Schedule(ScheduleKind.MANUAL, overlap=Overlap.QUEUE, after=AfterJobs(ids, on))


async def test_the_followers_of_a_job_are_found_by_id_while_they_follow_it(store):
    jobs = sorted((new_job("t") for _ in range(5)), key=lambda job: job.id)
    made = [replace(job, schedule=after("up", "other"), next_tick=None) for job in jobs[:3]]
    for job in (*made, *jobs[3:]):
        await store.create(job, None, None)
    assert await store.followers("up", 2) == made[:2]
    assert await store.followers("up", 2, made[1].id) == [made[2]]
    assert await store.followers("other", 10) == made
    assert await store.followers("none", 10) == []
    manual = replace(made[0], schedule=Schedule(ScheduleKind.MANUAL), revision=2)
    assert await store.advance(made[0], manual, (), None)
    moved = replace(made[1], schedule=after("new", "other", on=AfterOn.FAILS), revision=2)
    assert await store.advance(made[1], moved, (), None)
    late = replace(jobs[3], schedule=after("up"), next_tick=None, revision=2)
    assert await store.advance(jobs[3], late, (), None)
    assert await store.followers("up", 10) == [made[2], late]
    assert await store.followers("new", 10) == [moved]
    assert await store.followers("other", 10) == [moved, made[2]]
    while (await store.delete_job(made[2].id, made[2].incarnation, 9)).value == "more":
        pass
    assert await store.followers("up", 10) == [late]
    assert await store.job(manual.id) == manual


async def test_an_end_is_settled_with_its_write_unless_a_job_follows(store):
    jobs = [new_job("t") for _ in range(3)]
    for job in jobs:
        await store.create(job, *first_of(job))
    follower = replace(new_job("t"), schedule=after(jobs[1].id), next_tick=None)
    await store.create(follower, None, None)
    claims = [await store.claim(first_of(job)[1].id, lambda row: transitions.claim(row, host="h", pool="p", now=1)) for job in jobs]
    bind = {"service_id": "s", "swarm_id": "w", "image_digest": None, "image_reference": None, "now": 2}
    rows = [await store.change(transitions.bind(claimed.execution, **bind)) for claimed in claims]
    ends = [transitions.end(row, Ending(Status.DONE, 3, 0), settled=True, now=3) for row in rows]
    ended = await asyncio.gather(*map(store.change, ends))
    assert [row.settled for row in ended] == [True, False, True]
    assert [await store.execution(row.id) for row in ended] == ended
    repeated = await store.change(ends[1])
    assert repeated == ended[1]
    assert (await store.change(transitions.settle(ended[1]))).settled


async def test_what_a_job_took_in_and_what_an_execution_follows_is_read_back_as_it_was(store):
    ends = (UpstreamEnd("up", "e1", Status.DONE), UpstreamEnd("other", "e2", Status.FAILED, 31))
    job = replace(new_job("t"), schedule=after("up", "other"), next_tick=None, chain=ChainState(ends, ("e0", "e1", "e2")))
    tick, execution = first_of(job, key="e:e1,e2")
    execution = replace(execution, upstream=ends)
    await store.create(job, tick, execution)
    assert await store.job(job.id) == job
    assert await store.execution(execution.id) == execution


async def test_jobs_are_found_by_their_names_within_their_task(store):
    jobs = [new_job(task) for task in ("t", "t", "t", "other")]
    named = [replace(job, spec=replace(job.spec, name="x")) for job in jobs]
    for job in (named[0], named[1], jobs[2], named[3]):
        await store.create(job, None, None)
    assert sorted(await store.jobs_named("t", "x")) == sorted([named[0].id, named[1].id])
    assert await store.jobs_named("other", "x") == [named[3].id]
    assert await store.jobs_named("t", "y") == []


async def test_what_many_jobs_follow_is_read_at_once(store):
    first, second, plain = (new_job("t") for _ in range(3))
    await store.create(plain, None, None)
    await store.create(replace(first, schedule=after(plain.id, "gone"), next_tick=None), None, None)
    await store.create(replace(second, schedule=after(first.id, on=AfterOn.FAILS), next_tick=None), None, None)
    asked = [plain.id, first.id, *(f"none {number}" for number in range(600)), second.id]
    assert await store.followed_by(asked) == {first.id: (plain.id, "gone"), second.id: (first.id,)}
    assert await store.followed_by([]) == {}
    while (await store.delete_job(second.id, second.incarnation, 9)).value == "more":
        pass
    assert await store.followed_by([first.id, second.id]) == {first.id: (plain.id, "gone")}
