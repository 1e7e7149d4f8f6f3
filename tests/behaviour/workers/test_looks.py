"""What a worker concludes from a look at all services alone, and what it asks about a single one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import HostDown
from fastlane.executors.port import Phase
from fastlane.models.status import Status
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, intercept
from tests.support.redis import RealRedis
from tests.support.waiting import at_rest


class Questions:
    """Counts the questions to an executor about single services; with ``lost_details`` so many of those about a container fail. With
    ``short`` the container of a task that runs has ended. ``follows``: how many logs were followed."""

    def __init__(self, crew: Fastlane) -> None:
        self.inspections = self.details = self.lost_details = self.follows = 0
        self.short = False
        intercept(crew.executor, "inspect", self._inspect)
        intercept(crew.executor, "detail", self._detail)
        intercept(crew.executor, "logs", self._log)

    async def _inspect(self, call: Call) -> Any:
        self.inspections += 1
        return await call.carry()

    async def _detail(self, call: Call) -> Any:
        self.details += 1
        if self.details <= self.lost_details:
            raise HostDown("the host did not answer")
        task = await call.carry()
        return replace(task, finished_at=task.started_at) if self.short and task.phase is Phase.RUNNING else task

    async def _log(self, call: Call) -> Any:
        self.follows += call.named["follow"]
        return await call.carry()


async def test_of_a_job_that_goes_well_no_service_is_asked_for(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        asked = Questions(crew)
        await crew.hire()
        job = await crew.submit("hold", "out", "end\n")
        row = await crew.reaches(job, "running")
        await at_rest(lambda: asked.inspections)  # the first look may still show what the activation has told already
        before = asked.inspections
        crew.executor.release(row.id)
        ended = await crew.cleaned(job)
        assert (ended.status, ended.exit_code, ended.stdout_bytes) == (Status.DONE, 0, 4)
        assert (asked.inspections - before, asked.details) == (0, 1)


async def test_a_failure_is_not_concluded_before_the_service_was_asked_for(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        asked = Questions(crew)
        await crew.hire()
        job = await crew.submit("hold", "exit", "3")
        row = await crew.reaches(job, "running")
        crew.executor.release(row.id)
        ended = await crew.cleaned(job)
        assert (ended.status, ended.exit_code) == (Status.FAILED, 3)
        assert asked.inspections >= 1


async def test_a_host_that_does_not_tell_about_the_container_is_asked_again(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        asked = Questions(crew)
        asked.lost_details = 1
        await crew.hire()
        job = await crew.submit("hold")
        row = await crew.reaches(job, "running")
        await at_rest(lambda: asked.inspections)
        crew.executor.release(row.id)
        assert (await crew.cleaned(job)).status is Status.DONE
        assert asked.details >= 2


async def test_a_container_that_ended_before_its_start_was_seen_is_asked_for_once_and_its_log_read_once(
    shared_redis: RealRedis, tmp_path: Path
) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        asked = Questions(crew)
        asked.short = True
        await crew.hire()
        activated = crew.executor.just_activated
        crew.executor.just_activated = lambda *names: (known := activated(*names)) and replace(known, tasks=())  # type: ignore[method-assign]
        job = await crew.submit("out", "text\n", "hold")
        running = await crew.reaches(job, "running")
        crew.executor.release(running.id)
        ended = await crew.cleaned(job)
        assert (ended.status, ended.exit_code, ended.stdout_bytes) == (Status.DONE, 0, 5)
        assert ended.finished_at == ended.started_at == running.started_at
        assert (asked.details, asked.follows) == (1, 0)


@pytest.mark.parametrize("words", [("hold",), ("hold", "exit", "3")])
async def test_what_is_to_be_stopped_is_stopped_whatever_a_look_has_shown(
    shared_redis: RealRedis, tmp_path: Path, words: tuple[str, ...]
) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        asked = Questions(crew)
        await crew.hire()
        job = await crew.submit(*words)
        await crew.reaches(job, "running")
        await crew.services.stops.stop_job("task", job.job_id)
        assert (await crew.cleaned(job)).status is Status.STOPPED
        assert asked.inspections >= 1
