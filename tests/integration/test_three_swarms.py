"""Three swarms of one node each in one pool: jobs are spread over them while one is lost, slow, full or restarted, and comes back. The
others never notice. Real processes, starts counted outside of Docker."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.scripted_jobs import Posted, ScriptedJobs, scripted_jobs
from tests.integration.struck_nodes import ends_well, failures, first_failure, is_lost, posting, strike, undo, unusable
from tests.support.engine import IMAGE
from tests.support.nodes import service_changes
from tests.support.relay import ThreadRelay
from tests.support.swarms import Node, Swarms
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough
AGAIN = pytest.mark.repeated


@pytest.fixture
def victim(three_swarms: Swarms) -> Node:
    return three_swarms.nodes[1]


def spread(work: ScriptedJobs, once: int = 3) -> list[Posted]:
    """Nine jobs that wait, three on each host; all but the first few are tried again when they fail."""
    jobs = [work.waits(retries=0 if number < once else 1, retryDelay="1s") for number in range(9)]
    work.begun(*jobs)
    assert Counter(work.fastlane.execution(job.reply)["host"] for job in jobs) == dict.fromkeys(work.view.hosts, 3)
    return jobs


def parted(work: ScriptedJobs, jobs: list[Posted], node: Node) -> tuple[list[Posted], list[Posted]]:
    """Those of these jobs that run on the node, and the others."""
    there = [job for job in jobs if work.fastlane.execution(job.reply)["host"] == node.tcp]
    return there, [job for job in jobs if job not in there]


def until_used_again(work: ScriptedJobs, node: Node) -> None:
    wait_until(lambda: node.tcp not in unusable(work), "the host to be used again")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [pytest.param("kill", marks=AGAIN), pytest.param("pause", marks=AGAIN), "cut"])
def test_jobs_of_a_lost_swarm_are_tried_again_on_the_others_which_go_on(
    three_swarms: Swarms, victim: Node, tmp_path: Path, fault: str
) -> None:
    with scripted_jobs(tmp_path, three_swarms, IMAGE, host_lost_after="5s") as work:
        jobs = spread(work)
        lost, safe = parted(work, jobs, victim)
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
        until_used_again(work, victim)
        work.check_nothing_left()
        more = [work.counts(20) for _ in range(6)]
        assert {work.check_whole(job)["host"] for job in more} == set(work.view.hosts)
        assert all(len(work.attempts(job)) == 1 for job in (*safe, *more))
        work.check_none_twice(*jobs, *later, *more, killed=fault == "kill")
        work.check_nothing_left()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [pytest.param("kill", marks=AGAIN), pytest.param("pause", marks=AGAIN), "cut"])
def test_a_host_that_is_back_after_its_jobs_were_lost_is_cleared_of_them_before_it_gets_work(
    three_swarms: Swarms, victim: Node, tmp_path: Path, fault: str
) -> None:
    """Their containers still run then, and would run forever."""
    with scripted_jobs(tmp_path, three_swarms, IMAGE, host_lost_after="5s") as work:
        jobs, later = spread(work), list[Posted]()
        lost, safe = parted(work, jobs, victim)
        strike(victim, fault)
        struck = time.time()
        for job in lost:
            is_lost(work, job)
        with posting(work, later):
            wait_until(lambda: len(later) > 3, "jobs that wait for a host")
            undo(victim, fault)
            until_used_again(work, victim)
            wait_until(lambda: "create" in dict(service_changes(victim, struck)), "new work on the host")
        changes = service_changes(victim, struck)
        begun = [word for word, _ in changes].index("create")
        leftovers = {job.reply["executionId"] for job in lost}
        assert {id for word, id in changes[:begun] if word == "remove"} == leftovers, changes
        work.let_go(*jobs)
        for job in safe:
            work.check_whole(job)
        for job in (*(job for job in lost if job not in jobs[:3]), *later):
            ends_well(work, job)
        assert all(len(work.attempts(job)) == 1 for job in (*safe, *(job for job in lost if job in jobs[:3])))
        work.check_none_twice(*jobs, *later, killed=fault == "kill")
        work.check_nothing_left()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", ["halt", pytest.param("kill", marks=AGAIN)])
def test_jobs_of_an_engine_that_is_restarted_are_killed_and_tried_again_and_all_others_go_on(
    three_swarms: Swarms, victim: Node, tmp_path: Path, fault: str
) -> None:
    with scripted_jobs(tmp_path, three_swarms, IMAGE, host_lost_after="60s") as work:
        jobs, later = spread(work), list[Posted]()
        there, safe = parted(work, jobs, victim)
        with posting(work, later):
            wait_until(lambda: len(later) > 3, "jobs at each step of their way")
            strike(victim, fault)
            undo(victim, fault)
            until_used_again(work, victim)
        for job in there:
            failed = first_failure(work, job)
            assert (failed["failure"]["reason"], failed["host"]) == ("killed", victim.tcp), failed
            assert failed["exitCode"] in ((None,) if fault == "halt" else (137, 143)), failed
        work.let_go(*jobs)
        for job in safe:
            work.check_whole(job)
        for job in (*(job for job in there if job not in jobs[:3]), *later):
            ends_well(work, job)
        assert all(len(work.attempts(job)) == 1 for job in (*safe, *(job for job in there if job in jobs[:3])))
        work.check_none_twice(*jobs, *later, killed=fault == "kill")
        work.check_nothing_left()


@pytest.fixture
def slow_way(victim: Node) -> Iterator[ThreadRelay]:
    """The way to one of the three, on which a test may delay whatever passes."""
    with ThreadRelay(0, (victim.address, 2375)) as relay:
        yield relay


@pytest.mark.timeout(300)
@pytest.mark.parametrize("delay", [0.4, pytest.param(0.1, marks=AGAIN), pytest.param(1.2, marks=AGAIN)])
def test_jobs_of_a_host_on_a_slow_line_end_as_all_others_do(
    three_swarms: Swarms, slow_way: ThreadRelay, tmp_path: Path, delay: float
) -> None:
    first, _, third = (node.tcp for node in three_swarms.nodes)
    slow = f"tcp://{slow_way.url}"
    with scripted_jobs(tmp_path, three_swarms, IMAGE, [first, slow, third]) as work:
        jobs, later = spread(work), list[Posted]()
        slow_way.slow(delay)
        with posting(work, later):
            wait_until(lambda: len(later) >= 15, "jobs at each step of their way")
        work.let_go(*jobs)
        rows = [work.check_whole(job) for job in (*jobs, *later)]
        assert {row["host"] for row in rows[len(jobs) :]} == set(work.view.hosts)
        assert all(len(work.attempts(job)) == 1 for job in (*jobs, *later))
        slow_way.slow(0)
        work.check_nothing_left()


@pytest.mark.timeout(300)
def test_what_a_host_with_a_full_disk_cannot_start_runs_on_the_others_if_it_has_retries(
    three_swarms: Swarms, victim: Node, tmp_path: Path
) -> None:
    with scripted_jobs(tmp_path, three_swarms, IMAGE) as work:
        jobs, later = spread(work), list[Posted]()
        there, _ = parted(work, jobs, victim)
        victim.fill()
        with posting(work, later):
            wait_until(lambda: "is short of disk" in unusable(work).get(victim.tcp, ""), "the host to be left alone")
            full = len(later)
            wait_until(lambda: len(later) >= full + 3, "jobs for the others")
        for job in later:
            ends_well(work, job)
        refused = [job for job in later if failures(work, job)]
        assert refused
        assert all(work.attempts(job)[-1]["host"] != victim.tcp for job in refused)
        for row in (row for job in refused for row in failures(work, job)):
            assert (row["failure"]["reason"], row["host"], row["exitCode"]) == ("host-lost", victim.tcp, None), row
            assert "no space left on device" in row["failure"]["message"]
            assert not work.fastlane.witness.containers_of(row["executionId"])
        assert [work.fastlane.execution(job.reply)["status"] for job in there] == ["running"] * len(there)
        victim.empty()  # what a container writes to a full disk is lost, and no one is told
        work.let_go(*jobs)
        for job in jobs:
            work.check_whole(job)
        assert all(len(work.attempts(job)) == 1 for job in jobs)
        work.check_none_twice(*jobs, *later)
        work.check_nothing_left()
