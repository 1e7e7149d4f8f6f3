"""One swarm of three managers whose leader dies, freezes or is cut off, or two of which do: nothing starts twice, what runs elsewhere ends
as it would have, what is lost is said to be, and tried again where that was asked for. Real processes, starts counted outside of Docker."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.outages import check_health, check_reads
from tests.integration.scripted_jobs import HALF, Posted, ScriptedJobs, lines, scripted_jobs
from tests.integration.struck_nodes import ends_well, is_lost, posting, strike, undo, unusable
from tests.support.nodes import docker_command, image_of, leader
from tests.support.redis import RealRedis
from tests.support.swarms import Node, Swarms
from tests.support.waiting import outlast, wait_until

pytestmark = pytest.mark.thorough
AGAIN = pytest.mark.repeated


@pytest.fixture
def image(three_managers: Swarms) -> Iterator[str]:
    with image_of(three_managers) as reference:
        yield reference


def are_on(work: ScriptedJobs, node: Node, jobs: list[Posted]) -> list[Posted]:
    """Those of these jobs whose container is there."""
    names = " ".join(work.view.containers(node))
    return [job for job in jobs if job.reply["executionId"] in names]


def goes_on(work: ScriptedJobs, job: Posted) -> None:
    """It runs, and what it writes is stored as it comes."""
    before = work.fastlane.output(job.reply)
    wait_until(lambda: len(work.fastlane.output(job.reply)) > len(before) + 50, f"more of the log of {job.path}")
    assert work.fastlane.execution(job.reply)["status"] == "running"


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("fault", "patience"),
    [("kill", "25s"), pytest.param("pause", "40s", marks=AGAIN), pytest.param("cut", "40s", marks=AGAIN)],
)
def test_a_lost_leaders_jobs_are_lost_and_tried_again_and_all_others_end(
    three_managers: Swarms, image: str, tmp_path: Path, fault: str, patience: str
) -> None:
    with scripted_jobs(tmp_path, three_managers, image, host_lost_after=patience) as work:
        lead, later = leader(three_managers), list[Posted]()
        jobs = [work.waits(retries=1, retryDelay="1s") for _ in range(9)]
        jobs += [work.waits(3, node=node.name) for node in three_managers.nodes]
        elsewhere = [node.name for node in three_managers.nodes if node is not lead]
        talkers = [work.talks(node=name) for name in (*elsewhere, *elsewhere[:1])]  # one of them through each manager
        work.begun(*jobs)
        lost = are_on(work, lead, jobs)
        safe = [job for job in jobs if job not in lost]
        assert {job.node for job in lost} == {lead.name, None}
        with posting(work, later):
            outlast(1.5)
            strike(lead, fault)
            outlast(4)
        for job in talkers:
            goes_on(work, job)  # without a leader, since each log is read from its own node
        work.let_go(*safe)
        for job in safe:
            work.check_whole(job)
        work.fastlane.until_healthy()
        for job in talkers:
            goes_on(work, job)
        for job in lost:
            is_lost(work, job)
        work.let_go(*lost, *talkers)
        for job in talkers:
            assert work.fastlane.ends(job.reply)["status"] == "done"
            assert (output := work.fastlane.output(job.reply)) == lines("out", output.count(b"\n"))
        for job in (*(job for job in lost if job.node is None), *later):
            ends_well(work, job)
        undo(lead, fault)
        work.check_nothing_left()
        wait_until(lambda: lead.tcp not in unusable(work), "the node to be used again")
        work.check_whole(work.counts(20, node=lead.name))
        assert all(len(work.attempts(job)) == 1 for job in (*safe, *talkers, *(job for job in lost if job.node)))
        work.check_none_twice(*jobs, *talkers, *later, killed=fault == "kill")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", [3, pytest.param(18, marks=AGAIN)])
@pytest.mark.parametrize("fault", [pytest.param("kill", marks=AGAIN), pytest.param("pause", marks=AGAIN), "cut"])
def test_a_leader_that_is_back_in_time_tells_how_its_jobs_ended(
    three_managers: Swarms, image: str, tmp_path: Path, fault: str, seconds: int
) -> None:
    """After 18 s it has been down in the others' eyes, and Swarm ends what runs there; not so after 3, but for an engine that died."""
    with scripted_jobs(tmp_path, three_managers, image, host_lost_after="60s") as work:
        lead, later = leader(three_managers), list[Posted]()
        jobs = [work.waits(code, node=node.name) for node in three_managers.nodes for code in (0, 3)]
        work.begun(*jobs)
        there = are_on(work, lead, jobs)
        with posting(work, later):
            outlast(1.5)
            strike(lead, fault)
            struck = time.monotonic()
            work.let_go(there[0])
            outlast(struck + seconds - time.monotonic())
            undo(lead, fault)
        work.let_go(*jobs)
        for job in (*(job for job in jobs if job not in there), *([] if fault == "kill" else there[:1])):
            work.check_whole(job)
        for job in there:
            ended = work.fastlane.ends(job.reply, patience=180)
            assert len(work.fastlane.witness.containers_of(ended["executionId"])) == 1
            if ended["failure"] and ended["failure"]["reason"] == "killed":
                assert fault == "kill" or seconds == 18, ended
                log = work.fastlane.get(f"{job.path}/executions/{ended['executionId']}/stdout").body
                assert log.startswith(lines("out", HALF))
            else:
                work.check_whole(job)
        for job in later:
            ends_well(work, job)
        work.check_none_twice(*jobs, *later, killed=fault == "kill")
        work.check_nothing_left()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", [pytest.param("pause", marks=AGAIN), "cut"])
def test_without_a_quorum_jobs_wait_and_health_says_why_and_nothing_is_lost(
    three_managers: Swarms, image: str, tmp_path: Path, fault: str
) -> None:
    with scripted_jobs(tmp_path, three_managers, image, host_lost_after="5m") as work:
        lead, later = leader(three_managers), list[Posted]()
        struck = [lead, next(node for node in three_managers.nodes if node is not lead)]
        jobs = [work.waits(number % 2 * 3, node=three_managers.nodes[number % 3].name) for number in range(6)]
        work.begun(*jobs)
        with posting(work, later):
            outlast(1.5)
            for node in struck:
                strike(node, fault)
            began = time.monotonic()
            wait_until(lambda: work.fastlane.get("/healthcheck").status == 503, "the swarm to be missed")
        words = check_health(work.fastlane, "docker")
        assert words.startswith("pool 'default' has no usable host: ")
        assert all(node.tcp in words for node in three_managers.nodes), words
        waiting = work.counts(20)
        reasons = {wait["reason"]: wait for wait in work.fastlane.get(f"{waiting.path}/why").json["waitingFor"]}
        assert {row["host"] for row in reasons["no-host"]["hosts"]} == set(work.view.hosts), reasons
        check_reads(work.fastlane, jobs[0].reply)
        work.let_go(*jobs[:3])
        outlast(began + 20 - time.monotonic())
        assert work.fastlane.execution(waiting.reply)["status"] == "enqueued"
        for node in struck:
            undo(node, fault)
        work.fastlane.until_healthy(120)
        work.let_go(*jobs)
        for job in (*later, waiting):
            ends_well(work, job)
        for job in jobs:
            ended = work.fastlane.ends(job.reply, patience=180)
            assert len(work.attempts(job)) == 1
            assert len(work.fastlane.witness.containers_of(ended["executionId"])) == 1
            if ended["failure"] and ended["failure"]["reason"] == "killed":
                assert work.fastlane.output(job.reply).startswith(lines("out", HALF))
            else:
                work.check_whole(job)
        work.check_none_twice(*jobs, *later, waiting)
        work.check_nothing_left()


@pytest.mark.timeout(300)
def test_a_job_whose_node_dies_with_the_end_of_its_log_ends_as_its_command_did(three_managers: Swarms, image: str, tmp_path: Path) -> None:
    """The managers know how it ended; what was stored of its log is there, and it is said that there may be more."""
    with RealRedis() as redis, scripted_jobs(tmp_path, three_managers, image, redis=redis.url, listen="127.0.0.1") as work:
        work.fastlane.serve("api")
        worker = work.fastlane.start("worker")
        work.fastlane.until_healthy()
        lead = leader(three_managers)
        dying = next(node for node in three_managers.nodes if node is not lead)
        jobs = [work.waits(code, node=dying.name) for code in (0, 3)]
        work.begun(*jobs)
        worker.kill()
        worker.wait()
        work.let_go(*jobs)
        words = ("service", "ps", "--format", "{{.CurrentState}}", *work.fastlane.services())
        wait_until(lambda: all(line.startswith(("Complete", "Failed")) for line in docker_command(lead, *words).splitlines()), "their ends")
        dying.kill()
        work.fastlane.start("worker")
        first, second = (work.fastlane.reaches(job.reply, "done", "failed", patience=120) for job in jobs)
        assert (first["status"], first["exitCode"], first["attempt"]) == ("done", 0, 1)
        assert (second["status"], second["exitCode"], second["attempt"]) == ("failed", 3, 1)
        for row, job in ((first, jobs[0]), (second, jobs[1])):
            assert row["logInfo"]["truncated"] is True
            assert work.fastlane.get(f"{job.path}/executions/{row['executionId']}/stdout").body == lines("out", HALF)
