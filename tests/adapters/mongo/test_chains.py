"""Circles are looked for with one command for each link of the chain, however many jobs each link has."""

from dataclasses import replace

import pytest

from fastlane.clock import SystemClock
from fastlane.errors import Invalid
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.upstream import AfterJobs
from fastlane.queue.redis.queue import RedisQueue
from fastlane.services.chains import ChainedJob
from fastlane.storage.mongo.store import MongoStore
from tests.support.factories import new_job
from tests.support.recorded_calls import recorded_commands
from tests.support.services import services_of
from tests.support.waiting import PATIENCE

WIDE, LONG = 20, 6


def after(*ids: str) -> Schedule:
    return Schedule(ScheduleKind.MANUAL, after=AfterJobs(ids))


async def test_a_circle_over_many_jobs_is_found_with_one_command_a_link(mongo_url: str) -> None:
    with recorded_commands() as commands:
        store = MongoStore(mongo_url, deadline=PATIENCE)
        await store.open()
    levels: list[tuple[str, ...]] = [()]
    for _ in range(LONG):
        jobs = [replace(new_job("t"), schedule=after(*levels[-1]), next_tick=None) for _ in range(WIDE)]
        for job in jobs:
            await store.create(job, None, None)
        levels.append(tuple(job.id for job in jobs))
    first, level = levels[1][0], levels[-1]
    chains = services_of(store, RedisQueue("redis://127.0.0.1:1", "unused"), SystemClock(), ()).chains

    def reads() -> int:
        """How many commands have read schedules since the last look."""
        found = [command for name, command in commands if name == "find" and "schedule" in command.get("projection", {})]
        commands.clear()
        return len(found)

    reads()
    await chains._check_circle(None, level)
    assert reads() == LONG
    with pytest.raises(Invalid, match=f"closes a circle of {LONG} jobs"):
        await chains._check_circle(first, level)
    assert reads() == LONG - 1
    assert (await chains.resolve(ChainedJob("t", None, None), after(*level))).after == AfterJobs(level)
    await store.close()
