"""Backfills: which due times run, how many at once, when they end, and that none runs twice or is lost, wherever a process ends. In virtual
time; no worker but the test."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fastlane.errors import Conflict, Invalid, KeyReused, NotFound
from fastlane.models.access import Requester
from fastlane.models.backfill import BackfillState
from fastlane.models.cron import Cron
from fastlane.models.event import EventKind, Position, Source, Span, at
from fastlane.models.ids import IdempotencyKey
from fastlane.models.retention import Cuts
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.skip_dates import read_range
from fastlane.models.tick import Outcome, TickOrigin, origin_of
from fastlane.scheduler.backfiller import Backfiller
from fastlane.scheduler.launcher import order_of
from fastlane.services.backfills import BackfillWish
from fastlane.services.jobs import RetryWish
from tests.support.defaults import ports_of
from tests.support.factories import make_spec
from tests.support.intercept import Died, dies, intercepted
from tests.support.ledger import ticks_of
from tests.support.scenarios import MINUTE
from tests.support.virtual_time import POOLS

ANNA = Requester("anna", "10.0.0.1")
HOUR = 60 * MINUTE


def date_of(moment):
    return datetime.fromtimestamp(moment / 1000, UTC).date()


def hourly(overlap=Overlap.ALLOW):
    return Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"), overlap)


class Filled:
    """A job of each hour, and its backfills. ``look`` is a worker's."""

    def __init__(self, virtual, job_id):
        self.virtual, self.job_id, self.store = virtual, job_id, virtual.real_store
        self.hour = virtual.clock.now() // HOUR * HOUR

    def backfiller(self, store=None):
        async def chosen():
            return True

        ports = ports_of(store or self.store, self.virtual.real_queue, self.virtual.clock, pools=POOLS, owner="me")
        return Backfiller(ports, chosen)

    async def look(self):
        await self.backfiller().look()

    async def begin(self, hours, most=1, key=None):
        wish = BackfillWish(self.hour - hours * HOUR, self.hour, most)
        return (await self.virtual.services.backfills.begin("t", self.job_id, wish, ANNA, key))[0]

    async def preview(self, hours):
        wish = BackfillWish(self.hour - hours * HOUR, self.hour)
        return (await self.virtual.services.backfills.preview("t", self.job_id, wish)).found

    async def record(self):
        return await self.store.backfills.of_job(self.job_id)

    async def due_times(self):
        """The hours ago of what has run or runs, in the order of their start."""
        return [(self.hour - one.spec.due_at) // HOUR for one in await self.virtual.executions(self.job_id) if one.spec.backfill]

    async def work_off(self):
        """Looks and runs until nothing is left."""
        while True:
            await self.look()
            started = await self.virtual.work()
            if not started:
                return
            for id in started:
                await self.virtual.finish(id)


async def filled(virtual, schedule=None, **spec):
    reply = await virtual.others.submissions.enqueue("t", make_spec(**spec), schedule or hourly())
    return Filled(virtual, reply.job_id)


async def test_due_times_run_oldest_first_as_many_at_once_as_asked_for(virtual):
    job = await filled(virtual)
    begun = await job.begin(4, most=2)
    assert (begun.total, begun.state) == (5, BackfillState.RUNNING)
    await job.look()
    await job.look()
    assert await job.due_times() == [4, 3]
    first, second = await virtual.work()
    await virtual.finish(second, 1)
    await job.look()
    assert await job.due_times() == [4, 3, 2]
    made = await virtual.real_store.execution(first)
    assert (order_of(made, None).scheduled_for, made.scheduled_for) == (job.hour - 4 * HOUR, virtual.clock.now())
    assert made.requested_by == ANNA
    await virtual.finish(first)
    await job.work_off()
    for execution in await virtual.executions(job.job_id):
        if not execution.status.final:
            await virtual.finish(execution.id)
    await job.work_off()
    end = await job.record()
    assert (end.state, end.succeeded, end.failed, end.remaining, end.open) == (BackfillState.FINISHED, 4, 1, (), ())
    rows = list(reversed(await ticks_of(virtual.real_store, job.job_id, 100)))
    assert [(job.hour - row.due) // HOUR for row in rows] == [4, 3, 2, 1, 0]
    assert {(row.key.split(":")[1], origin_of(row.key), row.outcome) for row in rows} == {
        (begun.request, TickOrigin.BACKFILL, Outcome.STARTED)
    }
    events = await virtual.real_store.events(Source.RECORDED, Span(at(0), Position(10**14, "~")), 100)
    assert {(event.kind, event.detail.get("succeeded")) for event in events} == {("backfill.begun", None), ("backfill.ended", 4)}


async def test_only_due_times_without_a_success_run(virtual):
    job = await filled(virtual)
    await job.begin(3, most=4)
    await job.look()
    four, three, two, one = await virtual.work()
    await virtual.finish(four)
    await virtual.finish(three, 1)
    await virtual.run(two)
    await virtual.finish(one, 1)
    again = await virtual.services.manual_runs.retry_execution("t", job.job_id, RetryWish(one))
    assert await virtual.work() == [again.execution_id]
    await virtual.finish(again.execution_id)  # a retry by hand counts as well
    found = await job.preview(3)
    assert (found.due, found.succeeded, found.under_way) == ((job.hour - 2 * HOUR,), 2, 1)


async def test_due_times_on_skipped_dates_are_left_out(virtual):
    today = read_range(str(date_of(virtual.clock.now())))
    job = await filled(virtual, replace(hourly(), skip=(today,)))
    due = [one for one in (await job.preview(30)).due]
    assert due
    assert today.first not in set(map(date_of, due))


async def test_failures_of_a_backfill_neither_pause_the_job_nor_count_in_a_row(virtual):
    job = await filled(virtual, pause_after=2, command=["exit", "1"])
    await job.begin(4, most=5)
    await job.look()
    for id in await virtual.work():
        await virtual.finish(id, 1)
    await job.look()
    end, own = await job.record(), await virtual.real_store.job(job.job_id)
    assert (end.state, end.failed) == (BackfillState.FINISHED, 5)
    assert (own.paused, own.failing) == (False, None)


async def test_a_schedule_and_a_backfill_do_not_hold_each_other_up(virtual):
    job = await filled(virtual, hourly(Overlap.SKIP))
    await job.begin(1)
    await job.look()
    (ours,) = await virtual.work()
    await virtual.run(ours)
    virtual.clock.set(job.hour + HOUR)
    (theirs,) = await virtual.work()
    await virtual.run(theirs)
    await virtual.end(ours)
    await virtual.settle(ours)
    await job.look()
    assert await job.due_times() == [1, 0]


async def test_what_expires_counts_from_the_request(virtual):
    job = await filled(virtual, expires_in=10 * MINUTE)
    begun = await job.begin(2)
    await job.look()
    (first,) = await virtual.work()
    assert (await virtual.real_store.execution(first)).expires_at == begun.created_at + 10 * MINUTE
    await virtual.finish(first)
    virtual.clock.set(begun.created_at + 10 * MINUTE)
    await job.look()
    end = await job.record()
    assert (end.state, end.succeeded, end.expired) == (BackfillState.FINISHED, 1, 2)
    assert await virtual.ledger(job.job_id) == ["started", "expired", "expired"]


async def test_a_pause_of_the_job_holds_its_backfill(virtual):
    job = await filled(virtual)
    await virtual.services.pauses.pause("t", job.job_id)
    await job.begin(1)
    await job.look()
    assert await job.due_times() == []
    waits = (await virtual.services.why.job("t", job.job_id)).waits
    assert [wait.message for wait in waits if wait.reason == "backfill"] == [
        "a backfill runs 2 due times, 1 at once: 0 have ended, 0 run, and 2 are left, the next one of 2023-11-14T21:00:00.000Z, "
        "held until someone resumes the job"
    ]
    await virtual.services.pauses.resume("t", job.job_id)
    await job.look()
    assert await job.due_times() == [1]


@pytest.mark.parametrize("how", ["job", "backfill"])
async def test_a_stop_ends_the_backfill_and_what_it_runs(virtual, how):
    job = await filled(virtual)
    await job.begin(3)
    await job.look()
    (running,) = await virtual.work()
    await virtual.run(running)
    if how == "job":
        await virtual.services.stops.stop_job("t", job.job_id)
    else:
        await virtual.services.backfills.stop("t", job.job_id, ANNA)
    assert (await virtual.real_store.execution(running)).is_stopping
    await virtual.end(running)
    await virtual.settle(running)
    await job.look()
    end = await job.record()
    assert (end.state, len(end.remaining)) == (BackfillState.STOPPED, 3)
    assert end.reason == ("the job was stopped" if how == "job" else "it was stopped")
    assert await job.due_times() == [3]
    again = await virtual.services.backfills.stop("t", job.job_id)
    assert (again.reason, again.open, again.failed) == (end.reason, (), 1)  # what it ran has ended since


async def ended_of(job):
    """The events of ends, as request, actor, and how many succeeded."""
    events = await job.store.events(Source.RECORDED, Span(at(0), Position(10**14, "~")), 100)
    ends = [event for event in events if event.kind == EventKind.BACKFILL_ENDED]
    return [(event.detail["backfill"], event.actor, event.detail["succeeded"]) for event in ends]


async def test_a_backfill_whose_last_execution_has_ended_is_over_before_a_worker_looks(virtual):
    job = await filled(virtual)
    first = await job.begin(1, most=2)
    await job.look()
    one, other = await virtual.work()
    await virtual.finish(one)
    now = await virtual.services.backfills.get("t", job.job_id)
    assert (now.state, now.succeeded, len(now.open), now.ended_at) == (BackfillState.RUNNING, 1, 1, None)
    await virtual.finish(other)
    now = await virtual.services.backfills.get("t", job.job_id)
    assert (now.state, now.succeeded, now.open, now.reason) == (BackfillState.FINISHED, 2, (), None)
    assert now.ended_at is not None
    assert (await job.record()).ended_at is None
    assert [wait for wait in (await virtual.services.why.job("t", job.job_id)).waits if wait.reason == "backfill"] == []
    await job.begin(3)  # another one may begin
    assert await ended_of(job) == [(first.request, None, 2)]
    await job.look()
    assert await job.due_times() == [1, 0, 3]


async def test_a_stop_of_the_job_ends_its_backfill_before_a_worker_looks(virtual):
    job = await filled(virtual)
    await job.begin(3)
    await job.look()
    await virtual.work()
    await virtual.services.stops.stop_job("t", job.job_id)
    now = await virtual.services.backfills.get("t", job.job_id)
    assert (now.state, now.reason, len(now.remaining)) == (BackfillState.STOPPED, "the job was stopped", 3)
    await job.look()
    assert [end[1:] for end in await ended_of(job)] == [(None, 0)]


async def test_no_tick_comes_after_a_stop_was_answered(virtual):
    """From a worker that read everything before."""
    job = await filled(virtual)
    await job.begin(3)
    virtual.worker_store.before("advance", lambda: virtual.others.backfills.stop("t", job.job_id))
    await job.backfiller(virtual.worker_store).look()
    assert await virtual.executions(job.job_id) == []
    assert (await job.record()).state is BackfillState.STOPPED


async def killed(call):
    """The process ends once this write is done."""
    await call.carry()
    raise Died


async def killed_before(_call):
    """The process ends before this write."""
    raise Died


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("moment", ["before the tick", "after the tick", "after the record"])
async def test_a_process_killed_at_any_step_makes_no_tick_twice_and_loses_none(virtual, moment, most):
    """One is killed at each step that it makes, and the next goes on."""
    job = await filled(virtual)
    await job.begin(5, most)
    kills = 0
    if moment != "after the record":
        virtual.worker_store.around("advance", killed_before if moment == "before the tick" else killed)
    while (await job.record()).ended_at is None:
        with contextlib.ExitStack() as stack:
            if moment == "after the record":
                stack.enter_context(intercepted(virtual.real_store.backfills, "write", killed))
            try:
                await job.backfiller(virtual.worker_store).go_on(job.job_id)
            except Died:
                kills += 1
        assert len([one for one in await virtual.executions(job.job_id) if not one.status.final]) <= most
        if moment == "before the tick":
            await job.look()
        await virtual.reconciler.requeue()
        for id in await virtual.work():
            await virtual.finish(id)
    assert kills >= 6 / most
    assert sorted(await job.due_times()) == [0, 1, 2, 3, 4, 5]
    assert await virtual.ledger(job.job_id) == ["started"] * 6
    end = await job.record()
    assert (end.state, end.succeeded) == (BackfillState.FINISHED, 6)


async def test_a_due_time_whose_execution_retention_has_removed_meanwhile_does_not_run_again(virtual):
    """The process ended after the tick; the execution ended and went before another process went on."""
    job = await filled(virtual)
    await job.begin(1)
    virtual.worker_store.after("advance", dies)
    with pytest.raises(Died):
        await job.backfiller(virtual.worker_store).go_on(job.job_id)
    await virtual.reconciler.requeue()
    (made,) = await virtual.work()
    await virtual.finish(made)
    await virtual.services.manual_runs.run("t", job.job_id)
    (newest,) = await virtual.work()
    await virtual.finish(newest)
    (history,) = await job.store.retention.histories_of([job.job_id])
    await job.store.retention.prune(history, Cuts(max_executions=1))
    assert [one.id for one in await virtual.executions(job.job_id)] == [newest]
    assert len(await ticks_of(job.store, job.job_id, 9)) == 1
    await job.look()
    assert await job.due_times() == [0]


async def test_two_workers_at_once_make_each_tick_once(virtual):
    job = await filled(virtual)
    await job.begin(2, 3)
    virtual.worker_store.before("advance", job.look)
    await job.backfiller(virtual.worker_store).look()
    assert await job.due_times() == [2, 1, 0]
    assert (await job.record()).open == tuple(job.hour - hours * HOUR for hours in (2, 1, 0))


async def test_a_job_has_one_backfill_at_a_time_and_a_key_begins_one(virtual):
    job = await filled(virtual)
    key = IdempotencyKey("key", "body")
    first = await job.begin(1, key=key)
    assert (await job.begin(1, key=key)).request == first.request
    with pytest.raises(KeyReused):
        await job.begin(1, key=IdempotencyKey("key", "other"))
    with pytest.raises(Conflict, match="is under way; stop it"):
        await job.begin(1)
    with pytest.raises(Conflict, match=rf"backfill {first.request} of job .* is under way"):
        await virtual.services.deletions.delete_job("t", job.job_id)
    await job.work_off()
    assert (await job.begin(1, key=key)).request == first.request  # of a request that is sent late, too
    with pytest.raises(Conflict, match=r"no due time .* is without a success"):
        await job.begin(1)


async def test_a_range_that_cannot_be_is_refused_with_all_its_faults(virtual):
    job = await filled(virtual)
    now = virtual.clock.now()
    begin = virtual.services.backfills.begin
    with pytest.raises(Invalid) as caught:
        await begin("t", job.job_id, BackfillWish(now + 2 * HOUR, now + HOUR))
    assert [fault.field for fault in caught.value.faults] == ["to", "from"]
    with pytest.raises(Invalid, match="to: has more than 1,000 due times after from; the first 1,000 end at 20"):
        await begin("t", job.job_id, BackfillWish(job.hour - 1_000 * HOUR))
    once = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    with pytest.raises(Conflict, match="has no cron"):
        await begin("t", once.job_id, BackfillWish(job.hour - HOUR))
    with pytest.raises(NotFound, match="has no backfill"):
        await virtual.services.backfills.get("t", job.job_id)


async def test_a_due_time_that_the_schedule_is_about_to_run_is_left_to_it(virtual):
    job = await filled(virtual)
    virtual.clock.set(job.hour + HOUR)
    found = await virtual.services.backfills.preview("t", job.job_id, BackfillWish(job.hour))
    assert found.found.due == (job.hour,)


async def test_a_deleted_job_has_no_backfill_any_more(virtual):
    job = await filled(virtual)
    await job.begin(3)
    await virtual.services.deletions.delete_job("t", job.job_id, stop=True)
    await job.look()
    end = await job.record()
    assert (end.state, end.reason) == (BackfillState.STOPPED, "the job was deleted")
    assert await virtual.real_store.backfills.prune(end.ended_at + 1, 10) == 1


async def test_an_automatic_retry_belongs_to_its_due_time(virtual):
    job = await filled(virtual, retries=1, retry_delay=0)
    await job.begin(1)
    await job.look()
    (first,) = await virtual.work()
    await virtual.run(first)
    await virtual.end(first, 1)
    await job.look()
    assert await job.due_times() == [1]  # it is about to be retried
    await virtual.settle(first)
    (second,) = await virtual.work()
    await job.look()
    assert await job.due_times() == [1, 1]
    await virtual.finish(second)
    await job.work_off()
    end = await job.record()
    assert (end.succeeded, end.failed, end.total) == (2, 0, 2)
