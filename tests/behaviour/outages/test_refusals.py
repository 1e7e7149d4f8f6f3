"""A host that answers, but refuses: what may pass is tried again within a bound, and a stop is heard meanwhile."""

from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import HostDown, OrderRefused, RefusedForNow, ServiceGone
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from tests.support.fastlane import Fastlane
from tests.support.intercept import Intercepted, failing
from tests.support.redis import RealRedis

NEW = RefusedForNow("something quite new")


def refusing(crew: Fastlane, **errors: Any) -> Intercepted:
    """The crew's executor, which refuses these verbs at each call, or as told."""
    executor = Intercepted(crew.executor)
    for verb, error in errors.items():
        executor.around(verb, failing(error) if isinstance(error, Exception) else error)
    crew.executor = executor
    return executor


async def test_a_create_that_fails_for_an_unknown_reason_is_tried_again(crew: Fastlane) -> None:
    refusing(crew, park=failing(NEW, times=3))
    await crew.hire()
    ended = await crew.cleaned(await crew.submit("exit", "4"))
    assert (ended.exit_code, ended.epoch) == (4, 1)
    assert crew.executor.starts == [ended.id]


async def test_a_create_that_goes_on_failing_ends_as_rejected(crew: Fastlane) -> None:
    refusing(crew, park=NEW)
    await crew.hire()
    ended = await crew.cleaned(await crew.submit())
    assert ended.failure is not None
    assert (ended.failure.reason, ended.failure.message) == (FailureReason.REJECTED, "something quite new")
    await crew.idle()


@pytest.mark.parametrize("refused", ["park", "activate"])
async def test_what_a_host_refuses_to_start_can_be_stopped(crew: Fastlane, refused: str) -> None:
    crew.refused_after = 600.0
    refusing(crew, **{refused: NEW})
    await crew.hire()
    job = await crew.submit()
    row = await crew.reaches(job, "pulling")

    async def noted() -> bool:
        (wait,) = (await crew.get(f"/tasks/task/jobs/{job.job_id}/why")).json["waitingFor"] or [{"reason": ""}]
        return wait["reason"] == "refused" and "something quite new" in wait["message"]

    await crew.until(noted, "the refusal to be told")
    await crew.services.stops.stop_job("task", job.job_id)
    ended = await crew.cleaned(job)
    assert (ended.status, ended.id) == (Status.STOPPED, row.id)
    assert crew.executor.starts == []
    await crew.idle()


async def test_a_start_that_is_answered_with_a_404_ends_as_refused_while_the_service_is_shown(crew: Fastlane) -> None:
    refusing(crew, activate=ServiceGone("page not found"))
    await crew.hire()
    ended = await crew.cleaned(await crew.submit())
    assert ended.failure is not None
    assert ended.failure.reason is FailureReason.REJECTED
    assert "refused to start its service: page not found" in ended.failure.message
    assert crew.executor.starts == []
    await crew.idle()


REFUSED, DOWN = OrderRefused("not allowed"), HostDown("no space left")


@pytest.mark.parametrize(("stop", "remove"), [(REFUSED, REFUSED), (DOWN, DOWN), (ServiceGone("page not found"), DOWN)])
async def test_a_stop_that_a_host_never_obeys_ends_the_execution_all_the_same(
    shared_redis: RealRedis, tmp_path: Path, stop: Exception, remove: Exception
) -> None:
    async with Fastlane(tmp_path, shared_redis.url, host_lost_after=1.5) as crew:
        refusing(crew, stop=stop, remove=remove)
        await crew.hire()
        job = await crew.submit("hold")
        await crew.reaches(job, "running")
        await crew.services.stops.stop_job("task", job.job_id)
        assert (await crew.reaches(job, "stopped")).exit_code is None
        await crew.idle()
