"""Jobs are posted all the time while hosts are added, drained and removed with curl, or are lost. Three swarms of one node each, real
processes, starts counted outside of Docker: no attempt starts twice, and in the end nothing is left on any host."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.scripted_jobs import Posted, ScriptedJobs, scripted_jobs
from tests.integration.struck_nodes import ends_well, hosts_of, is_lost, posting, strike, undo, unusable
from tests.support.credentials import bearer
from tests.support.engine import IMAGE
from tests.support.nodes import service_changes
from tests.support.swarms import Node, Swarms
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough
AGAIN = pytest.mark.repeated
DRAINING = "/docker-executor/blacklist"


class Administrator:
    """Changes hosts as the manual says, with curl."""

    def __init__(self, work: ScriptedJobs) -> None:
        self._work = work

    def curl(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        fastlane = self._work.fastlane
        ((name, value),) = bearer(fastlane.token or "").items()
        data = [] if body is None else ["-d", json.dumps(body)]
        command = ["curl", "-sS", "--max-time", "30", "-X", method, "-H", f"{name}: {value}", *data, "-w", "\n%{http_code}"]
        done = subprocess.run([*command, f"{fastlane.url}{path}"], capture_output=True, text=True, check=True, timeout=60)
        answer, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(answer)

    def registers(self, *nodes: Node) -> None:
        for node in nodes:
            status, answer = self.curl("POST", "/hosts", {"address": node.tcp, "pool": "default"})
            assert status == 200, answer
        wait_until(lambda: not {node.tcp for node in nodes} - hosts_of(self._work).keys() | unusable(self._work).keys(), "the new hosts")

    def drains(self, node: Node, *, ends: bool = False) -> None:
        """``ends``: gives the host work again."""
        status, answer = self.curl("DELETE" if ends else "POST", DRAINING, {"host": node.tcp})
        assert (status, answer) == (200, {"host": node.tcp, "blacklisted": not ends})

    def may_remove(self, node: Node) -> bool:
        """Removes a drained host, unless something is left there."""
        status, answer = self.curl("DELETE", self._path(node))
        assert status == 200 or (status == 409 and "still has executions" in answer["detail"]), answer
        return status == 200

    def removes_by_force(self, node: Node) -> int:
        """Returns how many executions are lost."""
        status, answer = self.curl("DELETE", f"{self._path(node)}?force=1")
        assert status == 200, answer
        lost: int = answer["lost"]
        return lost

    @staticmethod
    def _path(node: Node) -> str:
        return f"/hosts/{quote(node.tcp, safe='')}"


def until_all_get_work(nodes: list[Node], since: float) -> None:
    """Returns once each node has got a service since then."""
    wait_until(lambda: all("create" in dict(service_changes(node, since)) for node in nodes), "new work on every host")


def held_on(work: ScriptedJobs, node: Node, count: int = 2) -> tuple[list[Posted], list[Posted]]:
    """Posts jobs that wait until so many run on the node. Returns these, and the others. Each may be lost twice."""
    jobs: list[Posted] = []
    there: list[Posted] = []
    while len(there) < count:
        jobs.append(work.waits(retries=2, retryDelay="1s"))
        work.begun(jobs[-1])
        there = [job for job in jobs if work.fastlane.execution(job.reply)["host"] == node.tcp]
    return there, [job for job in jobs if job not in there]


@pytest.mark.timeout(300)
def test_hosts_are_added_drained_and_removed_with_curl_while_jobs_are_posted(three_swarms: Swarms, tmp_path: Path) -> None:
    first, drained, forced = three_swarms.nodes
    pool = {"hosts": [first.tcp], "register": [drained.tcp, forced.tcp]}
    with scripted_jobs(tmp_path, three_swarms, IMAGE, pool=pool, host_lost_after="5m") as work:
        administrator, later, began = Administrator(work), list[Posted](), time.time()
        with posting(work, later):
            administrator.registers(drained, forced)
            until_all_get_work(three_swarms.nodes, began)
            stays, others = held_on(work, drained)

            administrator.drains(drained)
            administrator.drains(drained, ends=True)
            undrained = time.time()
            until_all_get_work([drained], undrained)
            administrator.drains(drained)
            assert not administrator.may_remove(drained)
            assert [work.fastlane.execution(job.reply)["status"] for job in stays] == ["running"] * len(stays)
            work.let_go(*stays)
            wait_until(lambda: administrator.may_remove(drained), "the removal of the drained host")
            removed = time.time()
            for job in stays:
                assert work.check_whole(job)["host"] == drained.tcp

            lost, more = held_on(work, forced)
            assert administrator.removes_by_force(forced) >= len(lost)
            for job in lost:
                is_lost(work, job)
            assert len(work.view.containers(forced)) >= len(lost)  # nobody may ask that host any more
            count = len(later)
            wait_until(lambda: len(later) > count + 3, "jobs for the only host")
            assert service_changes(drained, removed) == []

            gone = time.time()
            administrator.registers(drained, forced)
            until_all_get_work([drained, forced], gone)
        changes = service_changes(forced, gone)
        cleared = {id for word, id in changes[: [word for word, _ in changes].index("create")] if word == "remove"}
        assert {job.reply["executionId"] for job in lost} <= cleared, changes
        work.let_go(*others, *lost, *more)
        for job in (*others, *lost, *more, *later):
            ends_well(work, job)
        work.check_none_twice(*stays, *others, *lost, *more, *later)
        work.check_nothing_left()


@AGAIN
@pytest.mark.timeout(300)
def test_a_host_that_is_removed_by_force_while_the_settings_name_it_is_cleared_before_it_gets_work_again(
    three_swarms: Swarms, tmp_path: Path
) -> None:
    """Its engine is well all the while."""
    only = three_swarms.nodes[0]
    with scripted_jobs(tmp_path, three_swarms, IMAGE, [only.tcp]) as work:
        jobs = [work.waits() for _ in range(3)]
        work.begun(*jobs)
        removed = time.time()
        assert Administrator(work).removes_by_force(only) == len(jobs)
        for job in jobs:
            is_lost(work, job)
        later = [work.counts(20) for _ in range(6)]
        for job in later:
            assert work.check_whole(job)["host"] == only.tcp
        changes = service_changes(only, removed)
        cleared = {id for word, id in changes[: [word for word, _ in changes].index("create")] if word == "remove"}
        assert cleared == {job.reply["executionId"] for job in jobs}, changes
        assert all(len(work.attempts(job)) == 1 for job in later)
        work.check_none_twice(*jobs, *later)
        work.check_nothing_left()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("count", "half"),
    [(60, 20), *(pytest.param(200, half, marks=AGAIN) for half in (100, 30))],
)
def test_many_jobs_end_well_though_one_of_three_hosts_is_killed_and_one_cut_off_half_way(
    three_swarms: Swarms, tmp_path: Path, count: int, half: int
) -> None:
    _, killed, cut = three_swarms.nodes
    with scripted_jobs(tmp_path, three_swarms, IMAGE, most=24, host_lost_after="5s") as work:
        # On a busy machine, all the others may have ended before the second node is struck.
        held = [job for node in (killed, cut) for jobs in held_on(work, node) for job in jobs]
        jobs = [*held, *(work.counts(20, retries=2, retryDelay="1s") for _ in range(count))]
        wait_until(lambda: ended(work) >= half, f"{half} to have ended", 300)
        strike(killed, "kill")
        strike(cut, "cut")
        struck = time.time()
        work.let_go(*held)
        work.check_none_twice(*jobs)
        for job in jobs:
            ends_well(work, job, patience=400)
        rows = [row for job in jobs for row in work.attempts(job)]
        lost = {row["executionId"]: row["host"] for row in rows if row["status"] == "failed"}
        assert set(lost.values()) == {killed.tcp, cut.tcp}
        undo(killed, "kill")
        undo(cut, "cut")
        wait_until(lambda: not unusable(work), "all hosts to be used again")
        more = [work.counts(20) for _ in range(6)]
        assert {work.check_whole(job)["host"] for job in more} == set(work.view.hosts)
        assert {id for word, id in service_changes(cut, struck) if word == "remove"} >= {id for id, host in lost.items() if host == cut.tcp}
        work.check_none_twice(*jobs, *more, killed=True)
        work.check_nothing_left()


def ended(work: ScriptedJobs) -> int:
    """How many executions are done."""
    counts: dict[str, int] = work.fastlane.get("/status").json["executions"]
    return counts.get("done", 0)
