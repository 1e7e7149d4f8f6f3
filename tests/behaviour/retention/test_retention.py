"""What a worker removes of what has happened, and what it leaves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import structlog

from fastlane.errors import StoreDown
from fastlane.metrics import PRUNED, Metrics
from fastlane.models import transitions
from fastlane.models.cron import Cron
from fastlane.models.delivery import Delivery
from fastlane.models.job import JobSource
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.retention import Retention
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.scheduler import pruner as pruners
from fastlane.scheduler.known_workers import Share
from fastlane.scheduler.pruner import Pruned, Pruner, RetentionRules
from fastlane.storage.base import Noted
from tests.behaviour.retention.conftest import DAY, HOUR, MINUTE, MakePruner, measured
from tests.support.factories import chunk, first_of, make_spec, new_job
from tests.support.intercept import Call, Intercepted
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


async def test_a_manual_job_stays_however_long_nobody_has_run_it(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    await virtual.others.submissions.enqueue("t", make_spec(), Schedule(ScheduleKind.MANUAL))
    job = await ran(virtual)
    virtual.clock.set(virtual.clock.now() + DAY)
    assert await prune(pruner_of(jobs=DAY - MINUTE)) == Pruned(jobs=1, executions=1, ticks=1)
    assert await virtual.real_store.job(job.job_id) is None
    assert (await virtual.real_store.counts()).jobs == 1


async def test_a_stopped_job_stays_while_a_service_declares_it(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    job = await ran(virtual)
    for gone, pruned in ((None, Pruned()), ("it is gone", Pruned(jobs=1, executions=1, ticks=1))):
        stored = await virtual.real_store.job(job.job_id)
        assert stored is not None
        source = JobSource("shop_web", "swarm", "id", gone=gone)
        assert await virtual.real_store.advance(stored, replace(stored, source=source, revision=stored.revision + 1), (), None)
        virtual.clock.set(virtual.clock.now() + DAY)
        assert await prune(pruner_of(jobs=DAY - MINUTE)) == pruned


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
    monkeypatch.setattr(pruners, "LOOKED_INTO", 1)
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


async def test_workers_share_what_there_is_to_prune_and_the_first_removes_what_goes_by_age_alone(virtual: VirtualFastlane) -> None:
    for _ in range(2 * pruners.PAGE + 50):
        job = new_job("t", next_tick=None, sequence=0, now=virtual.clock.now())
        await virtual.real_store.create(job, None, None)
    virtual.clock.set(virtual.clock.now() + DAY)
    metrics = [Metrics(), Metrics()]

    def worker(number: int, count: int) -> Pruner:
        async def share() -> Share:
            return Share(number, count)

        return Pruner(virtual.real_store, virtual.clock, POOLS, RetentionRules(Retention(jobs=HOUR)), share, metrics[number])

    await worker(1, 2).prune()
    await worker(0, 2).prune()
    gone = [measured(one, "fastlane_pruned", "kind")["jobs"] for one in metrics]
    assert gone == [pruners.PAGE, pruners.PAGE + pruners.LOOKED_INTO]
    assert (await virtual.real_store.counts()).jobs == 0


async def test_the_record_of_a_webhook_that_was_sent_goes_by_age(virtual: VirtualFastlane, pruner_of: MakePruner) -> None:
    job = await ran(virtual)
    webhook, now = Webhook(NotificationTrigger.FINISHES, "https://example.com/hook", {}, 3), virtual.clock.now()
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


async def test_a_job_whose_rules_are_no_numbers_keeps_its_history_and_the_others_are_pruned(
    virtual: VirtualFastlane, pruner_of: MakePruner
) -> None:
    broken, job = await ran(virtual), await ran(virtual)
    for one in (broken, job):
        await virtual.past(one.job_id, 10)
    damage(virtual.store_url, "jobs", broken.job_id, value='{"retention": {"jobs": "a week"}}')
    await pruner_of(max_executions=1, jobs=400 * DAY).prune()
    assert await count_executions(virtual.real_store, broken.job_id) == 11
    assert await count_executions(virtual.real_store, job.job_id) == 1


@pytest.mark.parametrize("error", [StoreDown("the store did not answer within 5 s"), RuntimeError("a mistake")])
@pytest.mark.parametrize("verb", ["prune", "is_over", "delete_over", "candidates", "log_bytes"])
async def test_a_fault_of_one_job_or_part_is_logged_and_the_others_go(virtual: VirtualFastlane, verb: str, error: Exception) -> None:
    """As with a job whose history takes longer to read than a call may."""
    faulty, other, short = await ran(virtual), await ran(virtual), await ran(virtual)
    for one in (faulty, other):
        await virtual.past(one.job_id, 10)

    async def fail(call: Call) -> Any:
        if call.verb == verb and (verb not in ("prune", "is_over") or call.arguments[0].job_id == faulty.job_id):
            raise error
        return await call.carry()

    store: Any = Intercepted(virtual.real_store, lambda call: call.carry())
    store.retention = Intercepted(virtual.real_store.retention, fail)
    virtual.clock.set(virtual.clock.now() + DAY)
    jobs = None if verb == "prune" else HOUR
    with structlog.testing.capture_logs() as events:
        pruner = Pruner(store, virtual.clock, POOLS, RetentionRules(Retention(jobs=jobs, max_executions=1), log_bytes=10**9))
        await pruner.prune()
    counts = [await count_executions(virtual.real_store, one.job_id) for one in (other, short)]
    assert counts == ([1, 1] if verb == "prune" else [0, 0])
    faults = {event["event"]: event.get("job_id") for event in events if event["log_level"] == "warning"}
    assert faults == ({"retention.job_left_alone": faulty.job_id} if verb in ("prune", "is_over") else {"retention.part_failed": None})


async def with_log(virtual: VirtualFastlane, *, cleaned: bool = True) -> str:
    """The id of an execution that ended, is cleaned, and wrote 100,000 bytes."""
    virtual.clock.set(virtual.clock.now() + MINUTE)
    job = new_job("logs", now=virtual.clock.now())
    tick, execution = first_of(job, due=virtual.clock.now())
    ended = replace(execution, status=Status.DONE, finished_at=virtual.clock.now(), stdout_bytes=100_000, settled=True, cleaned=cleaned)
    await virtual.real_store.create(job, tick, None)
    await virtual.real_store.transfer.restore_execution(ended, Noted(None, virtual.clock.now()), is_counted=True)
    await virtual.real_store.append(chunk(ended.id, Head(), [Piece(STDOUT, 1, b"x" * 100_000)]))
    return ended.id


async def left(virtual: VirtualFastlane, ids: Sequence[str]) -> list[int]:
    """The bytes that each of these logs has."""
    return [(await virtual.real_store.log_head(id)).offset for id in ids]


async def test_the_logs_of_the_oldest_executions_go_when_all_logs_take_more_than_they_may(virtual: VirtualFastlane) -> None:
    ids = [await with_log(virtual) for _ in range(5)]
    for most, went in ((600_000, 0), (250_000, 3), (250_000, 0)):
        pruner = Pruner(virtual.real_store, virtual.clock, POOLS, RetentionRules(log_bytes=most))
        assert (await pruner.overdue()).logs == went
        assert await pruner.prune_all() == Pruned(logs=went)
    assert await left(virtual, ids) == [0, 0, 0, 100_000, 100_000]
    executions = [await virtual.real_store.execution(id) for id in ids]
    assert [execution is not None and execution.truncated for execution in executions] == [True, True, True, False, False]
    metrics = Metrics()
    await Pruner(virtual.real_store, virtual.clock, POOLS, RetentionRules(log_bytes=150_000), metrics=metrics).prune()
    assert measured(metrics, "fastlane_pruned", "kind") == Pruned(logs=1).counts
    assert tuple(Pruned().counts) == PRUNED


async def test_logs_that_had_to_stay_go_later_when_they_may(virtual: VirtualFastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pruner goes on where it stopped, and begins anew at the end."""
    monkeypatch.setattr(pruners, "LOOKED_AT", 2)
    first = await with_log(virtual, cleaned=False)
    ids = [first, *[await with_log(virtual) for _ in range(4)]]
    pruner = Pruner(virtual.real_store, virtual.clock, POOLS, RetentionRules(log_bytes=350_000))
    await pruner.prune()
    assert await left(virtual, ids) == [100_000, 0, 0, 100_000, 100_000]
    execution = await virtual.real_store.execution(first)
    assert execution is not None
    assert await virtual.real_store.change(transitions.clean(execution)) is not None
    for _ in range(2):
        ids.append(await with_log(virtual))
        await pruner.prune()
    assert await left(virtual, ids) == [100_000, 0, 0, 0, 0, 100_000, 100_000]
    await Pruner(virtual.real_store, virtual.clock, POOLS, RetentionRules(log_bytes=250_000)).prune()
    assert await left(virtual, ids) == [0, 0, 0, 0, 0, 100_000, 100_000]


async def test_logs_of_what_runs_stay_and_a_warning_says_that_all_take_too_much(virtual: VirtualFastlane) -> None:
    ended = await with_log(virtual)
    await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    (running,) = await virtual.work()
    await virtual.run(running)
    await virtual.real_store.append(chunk(running, Head(), [Piece(STDOUT, 1, b"x" * 100_000)]))
    with structlog.testing.capture_logs() as events:
        await Pruner(virtual.real_store, virtual.clock, POOLS, RetentionRules(log_bytes=50_000)).prune()
    assert await left(virtual, [ended, running]) == [0, 100_000]
    (warned,) = [event for event in events if event["event"] == "retention.logs_over_limit"]
    assert (warned["log_level"], warned["limit"]) == ("warning", 50_000)
    assert 100_000 <= warned["bytes"] < 110_000


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
