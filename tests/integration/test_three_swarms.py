"""Three swarms of one node each in one pool: jobs are spread over them, one is lost and comes back, and the others never notice. Real
processes, starts counted outside of Docker."""

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.scripted_jobs import scripted_jobs
from tests.integration.test_three_managers_lost import ends_well, is_lost, strike, undo, unusable
from tests.support.engine import IMAGE
from tests.support.swarms import Swarms
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fault", [pytest.param("kill", marks=pytest.mark.repeated), pytest.param("pause", marks=pytest.mark.repeated), "cut"]
)
def test_jobs_of_a_lost_swarm_are_tried_again_on_the_others_which_go_on(three_swarms: Swarms, tmp_path: Path, fault: str) -> None:
    victim = three_swarms.nodes[1]
    with scripted_jobs(tmp_path, three_swarms, IMAGE, host_lost_after="5s") as work:
        work.fastlane.serve("up")
        work.fastlane.until_healthy()
        jobs = [work.waits(retries=0 if number < 3 else 1, retryDelay="1s") for number in range(9)]
        work.begun(*jobs)
        places = Counter(work.fastlane.execution(job.reply)["host"] for job in jobs)
        assert places == dict.fromkeys(work.view.hosts, 3)
        lost = [job for job in jobs if work.fastlane.execution(job.reply)["host"] == victim.tcp]
        safe = [job for job in jobs if job not in lost]
        strike(victim, fault)
        later = [work.counts(20, retries=1, retryDelay="1s") for _ in range(6)]
        for job in lost:
            is_lost(work, job)
        wait_until(lambda: victim.tcp in unusable(work), "the host to be missed")
        later += [work.counts(20) for _ in range(4)]
        work.let_go(*jobs)
        for job in (*safe, *later[6:]):
            assert work.check_whole(job)["host"] != victim.tcp
        again = [job for job in lost if len(work.attempts(job)) > 1]
        assert len(again) == 3 - sum(job in jobs[:3] for job in lost)
        for job in (*again, *later):
            ends_well(work, job)
            assert work.fastlane.execution(job.reply)["host"] != victim.tcp
        undo(victim, fault)
        wait_until(lambda: victim.tcp not in unusable(work), "the host to be used again")
        work.check_nothing_left()
        more = [work.counts(20) for _ in range(6)]
        assert {work.check_whole(job)["host"] for job in more} == set(work.view.hosts)
        assert all(len(work.attempts(job)) == 1 for job in (*safe, *more))
        work.check_none_twice(*jobs, *later, *more)
        work.check_nothing_left()
