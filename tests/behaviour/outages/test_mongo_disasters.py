"""Two hundred short jobs on two APIs and several workers that share MongoDB, undisturbed, while processes are killed, and while the server
is killed, restarted and frozen: each runs exactly once, by the word of an engine that knows nothing of fastlane.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.outages.short_jobs import ShortJobs, short_jobs
from tests.support.mongo import RealMongo
from tests.support.waiting import outlast, wait_until

JOBS = 200
AWAY, FROZEN = 3.0, 30.0
"""Seconds for which the server is gone, and for which it is frozen: longer than any call waits."""


@pytest.fixture
def own_mongo() -> Iterator[RealMongo]:
    with RealMongo() as server:
        yield server


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_two_hundred_jobs_on_two_apis_and_four_workers_each_run_once(tmp_path: Path, mongo_url: str) -> None:
    with short_jobs(tmp_path, workers=4, apis=2, store_url=mongo_url) as jobs:
        with jobs.posting(JOBS):
            pass
        jobs.check_all_ran_once(JOBS)


def some_started(jobs: ShortJobs, count: int) -> None:
    """Returns when so many more have started."""
    before = jobs.started()[0]
    wait_until(lambda: jobs.started()[0] >= before + count, f"{count} more jobs to start", 120)


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_jobs_each_run_once_while_the_server_is_killed_restarted_and_frozen(tmp_path: Path, own_mongo: RealMongo) -> None:
    with short_jobs(tmp_path, workers=3, apis=2, store_url=own_mongo.url("test"), lease="3s", renew="1s") as jobs:
        with jobs.posting(JOBS):
            some_started(jobs, JOBS // 10)
            own_mongo.kill()
            outlast(AWAY)
            own_mongo.start()
            some_started(jobs, JOBS // 10)
            own_mongo.pause()
            outlast(FROZEN)
            own_mongo.go_on()
        assert jobs.refusals > 0
        jobs.check_all_ran_once(JOBS)


@pytest.mark.thorough
@pytest.mark.timeout(300)
@pytest.mark.repeated
@pytest.mark.parametrize("seed", range(5))
def test_jobs_each_run_once_while_apis_and_workers_are_killed_at_random_moments(tmp_path: Path, mongo_url: str, seed: int) -> None:
    chance = random.Random(seed)
    with short_jobs(tmp_path, workers=3, apis=2, store_url=mongo_url, lease="3s", renew="1s") as jobs:
        with jobs.posting(JOBS):
            for _ in range(4):
                outlast(chance.uniform(0.2, 1.5))
                chance.choice(jobs.fastlane.workers).kill()
                jobs.fastlane.start("worker")
                api = chance.choice(jobs.apis)
                jobs.kill(api)
                jobs.serve(api)
        jobs.check_all_ran_once(JOBS)
