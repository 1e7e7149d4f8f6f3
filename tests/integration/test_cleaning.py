"""What is removed from an engine, and what never is: two installations on one engine, beside services that are nobody's business."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
import structlog

from fastlane.executors.swarm import spec
from fastlane.models.job import Spec
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from fastlane.scheduler import cleaner
from fastlane.services.results import Enqueued
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, connect, open_probed, remove_all
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, failing, intercept, intercepted, keeping
from tests.support.redis import RealRedis

MARK = "fastlane-test-of-cleaning"


@pytest.fixture
def api(engine: str) -> Iterator[docker.APIClient]:
    with contextlib.closing(connect(engine)) as client:
        yield client
        for service in client.services(filters={"label": MARK}):
            client.remove_service(service["ID"])


@asynccontextmanager
async def crew_on(folder: Path, shared_redis: RealRedis, engine: str) -> AsyncIterator[Fastlane]:
    """An installation of its own, with nobody at work yet."""
    await asyncio.to_thread(folder.mkdir)
    async with Fastlane(folder, shared_redis.url, pools=(Pool("default", "", (engine,)),)) as crew:
        executor = default_executor([engine], crew.installation, probe_every=0.2)
        await open_probed(executor)
        crew.executor = executor
        try:
            yield crew
        finally:
            with contextlib.suppress(IndexError):
                await crew.dismiss()
            await executor.close()
            await asyncio.to_thread(remove_all, engine, crew.installation)


async def run(crew: Fastlane, *command: str) -> Enqueued:
    return await crew.services.submissions.enqueue("task", Spec(IMAGE, command), Schedule())


def make(api: docker.APIClient, labels: dict[str, str], *, replicas: int = 1, name: str | None = None) -> str:
    """A service that somebody has made by hand; its id."""
    template = {"ContainerSpec": {"Image": IMAGE, "Args": ["sleep", "600"]}, "RestartPolicy": {"Condition": "none"}}
    wanted: dict[str, Any] = {"mode": {"Replicated": {"Replicas": replicas}}, "labels": {MARK: "", **labels}}
    made = api.create_service(template, name=name or f"by-hand-{uuid4().hex[:8]}", **wanted)
    return str(made["ID"])


def ids(api: docker.APIClient, **filters: str) -> set[str]:
    return {service["ID"] for service in api.services(filters=filters)}


async def rounds(crew: Fastlane, count: int = 3) -> None:
    """So many rounds of the reconciler have passed."""
    for _ in range(count):
        seen = asyncio.Event()

        async def look(call: Call, seen: asyncio.Event = seen) -> Any:
            found = await call.carry()
            seen.set()
            return found

        with intercepted(crew.executor, "services", look):
            async with asyncio.timeout(60):
                await seen.wait()


async def test_each_installation_removes_what_it_has_done_with_and_nothing_else(
    engine: str, shared_redis: RealRedis, tmp_path: Path, api: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "UNKNOWN_AFTER", 1_000)
    async with crew_on(tmp_path / "one", shared_redis, engine) as one, crew_on(tmp_path / "two", shared_redis, engine) as two:
        await one.hire()
        await two.hire()
        running = await run(two, "sleep", "600")
        theirs = (await two.reaches(running, "running")).service_id
        done = await one.cleaned(await run(one, "true"))
        ended = {spec.EXECUTION: done.id, spec.EPOCH: "1"}
        kept = {
            make(api, {}, name=f"fastlane-{done.id}-1"),  # named like ours
            make(api, {}, name=f"fastlane-{uuid4()}-1", replicas=0),
            make(api, {"com.example": "theirs"}),
            make(api, {**ended, spec.INSTALLATION: "an-installation-elsewhere"}),
            make(api, {**ended, spec.INSTALLATION: one.installation + "-2"}, replicas=0),  # ours is the beginning of its name
            make(api, {**ended, "fastlane": one.installation}),
            make(api, {spec.INSTALLATION: one.installation}, replicas=0),  # ours by label, and of no execution
            make(api, {spec.INSTALLATION: one.installation, spec.EXECUTION: str(uuid4()), spec.EPOCH: "1"}),  # it runs: unknown
        }
        removed = {
            make(api, {**ended, spec.INSTALLATION: one.installation}),
            make(api, {**ended, spec.INSTALLATION: one.installation}, replicas=0),
            make(api, {spec.INSTALLATION: one.installation, spec.EXECUTION: str(uuid4()), spec.EPOCH: "1"}, replicas=0),
        }
        await one.until(lambda: only(api, kept, removed), "what is left over to be removed")
        await rounds(one)
        await rounds(two)
        assert kept <= ids(api, label=MARK)
        assert ids(api, label=f"{spec.INSTALLATION}={two.installation}") == {theirs}
        assert (await two.latest_execution(running)).status.value == "running"


async def only(api: docker.APIClient, kept: set[str], removed: set[str]) -> bool:
    found = await asyncio.to_thread(ids, api, label=MARK)
    assert kept <= found
    return not found & removed


async def test_what_runs_and_is_unknown_is_left_alone_and_raises_an_alarm_after_an_hour(
    engine: str, shared_redis: RealRedis, tmp_path: Path, api: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crew_on(tmp_path / "one", shared_redis, engine) as one:
        unknown = make(api, {spec.INSTALLATION: one.installation, spec.EXECUTION: str(uuid4()), spec.EPOCH: "1"})
        parked = make(api, {spec.INSTALLATION: one.installation, spec.EXECUTION: str(uuid4()), spec.EPOCH: "1"}, replicas=0)
        with structlog.testing.capture_logs() as events:
            await one.hire()
            await rounds(one)
            assert {unknown, parked} <= ids(api, label=MARK)
            assert not [event for event in events if event["event"] == "service.unknown"]
            monkeypatch.setattr(cleaner, "UNKNOWN_AFTER", 0)
            await one.until(lambda: only(api, {unknown}, {parked}), "the parked one to be removed")
            await rounds(one)
        alarms = [event for event in events if event["event"] == "service.unknown"]
        assert {(event["log_level"], event["service_id"]) for event in alarms} == {("error", unknown)}
        assert unknown in ids(api, label=MARK)


async def test_jobs_that_are_deleted_as_soon_as_they_are_posted_leave_no_service(
    engine: str, shared_redis: RealRedis, tmp_path: Path
) -> None:
    """Workers park services while the stops come. What one had parked goes with the job, or in the next round of the reconciler."""

    async def post_and_delete(crew: Fastlane, pause: float) -> None:
        reply = await crew.enqueue(image=IMAGE, command=["sleep", "600"])
        await asyncio.sleep(pause)  # the moments of a start, one after another
        answer = await crew.ask("DELETE", f"/tasks/task/jobs/{reply['jobId']}?stop=1")
        assert answer.status == 200, answer.body

    async with crew_on(tmp_path / "one", shared_redis, engine) as one:
        await one.hire()
        await one.hire()
        await one.until(one.is_healthy, "the workers")
        await asyncio.gather(*(post_and_delete(one, number * 0.01) for number in range(30)))
        left = await one.executor.services(engine)
        await rounds(one)
        assert await one.executor.services(engine) == [], f"of {len(left)} that were left by the deletions"


async def test_a_row_is_clean_only_when_its_service_is_seen_to_be_gone(engine: str, shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_on(tmp_path / "one", shared_redis, engine) as one:
        tries: list[Call] = []
        intercept(one.executor, "remove", failing(cleaner.FastlaneError("it is still there"), times=2))
        intercept(one.executor, "remove", keeping(tries))
        await one.hire()
        job = await run(one, "true")
        done = await one.reaches(job, "done")
        assert not done.cleaned
        clean = await one.cleaned(job)
        assert len(tries) >= 3
        assert {call.arguments[1] for call in tries} == {clean.service_id}
        assert list(await one.executor.services(engine)) == []
