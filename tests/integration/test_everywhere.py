"""Jobs that run everywhere, on real swarms: three of one node each, and one of three nodes."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.scripted_jobs import Posted, ScriptedJobs, scripted_jobs
from tests.support.engine import IMAGE
from tests.support.nodes import availability, image_of
from tests.support.swarms import Swarms
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough
COUNT = 5


def ends_everywhere(work: ScriptedJobs, job: Posted) -> list[dict[str, Any]]:
    """The executions of a job's tick, once all have ended with their whole logs, in the order of their targets' names."""
    assert job.reply["executionId"] is None

    def ended() -> list[dict[str, Any]] | None:
        rows = work.attempts(job)
        return rows if len(rows) == 3 and all(row["status"] == "done" for row in rows) else None

    rows = wait_until(ended, f"the end of {job.path}")
    assert work.fastlane.get(job.path).json["job"]["status"] == "done"
    assert {row["queueJobId"] for row in rows} == {job.reply["queueJobId"]}
    for row in rows:
        work.check_whole(job, row)
    text = work.fastlane.get(f"{job.path}/logs?follow=1&stream=stdout").body.decode().splitlines()
    written = job.out.decode().splitlines()
    assert sorted(text) == sorted(f"{row['target']['name']} | {line}" for row in rows for line in written)
    (tick,) = work.fastlane.get(f"{job.path}/ticks").json["items"]
    assert tick["reason"] == "runs on 3 targets"
    work.check_none_twice(job)
    return sorted(rows, key=lambda row: str(row["target"]["name"]))


@pytest.mark.timeout(300)
def test_a_job_runs_on_each_of_three_swarms(three_swarms: Swarms, tmp_path: Path) -> None:
    with scripted_jobs(tmp_path, three_swarms, IMAGE) as work:
        rows = ends_everywhere(work, work.counts(COUNT, everywhere="swarms"))
        assert {row["host"] for row in rows} == set(work.view.hosts)
        work.check_nothing_left()


@pytest.mark.timeout(300)
def test_a_job_runs_on_each_node_of_a_swarm(three_managers: Swarms, tmp_path: Path) -> None:
    with image_of(three_managers) as image, scripted_jobs(tmp_path, three_managers, image) as work:
        rows = ends_everywhere(work, work.counts(COUNT, everywhere="nodes"))
        assert [row["node"] for row in rows] == [row["target"]["name"] for row in rows]
        assert len({row["target"]["nodeId"] for row in rows}) == 3
        work.check_nothing_left()


@pytest.mark.timeout(300)
def test_a_node_that_is_drained_before_its_part_starts_holds_that_part_until_it_is_back(three_managers: Swarms, tmp_path: Path) -> None:
    with image_of(three_managers) as image, scripted_jobs(tmp_path, three_managers, image, most=2) as work:
        job = work.waits(everywhere="nodes")

        def begun() -> list[dict[str, Any]] | None:
            rows = work.attempts(job)
            return rows if len(rows) == 3 and [row["status"] for row in rows].count("running") == 2 else None

        waits = next(row for row in wait_until(begun, "two of three to run") if row["status"] != "running")
        (node,) = (node for node in three_managers.nodes if node.name == waits["target"]["name"])
        with availability(node, "drain"):
            work.let_go(job)

            def others_ended() -> bool:
                found = {row["target"]["name"]: row["status"] for row in work.attempts(job)}
                return found.pop(node.name) not in ("done", "failed") and set(found.values()) == {"done"}

            wait_until(others_ended, "the other two to end")

            def told() -> bool:
                waiting = work.fastlane.get(f"{job.path}/why").json["waitingFor"]
                return any(wait["reason"] == "no-node" and "no suitable node" in wait["message"] for wait in waiting)

            wait_until(told, "the job to say what it waits for")
        rows = ends_everywhere(work, job)
        assert [row["node"] for row in rows] == [row["target"]["name"] for row in rows]
        work.check_nothing_left()
