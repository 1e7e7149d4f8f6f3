"""What happens to nodes while jobs run there, and what must become of those jobs."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from tests.integration.scripted_jobs import HALF, Posted, ScriptedJobs, lines
from tests.support.swarms import Node
from tests.support.waiting import wait_until

UNDER_WAY = 16
"""Jobs that ``posting`` has under way at most."""
ENDED = ("done", "failed")
UNDO = {"kill": "start", "halt": "start", "pause": "resume", "cut": "mend"}


def strike(node: Node, fault: str) -> None:
    """It happens to the node."""
    getattr(node, fault)()


def undo(node: Node, fault: str) -> None:
    """The node is back."""
    getattr(node, UNDO[fault])()


@contextlib.contextmanager
def posting(work: ScriptedJobs, jobs: list[Posted], every: float = 0.3) -> Iterator[None]:
    """Somebody posts jobs all the time, so that at any moment one is at each step towards its start. A busy machine is not flooded."""
    over = threading.Event()

    def post() -> None:
        while not over.wait(every):
            if len(jobs) < UNDER_WAY or work.fastlane.execution(jobs[-UNDER_WAY].reply)["status"] in ENDED:
                jobs.append(work.counts(50, retries=1, retryDelay="1s"))

    poster = threading.Thread(target=post)
    poster.start()
    try:
        yield
    finally:
        over.set()
        poster.join()


def hosts_of(work: ScriptedJobs) -> dict[str, dict[str, Any]]:
    """What ``/status`` says of each host."""
    return {"tcp://{host}:{port}".format_map(row): row for row in work.fastlane.get("/status").json["hosts"]}


def unusable(work: ScriptedJobs) -> dict[str, str]:
    """Why each host that cannot be used cannot."""
    return {host: row["error"] for host, row in hosts_of(work).items() if not row["available"]}


def failures(work: ScriptedJobs, job: Posted) -> list[dict[str, Any]]:
    """Its attempts that failed, the first one first."""
    return [row for row in work.attempts(job) if row["status"] == "failed"]


def first_failure(work: ScriptedJobs, job: Posted, patience: float = 120) -> dict[str, Any]:
    """Its first attempt, once that has failed. What had come of its log is there."""
    first = wait_until(lambda: next(iter(failures(work, job)), None), f"the end of {job.path}", patience)
    assert first["attempt"] == 1, first
    for stream, word in (("stdout", "out"), ("stderr", "err")):
        assert work.fastlane.get(f"{job.path}/executions/{first['executionId']}/{stream}").body == lines(word, HALF)
    return first


def is_lost(work: ScriptedJobs, job: Posted, patience: float = 120) -> None:
    """Its first attempt ended as lost with its node; what had come of its log is there, and it is said that there may be more."""
    first = first_failure(work, job, patience)
    assert (first["failure"]["reason"], first["exitCode"]) == ("host-lost", None), first
    assert first["logInfo"]["truncated"] is True


def ends_well(work: ScriptedJobs, job: Posted, patience: float = 180) -> None:
    """Its last attempt ends by itself, with its whole log, unless its node was struck just then. (An attempt of it may have been lost with
    its node.)"""
    wait_until(lambda: work.fastlane.execution(job.reply)["status"] == "done", f"{job.path} to be done: {work.attempts(job)}", patience)
    work.check_whole(job, struck=True)
    for row in work.attempts(job)[:-1]:
        assert row["failure"]["reason"] in ("host-lost", "killed"), row
