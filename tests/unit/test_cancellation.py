"""A cancellation ends a loop, even when a fault comes with it; and no loop of a worker gathers in the way that loses it."""

import ast
import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastlane.clock import unless_cancelled
from fastlane.errors import StoreDown

PACKAGE = Path(__file__).parents[2] / "fastlane"
LOOPING = ("scheduler", "executors", "storage/sqlite", "storage/mongo", "queue", "directory", "streams")
"""What loops call that go on after faults."""


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


def bare_gathers(path: Path) -> Iterator[int]:
    """The lines of a module in which a fault may come out of ``gather`` in place of a cancellation."""
    tree = ast.parse(path.read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    guarded = {id(call.args[0]) for call in calls if ast.unparse(call.func) == "unless_cancelled"}
    for call in calls:
        safe = id(call) in guarded or any(keyword.arg == "return_exceptions" for keyword in call.keywords)
        if ast.unparse(call.func) == "asyncio.gather" and not safe:
            yield call.lineno


@pytest.mark.parametrize("folder", LOOPING)
def test_what_loops_call_loses_no_cancellation(folder: str) -> None:
    found = [f"{path.relative_to(PACKAGE)}:{line}" for path in (PACKAGE / folder).rglob("*.py") for line in bare_gathers(path)]
    assert found == []
