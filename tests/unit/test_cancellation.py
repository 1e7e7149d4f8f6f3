"""A cancellation ends a loop, even when a fault comes with it; and no loop of a worker gathers in the way that loses it."""

import ast
import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fastlane.clock import SystemClock, unless_cancelled
from fastlane.directory import CurrentPools, Directory
from fastlane.errors import StoreDown
from fastlane.queue.port import EntryKind, Lease
from fastlane.scheduler.deliverer import Deliverer, FallbackDeliverer
from fastlane.scheduler.leases import Assignment
from fastlane.scheduler.reconciler import Reconciler
from fastlane.scheduler.runner import Runner
from fastlane.scheduler.worker import Worker
from fastlane.sources.labels import LabelSource
from tests.support.defaults import ports_of
from tests.support.waiting import PATIENCE

PACKAGE = Path(__file__).parents[2] / "fastlane"
LOOPING = ("scheduler", "executors", "storage", "queue", "sources", "directory.py", "streams")
"""Folders and modules that loops call which go on after faults."""


async def plain(gathered: "asyncio.Future[Any]") -> Any:
    return await gathered


async def ends_when_cancelled(gather: Callable[["asyncio.Future[Any]"], Awaitable[Any]]) -> bool:
    """Whether a loop ends that is cancelled in the very moment in which a part of its work fails."""
    rounds = 0

    async def fails() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            task.cancel()
        raise StoreDown("gone")

    async def goes_on() -> None:
        while rounds < 3:
            try:
                await gather(asyncio.gather(fails(), asyncio.sleep(0)))
            except StoreDown:
                await asyncio.sleep(0)

    task = asyncio.create_task(goes_on())
    await asyncio.wait([task])
    return task.cancelled()


async def test_a_cancellation_that_comes_with_a_fault_ends_a_loop() -> None:
    assert await ends_when_cancelled(unless_cancelled)
    assert not await ends_when_cancelled(plain), "gather does this by itself now: remove unless_cancelled"


async def test_answers_and_faults_are_those_of_the_parts() -> None:
    async def fails() -> None:
        raise StoreDown("gone")

    assert await unless_cancelled(asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, "two"))) == [1, "two"]
    with pytest.raises(StoreDown, match="gone"):
        await unless_cancelled(asyncio.gather(fails(), asyncio.sleep(0)))


async def test_a_time_limit_is_told_from_a_cancellation() -> None:
    async def fails_when_cancelled() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise StoreDown("gone")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await unless_cancelled(asyncio.gather(fails_when_cancelled(), asyncio.sleep(0)))


async def fails_as_it_ends(began: asyncio.Event, error: Exception) -> None:
    """A part whose fault comes out in place of its cancellation."""
    try:
        began.set()
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise error from None


async def fails_in_the_turn_of_a_cancellation(began: asyncio.Event, _error: Exception) -> None:
    """A group of tasks that its owner cancels in the turn in which one of them fails: before Python 3.13, only the fault comes out."""
    owner = asyncio.current_task()
    assert owner is not None

    async def fail() -> None:
        began.set()
        await asyncio.sleep(0.01)
        owner.cancel()
        raise ValueError("a mistake")

    async with asyncio.TaskGroup() as parts:
        parts.create_task(fail())


Part = Callable[[asyncio.Event, Exception], Awaitable[None]]


class Parts:
    """Stands in place of what a loop calls: each part is the same one."""

    def __init__(self, part: Part, error: Exception) -> None:
        self.began = asyncio.Event()
        self._part = part
        self._error = error

    async def run(self, *_arguments: object) -> None:
        await self._part(self.began, self._error)

    claim = directory_mark = current = watch_services = run

    def hosts(self) -> list[Any]:
        return [SimpleNamespace(name="one", usable=True, swarm_id="swarm")]


def loop_of_a_worker(parts: Parts) -> Awaitable[None]:
    worker = Worker.__new__(Worker)
    worker._clock = SystemClock()
    return worker._repeat(parts.run)


def loop_in_place_of_workers(parts: Parts) -> Awaitable[None]:
    fallback = FallbackDeliverer.__new__(FallbackDeliverer)
    fallback._clock = SystemClock()
    return fallback._repeat(cast(Deliverer, parts))


def rounds_of_repairs(parts: Parts) -> Awaitable[None]:
    reconciler = Reconciler.__new__(Reconciler)
    reconciler._clock, reconciler._every, reconciler._metrics = SystemClock(), 0.0, ports_of(None, None, SystemClock()).metrics
    return reconciler._rounds(parts.run)


def work_on_an_execution(parts: Parts) -> Awaitable[None]:
    given = cast(Any, [ports_of(None, None, SystemClock()), None, None, None, parts, None, None])
    return Runner(*given).run(Assignment(Lease("id", EntryKind.EXECUTION, "default", 0)), 0)


def loop_of_the_pools(parts: Parts) -> Awaitable[None]:
    return Directory(cast(Any, parts), CurrentPools(()), SystemClock())._run()


def source_of_labels(parts: Parts) -> LabelSource:
    source = LabelSource.__new__(LabelSource)
    source._clock, source._wake, source._chosen = SystemClock(), asyncio.Event(), frozenset()
    source._executor, source._reports, source._swarms = cast(Any, parts), cast(Any, parts), {}
    source._compared = {}
    return source


def looks_at_labels(parts: Parts) -> Awaitable[None]:
    return source_of_labels(parts).run()


def stream_of_changed_labels(parts: Parts) -> Awaitable[None]:
    return source_of_labels(parts)._follow("swarm")


LOOPS = (
    *(loop_of_a_worker, loop_in_place_of_workers, rounds_of_repairs, work_on_an_execution),
    *(loop_of_the_pools, looks_at_labels, stream_of_changed_labels),
)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("part", [fails_as_it_ends, fails_in_the_turn_of_a_cancellation])
@pytest.mark.parametrize("error", [ValueError("a mistake"), StoreDown("gone")])
async def test_a_loop_ends_although_a_part_of_it_fails_as_it_is_cancelled(
    loop: Callable[[Parts], Awaitable[None]], part: Part, error: Exception
) -> None:
    parts = Parts(part, error)
    task = asyncio.ensure_future(loop(parts))
    await asyncio.wait_for(parts.began.wait(), PATIENCE)
    if part is fails_as_it_ends:
        task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    task.cancel()
    assert done == {task}, "it goes on"
    assert task.cancelled()


def bare_gathers(path: Path) -> Iterator[int]:
    """The lines of a module in which a fault may come out of ``gather`` in place of a cancellation."""
    tree = ast.parse(path.read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    guarded = {id(call.args[0]) for call in calls if ast.unparse(call.func) == "unless_cancelled"}
    for call in calls:
        safe = id(call) in guarded or any(keyword.arg == "return_exceptions" for keyword in call.keywords)
        if ast.unparse(call.func) == "asyncio.gather" and not safe:
            yield call.lineno


@pytest.mark.parametrize("place", LOOPING)
def test_what_loops_call_loses_no_cancellation(place: str) -> None:
    whole = PACKAGE / place
    modules = [whole] if whole.is_file() else list(whole.rglob("*.py"))
    assert modules, f"fastlane/{place} has no modules; name what took its place"
    found = [f"{path.relative_to(PACKAGE)}:{line}" for path in modules for line in bare_gathers(path)]
    assert found == []
