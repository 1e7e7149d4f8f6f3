"""What every store promises about jobs and their ticks: made once, advanced from what was seen, stopped, listed."""

import asyncio
from dataclasses import replace

import pytest

from fastlane.errors import Conflict
from fastlane.models import transitions
from fastlane.models.cron import Cron
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Job, JobSource, LateJob, Spec, Task
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.paging import WantedJobs, Window
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.skip_dates import read_range
from fastlane.models.tick import Outcome, Tick
from tests.contract.stored import created, types_in
from tests.support.factories import chunk, first_of, new, new_job
from tests.support.ledger import count_executions, count_ticks, tick_of, ticks_of


def missed_ticks(job: Job, first: int, *, until: int, count: int) -> Tick:
    """A ledger's row for a run of missed ticks."""
    tick = first_of(job, key=f"c:{first}", due=first)[0]
    return replace(tick, outcome=Outcome.MISSED, execution_id=None, reason="nothing looked", until=until, count=count, at_least=True)


async def test_what_was_created_is_read_back_as_it_was(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    assert await store.job(job.id) == job
    assert await tick_of(store, tick.job_id, tick.id) == tick
    assert await store.execution(execution.id) == execution
    assert await store.task("my-task") == Task("my-task", 1_000, 1_000, 1)


async def test_what_is_read_back_has_the_types_that_were_written(store):
    now = 1_700_000_000_000
    job = new_job(at=now + 1, now=now)
    tick, execution = first_of(job, due=now)
    record = IdempotencyRecord("key", "body", now, job.task_id, job.id, tick.id, execution.id)
    written = chunk(execution.id, Head(), [Piece(STDOUT, now * 1_000_000, b"x")])
    await store.create(job, tick, execution, record)
    claimed = await store.change(transitions.claim(execution, host="h", pool="p", now=now))
    assert await store.append(written)
    read = (await store.job(job.id), await tick_of(store, job.id, tick.id), await store.execution(execution.id))
    assert [types_in(one) for one in read] == [types_in(one) for one in (job, tick, claimed)]
    assert types_in(await store.idempotency_record("key", 0)) == types_in(record)
    assert types_in(await store.log_head(execution.id)) == types_in(written.end)
    assert types_in((await store.read_log(execution.id, 0, 10)).pieces) == types_in(written.pieces)
    assert types_in(await store.jobs_due(now + 2, 10)) == types_in([job])
    assert types_in(await store.task(job.task_id)) == types_in(Task(job.task_id, now, now, 1))


RULES_OF_A_JOB = Spec("ubuntu", None, {}, {}, 3, 0, 1, 2, 1_645_113_692_000, -100, 1_000)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(ScheduleKind.CRON, None, Cron("*/5 8-18 * * mon-fri", "Europe/Berlin"), Overlap.SKIP, CatchUp.NONE),
        Schedule(ScheduleKind.CRON, None, Cron("@daily")),
        Schedule(ScheduleKind.CRON, None, Cron("H 3 * * *", "UTC", (Cron("@daily"), Cron("@every 7m"))).settled("t/name", 60_000)),
        Schedule(ScheduleKind.CRON, None, Cron("@daily").spread_over(60_000).settled("t/name", 0), skip=(read_range("2026-12-24"),)),
        Schedule(ScheduleKind.AT, 0),
    ],
)
@pytest.mark.parametrize("spec", [RULES_OF_A_JOB, replace(RULES_OF_A_JOB, priority=100, retries=0, retry_delay=None, expiration=None)])
async def test_a_jobs_rules_and_its_schedule_are_read_back_as_they_were(store, spec, schedule):
    job = replace(new_job(at=60_000), spec=spec, schedule=schedule)
    tick, execution = first_of(job, key="c:60000", due=60_000)
    await store.create(job, tick, execution)
    assert await store.job(job.id) == job
    assert repr(await store.job(job.id)) == repr(job)  # what is chosen for a job does not count when crons are compared
    found = await store.execution(execution.id)
    assert found == execution
    assert found.spec == spec
    assert found.expires_at == 60_002


async def test_the_jobs_of_services_are_listed_by_id_with_their_source_and_no_others(store):
    source = JobSource("shop_web", "swarm", "id", "weekly", 7, "a fault", "it is gone", 3, True)
    plain, *jobs = sorted((new_job("t", next_tick=9) for _ in range(4)), key=lambda job: job.id)
    made = [replace(job, source=source) for job in jobs[:2]]
    for job in (plain, *made, jobs[2]):
        await store.create(job, None, None)
    late = replace(jobs[2], source=source, revision=2)
    assert await store.advance(jobs[2], late, (), None)
    assert await store.jobs_of_services(2) == made
    assert await store.jobs_of_services(2, made[1].id) == [late]
    assert await store.job(plain.id) == plain


async def test_a_jobs_bounds_are_those_of_the_stored_job(store):
    first, second = [(await created(store)).job_id for _ in range(2)]
    stopped = await store.stop_job(first, 5)
    assert stopped.stop_sequence
    assert await asyncio.gather(*map(store.job_bounds, (first, second, "none", first))) == [
        stopped.bounds,
        (await store.job(second)).bounds,
        None,
        stopped.bounds,
    ]


async def test_what_was_never_created_is_none(store):
    assert await ticks_of(store, "j", 10) == []
    assert await count_ticks(store, "j") == 0
    assert await store.job("j") is None
    assert await store.task("t") is None
    assert await store.execution("e") is None
    assert await store.stop_job("j", 5) is None


async def test_a_job_for_later_is_created_without_tick_and_execution(store):
    job = new_job(at=9_000)
    await store.create(job, None, None)
    assert await store.job(job.id) == job
    assert await count_executions(store, job.id) == 0
    assert await store.latest([job.id]) == {}


async def test_a_task_counts_its_jobs_and_knows_its_last_change(store):
    await asyncio.gather(*(store.create(*new("t")) for _ in range(20)))
    await store.create(*new("t", now=5_000))
    await store.create(*new("other"))
    assert await store.task("t") == Task("t", 1_000, 5_000, 21)


async def test_a_job_created_twice_is_a_conflict_and_changes_nothing(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    again = replace(job, task_id="another", modified_at=9_999, revision=7)
    with pytest.raises(Conflict):
        await store.create(again, *first_of(again, key="a:2"))
    assert await store.job(job.id) == job
    assert await store.task("another") is None
    assert await store.task("my-task") == Task("my-task", 1_000, 1_000, 1)
    assert await store.executions_of(job.id, 10) == [execution]
    assert (await store.counts()).jobs == 1


async def test_a_job_whose_execution_is_there_already_is_a_conflict_and_is_not_created(store):
    _, tick, execution = new()
    await store.create(new_job("first"), tick, execution)
    job = new_job("second")
    with pytest.raises(Conflict):
        await store.create(job, *[replace(first_of(job)[0]), replace(execution, job_id=job.id)])
    assert await store.job(job.id) is None
    assert await store.task("second") is None
    assert await tick_of(store, job.id, first_of(job)[0].id) is None


async def test_one_of_many_creations_of_one_job_wins(store, open_store):
    other = await open_store()
    job, tick, execution = new()
    outcomes = await asyncio.gather(*(one.create(job, tick, execution) for one in [store, other] * 4), return_exceptions=True)
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7


async def test_a_job_advances_with_its_tick_and_execution(store):
    seen = new_job(at=2_000)
    await store.create(seen, None, None)
    job = replace(seen, sequence=2, next_tick=None, last_tick=2_000)
    tick, execution = first_of(job, sequence=2, due=2_000)
    assert await store.advance(seen, job, [tick], execution)
    assert await store.job(job.id) == job
    assert await tick_of(store, tick.job_id, tick.id) == tick
    assert await store.execution(execution.id) == execution
    assert await store.jobs_due(10_000, 10) == []


async def test_a_job_advances_with_several_ticks_of_which_one_has_an_execution(store):
    seen = new_job(at=2_000)
    await store.create(seen, None, None)
    job = replace(seen, sequence=2, next_tick=300_000, last_tick=240_000)
    tick, execution = first_of(job, key="c:240000", sequence=2, due=240_000)
    missed = missed_ticks(job, 2_000, until=180_000, count=4)
    assert await store.advance(seen, job, [missed, tick], execution)
    assert await store.job(job.id) == job
    assert [await tick_of(store, missed.job_id, missed.id), await tick_of(store, tick.job_id, tick.id)] == [missed, tick]
    assert await store.execution(execution.id) == execution
    assert await store.jobs_due(10**9, 10) == [job]


async def test_a_job_advances_with_a_tick_that_makes_no_execution_and_with_no_tick(store):
    seen = new_job(at=2_000)
    await store.create(seen, None, None)
    job = replace(seen, sequence=2, next_tick=3_000)
    skipped = replace(first_of(job, key="c:2000")[0], outcome=Outcome.SKIPPED, execution_id=None, reason="the one before still runs")
    assert await store.advance(seen, job, [skipped], None)
    assert await tick_of(store, skipped.job_id, skipped.id) == skipped
    moved = replace(job, sequence=3, next_tick=9_000)
    assert await store.advance(job, moved, [], None)
    assert await store.job(job.id) == moved
    assert await count_ticks(store, job.id) == 1
    assert await count_executions(store, job.id) == 0


async def test_a_job_that_has_no_next_tick_advances_too(store):
    seen = new_job()
    await store.create(seen, *first_of(seen))
    job = replace(seen, sequence=2)
    tick, execution = first_of(job, key="r:1", sequence=2)
    assert await store.advance(seen, job, [tick], execution)
    assert await store.job(job.id) == job
    assert await count_executions(store, job.id) == 2


async def test_a_job_advances_to_other_details_and_its_task_knows_of_the_change(store):
    seen = new_job(at=2_000)
    await store.create(seen, None, None)
    schedule = Schedule(ScheduleKind.CRON, None, Cron("@daily"))
    other = {"spec": RULES_OF_A_JOB, "schedule": schedule, "revision": 2, "schedule_revision": 2, "armed": 2}
    job = replace(seen, **other, sequence=2, next_tick=None, held_tick=9_000, modified_at=8_000)
    assert await store.advance(seen, job, [], None)
    assert await store.job(seen.id) == job
    assert (await store.task("my-task")).modified_at == 8_000
    fired = replace(job, sequence=3)
    assert await store.advance(job, fired, [], None)
    assert (await store.task("my-task")).modified_at == 8_000


@pytest.mark.parametrize("stale", [{"revision": 2}, {"sequence": 0}, {"next_tick": 2_001}, {"next_tick": None}, {"incarnation": "x"}])
async def test_a_job_does_not_advance_from_what_is_not_stored_any_more(store, stale):
    stored = new_job(at=2_000)
    await store.create(stored, None, None)
    job = replace(stored, sequence=2, next_tick=None)
    tick, execution = first_of(job, sequence=2)
    missed = missed_ticks(job, 500, until=900, count=2)
    assert not await store.advance(replace(stored, **stale), job, [missed, tick], execution)
    assert await store.job(job.id) == stored
    assert await count_ticks(store, job.id) == 0
    assert await tick_of(store, tick.job_id, tick.id) is None
    assert await store.execution(execution.id) is None


async def test_a_tick_that_is_there_already_leaves_the_job_where_it_was(store):
    seen = new_job(at=2_000)
    await store.create(seen, *first_of(seen))
    tick, execution = first_of(seen)
    missed = missed_ticks(seen, 500, until=900, count=2)
    with pytest.raises(Conflict):
        await store.advance(seen, replace(seen, sequence=2), [missed, tick], replace(execution, id="another"))
    assert await store.job(seen.id) == seen
    assert await tick_of(store, missed.job_id, missed.id) is None
    assert await store.execution("another") is None


async def test_a_stop_takes_the_next_sequence_and_the_next_tick(store):
    job = new_job(at=2_000, sequence=3)
    await store.create(job, None, None)
    stopped = await store.stop_job(job.id, 1_000)
    assert stopped == replace(job, sequence=4, stop_sequence=4, next_tick=None, modified_at=1_000)
    assert await store.job(job.id) == stopped
    assert (await store.task("my-task")).modified_at == 1_000
    assert await ticks_of(store, job.id, 10) == []
    assert (await store.stop_job(job.id, 6_000)).stop_sequence == 5


async def test_a_stop_takes_a_tick_that_is_held_too(store):
    job = new_job(at=2_000, next_tick=None, held_tick=2_000)
    await store.create(job, None, None)
    stopped = await store.stop_job(job.id, 1_000)
    assert stopped == replace(job, sequence=2, stop_sequence=2, held_tick=None, modified_at=1_000)
    assert await store.job(job.id) == stopped


@pytest.mark.parametrize(("held", "outcome"), [(False, Outcome.STOPPED), (True, Outcome.SKIPPED)])
async def test_a_stop_says_in_the_ledger_what_became_of_a_tick_that_came_up_and_had_not_fired(store, held, outcome):
    job = new_job(at=2_000, next_tick=None if held else 2_000, held_tick=2_000 if held else None)
    await store.create(job, None, None)
    assert (await store.stop_job(job.id, 5_000)).last_tick == 2_000
    (tick,) = await ticks_of(store, job.id, 10)
    assert (tick.due, tick.outcome, tick.execution_id, tick.created_at) == (2_000, outcome, None, 5_000)
    assert ("paused" if held else "stopped") in tick.reason
    await store.stop_job(job.id, 6_000)
    assert len(await ticks_of(store, job.id, 10)) == 1


async def test_a_stop_covers_the_execution_that_it_races_with_or_prevents_it(store, open_store):
    other = await open_store()
    for turn in range(20):
        seen = new_job(at=2_000)
        await store.create(seen, None, None)
        tick, execution = first_of(seen, sequence=2)
        advance = store.advance(seen, replace(seen, sequence=2, next_tick=None), [tick], execution)
        stop = other.stop_job(seen.id, 3_000)
        pair = (advance, stop) if turn % 2 else (stop, advance)
        results = await asyncio.gather(*pair)
        advanced = results[0] if turn % 2 else results[1]
        job = await store.job(seen.id)
        assert job.next_tick is None
        assert job.stops(2) or not advanced
        assert (await store.execution(execution.id) is not None) is advanced
        assert job.sequence == (3 if advanced else 2)


async def test_a_tasks_jobs_are_listed_newest_first(store):
    jobs = [new_job("t", now=1_000 + number // 2) for number in range(7)]
    for job in [*jobs, new_job("other")]:
        await store.create(job, None, None)
    expected = sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)
    assert await store.jobs_of("t", 100) == expected
    assert await store.jobs_of("t", 3) == expected[:3]
    assert await store.jobs_of("none", 3) == []


async def test_the_jobs_that_run_next_are_those_of_visible_tasks_that_have_not_expired(store):
    tasks = ("team-a", "team-b", "other")
    jobs = [new_job(tasks[number % 3], at=2_000 + number) for number in range(9)]
    over = new_job("team-a", at=1_500, spec=Spec("ubuntu:latest", expiration=1_200))
    for job in [*jobs, over, new_job("team-a")]:
        await store.create(job, None, None)
    assert await store.next_jobs(100, 1_300) == jobs
    assert await store.next_jobs(2, 1_300) == jobs[:2]
    assert await store.next_jobs(3, 1_300, "other") == [job for job in jobs if job.task_id == "other"]
    assert await store.next_jobs(100, 1_300, "team-") == [job for job in jobs if job.task_id != "other"]
    assert await store.next_jobs(100, 1_300, "none") == []


async def test_due_jobs_come_soonest_first_and_page_without_gap(store):
    jobs = [new_job(at=2_000 + number // 3) for number in range(8)]
    for job in [*jobs, new_job(), new_job(at=9_000)]:
        await store.create(job, None, None)
    expected = sorted(jobs, key=lambda job: (job.next_tick, job.id))
    assert await store.jobs_due(9_000, 100) == expected
    assert await store.jobs_due(2_001, 100) == expected[:3]
    found, after = [], None
    while page := await store.jobs_due(9_000, 3, after):
        found += page
        after = (page[-1].next_tick, page[-1].id)
    assert found == expected


async def test_late_jobs_are_listed_by_since_when_without_stopped_ones(store):
    spec = Spec("ubuntu:latest", name="näme", expect_every=1_000)
    made = [new_job(f"t{number % 2}", at=2_000, spec=spec) for number in range(6)]
    moments = (30, 10, None, 20, 15, 40)
    for job, since in zip(made, moments, strict=True):
        await store.create(job, None, None)
        late = replace(job, late_since=since, revision=2, stop_sequence=1 if since == 10 else 0)
        assert await store.advance(job, late, (), None)
    by_since = [job.id for _, job in sorted((since, job) for since, job in zip(moments, made, strict=True) if since not in (None, 10))]
    assert [job.id for job in await store.late_jobs(10)] == by_since
    (first,) = [job for job in made if job.id == by_since[0]]
    assert await store.late_jobs(1) == [LateJob(first.id, first.task_id, 15, 1_000, "näme")]
    assert [job.id for job in await store.late_jobs(1)] == by_since[:1]
    assert [await store.count_late_jobs(most) for most in (10, 2)] == [4, 2]
    assert [job.task_id for job in await store.late_jobs(10, "t1$")] == ["t1", "t1"]
    late = sorted(by_since, reverse=True)  # all were created at once
    for wanted, expected in (
        (WantedJobs(late=True), late),
        (WantedJobs(frozenset({"scheduled"}), late=True), late),
        (WantedJobs(frozenset({"done"}), late=True), []),
        (WantedJobs(label=("a", "b"), late=True), []),
        (WantedJobs(task_id="t1", late=True), [id for id in late if id in (made[3].id, made[5].id)]),
        (WantedJobs(visible="t0$", late=True), [id for id in late if id in (made[0].id, made[4].id)]),
    ):
        page = await store.list_all_jobs(wanted, Window(1, 10))
        assert ([job.id for job in page.rows], page.total) == (expected, len(expected)), wanted
    assert await store.stop_job(by_since[0], 2_000)
    assert [job.id for job in await store.late_jobs(10)] == by_since[1:]
    assert await store.count_late_jobs(10) == 3
