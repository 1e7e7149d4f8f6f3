"""What a worker removes of what has happened, and what it leaves."""

from dataclasses import replace

import pytest
import structlog

from fastlane.models.notify.delivery import Delivery
from fastlane.models.notify.webhook import Occasion, Webhook
from fastlane.models.retention import Retention
from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.scheduler.repair import pruner as pruners
from fastlane.scheduler.repair.pruner import Pruned, Pruner, RetentionRules
from tests.behaviour.retention.conftest import DAY, HOUR, MINUTE, MakePruner
from tests.support.factories import make_spec
from tests.support.ledger import count_executions, count_ticks
from tests.support.scenarios import ran
from tests.support.stored_data import damage
from tests.support.virtual_time import POOLS, VirtualFastlane

EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))


async def prune(pruner: Pruner) -> Pruned:
    """Removes all that is overdue, after the command has told how much that is."""
    told = await pruner.overdue()
    assert await pruner.prune_all() == told
    assert await pruner.overdue() == Pruned()
    return told


async def test_a_job_that_ended_long_ago_goes_with_its_history_and_its_task(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    job = await ran(virtual)
    virtual.clock.set(virtual.clock.now() + DAY)
    assert await prune(pruner_of(jobs=DAY + MINUTE)) == Pruned()
    assert await prune(pruner_of(jobs=DAY - MINUTE)) == Pruned(jobs=1, executions=1, ticks=1)
    assert await virtual.real_store.job(job.job_id) is None
    assert await virtual.real_store.task("t") is None
    assert (await virtual.real_store.counts()).executions[Status.DONE] == 0


async def test_a_task_that_has_another_job_stays(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    await ran(virtual)
    virtual.clock.set(virtual.clock.now() + DAY)
    kept = await ran(virtual)
    assert await prune(pruner_of(jobs=HOUR)) == Pruned(jobs=1, executions=1, ticks=1)
    task = await virtual.real_store.task("t")
    assert task is not None
    assert task.jobs_count == 1
    assert await virtual.real_store.job(kept.job_id) is not None


async def test_a_job_that_waits_for_its_time_is_paused_or_runs_stays(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    far = await virtual.services.submissions.enqueue("t", make_spec(), virtual.at(400 * 86_400))
    paused = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.services.pauses.pause("t", paused.job_id)
    running = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await virtual.work()
    await virtual.run(id)
    virtual.clock.set(virtual.clock.now() + 300 * DAY)
    assert await prune(pruner_of(jobs=MINUTE, executions=MINUTE, max_executions=1, logs=MINUTE)) == Pruned()
    for job in (far, paused, running):
        assert await virtual.real_store.job(job.job_id) is not None


async def test_a_job_is_pruned_by_the_stricter_of_its_own_rules_and_the_server_s(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    own = await virtual.services.submissions.enqueue("t", make_spec(retention=Retention(max_executions=3)), Schedule())
    other = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    for id in await virtual.work():
        await virtual.finish(id)
    for job in (own, other):
        await virtual.past(job.job_id, 20)
    assert await prune(pruner_of(max_executions=10)) == Pruned(executions=18 + 11, ticks=18 + 11)
    assert await count_executions(virtual.real_store, own.job_id) == 3
    assert await count_executions(virtual.real_store, other.job_id) == 10


async def test_a_pool_s_rules_stand_in_place_of_the_server_s(virtual: VirtualFastlane) -> None:
    pools = [replace(pool, retention=Retention(max_executions=5)) if pool.name == "other" else pool for pool in POOLS]
    job = await ran(virtual)
    of_pool = await virtual.services.submissions.enqueue("other-t", make_spec(), Schedule())
    for id in await virtual.work():
        await virtual.finish(id)
    await virtual.past(job.job_id, 20)
    await virtual.past(of_pool.job_id, 20)
    await prune(Pruner(virtual.real_store, virtual.clock, pools, RetentionRules(Retention(max_executions=2))))
    assert await count_executions(virtual.real_store, job.job_id) == 2
    assert await count_executions(virtual.real_store, of_pool.job_id) == 5


async def test_a_worker_goes_on_with_the_jobs_after_those_that_it_looked_at(
    virtual: VirtualFastlane, pruner_of: MakePruner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruners, "PAGE", 2)
    monkeypatch.setattr(pruners, "PAGES", 1)
    jobs = []
    for number in range(5):
        virtual.clock.set(virtual.clock.now() + 1)
        jobs.append(await ran(virtual))
        if number == 4:
            await virtual.past(jobs[-1].job_id, 10)
    pruner = pruner_of(max_executions=1)
    with structlog.testing.capture_logs() as events:
        for expected in (11, 11, 1):
            await pruner.prune()
            assert await count_executions(virtual.real_store, jobs[-1].job_id) == expected
    told = {
        "event": "retention.pruned",
        "log_level": "info",
        "jobs": 0,
        "executions": 10,
        "ticks": 10,
        "logs": 0,
        "deliveries": 0,
        "hours": 0,
        "events": 0,
    }
    assert told in events


async def test_only_the_worker_that_is_chosen_prunes(virtual: VirtualFastlane) -> None:
    job = await ran(virtual)
    await virtual.past(job.job_id, 10)

    async def another() -> bool:
        return False

    await Pruner(virtual.real_store, virtual.clock, POOLS, RetentionRules(Retention(max_executions=1)), another).prune()
    assert await count_executions(virtual.real_store, job.job_id) == 11


async def test_the_record_of_a_webhook_that_was_sent_goes_by_age(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    job = await ran(virtual)
    webhook, now = Webhook(Occasion.FINISHES, "https://example.com/hook", {}, 3), virtual.clock.now()
    for number, due in enumerate((None, now + DAY)):
        delivery = Delivery(f"d{number}", "t", job.job_id, job.execution_id, "execution.done", webhook, False, now, due, 3)
        await virtual.real_store.insert_deliveries([delivery])
    virtual.clock.set(now + HOUR)
    assert await prune(pruner_of(deliveries=HOUR + 1)) == Pruned()
    assert await prune(pruner_of(deliveries=HOUR - 1, jobs=MINUTE)) == Pruned(deliveries=1)
    assert [one.id for one in await virtual.real_store.deliveries_of(job.execution_id)] == ["d1"]


async def test_a_job_that_cannot_be_read_is_left_alone_and_the_others_are_pruned(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    broken = await ran(virtual)
    await virtual.past(broken.job_id, 10)
    job = await ran(virtual)
    await virtual.past(job.job_id, 10)
    damage(virtual.store_url, "jobs", broken.job_id)
    await pruner_of(max_executions=1).prune_all()
    assert await count_executions(virtual.real_store, broken.job_id) == 11
    assert await count_executions(virtual.real_store, job.job_id) == 1


async def test_a_cron_goes_on_while_its_history_is_pruned(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    pruner, start = pruner_of(executions=3 * MINUTE), virtual.clock.now()
    for _ in range(10):
        due = (await virtual.job(job.job_id)).next_tick
        assert due is not None
        (id,) = await virtual.until(due)
        await virtual.finish(id)
        await pruner.prune()
        assert await count_executions(virtual.real_store, job.job_id) <= 4
        assert await count_ticks(virtual.real_store, job.job_id) <= 4
    assert (virtual.clock.now() - start) // MINUTE in (9, 10)
