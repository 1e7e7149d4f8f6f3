"""Images that only executions used are removed from a real engine after a while, and no others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from fastlane.clock import SystemClock
from fastlane.executors.port import Activation, Order, Phase
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.image import ImageRemoval, pulled_name
from fastlane.models.pool import Pull
from fastlane.models.status import Status
from fastlane.scheduler.cleaner import REMOVE_WITHIN, ImageKeeper
from fastlane.storage.sqlite.store import SqliteStore
from tests.contract.stored import created
from tests.support.defaults import Views, default_executor, ports_of
from tests.support.engine import connect, open_probed, remove_all, task_in
from tests.support.factories import make_spec
from tests.support.registry import Pushed, Registry
from tests.support.waiting import until

pytestmark = pytest.mark.thorough

AFTER = 3600


class Later:
    """The machine's clock, some hours later."""

    def __init__(self) -> None:
        self.milliseconds = 0

    def now(self) -> int:
        return SystemClock().now() + self.milliseconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def passes(self, seconds: float) -> None:
        self.milliseconds += round(seconds * 1000)


class Work:
    """A worker's images on one engine, and what an outsider does there."""

    def __init__(self, engine: str, clock: Later, store: SqliteStore, executor: SwarmExecutor, registry: Registry) -> None:
        self.engine, self.registry = engine, registry
        self.store, self.executor, self.clock = store, executor, clock
        self.keeper = self.another()
        self.docker = connect(engine)

    def another(self) -> ImageKeeper:
        """What another worker has."""
        return ImageKeeper(ports_of(self.store, None, self.clock, executor=self.executor), Views(self.executor.hosts), AFTER)

    def push(self, name: str) -> Pushed:
        return self.registry.push(self.engine, f"{name}:1", name)

    async def runs(self, pushed: Pushed, *, leave: bool = False) -> str:
        """Runs an execution with this image, to its end. Returns its service, which is removed unless ``leave``."""
        image = await self.executor.resolve(self.engine, pushed.reference, Pull.ALWAYS)
        await self.keeper.note_use(self.engine, image)
        order = Order(str(uuid4()), "task", "job", 1, 1, 0, ("true",), {})
        service = await self.executor.park(self.engine, order, image)
        assert await self.executor.activate(self.engine, service) is Activation.STARTED
        await task_in(Phase.ENDED, self.executor, self.engine, service)
        if not leave:
            await self.removed(service)
        return service

    async def removed(self, service: str) -> None:
        tasks = (await self.executor.inspect(self.engine, service)).tasks
        await self.executor.remove(self.engine, service)
        ids = [task.container_id for task in tasks]
        await until(lambda: not [row for row in self.docker.containers(all=True) if row["Id"] in ids], "its container to go")

    def has(self, pushed: Pushed) -> bool:
        try:
            self.docker.inspect_image(pushed.pinned)
        except docker.errors.ImageNotFound:
            return False
        return True

    async def rows(self) -> set[str]:
        (view,) = self.executor.hosts()
        return {row.reference for row in await self.store.pulled_images(view.engine_id or "")}

    def stranger(self, image: str) -> Callable[[], None]:
        """A container of someone else, which does not run. Returns what removes it."""
        id = self.docker.create_container(image, ["true"])["Id"]
        return lambda: self.docker.remove_container(id)


@pytest.fixture
async def work(engine: str, registry: Registry, tmp_path: Path) -> AsyncIterator[Work]:
    installation = f"images-{uuid4().hex[:8]}"
    store = SqliteStore(tmp_path / "fastlane.db")
    await store.open()
    clock = Later()
    executor = default_executor([engine], installation, clock=clock)
    await open_probed(executor)
    found = Work(engine, clock, store, executor, registry)
    try:
        yield found
    finally:
        found.docker.close()
        await executor.close()
        await store.close()
        remove_all(engine, installation)


async def test_an_image_goes_a_while_after_its_last_use_and_one_that_was_there_before_stays(work: Work) -> None:
    ours, foreign = work.push("ours"), work.push("foreign")
    work.docker.pull(foreign.pinned)  # without a tag, as a service of others leaves it
    for image in (ours, foreign):
        await work.runs(image)
        assert work.has(image)
    assert await work.rows() == {ours.pinned}
    work.clock.passes(AFTER - 60)
    await work.keeper.remove_unused()
    assert work.has(ours)
    await work.runs(ours)
    work.clock.passes(AFTER - 60)
    await work.another().remove_unused()
    assert work.has(ours), "it was used again"
    work.clock.passes(120)
    await work.another().remove_unused()  # one that has begun since, and knows of it from the store alone
    assert not work.has(ours)
    assert work.has(foreign)
    assert await work.rows() == set()
    await work.runs(ours)
    assert await work.rows() == {ours.pinned}, "the engine pulled it again"
    work.docker.remove_image(foreign.pinned)
    work.docker.remove_image(ours.pinned)


async def test_an_image_that_anyone_uses_stays_as_long_as_they_do(work: Work) -> None:
    image = work.push("shared")
    await work.runs(image)
    remove = work.stranger(image.pinned)
    service = work.docker.create_service({"ContainerSpec": {"Image": image.pinned}}, name="strangers", mode={"Replicated": {"Replicas": 0}})
    ours = await work.runs(image, leave=True)

    async def stays() -> None:
        work.clock.passes(AFTER + 1)
        await work.keeper.remove_unused()
        assert work.has(image)
        assert await work.rows() == {image.pinned}

    await stays()
    remove()
    await stays()
    work.docker.remove_service(service["ID"])
    await stays()
    await work.removed(ours)
    work.clock.passes(AFTER + 1)
    await work.keeper.remove_unused()
    assert not work.has(image)


@pytest.mark.parametrize("status", [Status.ENQUEUED, Status.RUNNING])
async def test_an_image_that_a_job_waits_or_runs_with_stays(work: Work, status: Status) -> None:
    image, other = work.push("awaited"), work.push("other")
    await work.runs(image)
    await work.runs(other)
    chosen = None if status is Status.ENQUEUED else f"{image.reference}@{image.digest}"
    await created(work.store, status=status, spec=make_spec(image=image.reference), image_reference=chosen)
    work.clock.passes(AFTER + 1)
    await work.keeper.remove_unused()
    assert work.has(image)
    assert not work.has(other)
    moved = work.registry.push(work.engine, "awaited:1", "the tag names another image now")
    work.clock.passes(AFTER + 1)
    await work.another().remove_unused()
    assert work.has(image) is (status is Status.RUNNING)
    assert moved.digest != image.digest
    with contextlib.suppress(docker.errors.APIError):
        work.docker.remove_image(image.pinned)


async def test_an_image_whose_tag_no_registry_can_tell_now_stays(work: Work) -> None:
    image = work.push("unsure")
    await work.runs(image)
    await created(work.store, status=Status.ENQUEUED, spec=make_spec(image=image.reference.replace(":1", ":2")))
    work.registry.stop()
    work.clock.passes(AFTER + 1)
    await work.keeper.remove_unused()
    assert work.has(image)
    work.docker.remove_image(image.pinned)


async def test_an_image_to_which_someone_gave_a_name_is_theirs(work: Work) -> None:
    image = work.push("named")
    await work.runs(image)
    work.docker.tag(image.pinned, "someones", "1")
    work.clock.passes(AFTER + 1)
    await work.keeper.remove_unused()
    assert work.has(image)
    assert await work.rows() == set()
    work.docker.remove_image("someones:1")
    work.docker.remove_image(image.pinned)


async def test_of_several_workers_one_removes_an_image_and_who_needs_it_meanwhile_waits(work: Work) -> None:
    image = work.push("contended")
    await work.runs(image)
    work.clock.passes(AFTER + 1)
    removed, proceed = [], asyncio.Event()
    remove = work.executor.remove_image

    async def slowly(host: str, reference: str) -> ImageRemoval:
        removed.append(reference)
        await proceed.wait()
        return await remove(host, reference)

    work.executor.remove_image = slowly  # type: ignore[method-assign]
    rounds = [asyncio.ensure_future(work.another().remove_unused()) for _ in range(3)]
    await until(lambda: removed, "a removal")
    resolved = await work.executor.resolve(work.engine, image.reference, Pull.ALWAYS)
    use = asyncio.ensure_future(work.another().note_use(work.engine, resolved))
    done, _ = await asyncio.wait([use], timeout=0.5)
    assert not done
    proceed.set()
    await asyncio.gather(use, *rounds)
    assert removed == [pulled_name(resolved.reference)]
    assert await work.rows() == {image.pinned}, "it is pulled for the one that waited"


async def test_a_removal_that_was_cut_off_is_done_by_another_worker(work: Work) -> None:
    image = work.push("cut-off")
    await work.runs(image)
    work.clock.passes(AFTER + 1)
    (view,) = work.executor.hosts()
    (row,) = await work.store.pulled_images(view.engine_id or "")
    assert await work.store.write_image(row.taken(work.clock.now() + REMOVE_WITHIN))  # and then it died
    await work.another().remove_unused()
    assert work.has(image)
    work.clock.passes(REMOVE_WITHIN / 1000 + 1)
    await work.another().remove_unused()
    assert not work.has(image)
    assert await work.rows() == set()
