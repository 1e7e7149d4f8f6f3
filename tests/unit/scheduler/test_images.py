"""Images that a worker notes and removes, and what another one makes of it when the first ends between any two of its steps."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlane.executors.port import Image
from fastlane.models.host import EngineIdentity
from fastlane.models.image import PulledImage
from fastlane.models.status import Status
from fastlane.scheduler.cleaner import REMOVE_WITHIN, ImageKeeper
from fastlane.storage.sqlite.store import SqliteStore
from tests.contract.stored import created
from tests.support.clock import FakeClock
from tests.support.defaults import Views, ports_of
from tests.support.factories import make_spec
from tests.support.instant import InstantExecutor
from tests.support.intercept import Died, Intercepted, dies

HOST, OTHER, AFTER = "10.0.0.1:2376", "10.0.0.2:2376", 3600
DIGEST = "sha256:" + "a" * 64
IMAGE, REFERENCE = Image(f"name:1@{DIGEST}", DIGEST), f"name@{DIGEST}"


class Ground:
    """A store, and two hosts."""

    def __init__(self, store: SqliteStore) -> None:
        self.store, self.clock = store, FakeClock()
        self.executor = InstantExecutor((HOST, OTHER), self.clock)
        self.executor.engines = {host: EngineIdentity(f"engine of {host}", f"swarm of {host}") for host in (HOST, OTHER)}

    def keeper(self, store: Any = None, executor: Any = None, after: float | None = AFTER) -> ImageKeeper:
        used = executor or self.executor
        return ImageKeeper(ports_of(store or self.store, None, self.clock, executor=used), Views(self.executor.hosts), after)

    def pull(self, *hosts: str, named: bool = False) -> None:
        for host in hosts:
            self.executor.images.setdefault(host, {})[REFERENCE] = named

    async def rows(self, host: str = HOST) -> list[PulledImage]:
        return list(await self.store.pulled_images(f"engine of {host}"))

    async def passes(self, seconds: float) -> None:
        await self.clock.advance(seconds)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    store = SqliteStore(tmp_path / "fastlane.db")
    await store.open()
    yield Ground(store)
    await store.close()


async def test_without_a_time_nothing_is_asked_noted_or_removed(ground: Ground) -> None:
    keeper = ground.keeper(Intercepted(None, lambda _: dies()), Intercepted(None, lambda _: dies()), after=None)
    await keeper.note_use(HOST, IMAGE)
    await keeper.remove_unused()
    assert await ground.rows() == []


async def test_a_local_image_is_never_noted(ground: Ground) -> None:
    await ground.keeper().note_use(HOST, Image(DIGEST, DIGEST))
    assert await ground.rows() == []


async def test_each_manager_of_a_swarm_is_looked_at_since_any_of_them_may_pull(ground: Ground) -> None:
    ground.executor.engines[OTHER] = EngineIdentity(f"engine of {OTHER}", f"swarm of {HOST}")
    await ground.keeper().note_use(HOST, IMAGE)
    assert [row.reference for row in await ground.rows(OTHER)] == [REFERENCE]
    other = f"other@{DIGEST}"
    ground.executor.images[OTHER] = {other: False}
    await ground.keeper().note_use(HOST, Image(other, DIGEST))
    assert [row.reference for row in await ground.rows()] == [REFERENCE, other]
    assert [row.reference for row in await ground.rows(OTHER)] == [REFERENCE], "that one was there before"


async def test_an_image_is_kept_from_its_last_use_on_and_a_use_soon_after_another_asks_nothing(ground: Ground) -> None:
    keeper = ground.keeper()
    await keeper.note_use(HOST, IMAGE)
    (first,) = await ground.rows()
    assert first.keep_until == ground.clock.now() + AFTER * 1000
    await ground.passes(AFTER / 2 - 1)
    await keeper.note_use(HOST, IMAGE)
    assert await ground.rows() == [first]
    await ground.passes(1)
    await keeper.note_use(HOST, IMAGE)
    assert (await ground.rows())[0].keep_until == ground.clock.now() + AFTER * 1000


STEPS = [
    ("store", "before", "write_image"),
    ("store", "after", "write_image"),
    ("store", "after", "images_under_way"),
    ("executor", "before", "remove_image"),
    ("executor", "after", "remove_image"),
    ("store", "before", "drop_image"),
    ("store", "after", "drop_image"),
]


@pytest.mark.parametrize(("port", "when", "verb"), STEPS)
async def test_a_removal_that_ends_between_any_two_steps_is_finished_by_another_worker(
    ground: Ground, port: str, when: str, verb: str
) -> None:
    await ground.keeper().note_use(HOST, IMAGE)
    ground.pull(HOST)
    await ground.passes(AFTER)
    store, executor = Intercepted(ground.store), Intercepted(ground.executor)
    getattr(store if port == "store" else executor, when)(verb, dies)
    with pytest.raises(Died):
        await ground.keeper(store, executor).remove_unused()
    await ground.passes(REMOVE_WITHIN / 1000)
    await ground.keeper().remove_unused()
    assert await ground.rows() == []
    assert ground.executor.images[HOST] == {}


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_worker_that_ends_as_it_notes_an_image_leaves_nothing_for_good(ground: Ground, when: str) -> None:
    store = Intercepted(ground.store)
    getattr(store, when)("write_image", dies)
    with pytest.raises(Died):
        await ground.keeper(store).note_use(HOST, IMAGE)
    assert len(await ground.rows()) == (when == "after")
    await ground.passes(AFTER)
    await ground.keeper().remove_unused()  # the engine never pulled it
    assert await ground.rows() == []


async def test_a_worker_that_slept_before_its_removal_removes_nothing(ground: Ground) -> None:
    await ground.keeper().note_use(HOST, IMAGE)
    ground.pull(HOST)
    await ground.passes(AFTER)
    store = Intercepted(ground.store)
    store.after("images_under_way", lambda: ground.passes(REMOVE_WITHIN / 1000))
    await ground.keeper(store).remove_unused()
    assert ground.executor.images[HOST] == {REFERENCE: False}


async def test_an_image_that_is_noted_as_a_removal_begins_stays(ground: Ground) -> None:
    await ground.keeper().note_use(HOST, IMAGE)
    ground.pull(HOST)
    await ground.passes(AFTER)
    store = Intercepted(ground.store)
    store.before("write_image", lambda: ground.keeper().note_use(HOST, IMAGE))
    await ground.keeper(store).remove_unused()
    assert ground.executor.images[HOST] == {REFERENCE: False}
    (row,) = await ground.rows()
    assert row.keep_until == ground.clock.now() + AFTER * 1000


async def test_what_an_execution_under_way_may_need_is_kept_for_as_long_again(ground: Ground) -> None:
    await ground.keeper().note_use(HOST, IMAGE)
    ground.pull(HOST)
    await created(ground.store, status=Status.RUNNING, spec=make_spec(image="name:1"), image_reference=IMAGE.reference)
    await ground.passes(AFTER)
    await ground.keeper().remove_unused()
    assert ground.executor.images[HOST] == {REFERENCE: False}
    (row,) = await ground.rows()
    assert (row.keep_until, row.removed_by) == (ground.clock.now() + AFTER * 1000, None)
