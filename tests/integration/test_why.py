"""What a job says that it waits for when a swarm, a host or a registry does not do its part; real processes on a real engine."""

import contextlib
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import IMAGE, private_engine
from tests.support.installation import Installation, installed
from tests.support.relay import ThreadRelay
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough

Wait = dict[str, Any]


@pytest.fixture(scope="module")
def own_engine() -> Iterator[str]:
    """An engine whose only node a test may drain, and in whose network it may listen."""
    with private_engine() as url:
        yield url


def docker(engine: str, *words: str) -> str:
    """Runs ``docker``; what it printed."""
    return subprocess.run(["docker", "-H", engine, *words], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@contextlib.contextmanager
def drained(engine: str) -> Iterator[None]:
    """Its node takes no task."""
    node = docker(engine, "node", "ls", "-q")
    docker(engine, "node", "update", "--availability", "drain", node)
    try:
        yield
    finally:
        docker(engine, "node", "update", "--availability", "active", node)


def waits(fastlane: Installation, reply: dict[str, Any], *reasons: str) -> list[Wait]:
    """What the job waits for, once it is this."""

    def told() -> list[Wait] | None:
        found: list[Wait] = fastlane.get(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/why").json["waitingFor"]
        return (found or [{}]) if [wait["reason"] for wait in found] == list(reasons) else None

    return wait_until(told, f"{reply['jobUrl']} to wait for {reasons}")


def seconds(before: str, after: str) -> float:
    """Between two moments of an answer."""
    return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()


def test_no_node_then_no_host_then_an_open_breaker_are_told_and_the_job_runs_in_the_end(own_engine: str, tmp_path: Path) -> None:
    rules = {"breaker_max_fails": "3", "pending_deadline": "40m", "host_lost_after": "20m"}
    with ThreadRelay(tmp_path / "e", own_engine) as relay, installed(tmp_path, relay.url, **rules) as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        with drained(own_engine):
            reply = fastlane.run("echo", "at last")
            (wait,) = wait_until(
                lambda: [wait for wait in waits(fastlane, reply, "no-node") if "no suitable node (" in wait["message"]],
                "the reason of a swarm that has looked for a node",
            )
            assert seconds(wait["since"], wait["until"]) == 2_400
            assert wait["host"] == relay.url

            relay.stop()
            (wait,) = waits(fastlane, reply, "breaker")
            assert "has no socket there: is the engine running? (" in wait["message"]
            assert seconds(wait["since"], wait["until"]) == 1_200
            (host,) = wait["hosts"]
            assert (host["host"], host["circuit"], host["faults"] >= 3) == (relay.url, "open", True)
            assert seconds(wait["since"], host["retryAt"]) > 0
            later = fastlane.run("true")
            (wait,) = waits(fastlane, later, "no-host")
            assert wait["hosts"][0]["circuit"] == "open"

            relay.start()
            waits(fastlane, reply, "no-node")
        assert fastlane.ends(reply)["status"] == "done"
        assert fastlane.output(reply) == b"at last\n"
        assert fastlane.ends(later)["status"] == "done"
        assert waits(fastlane, reply) == [{}]


def test_a_pull_from_a_registry_that_says_nothing_is_told_until_the_job_is_stopped(own_engine: str, tmp_path: Path) -> None:
    silent = ("nc", "-ll", "-p", "5999", "-e", "sleep", "1000")
    docker(own_engine, "run", "-d", "--network", "host", "--stop-signal", "KILL", IMAGE, *silent)
    with installed(tmp_path, own_engine, pull_deadline="10m") as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        reply = fastlane.post("/tasks/test", {"image": f"127.0.0.1:5999/some/thing@sha256:{'a' * 64}"}).json
        fastlane.reaches(reply, "pulling")
        preparing = "the engine says: preparing; it is given up at "
        found = wait_until(lambda: [wait for wait in waits(fastlane, reply, "image") if preparing in wait["message"]], "a node to pull")
        assert found[0]["message"].startswith(f"its node pulls the image 127.0.0.1:5999/some/thing@sha256:{'a' * 64} if necessary")
        assert seconds(found[0]["since"], found[0]["until"]) == 600
        fastlane.post(f"/tasks/test/jobs/{reply['jobId']}/stop")
        assert fastlane.ends(reply)["status"] == "stopped"


def test_a_registry_that_refuses_is_told_in_the_engines_words_until_the_job_is_stopped(engine: str, tmp_path: Path) -> None:
    with installed(tmp_path, engine, pull_deadline="10m") as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        reply = fastlane.post("/tasks/test", {"image": "127.0.0.1:9/some/thing:1", "envs": {"TOKEN": "127.0.0.1:9"}}).json
        (wait,) = waits(fastlane, reply, "registry")
        assert "dial tcp ********: connect: connection refused" in wait["message"]  # a secret is one, whoever says it
        assert wait["image"] == "127.0.0.1:9/some/thing:1"
        execution = fastlane.execution(reply)
        assert execution["status"] == "pulling"
        assert 0 < seconds(execution["createdAt"], wait["until"]) - 600 < 60
        fastlane.post(f"/tasks/test/jobs/{reply['jobId']}/stop")
        assert fastlane.ends(reply)["status"] == "stopped"
        assert waits(fastlane, reply) == [{}]
