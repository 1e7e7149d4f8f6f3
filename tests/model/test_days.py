"""Eight days of a thousand schedules: each due time has its run or a row that says why not, and nothing grows from the second day on."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import structlog

from fastlane.scheduler.settler import Settler
from fastlane.storage.sqlite import jobs, store
from tests.model.days import Days
from tests.model.planted import method, script
from tests.model.simulation import MEMORY
from tests.support.redis import RealRedis

pytestmark = [pytest.mark.model, pytest.mark.sqlite]

DAYS, SCHEDULES = 8, 1_000
FEW_DAYS, FEW_SCHEDULES = 5, 200
"""What is enough to find a leak at every run."""


@contextmanager
def lived(days: int, schedules: int, kind: type[Days] = Days) -> Iterator[Days]:
    """A fastlane that has lived so long."""
    configuration = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    try:
        with RealRedis() as redis, tempfile.TemporaryDirectory(prefix="days", dir=MEMORY if MEMORY.is_dir() else None) as folder:
            found = kind(Path(folder), redis, schedules)
            found.live(days)
            yield found
    finally:
        structlog.configure(**configuration)


@pytest.mark.timeout(900)
def test_eight_days_of_a_thousand_schedules_leave_nothing_behind() -> None:
    with lived(DAYS, SCHEDULES) as days:
        assert days.complaints == []
        assert days.due_times > DAYS * SCHEDULES * 0.8
        assert days.growing() == {}


class Forgetful(Days):
    """Has a schedule that somebody stops, which its plans do not say."""

    async def _schedule(self) -> None:
        await super()._schedule()
        await self._services.stops.stop_job("task-1", list(self._jobs)[1])


def leaking(kept: list[Any], right: Callable[..., Any]) -> Callable[..., Any]:
    """A settler that keeps each execution, with a task and a file for it."""

    async def clean(self: Any, execution: Any) -> Any:
        file = os.open(os.devnull, os.O_RDONLY) if len(kept) % 4 == 0 else None
        kept.append((execution, asyncio.create_task(asyncio.Event().wait()), file))
        return await right(self, execution)

    return clean


@pytest.mark.timeout(900)
def test_what_stays_of_each_run_is_found() -> None:
    remove = "redis.call('HDEL', ENTRIES, id)"
    kept: list[Any] = []
    with ExitStack() as stack:
        method(Settler, "clean", partial(leaking, kept))(stack)
        script("finish", remove, f"{remove} redis.call('SET', ENTRIES .. id, 1)")(stack)
        for module in (jobs, store):
            stack.enter_context(patch.object(module, "FORGET_DELETED", "DELETE FROM deleted_executions WHERE ? < 0"))
        days = stack.enter_context(lived(FEW_DAYS, FEW_SCHEDULES, Forgetful))
        expected = {"keys in Redis", "rows of deleted_executions", "objects", "blocks", "tasks", "descriptors"}
        assert expected <= set(days.growing())
        assert days.complaints
        assert all("has 0 rows" in complaint for complaint in days.complaints)
    for _, _, file in kept[::4]:
        os.close(file)
