"""What every store promises about jobs, ticks and executions, whichever database is under it."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from fastlane.errors import Conflict, StoreDown
from fastlane.models import transitions
from fastlane.models.execution import Ending, Execution, Failure, FailureReason, RunningContainer, Started
from fastlane.models.job import Job, Spec
from fastlane.models.placement.host import Uncleaned
from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.schedule.tick import Outcome, Tick, next_execution
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.models.task import Task
from fastlane.models.transitions import RULES, ExecutionChange, cancel, release, settle
from fastlane.storage.base import Counts, Generation, Store
from tests.support.factories import first_of, new, new_job
from tests.support.ledger import count_executions, count_ticks, tick_of, ticks_of

STATES = list(itertools.product(Status, (None, "service"), (None, 7), (False, True), (0, 1)))
"""Every status, bound or not, flagged to stop or not, settled or not, with the writer's epoch or another one."""


async def created(store: Store, **values: object) -> Execution:
    """An execution in this very state."""
    job, tick, execution = new()
    execution = replace(execution, **values)
    await store.create(job, tick, execution)
    return execution


def missed_ticks(job: Job, first: int, *, until: int, count: int) -> Tick:
    """A ledger's row for a run of missed ticks."""
    tick = first_of(job, key=f"c:{first}", due=first)[0]
    return replace(tick, outcome=Outcome.MISSED, execution_id=None, reason="nothing looked", until=until, count=count, at_least=True)


async def ended(store: Store, final: Status, at: int, **values: object) -> Execution:
    return await created(store, status=final, finished_at=at, **values)


# jobs


async def test_what_was_created_is_read_back_as_it_was(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    assert await store.job(job.id) == job
    assert await tick_of(store, tick.job_id, tick.id) == tick
    assert await store.execution(execution.id) == execution
    assert await store.task("my-task") == Task("my-task", 1_000, 1_000, 1)


RULES_OF_A_JOB = Spec("ubuntu", None, {}, {}, 3, 0, 1, 2, 1_645_113_692_000, -100, 1_000)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(ScheduleKind.CRON, None, Cron("*/5 8-18 * * mon-fri", "Europe/Berlin"), Overlap.SKIP, CatchUp.NONE),
        Schedule(ScheduleKind.CRON, None, Cron("@daily")),
        Schedule(ScheduleKind.AT, 0),
    ],
)
@pytest.mark.parametrize("spec", [RULES_OF_A_JOB, replace(RULES_OF_A_JOB, priority=100, retries=0, retry_delay=None, expiration=None)])
async def test_a_jobs_rules_and_its_schedule_are_read_back_as_they_were(store, spec, schedule):
    job = replace(new_job(at=60_000), spec=spec, schedule=schedule)
    tick, execution = first_of(job, key="c:60000", due=60_000)
    await store.create(job, tick, execution)
    assert await store.job(job.id) == job
    found = await store.execution(execution.id)
    assert found == execution
    assert found.spec == spec
    assert found.expires_at == 60_002


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


# further attempts, and the ledger


async def test_a_further_attempt_is_inserted_once(store, open_store):
    other = await open_store()
    first = await ended(store, Status.FAILED, 900)
    second = next_execution(first, due=2_000, now=1_000)
    results = await asyncio.gather(*(one.insert(second) for one in [store, other] * 4))
    assert results.count(True) == 1
    assert results.count(False) == 7
    assert await store.execution(second.id) == second
    assert await store.executions_of(first.job_id, 10) == [second, first]
    assert await store.latest([first.job_id]) == {first.job_id: second}


async def test_an_attempt_that_is_there_already_stays_as_it_is_when_it_is_inserted_again(store):
    first = await ended(store, Status.FAILED, 900)
    second = next_execution(first, due=2_000, now=1_000)
    assert await store.insert(second)
    claimed = await store.change(transitions.claim(second, host="h", pool="p", now=2_000))
    assert not await store.insert(replace(second, created_at=1_500, scheduled_for=9_000))
    assert await store.execution(second.id) == claimed
    assert (await store.counts()).executions[Status.PULLING] == 1


async def test_a_jobs_ledger_is_listed_with_the_latest_due_first(store):
    job = new_job(at=1)
    await store.create(job, None, None)
    made = []
    for number in range(7):
        tick = replace(first_of(job, key=f"c:{number}", due=1_000 + number // 2)[0], outcome=list(Outcome)[number % 5], execution_id=None)
        advanced = replace(job, sequence=job.sequence + 1)
        assert await store.advance(job, advanced, [tick], None)
        job = advanced
        made.append(tick)
    await store.create(*new())
    expected = sorted(made, key=lambda tick: (tick.due, tick.id), reverse=True)
    assert await ticks_of(store, job.id, 10) == expected
    assert await count_ticks(store, job.id) == 7


# changes


@pytest.mark.parametrize("name", RULES)
async def test_a_change_is_applied_exactly_where_its_rule_permits_it(store, name):
    rule = RULES[name]
    target = {"status": next(iter(rule.targets))} if rule.targets else {}

    async def attempt(state: Status, service: str | None, flagged: int | None, settled: bool, epoch: int) -> bool:
        execution = await created(store, status=state, service_id=service, stop_requested_at=flagged, settled=settled, epoch=epoch)
        writer = replace(execution, epoch=1)
        change = ExecutionChange.of(name, writer, **target, host="changed")
        after = await store.change(change)
        expected = replace(execution, **change.values, op=change.op) if change.permitted(execution) else None
        assert after == expected, (state, service, flagged, settled, epoch)
        assert await store.execution(execution.id) == (expected or execution)
        return after is not None

    applied = await asyncio.gather(*(attempt(*state) for state in STATES))
    assert 0 < sum(applied) < len(STATES)


async def test_an_execution_goes_the_whole_way(store):
    execution = await created(store)
    started = Started("task", "container", 40)
    ending = Ending(Status.FAILED, 50, 3, Failure(FailureReason.EXIT, "it said: 3"), None, 10, 20, True)
    steps = (
        lambda now: transitions.claim(now, host="h", pool="p", now=10),
        lambda now: transitions.bind(now, service_id="s", swarm_id="w", image_digest="sha256:0", image_reference="ubuntu@sha256:0", now=30),
        transitions.take_over,
        lambda now: transitions.flag_stop(now, now=35),
        lambda now: transitions.run(now, started),
        lambda now: transitions.end(now, ending),
        transitions.settle,
        transitions.clean,
    )
    for step in steps:
        change = step(execution)
        expected = replace(execution, **change.values, op=change.op)
        execution = await store.change(change)
        assert execution == expected
        assert await store.execution(execution.id) == expected
    assert (execution.status, execution.epoch, execution.cleaned) == (Status.FAILED, 2, True)


async def test_a_change_that_was_applied_is_not_refused_when_it_is_repeated(store):
    execution = await created(store)
    change = transitions.claim(execution, host="h", pool="p", now=10)
    claimed = await store.change(change)
    assert await store.change(change) == claimed
    taken = await store.change(transitions.take_over(claimed))
    assert await store.change(change) is None
    assert await store.execution(execution.id) == taken


@pytest.mark.parametrize(
    ("state", "service", "discarded"),
    [(Status.ENQUEUED, None, True), (Status.PULLING, None, True), (Status.PULLING, "s", False)]
    + [(status, None, False) for status in sorted(FINAL | {Status.RUNNING})],
)
async def test_an_execution_is_discarded_only_while_no_service_is_bound_to_it(store, state, service, discarded):
    execution = await created(store, status=state, service_id=service, epoch=3)
    for epoch in (2, 4):
        assert not await store.discard(replace(execution, epoch=epoch))
    assert await store.execution(execution.id) == execution
    assert await store.discard(execution) is discarded
    assert await store.execution(execution.id) == (None if discarded else execution)
    assert not await store.discard(execution) or not discarded


async def test_either_a_claim_or_a_discard_of_an_execution_happens(store, open_store):
    other = await open_store()
    for turn in range(20):
        execution = await created(store)
        claim = transitions.claim(execution, host="h", pool="p", now=10)
        acts = (store.discard(execution), other.change(claim))
        discarded, claimed = await asyncio.gather(*acts) if turn % 2 else reversed(await asyncio.gather(*reversed(acts)))
        assert discarded is (claimed is None)
        assert await store.execution(execution.id) == claimed


async def test_changes_of_many_kinds_at_once_are_each_answered_for_themselves(store):
    waiting = [await created(store) for _ in range(40)]
    pulling = [await created(store, status=Status.PULLING, epoch=1) for _ in range(40)]
    bound = [await created(store, status=Status.RUNNING, epoch=1, service_id="s") for _ in range(40)]
    ending = Ending(Status.DONE, 50, 0)
    changes = [
        *(transitions.claim(one, host=f"h{number}", pool="p", now=10) for number, one in enumerate(waiting)),
        *(transitions.give_up(replace(one, epoch=number % 2), ending_of(Status.FAILED)) for number, one in enumerate(pulling)),
        *(transitions.end(replace(one, epoch=number % 2), ending, settled=number % 3 == 0) for number, one in enumerate(bound)),
    ]
    answers = await asyncio.gather(*map(store.change, changes))
    for execution, change, answer in zip([*waiting, *pulling, *bound], changes, answers, strict=True):
        expected = replace(execution, **change.values, op=change.op) if change.permitted(execution) else None
        assert answer == expected
        assert await store.execution(execution.id) == (expected or execution)
    assert [answer is None for answer in answers[:40]] == [False] * 40
    assert [answer is None for answer in answers[40:]] == [True, False] * 40


async def test_changes_of_one_execution_at_once_are_made_one_after_the_other(store):
    execution = await created(store)
    claim, cancel = transitions.claim(execution, host="h", pool="p", now=10), transitions.cancel(execution, now=10)
    takes_over = transitions.take_over(replace(execution, status=Status.PULLING, epoch=1))
    first, refused, last, repeated = await asyncio.gather(*map(store.change, (claim, cancel, takes_over, takes_over)))
    assert (first.epoch, first.status, refused) == (1, Status.PULLING, None)
    assert last == repeated == await store.execution(execution.id)
    assert last.epoch == 2
    moves = [transitions.re_place(last, host=host) for host in ("one", "two", "three")]
    assert [moved.host for moved in await asyncio.gather(*map(store.change, moves))] == ["one", "two", "three"]
    assert (await store.execution(execution.id)).host == "three"


async def test_a_change_that_cannot_be_stored_harms_no_other(store):
    executions = [await created(store, status=Status.PULLING, epoch=1) for _ in range(3)]
    hosts = ("good", "\ud800", "fine")
    changes = [transitions.re_place(one, host=host) for one, host in zip(executions, hosts, strict=True)]
    answers = await asyncio.gather(*map(store.change, changes), return_exceptions=True)
    assert isinstance(answers[1], Exception)
    assert [(await store.execution(one.id)).host for one in executions] == ["good", None, "fine"]


@pytest.mark.parametrize("text", ["", "a\x00b", 'a "quoted" \\ $[0] ->> 1', "größe 🐳\n\t\x7f", "[1, 2]", "null", "1e999"])
async def test_any_text_of_a_change_comes_back_as_it_was(store, text):
    execution = await created(store, status=Status.PULLING, epoch=1)
    failure = Failure(FailureReason.IMAGE, text)
    ended = await store.change(
        transitions.give_up(await store.change(transitions.re_place(execution, host=text)), ending_of(Status.FAILED, failure))
    )
    assert (ended.host, ended.failure) == (text, failure)
    assert await store.execution(execution.id) == ended


def ending_of(final: Status, failure: Failure | None = None) -> Ending:
    return Ending(final, 50, failure=failure)


async def test_many_that_are_read_at_once_are_each_answered_for_themselves(store):
    made = [await created(store, scheduled_for=number) for number in range(150)]
    wanted = [execution.id for execution in made] + ["unknown", made[0].id, "\x00", ""]
    expected = [*made, None, made[0], None, None]
    assert await asyncio.gather(*map(store.execution, wanted)) == expected


async def test_a_change_of_an_unknown_execution_is_refused(store):
    assert await store.change(transitions.claim(new()[2], host="h", pool="p", now=10)) is None


async def test_a_change_of_what_is_no_field_is_an_error(store):
    execution = await created(store)
    with pytest.raises(ValueError, match="nothing_such"):
        await store.change(ExecutionChange.of("take-over", execution, nothing_such=1))


async def test_one_of_many_claims_of_one_execution_wins(store, open_store):
    other = await open_store()
    for _ in range(10):
        execution = await created(store)
        changes = [transitions.claim(execution, host=f"h{number}", pool="p", now=10) for number in range(8)]
        pairs = zip([store, other] * 4, changes, strict=True)
        results = await asyncio.gather(*(one.change(change) for one, change in pairs))
        (winner,) = [result for result in results if result is not None]
        assert await store.execution(execution.id) == winner
        assert winner.epoch == 1


# lists


async def test_the_last_started_is_the_newest_whose_container_started_whatever_came_after(store):
    job, tick, execution = new()
    first = replace(execution, started_at=5)
    await store.create(job, tick, first)
    assert await store.last_started(job.id) == first
    second = replace(next_execution(first, due=9, now=9), started_at=9)
    assert await store.insert(second)
    for attempt in (3, 4):
        assert await store.insert(replace(second, id=f"{attempt}", attempt=attempt, started_at=None, status=Status.STOPPED))
    assert await store.last_started(job.id) == second
    assert await store.last_started("another") is None


async def test_a_jobs_executions_are_listed_newest_first(store):
    job = new_job(at=1)
    await store.create(job, None, None)
    made = []
    for number in range(6):
        tick, execution = first_of(job, key=f"c:{number}", sequence=1 + number // 2)
        execution = replace(execution, attempt=1 + number % 2, status=list(Status)[number])
        advanced = replace(job, sequence=job.sequence + 1)
        assert await store.advance(job, advanced, [tick], execution)
        job = advanced
        made.append(execution)
    made.reverse()
    await store.create(*new())
    assert await store.executions_of(job.id, 10) == made
    assert await store.executions_of(job.id, 2, 3) == made[3:5]
    assert await count_executions(store, job.id) == 6
    for statuses in (UNDER_WAY, FINAL, frozenset({Status.PULLING}), frozenset({Status.RUNNING, Status.DONE}), frozenset()):
        expected = [execution for execution in made if execution.status in statuses]
        assert await store.executions_of(job.id, 10, statuses=statuses) == expected
        assert await store.executions_of(job.id, 1, 1, statuses=statuses) == expected[1:2]


async def test_the_latest_is_the_newest_under_way_or_else_the_newest(store):
    async def job_with(*statuses: Status) -> tuple[str, list[Execution]]:
        job = new_job(at=1)
        await store.create(job, None, None)
        made = []
        for number, one in enumerate(statuses):
            tick, execution = first_of(job, key=f"c:{number}", sequence=number + 1)
            made.append(replace(execution, status=one))
            advanced = replace(job, sequence=job.sequence + 1)
            assert await store.advance(job, advanced, [tick], made[-1])
            job = advanced
        return job.id, made

    busy, of_busy = await job_with(Status.RUNNING, Status.ENQUEUED, Status.DONE)
    over, of_over = await job_with(Status.FAILED, Status.DONE)
    empty, _ = await job_with()
    assert await store.latest([busy, over, empty, "unknown"]) == {busy: of_busy[1], over: of_over[1]}


async def test_one_that_waits_for_others_is_found_until_it_is_released_and_is_the_latest_only_without_them(store):
    job, tick, first = new()
    await store.create(job, tick, first)
    assert await store.waiting(job.id) is None
    second_tick, second = first_of(job, key="r:2", sequence=2)
    second = replace(second, waits=Overlap.REPLACE)
    advanced = replace(job, sequence=2)
    assert await store.advance(job, advanced, [second_tick], second)
    assert await store.waiting(job.id) == second
    assert await store.latest([job.id]) == {job.id: first}
    assert await store.unsettled_of(job.task_id, job.id) == [first, second]
    ended = await store.change(cancel(first, now=9))
    assert await store.latest([job.id]) == {job.id: second}
    assert await store.unsettled_of(job.task_id, job.id) == [ended, second]
    assert await store.change(settle(first)) is not None
    assert await store.unsettled_of(job.task_id, job.id) == [second]
    released = await store.change(release(second))
    assert released is not None
    assert released.waits is None
    assert (await store.waiting(job.id), await store.unsettled_of("other", job.id)) == (None, [])


async def test_what_ended_while_it_waited_waits_no_more(store):
    job, tick, first = new()
    await store.create(job, tick, replace(first, waits=Overlap.QUEUE))
    await store.change(cancel(first, now=9))
    assert await store.waiting(job.id) is None


async def test_what_was_inserted_after_its_job_was_deleted_is_not_the_latest_of_a_job_made_under_its_id(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    late = replace(next_execution(execution, due=9, now=9), incarnation="an earlier one", sequence=8)
    assert await store.insert(late)
    assert not late.belongs_to(job)
    assert await store.latest([job.id]) == {job.id: execution}
    assert await store.latest([]) == {}


async def test_executions_with_some_statuses_come_in_order_and_page_without_gap(store):
    made = [await created(store, status=list(Status)[number % 8], scheduled_for=1_000 + number // 5) for number in range(40)]
    for statuses in (UNDER_WAY, frozenset({Status.DONE}), frozenset(Status), frozenset()):
        wanted = [execution for execution in made if execution.status in statuses]
        expected = sorted(wanted, key=lambda execution: (execution.scheduled_for, execution.id))
        found, after = [], None
        while page := await store.executions_in(statuses, 4, after):
            assert len(page) <= 4
            found += page
            after = (page[-1].scheduled_for, page[-1].id)
        assert found == expected


async def test_what_ended_is_unsettled_until_settled_then_uncleaned_until_cleaned(store):
    late, early = await ended(store, Status.DONE, 900), await ended(store, Status.FAILED, 100)
    await created(store, status=Status.RUNNING)
    assert await store.unsettled(10) == [early, late]
    assert await store.unsettled(1) == [early]
    assert await store.uncleaned(10) == []
    late, early = [await store.change(transitions.settle(execution)) for execution in (late, early)]
    assert await store.unsettled(10) == []
    assert await store.uncleaned(10) == [early, late]
    assert await store.uncleaned(1) == [early]
    assert await store.uncleaned(10, (early.finished_at, early.id)) == [late]
    assert await store.uncleaned(10, (late.finished_at, late.id)) == []
    await store.change(transitions.clean(early))
    assert await store.uncleaned(10) == [late]


async def test_what_is_not_cleaned_yet_is_counted_for_each_host(store):
    assert await store.uncleaned_by_host(10) == []
    hosts = {"b:2375": (400, 200), "a:2375": (300, 500, 200), None: (600,)}
    for host, moments in hosts.items():
        for moment in moments:
            await store.change(transitions.settle(await ended(store, Status.DONE, moment, host=host)))
    await ended(store, Status.DONE, 100, host="a:2375")
    cleaned = await store.change(transitions.settle(await ended(store, Status.FAILED, 100, host="c:2375")))
    await store.change(transitions.clean(cleaned))
    expected = [Uncleaned("a:2375", 3, 200), Uncleaned("b:2375", 2, 200), Uncleaned(None, 1, 600)]
    assert await store.uncleaned_by_host(10) == expected
    assert await store.uncleaned_by_host(4) == [Uncleaned("a:2375", 2, 200), Uncleaned("b:2375", 2, 200)]


async def test_what_runs_is_listed_in_the_order_in_which_it_was_due(store):
    assert await store.running_containers(10) == []
    rows = []
    for due in (300, 100, 200):
        execution = await store.change(transitions.claim(await created(store, scheduled_for=due), host="h:2375", pool="p", now=1))
        bound = await store.change(transitions.bind(execution, service_id="s", swarm_id="w", image_digest="d", now=2))
        rows.append(await store.change(transitions.run(bound, Started("task", f"container of {due}", 3))))
    await store.change(transitions.end(rows.pop(), Ending(Status.DONE, 4, 0)))
    first, second = sorted(rows, key=lambda row: row.scheduled_for)
    shown = [RunningContainer(row.id, row.task_id, row.job_id, "h:2375", row.container_id, row.spec.image) for row in (first, second)]
    assert await store.running_containers(10) == shown
    assert await store.running_containers(1) == shown[:1]


async def test_an_execution_cancelled_before_its_start_needs_no_cleaning(store):
    execution = await store.change(transitions.cancel(await created(store), now=5))
    assert await store.unsettled(10) == [execution]
    await store.change(transitions.settle(execution))
    assert await store.uncleaned(10) == []


async def test_a_tick_is_closed_with_its_outcome_and_may_be_closed_again(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    for _ in range(2):
        await store.close_tick(tick.id, Outcome.STOPPED, "stopped before it began")
    assert await tick_of(store, tick.job_id, tick.id) == replace(tick, outcome=Outcome.STOPPED, reason="stopped before it began")
    await store.close_tick("unknown", Outcome.STOPPED, None)


async def test_counts_follow_every_creation_and_change(store):
    empty = dict.fromkeys(Status, 0)
    assert await store.counts() == Counts(0, 0, empty)
    first, _ = await created(store), await created(store)
    await store.create(new_job("other", at=5), None, None)
    claimed = await store.change(transitions.claim(first, host="h", pool="p", now=1))
    await store.change(transitions.take_over(claimed))
    assert await store.counts() == Counts(2, 3, {**empty, Status.ENQUEUED: 1, Status.PULLING: 1})
    assert await store.counts(visible="other|x") == Counts(1, 1, empty)
    assert await store.counts(visible="my-") == Counts(1, 2, {**empty, Status.ENQUEUED: 1, Status.PULLING: 1})
    assert await store.jobs_by_status(9) == {"scheduled": 1, "enqueued": 1, "pulling": 1}
    assert await store.jobs_by_status(9, visible="my-") == {"enqueued": 1, "pulling": 1}
    assert await store.jobs_by_status(9, visible="nothing") == {}


# the queue's generation


async def test_the_first_generation_is_number_zero(store):
    assert (await store.generation()).number == 0


async def test_a_generation_is_replaced_only_where_it_is_as_it_was_seen(store):
    first = await store.generation()
    second = Generation(1, "run", "worker", 50)
    assert await store.change_generation(first, second)
    for stale in ({"number": 2}, {"run_id": "other"}, {"builder": None}, {"builder": "w"}, {"since": 49}, {"since": 51}):
        assert not await store.change_generation(replace(second, **stale), first)
    assert await store.generation() == second
    whole = replace(second, builder=None)
    assert await store.change_generation(second, whole)
    assert await store.change_generation(whole, replace(whole, number=2))


async def test_one_of_many_builders_takes_the_generation(store, open_store):
    other = await open_store()
    seen = await store.generation()
    news = [Generation(1, "run", f"worker-{number}", 50) for number in range(8)]
    pairs = zip([store, other] * 4, news, strict=True)
    results = await asyncio.gather(*(one.change_generation(seen, mine) for one, mine in pairs))
    assert results.count(True) == 1
    assert await store.generation() == news[results.index(True)]


# the store as a whole


async def test_a_store_that_was_opened_again_has_everything(store, open_store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    claimed = await store.change(transitions.claim(execution, host="h", pool="p", now=10))
    await store.close()
    again = await open_store()
    assert await again.job(job.id) == job
    assert await tick_of(again, tick.job_id, tick.id) == tick
    assert await again.execution(execution.id) == claimed
    assert (await again.counts()).executions[Status.PULLING] == 1


async def test_one_store_sees_at_once_what_another_wrote(store, open_store):
    other = await open_store()
    for _ in range(20):
        job, tick, execution = new()
        await store.create(job, tick, execution)
        assert await other.execution(execution.id) == execution


async def test_callers_that_are_cancelled_harm_nobody_else(store):
    for _ in range(20):
        tasks = [asyncio.ensure_future(store.create(*new())) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1::2] == [None] * 5
    await store.check()
    counts = await store.counts()
    assert 100 <= counts.jobs <= 200
    assert counts.executions[Status.ENQUEUED] == counts.jobs == (await store.task("my-task")).jobs_count


async def test_a_store_that_works_passes_its_check(store):
    await store.check()
    await store.check()


async def test_a_closed_store_is_down(store):
    await store.close()
    with pytest.raises(StoreDown):
        await store.check()
    with pytest.raises(StoreDown):
        await store.job("j")
