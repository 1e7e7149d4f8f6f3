"""A retry by hand, and another one, an automatic one or a run: who comes between its looks and its write."""

import asyncio

import pytest

from fastlane.errors import Conflict
from fastlane.models.schedule import Schedule
from tests.support.factories import make_spec
from tests.support.scenarios import ran


async def test_a_failure_that_is_about_to_be_tried_again_is_not_retried(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    await virtual.end(str(job.execution_id), 1)
    with pytest.raises(Conflict, match="about to be retried"):
        await virtual.services.manual_runs.retry("t", job.job_id)
    await virtual.settle(str(job.execution_id))
    assert len(await virtual.work()) == 1


async def test_an_automatic_retry_between_a_retry_s_looks_is_under_way_to_it(virtual):
    """The retry has read the job; the execution ends, fails, and the attempt after it is made, before it looks at that."""
    job = await virtual.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))

    async def fail() -> None:
        await virtual.end(str(job.execution_id), 1)
        await virtual.settle(str(job.execution_id))

    virtual.store.before("latest", fail)
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.manual_runs.retry("t", job.job_id)
    assert [one.attempt for one in await virtual.executions(job.job_id)] == [1, 2]


async def test_a_run_between_a_retry_s_looks_and_its_write_is_under_way_to_it(virtual):
    job = await ran(virtual)
    virtual.store.before("advance", lambda: virtual.others.manual_runs.run("t", job.job_id))
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.manual_runs.retry("t", job.job_id)
    assert len(await virtual.executions(job.job_id)) == 2


@pytest.mark.parametrize(("verb", "when"), [("advance", "before"), ("latest", "before"), ("latest", "after"), ("job", "after")])
async def test_of_two_retries_one_wins(virtual, verb, when):
    job = await ran(virtual, 1)
    getattr(virtual.store, when)(verb, lambda: virtual.others.manual_runs.retry("t", job.job_id))
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.manual_runs.retry("t", job.job_id)
    assert len(await virtual.executions(job.job_id)) == 2
    assert len(await virtual.work()) == 1


async def test_of_many_retries_at_once_one_wins(virtual):
    job = await ran(virtual, 1)
    answers = await asyncio.gather(
        *((virtual.services, virtual.others)[n % 2].manual_runs.retry("t", job.job_id) for n in range(20)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict"] * 19 + ["Enqueued"]
    assert len(await virtual.work()) == 1
