"""An engine that answers, and refuses: no execution waits for it forever, whatever it refuses."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import docker
import pytest

from fastlane.executors.port import Order
from fastlane.executors.swarm import spec
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.job import Execution, Spec
from fastlane.models.pool import Pool, Pull
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.scheduler import watcher
from fastlane.services.results import Enqueued
from fastlane.web.api.values import MAX_ARGUMENT, MAX_COMMAND, MAX_ENVS_BYTES
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, connect, open_probed, remove_all
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis
from tests.support.refusing_engine import RefusingEngine
from tests.support.relay import Relay
from tests.support.waiting import LONG_PATIENCE, until

HOLD = ("sh", "-c", "trap 'exit 0' TERM; echo begun; while :; do sleep 0.05; done")


@dataclass
class Scene:
    """A worker whose only host is an engine behind a relay."""

    crew: Fastlane
    engine: RefusingEngine
    executor: SwarmExecutor
    api: docker.APIClient

    async def submit(self, *command: str, **rules: int) -> Enqueued:
        return await self.crew.submit(*command, **rules)

    async def ended(self, job: Enqueued) -> Execution:
        return await self.crew.reaches(job, "done", "failed", "stopped", "timedout", "expired")

    def services(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self.api.services(filters={"label": f"{spec.INSTALLATION}={self.crew.installation}"})
        return found

    async def is_clean(self, job: Enqueued) -> Execution:
        """The execution, once its service and its containers are gone."""
        row = await self.crew.cleaned(job)
        assert not self.services()
        filters = {"label": f"com.docker.swarm.service.id={row.service_id}"}
        await until(lambda: not self.api.containers(all=True, filters=filters), "its container to be gone", LONG_PATIENCE)
        return row


@pytest.fixture
async def scene(engine: str, shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(watcher, "RECHECK", 0.5)  # or a running service is looked at every 30 s
    folder = Path(tempfile.mkdtemp(prefix="fl", dir="/tmp"))  # short: a socket's path holds 107 bytes
    refusing = RefusingEngine()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        relay = await stack.enter_async_context(Relay(f"unix://{folder / 's'}", engine, refusing.filters))
        pools = (Pool("default", "", (str(relay.place),)),)
        crew = await stack.enter_async_context(
            Fastlane(tmp_path, shared_redis.url, pools=pools, host_lost_after=2.0, refused_after=0.5, gone_after=0.5)
        )
        stack.callback(remove_all, engine, crew.installation)
        executor = default_executor([str(relay.place)], crew.installation, probe_every=0.2)
        await open_probed(executor)
        stack.push_async_callback(executor.close)
        api = stack.enter_context(contextlib.closing(connect(engine)))
        crew.executor = executor
        await crew.hire()
        yield Scene(crew, refusing, executor, api)
        await crew.dismiss()


@pytest.mark.parametrize(("trouble", "words"), [("refused", "version"), ("hidden", "not found")])
async def test_a_start_that_is_refused_ends_with_the_engines_words(scene: Scene, trouble: str, words: str) -> None:
    setattr(scene.engine, trouble, {"update"})
    job = await scene.submit("true")
    ended = await scene.ended(job)
    assert (ended.status, ended.started_at, ended.exit_code) == (Status.FAILED, None, None)
    assert ended.failure is not None
    assert ended.failure.reason is FailureReason.REJECTED
    assert "refused to start its service: " in ended.failure.message
    assert words in ended.failure.message
    await scene.is_clean(job)


@pytest.mark.parametrize("trouble", ["refused", "hidden"])
async def test_a_stop_that_is_refused_is_done_by_removing_the_service(scene: Scene, trouble: str) -> None:
    job = await scene.submit(*HOLD)
    await scene.crew.reaches(job, "running")
    setattr(scene.engine, trouble, {"update"})
    await scene.crew.services.stops.stop_job("task", job.job_id)
    assert (await scene.ended(job)).status is Status.STOPPED
    assert (await scene.is_clean(job)).stop_requested_at is not None


async def test_a_service_whose_removal_is_answered_with_a_false_404_is_removed_later(scene: Scene) -> None:
    job = await scene.submit(*HOLD)
    await scene.crew.reaches(job, "running")
    scene.engine.hidden = {"update", "delete"}
    await scene.crew.services.stops.stop_job("task", job.job_id)
    ended = await scene.ended(job)
    assert (ended.status, ended.exit_code) == (Status.STOPPED, None)
    assert len(scene.services()) == 1
    assert not (await scene.crew.attempts(job))[0].cleaned
    scene.engine.hidden = set()
    await scene.is_clean(job)


async def test_a_timeout_acts_although_stops_are_refused(scene: Scene) -> None:
    job = await scene.submit(*HOLD, timeout=1_000)
    await scene.crew.reaches(job, "running")
    scene.engine.refused = {"update"}
    assert (await scene.ended(job)).status is Status.TIMEDOUT
    await scene.is_clean(job)


@pytest.mark.parametrize(
    ("trouble", "words"), [("refused", "its host refused to show it: "), ("garbled", "answered what is not an engine's answer")]
)
async def test_an_execution_that_a_host_does_not_show_counts_as_lost_and_is_cleaned_later(scene: Scene, trouble: str, words: str) -> None:
    job = await scene.submit(*HOLD)
    await scene.crew.reaches(job, "running")
    setattr(scene.engine, trouble, {"inspect"})
    ended = await scene.ended(job)
    assert ended.failure is not None
    assert ended.failure.reason is FailureReason.HOST_LOST
    assert words in ended.failure.message
    setattr(scene.engine, trouble, set())
    await scene.is_clean(job)


async def test_a_job_runs_once_although_its_create_was_answered_with_an_unknown_error(scene: Scene) -> None:
    scene.engine.broken = {"create": 2}
    job = await scene.submit("sh", "-c", "exit 3")
    ended = await scene.ended(job)
    assert (ended.status, ended.exit_code) == (Status.FAILED, 3)
    assert scene.engine.calls.count("create") >= 2
    await scene.is_clean(job)


async def test_an_activation_that_was_answered_with_an_unknown_error_started_it_once(scene: Scene) -> None:
    scene.engine.broken = {"update": 1}
    job = await scene.submit("sh", "-c", "exit 3")
    assert (await scene.ended(job)).exit_code == 3
    assert scene.engine.calls.count("update") == 1
    await scene.is_clean(job)


LARGE = {f"V{number}": "x" * (MAX_ARGUMENT - 10) for number in range(2)}
"""As large an environment as is accepted, but for some bytes."""


async def test_the_largest_job_can_be_started_and_stopped(scene: Scene) -> None:
    padding = "#" * (MAX_ARGUMENT - len(HOLD[2]) - 2)
    arguments = (*HOLD[:2], f"{HOLD[2]} {padding}", "y" * (MAX_COMMAND - MAX_ARGUMENT - 20))
    assert MAX_ENVS_BYTES - sum(len(name) + 1 + len(value) for name, value in LARGE.items()) < 50
    job = await scene.crew.services.submissions.enqueue("task", Spec(IMAGE, arguments, LARGE), Schedule())
    await scene.crew.reaches(job, "running")
    await scene.crew.services.stops.stop_job("task", job.job_id)
    assert (await scene.ended(job)).status is Status.STOPPED
    await scene.is_clean(job)


async def test_a_service_that_a_swarm_could_store_but_not_start_is_refused_before_it_is_made(scene: Scene) -> None:
    """It was accepted by a version that did not count what escaping adds."""
    envs = {"A": "{" * (MAX_ARGUMENT - 10), "B": "{" * (MAX_ARGUMENT - 10)}
    job = await scene.crew.services.submissions.enqueue("task", Spec(IMAGE, ("true",), envs), Schedule())
    ended = await scene.ended(job)
    assert ended.failure is not None
    assert ended.failure.reason is FailureReason.REJECTED
    assert "shorten its envs" in ended.failure.message
    assert scene.engine.calls.count("create") == 0


async def test_a_swarm_starts_and_stops_a_service_of_the_largest_size(scene: Scene) -> None:
    host = scene.executor.hosts()[0].name
    image = await scene.executor.resolve(host, IMAGE, Pull.MISSING)
    order = Order("limit", "task", "job", 1, 1, 0, ("true",), {})
    left = spec.MAX_SIZE - spec.size(spec.creation(order, image, scene.crew.installation)) - 100
    within = replace(order, envs={"A": "x" * left})
    service = await scene.executor.park(host, within, image)
    await scene.executor.activate(host, service)
    await scene.executor.stop(host, service, "?" * spec.MAX_WHY)
