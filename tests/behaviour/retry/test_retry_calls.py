"""A retry asked for by a user: what runs again, as what, and when there is no retry. No worker but the test, in virtual time."""

import pytest

from fastlane.errors import Conflict
from fastlane.models.access import Requester
from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from tests.support.factories import make_spec
from tests.support.scenarios import ran

EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
SOMEBODY = Requester("somebody", "10.0.0.1")


async def test_a_retry_runs_the_last_execution_again_as_it_was_then(stage):
    job = await ran(stage, code=1)
    await stage.services.submissions.put("t", job.job_id, make_spec("later"), stage.at(60))
    await stage.services.stops.stop_job("t", job.job_id)
    reply = await stage.services.manual_runs.retry("t", job.job_id, SOMEBODY)
    assert await stage.work() == [reply.execution_id]
    execution = await stage.real_store.execution(reply.execution_id)
    assert (execution.spec.image, execution.attempt, execution.requested_by) == ("ubuntu", 1, SOMEBODY)
    assert (await stage.job(job.job_id)).spec.image == "later"
    await stage.finish(execution.id)
    assert await stage.ledger(job.job_id) == ["started", "started"]


async def test_a_retry_of_a_stopped_job_runs(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.services.stops.stop_job("t", job.job_id)
    await stage.work()
    reply = await stage.services.manual_runs.retry("t", job.job_id)
    assert await stage.work() == [reply.execution_id]
    assert (await stage.run(str(reply.execution_id))).stop_requested_at is None


async def test_a_retry_has_the_retries_of_its_spec_again(stage):
    job = await ran(stage, code=1, retries=1, retry_delay=0)
    (second,) = await stage.work()
    await stage.finish(second, 1)
    reply = await stage.services.manual_runs.retry("t", job.job_id)
    await stage.work()
    await stage.finish(str(reply.execution_id), 1)
    assert len(await stage.work()) == 1


@pytest.mark.parametrize("moment", ["waits", "runs"])
async def test_while_an_execution_is_under_way_there_is_no_retry(stage, moment):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    if moment == "runs":
        await stage.run(str(job.execution_id))
    with pytest.raises(Conflict, match=rf"{job.execution_id} .* is (enqueued|running); retry it when it has ended"):
        await stage.services.manual_runs.retry("t", job.job_id)
    assert len(await stage.executions(job.job_id)) == 1


@pytest.mark.parametrize("paused", [False, True])
async def test_a_job_with_a_tick_to_come_is_run_not_retried(stage, paused):
    job = await ran(stage)
    await stage.services.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE)
    if paused:
        await stage.services.pauses.pause("t", job.job_id)
    with pytest.raises(Conflict, match="use run"):
        await stage.services.manual_runs.retry("t", job.job_id)


async def test_what_never_ran_is_not_retried(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.services.stops.stop_job("t", job.job_id)
    with pytest.raises(Conflict, match=r"nothing of job .* ever ran"):
        await stage.services.manual_runs.retry("t", job.job_id)
