"""How executions end, each way from a real container through a real fastlane: status, reason, the words for people, and the exit code."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.permissive import engine_of, is_clean, is_gone, permissive, service_of
from tests.support.installation import Installation
from tests.support.waiting import wait_until

Reply = dict[str, Any]

NOWHERE = {"constraints": ["node.labels.not-there==1"]}
SICK = "fastlane-sick:1"
"""An image with a health check that always fails, every second."""
HOLD = "trap 'echo bye; exit 5' TERM; echo begun; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def fastlane(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("fastlane")
    with permissive(folder, engine, most=40, pending_deadline="4s") as fastlane, sick_image(fastlane):
        yield fastlane


@contextlib.contextmanager
def sick_image(fastlane: Installation) -> Iterator[None]:
    made = engine_of(fastlane).docker("create", "ubuntu:latest", "true").strip()
    check = "HEALTHCHECK --interval=1s --retries=1 --timeout=1s CMD false"
    with subprocess.Popen(["docker", "-H", engine_of(fastlane).url, "export", made], stdout=subprocess.PIPE) as exported:
        command = ["docker", "-H", engine_of(fastlane).url, "import", "-c", "ENV PATH=/bin", "-c", check, "-", SICK]
        subprocess.run(command, stdin=exported.stdout, check=True, capture_output=True, timeout=60)
    engine_of(fastlane).docker("rm", made)
    yield
    engine_of(fastlane).docker("image", "rm", "-f", SICK)


@dataclass(frozen=True)
class Case:
    """A job, and how it is to end. ``words``: parts of its failure's message."""

    status: str
    code: int | None
    reason: str | None = None
    words: tuple[str, ...] = ()
    body: dict[str, Any] = field(default_factory=dict)


def of_shell(script: str, **more: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **more}


BY_ITSELF = {
    "well": Case("done", 0, body={"command": "true"}),
    "with a code": Case("failed", 3, "exit", ("ended with exit code 3",), of_shell("exit 3")),
    "without a command that is there": Case("failed", 127, "exit", ("127", "command was not found"), {"command": "no-such-command"}),
    "without init, too": Case(
        "failed", 127, "exit", ("could not be started (exit code 127)", "no-such-command"), {"command": "no-such-command", "init": False}
    ),
    "with a file that is no program": Case("failed", 126, "exit", ("126", "cannot be executed"), {"command": "/etc/passwd"}),
    "with a user that is not there": Case(
        "failed", 128, "exit", ("could not be started (exit code 128)", "unable to find user"), {"command": "true", "user": "nobody-knows"}
    ),
    "by a signal of its own": Case("failed", 139, "exit", ("139", "SIGSEGV"), of_shell("kill -SEGV $$")),
    "with a code that means a kill": Case("failed", 137, "killed", ("SIGKILL", "137"), of_shell("exit 137")),
    "out of memory": Case(
        "failed", 137, "oom", ("more than its limit of 16 MiB",), of_shell("x=a; while :; do x=$x$x; done", resources={"memory": "16m"})
    ),
    "without a folder to mount": Case(
        "failed", None, "rejected", ("refused the container", "bind source path does not exist"), {"mounts": ["/not/there:/x"]}
    ),
    "without its image": Case("failed", None, "image", ("there is no image sha256:0000",), {"image": "sha256:" + "0" * 64}),
    "on no node": Case(
        "failed", None, "unschedulable", ("no node took it within 4 s", "scheduling constraints not satisfied on 1 node"), NOWHERE
    ),
    "too late": Case("expired", None, body={"expiresIn": "2s", **NOWHERE}),
    "after its timeout": Case("timedout", 5, body=of_shell(HOLD, timeout=1)),
    "after its timeout, deaf": Case("timedout", 137, body=of_shell("trap '' TERM; sleep 60", timeout=1, stopGrace="1s")),
    "well, though its image calls it sick": Case("done", 0, body={"image": SICK, "command": "sleep 4"}),
}
OPTIONS = ("user", "init", "mounts", "constraints", "stopGrace")


@pytest.fixture(scope="module")
def posted(fastlane: Installation) -> dict[str, Reply]:
    """All of them at once."""
    replies = {}
    for name, case in BY_ITSELF.items():
        container = {key: case.body[key] for key in OPTIONS if key in case.body}
        body = {"image": "ubuntu:latest", **{key: value for key, value in case.body.items() if key not in OPTIONS}, "container": container}
        answer = fastlane.post("/tasks/endings", body)
        assert answer.status == 200, answer.body
        replies[name] = answer.json
    return replies


@pytest.mark.parametrize("name", BY_ITSELF)
def test_a_job_ends(fastlane: Installation, posted: dict[str, Reply], name: str) -> None:
    ended = check(fastlane, posted[name], BY_ITSELF[name])
    assert (ended["startedAt"] is None) is (
        ended["exitCode"] is None or "could not be started" in (ended["failure"] or {}).get("message", "")
    )


def check(fastlane: Installation, reply: Reply, case: Case, patience: float = 60) -> dict[str, Any]:
    """That it ends like this; the execution."""
    ended = fastlane.ends(reply, patience)
    assert (ended["status"], ended["exitCode"]) == (case.status, case.code), ended
    assert fastlane.exit_code_header(reply) == (None if case.code is None else str(case.code))
    assert (ended["failure"] or {}).get("reason") == case.reason
    message = (ended["failure"] or {}).get("message", "")
    for words in case.words:
        assert words.lower() in message.lower(), message
    assert "rpc error" not in message
    return ended


def test_a_job_without_a_timeout_ends_after_the_longest_that_any_may_have(engine: str, tmp_path: Path) -> None:
    with permissive(tmp_path, engine, hard_timeout="1s") as fastlane:
        check(fastlane, fastlane.run("sleep", "60"), Case("timedout", 143))


# from outside


@pytest.fixture
def held(fastlane: Installation) -> Reply:
    """A job whose container has said that it runs."""
    reply = fastlane.run("sh", "-c", HOLD)
    fastlane.has_written(reply, b"begun\n")
    return reply


def container(fastlane: Installation, reply: Reply) -> str:
    id: str = fastlane.reaches(reply, "running")["containerId"]
    return id


@pytest.mark.parametrize(
    ("words", "case"),
    [
        (("kill",), Case("failed", 137, "killed", ("SIGKILL", "not by fastlane"))),
        (("kill", "-s", "USR1"), Case("failed", 138, "exit", ("138", "SIGUSR1"))),
        (("kill", "-s", "TERM"), Case("failed", 5, "exit", ("exit code 5",))),
    ],
    ids=["SIGKILL", "another signal", "a signal that it handles"],
)
def test_a_job_ends_by_someone_elses(fastlane: Installation, held: Reply, words: tuple[str, ...], case: Case) -> None:
    engine_of(fastlane).docker(*words, container(fastlane, held))
    check(fastlane, held, case)


@pytest.mark.thorough
def test_a_job_whose_service_is_scaled_to_nothing_by_hand_ends_as_killed(fastlane: Installation, held: Reply) -> None:
    engine_of(fastlane).docker("service", "update", "-d", "--replicas", "0", service_of(fastlane, held))
    ended = fastlane.ends(held, 90)
    assert (ended["status"], (ended["failure"] or {}).get("reason")) == ("failed", "killed"), ended
    assert "someone scaled its service to 0 replicas" in ended["failure"]["message"]
    assert ended["exitCode"] in {5, None}  # the swarm forgets the task within moments of its end
    wait_until(lambda: is_gone(fastlane, held), "its service to go")


def test_a_job_whose_service_is_changed_by_hand_ends_as_killed_and_what_the_change_began_is_ended(fastlane: Installation) -> None:
    reply = fastlane.run_script(HOLD)
    fastlane.has_written(reply, b"begun\n")
    engine_of(fastlane).docker("service", "update", "-d", "--env-add", "A=1", service_of(fastlane, reply))
    check(fastlane, reply, Case("failed", 5, "killed", ("someone changed its service", "exit code 5")))
    wait_until(lambda: is_gone(fastlane, reply), "its containers to go")
    assert fastlane.witness.starts()[reply["executionId"]] <= 2  # a second start is whoever changed it's own doing


# at our wish


@pytest.mark.parametrize(
    ("script", "grace", "code", "output"),
    [
        (HOLD, "30s", 5, b"begun\nbye\n"),
        ("echo begun; exec sleep 60", "30s", 143, b"begun\n"),
        ("trap '' TERM; echo begun; while :; do sleep 0.05; done", "1s", 137, b"begun\n"),
        ("trap 'exit 0' TERM; echo begun; while :; do sleep 0.05; done", "30s", 0, b"begun\n"),
    ],
    ids=["its own code", "the signal", "the kill after its grace", "well"],
)
def test_a_stopped_job_has_the_exit_code_of(fastlane: Installation, script: str, grace: str, code: int, output: bytes) -> None:
    reply = fastlane.run("sh", "-c", script, container={"stopGrace": grace})
    fastlane.has_written(reply, b"begun\n")
    fastlane.stop(reply)
    check(fastlane, reply, Case("stopped", code))
    assert fastlane.output(reply) == output


def test_a_job_that_no_node_takes_can_be_stopped_at_once(fastlane: Installation) -> None:
    reply = fastlane.run("true", container=NOWHERE)
    fastlane.reaches(reply, "pulling")
    wait_until(fastlane.services, "its service")
    fastlane.stop(reply)
    check(fastlane, reply, Case("stopped", None), patience=15)


def test_a_stop_at_any_moment_of_the_start_ends_it_as_stopped_or_as_it_ended(fastlane: Installation) -> None:
    replies = []
    for moment in range(12):
        reply = fastlane.run_script("exit 3")
        time.sleep(moment * 0.05)  # the moments are what is tried, not waited for
        fastlane.stop(reply)
        replies.append(reply)
    for reply in replies:
        ended = fastlane.ends(reply)
        starts = fastlane.witness.starts()[reply["executionId"]]
        assert starts <= 1
        if ended["status"] == "failed":
            assert (ended["exitCode"], starts) == (3, 1)
        else:
            assert (ended["status"], ended["failure"]) == ("stopped", None)
            assert ended["exitCode"] is None or ended["startedAt"]


def test_a_job_whose_container_is_removed_by_hand_ends_as_killed(fastlane: Installation, held: Reply) -> None:
    engine_of(fastlane).docker("rm", "-f", container(fastlane, held))
    check(fastlane, held, Case("failed", 137, "killed", ("SIGKILL", "not by fastlane")))
    assert fastlane.output(held) == b"begun\n"


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_job_whose_service_is_removed_by_hand_ends_as_killed_after_a_minute(fastlane: Installation, held: Reply) -> None:
    engine_of(fastlane).docker("service", "rm", service_of(fastlane, held))
    case = Case("failed", None, "killed", ("someone removed its service from the swarm",))
    ended = check(fastlane, held, case, 180)
    assert ended["logInfo"]["truncated"]
    assert fastlane.output(held).startswith(b"begun\n")


def test_nothing_of_any_of_them_is_left(fastlane: Installation) -> None:
    wait_until(lambda: is_clean(fastlane), "the engine to be clean of them")
