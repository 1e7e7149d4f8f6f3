"""Stops of jobs that wait, start or run, with workers and an executor that ends at once."""

from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from tests.support.fastlane import Fastlane
from tests.support.ledger import tick_of


async def test_a_stop_while_no_worker_is_there_ends_a_waiting_job_at_once_and_forever(crew: Fastlane) -> None:
    job = await crew.submit("exit", "0")
    assert (await crew.services.stops.stop_job("task", job.job_id)).status == "stopped"
    await crew.hire()
    ended = await crew.cleaned(job)
    assert ended.status is Status.STOPPED
    assert crew.executor.starts == []
    tick = await tick_of(crew.store, job.job_id, job.tick_id)
    assert tick is not None
    assert tick.outcome is Outcome.STOPPED
    await crew.idle()


async def test_a_stop_of_a_running_job_ends_it_as_stopped(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("hold")
    await crew.reaches(job, "running")
    await crew.services.stops.stop_job("task", job.job_id)
    ended = await crew.cleaned(job)
    assert (ended.status, ended.exit_code) == (Status.STOPPED, 143)


async def test_a_stop_that_is_written_between_claim_and_start_is_obeyed(crew: Fastlane) -> None:
    """The execution was inserted before the stop and claimed after it: the claimer reads the job and ends it."""
    job = await crew.submit("exit", "0")
    assert await crew.store.stop_job(job.job_id, crew.clock.now()) is not None
    await crew.hire()
    assert (await crew.cleaned(job)).status is Status.STOPPED
    assert crew.executor.starts == []
