"""Three swarms of one node each in one pool: jobs are spread over them, one is lost and comes back, and the others never notice. Real
processes, starts counted outside of Docker."""

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.test_three_managers_lost import ends_well, is_lost, strike, undo, unusable
from tests.support.engine import IMAGE
from tests.support.fleet import fleet
from tests.support.outages import well
from tests.support.swarms import Swarms
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fault", [pytest.param("kill", marks=pytest.mark.repeated), pytest.param("pause", marks=pytest.mark.repeated), "cut"]
)
def test_jobs_of_a_lost_swarm_are_tried_again_on_the_others_which_go_on(three_swarms: Swarms, tmp_path: Path, fault: str) -> None:
    victim = three_swarms.nodes[1]
    with fleet(tmp_path, three_swarms, IMAGE, host_lost_after="5s") as fastlane:
        fastlane.serve("up")
        well(fastlane)
        jobs = [fastlane.waits(retries=0 if number < 3 else 1, retryDelay="1s") for number in range(9)]
        fastlane.begun(*jobs)
        places = Counter(fastlane.execution(job.reply)["host"] for job in jobs)
        assert places == dict.fromkeys(fastlane.hosts, 3)
        lost = [job for job in jobs if fastlane.execution(job.reply)["host"] == victim.tcp]
        safe = [job for job in jobs if job not in lost]
        strike(victim, fault)
        later = [fastlane.counts(20, retries=1, retryDelay="1s") for _ in range(6)]
        for job in lost:
            is_lost(fastlane, job)
        wait_until(lambda: victim.tcp in unusable(fastlane), "the host to be missed")
        later += [fastlane.counts(20) for _ in range(4)]
        fastlane.let_go(*jobs)
        for job in (*safe, *later[6:]):
            assert fastlane.check_whole(job)["host"] != victim.tcp
        again = [job for job in lost if len(fastlane.attempts(job)) > 1]
        assert len(again) == 3 - sum(job in jobs[:3] for job in lost)
        for job in (*again, *later):
            ends_well(fastlane, job)
            assert fastlane.execution(job.reply)["host"] != victim.tcp
        undo(victim, fault)
        wait_until(lambda: victim.tcp not in unusable(fastlane), "the host to be used again")
        fastlane.check_nothing_left()
        more = [fastlane.counts(20) for _ in range(6)]
        assert {fastlane.check_whole(job)["host"] for job in more} == set(fastlane.hosts)
        assert all(len(fastlane.attempts(job)) == 1 for job in (*safe, *more))
        fastlane.check_none_twice(*jobs, *later, *more)
        fastlane.check_nothing_left()
