"""A retry asked for by a user: what runs again, as what, and when there is no retry. No worker but the test, in virtual time."""

import pytest

from fastlane.errors import Conflict
from fastlane.models.access import Requester
from fastlane.models.cron import Cron
from fastlane.models.schedule import Schedule, ScheduleKind
from tests.support.factories import make_spec
from tests.support.scenarios import ran

EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
SOMEBODY = Requester("somebody", "10.0.0.1")


async def test_a_retry_runs_the_last_execution_again_as_it_was_then(virtual):
    job = await ran(virtual, code=1)
    await virtual.services.submissions.put("t", job.job_id, make_spec("later"), virtual.at(60))
    await virtual.services.stops.stop_job("t", job.job_id)
    reply = await virtual.services.manual_runs.retry("t", job.job_id, SOMEBODY)
    assert await virtual.work() == [reply.execution_id]
    execution = await virtual.real_store.execution(reply.execution_id)
    assert (execution.spec.image, execution.attempt, execution.requested_by) == ("ubuntu", 1, SOMEBODY)
    assert (await virtual.job(job.job_id)).spec.image == "later"
    await virtual.finish(execution.id)
    assert await virtual.ledger(job.job_id) == ["started", "started"]


async def test_a_retry_of_a_stopped_job_runs(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.services.stops.stop_job("t", job.job_id)
    await virtual.work()
    reply = await virtual.services.manual_runs.retry("t", job.job_id)
    assert await virtual.work() == [reply.execution_id]
    assert (await virtual.run(str(reply.execution_id))).stop_requested_at is None


async def test_a_retry_has_the_retries_of_its_spec_again(virtual):
    job = await ran(virtual, code=1, retries=1, retry_delay=0)
    (second,) = await virtual.work()
    await virtual.finish(second, 1)
    reply = await virtual.services.manual_runs.retry("t", job.job_id)
    await virtual.work()
    await virtual.finish(str(reply.execution_id), 1)
    assert len(await virtual.work()) == 1


@pytest.mark.parametrize("moment", ["waits", "runs"])
async def test_while_an_execution_is_under_way_there_is_no_retry(virtual, moment):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    if moment == "runs":
        await virtual.run(str(job.execution_id))
    with pytest.raises(Conflict, match=rf"{job.execution_id} .* is (enqueued|running); try again when it has ended"):
        await virtual.services.manual_runs.retry("t", job.job_id)
    assert len(await virtual.executions(job.job_id)) == 1


@pytest.mark.parametrize("paused", [False, True])
async def test_a_job_with_a_tick_to_come_is_run_not_retried(virtual, paused):
    job = await ran(virtual)
    await virtual.services.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE)
    if paused:
        await virtual.services.pauses.pause("t", job.job_id)
    with pytest.raises(Conflict, match="use run"):
        await virtual.services.manual_runs.retry("t", job.job_id)


async def test_what_never_ran_is_not_retried(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.services.stops.stop_job("t", job.job_id)
    with pytest.raises(Conflict, match=r"job .* never ran"):
        await virtual.services.manual_runs.retry("t", job.job_id)
