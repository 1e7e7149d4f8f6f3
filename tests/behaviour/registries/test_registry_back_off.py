"""An execution whose registry cannot be asked: it waits without a slot, and everything that may happen to it meanwhile."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from fastlane.errors import QueueDown, RegistryDown
from fastlane.models.event import Obstacle
from fastlane.models.job import Execution, Spec
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.queue.redis.queue import RedisQueue
from fastlane.services.results import Enqueued
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, failing, intercept, intercepted
from tests.support.redis import RealRedis

AWAY = "away.example/team/app:1"
ONE_SLOT = (Pool("default", "", (HOST,), max_running=1),)


class Behind(Fastlane):
    """A crew with one slot, whose executor cannot ask the registry of ``AWAY`` until ``back`` is set, and notices after ``silence``
    seconds."""

    def __init__(self, folder: Path, redis_url: str, **settings: Any) -> None:
        super().__init__(folder, redis_url, pools=ONE_SLOT, **settings)
        self.back = False
        self.asked = 0
        self.silence = 0.0
        intercept(self.executor, "resolve", self._ask)

    async def _ask(self, call: Call) -> Any:
        _host, image, _pull = call.arguments
        if image == AWAY and not self.back:
            await self.clock.sleep(self.silence)
            self.asked += 1
            raise RegistryDown("dial tcp: connection refused")
        return await call.carry()

    async def posts(self, image: str, *command: str, **spec: object) -> Enqueued:
        return await self.services.submissions.enqueue("task", Spec(image, command or None, **spec), Schedule())

    async def waiting(self) -> Enqueued:
        """A job of that image which has been given back to the queue."""
        job = await self.posts(AWAY)

        async def given_back() -> bool:
            return self.asked > 0 and (await self.queue.counts(["default"]))["default"].timed == 1

        await self.until(given_back, "the entry to be given back")
        return job


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Behind]:
    async with Behind(tmp_path, shared_redis.url) as made:
        await made.hire()
        yield made


async def test_others_have_the_slot_meanwhile_and_it_starts_once_the_registry_is_back(crew: Behind) -> None:
    waiting = await crew.waiting()
    other = await crew.posts("ubuntu:latest")
    assert (await crew.cleaned(other)).status is Status.DONE
    assert (await crew.latest_execution(waiting)).status is Status.PULLING
    crew.back = True
    ended = await crew.cleaned(waiting)
    assert (ended.status, ended.attempt) == (Status.DONE, 1)
    assert crew.executor.starts.count(ended.id) == 1
    await crew.idle()


async def test_a_stop_meanwhile_ends_it_at_once_although_the_pool_is_full(crew: Behind) -> None:
    waiting = await crew.waiting()
    full = await crew.posts("ubuntu:latest", "hold")
    await crew.reaches(full, "running")
    await crew.services.stops.stop_job("task", waiting.job_id)
    ended = await crew.cleaned(waiting)
    assert (ended.status, ended.started_at, crew.executor.starts.count(ended.id)) == (Status.STOPPED, None, 0)
    crew.executor.release((await crew.latest_execution(full)).id)
    await crew.cleaned(full)
    await crew.idle()


async def test_a_stop_whose_giver_died_before_it_told_of_it_ends_it_although_the_pool_is_full(crew: Behind) -> None:
    waiting = await crew.waiting()
    full = await crew.posts("ubuntu:latest", "hold")
    await crew.reaches(full, "running")
    assert await crew.store.stop_job(waiting.job_id, crew.clock.now()) is not None
    assert (await crew.cleaned(waiting)).status is Status.STOPPED
    crew.executor.release((await crew.latest_execution(full)).id)
    await crew.cleaned(full)
    await crew.idle()


async def test_a_stop_that_the_queue_did_not_hear_of_ends_it_although_the_pool_is_full(crew: Behind) -> None:
    waiting = await crew.waiting()
    full = await crew.posts("ubuntu:latest", "hold")
    await crew.reaches(full, "running")
    intercept(crew.queue, "cancel", failing(QueueDown("Redis does not answer")))
    await crew.services.stops.stop_job("task", waiting.job_id)
    assert (await crew.cleaned(waiting)).status is Status.STOPPED
    crew.executor.release((await crew.latest_execution(full)).id)
    await crew.cleaned(full)
    await crew.idle()


async def test_a_lost_answer_of_the_giving_back_lets_it_start_once(crew: Behind) -> None:
    lose = failing(QueueDown("Redis did not answer"), times=1, carried_out=True)

    async def requeue(call: Call) -> Any:
        crew.back = True
        return await lose(call)

    with intercepted(RedisQueue, "requeue", requeue):
        ended = await crew.cleaned(await crew.posts(AWAY))
    assert crew.back
    assert (ended.status, crew.executor.starts.count(ended.id)) == (Status.DONE, 1)
    await crew.idle()


async def test_a_queue_that_is_lost_meanwhile_lets_it_start_once(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Behind(tmp_path, shared_redis.url, lease=1.0, renew=1 / 3) as crew:
        await crew.hire()
        waiting = await crew.waiting()
        await crew.queue.generation.wipe()
        crew.back = True
        ended = await crew.cleaned(waiting)
        assert (ended.status, crew.executor.starts.count(ended.id)) == (Status.DONE, 1)
        await crew.idle()


async def test_a_queue_that_is_lost_meanwhile_lets_no_more_run_than_their_pool_takes(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Behind(tmp_path, shared_redis.url, lease=1.0, renew=1 / 3) as crew:
        await crew.hire()
        waiting = [await crew.posts(AWAY, "hold") for _ in range(3)]

        async def stand(timed: int, ready: int, running: int) -> bool:
            lane = (await crew.queue.counts(["default"]))["default"]
            return (lane.timed, lane.ready, lane.running) == (timed, ready, running)

        await crew.until(lambda: stand(3, 0, 0), "all three to be given back")
        await crew.queue.generation.wipe()
        crew.back = True

        async def run() -> list[Execution]:
            found = [await crew.latest_execution(job) for job in waiting]
            return [one for one in found if one is not None and one.status is Status.RUNNING]

        for left in (2, 1, 0):
            await crew.until(lambda left=left: stand(0, left, 1), "one to have the slot")
            (one,) = await crew.until(run, "it to run")
            crew.executor.release(one.id)
        for job in waiting:
            assert (await crew.cleaned(job)).status is Status.DONE
        await crew.idle()


async def test_its_own_time_to_start_ends_meanwhile(crew: Behind) -> None:
    job = await crew.posts(AWAY, expires_in=300)
    assert (await crew.cleaned(job)).status is Status.EXPIRED
    await crew.idle()


async def test_its_deadline_ends_it_with_the_registrys_words(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Behind(tmp_path, shared_redis.url, pull_deadline=1.5) as crew:
        await crew.hire()
        ended = await crew.cleaned(await crew.posts(AWAY))
        assert (ended.status, ended.attempt, ended.service_id) == (Status.FAILED, 1, None)
        assert ended.failure is not None
        assert (ended.failure.reason, ended.failure.message) == (
            FailureReason.IMAGE,
            f"the image {ended.spec.image} could not be looked up in its registry for 1.5 s: dial tcp: connection refused",
        )
        assert crew.asked > 1
        await crew.idle()


async def test_why_it_waits_is_told_though_nobody_has_it(crew: Behind) -> None:
    waiting = await crew.waiting()
    execution = await crew.latest_execution(waiting)

    async def told() -> bool:
        notes = [note for report in await crew.queue.reports.current() for note in report.notes]
        return [(note.execution_id, note.obstacle, note.words) for note in notes] == [
            (execution.id, Obstacle.REGISTRY, "dial tcp: connection refused")
        ]

    await crew.until(told, "the note in a report")


@pytest.mark.parametrize("silence", [0.0, 0.4], ids=["refuses", "says nothing"])
async def test_the_log_tells_once_of_a_registry_that_refuses_or_says_nothing(crew: Behind, silence: float) -> None:
    crew.silence = silence
    with structlog.testing.capture_logs() as logs:
        waiting = await crew.posts(AWAY)

        async def asked_again() -> bool:
            return crew.asked > 2

        await crew.until(asked_again, "three tries")
        crew.back = True
        await crew.cleaned(waiting)
    assert [line["error"] for line in logs if line["event"] == "execution.registry_down"] == ["dial tcp: connection refused"]


async def test_another_worker_goes_on_with_it(crew: Behind) -> None:
    waiting = await crew.waiting()
    await crew.hire()
    await crew.dismiss()
    crew.back = True
    assert (await crew.cleaned(waiting)).status is Status.DONE
    await crew.idle()
