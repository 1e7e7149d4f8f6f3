"""How executions end, each way from a real container through a real fastlane: status, reason, the words for people, and the exit code."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.life import Life, living
from tests.support.waiting import wait_until

Reply = dict[str, Any]

NOWHERE = {"constraints": ["node.labels.not-there==1"]}
SICK = "fastlane-sick:1"
"""An image with a health check that always fails, every second."""
HOLD = "trap 'echo bye; exit 5' TERM; echo begun; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def life(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("life")
    with living(folder, engine, most=40, pending_deadline="4s", hard_timeout="6s") as life, sick_image(life):
        yield life


@contextlib.contextmanager
def sick_image(life: Life) -> Iterator[None]:
    made = life.docker("create", "ubuntu:latest", "true").strip()
    check = "HEALTHCHECK --interval=1s --retries=1 --timeout=1s CMD false"
    with subprocess.Popen(["docker", "-H", life.engine, "export", made], stdout=subprocess.PIPE) as exported:
        command = ["docker", "-H", life.engine, "import", "-c", "ENV PATH=/bin", "-c", check, "-", SICK]
        subprocess.run(command, stdin=exported.stdout, check=True, capture_output=True, timeout=60)
    life.docker("rm", made)
    yield
    life.docker("image", "rm", "-f", SICK)


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
        "failed", 137, "oom", ("memory ran out",), of_shell("x=a; while :; do x=$x$x; done", resources={"memory": "16m"})
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
    "after the longest that any may have": Case("timedout", 143, body={"command": "sleep 60"}),
    "well, though its image calls it sick": Case("done", 0, body={"image": SICK, "command": "sleep 4"}),
}
OPTIONS = ("user", "init", "mounts", "constraints", "stopGrace")


@pytest.fixture(scope="module")
def posted(life: Life) -> dict[str, Reply]:
    """All of them at once."""
    replies = {}
    for name, case in BY_ITSELF.items():
        container = {key: case.body[key] for key in OPTIONS if key in case.body}
        body = {"image": "ubuntu:latest", **{key: value for key, value in case.body.items() if key not in OPTIONS}, "container": container}
        answer = life.post("/tasks/endings", body)
        assert answer.status == 200, answer.body
        replies[name] = answer.json
    return replies


@pytest.mark.parametrize("name", BY_ITSELF)
def test_a_job_ends(life: Life, posted: dict[str, Reply], name: str) -> None:
    ended = check(life, posted[name], BY_ITSELF[name])
    assert (ended["startedAt"] is None) is (
        ended["exitCode"] is None or "could not be started" in (ended["failure"] or {}).get("message", "")
    )


def check(life: Life, reply: Reply, case: Case, patience: float = 60) -> dict[str, Any]:
    """That it ends like this; the execution."""
    ended = life.ends(reply, patience)
    assert (ended["status"], ended["exitCode"]) == (case.status, case.code), ended
    assert life.header(reply) == (None if case.code is None else str(case.code))
    assert (ended["failure"] or {}).get("reason") == case.reason
    message = (ended["failure"] or {}).get("message", "")
    for words in case.words:
        assert words.lower() in message.lower(), message
    assert "rpc error" not in message
    return ended


# from outside


@pytest.fixture
def held(life: Life) -> Reply:
    """A job whose container has said that it runs."""
    reply = life.run("sh", "-c", HOLD)
    life.writes(reply, b"begun\n")
    return reply


def container(life: Life, reply: Reply) -> str:
    id: str = life.reaches(reply, "running")["containerId"]
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
def test_a_job_ends_by_somebody_elses(life: Life, held: Reply, words: tuple[str, ...], case: Case) -> None:
    life.docker(*words, container(life, held))
    check(life, held, case)


def test_a_job_whose_service_is_scaled_to_nothing_by_hand_ends_as_killed(life: Life, held: Reply) -> None:
    life.docker("service", "update", "-d", "--replicas", "0", life.service(held))
    ended = life.ends(held, 90)
    assert (ended["status"], ended["failure"]["reason"]) == ("failed", "killed")
    assert "scaled to 0 replicas by somebody else" in ended["failure"]["message"]
    assert ended["exitCode"] in {5, None}  # the swarm forgets the task within moments of its end
    wait_until(lambda: life.is_gone(held), "its service to go")


def test_a_job_whose_service_is_changed_by_hand_ends_as_killed_and_what_the_change_began_is_ended(life: Life) -> None:
    reply = life.script(HOLD)
    life.writes(reply, b"begun\n")
    life.docker("service", "update", "-d", "--env-add", "A=1", life.service(reply))
    check(life, reply, Case("failed", 5, "killed", ("changed by somebody else", "exit code 5")))
    wait_until(lambda: life.is_gone(reply), "its containers to go")
    assert life.starts()[reply["executionId"]] <= 2  # a second start is whoever changed it's own doing


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
def test_a_stopped_job_has_the_exit_code_of(life: Life, script: str, grace: str, code: int, output: bytes) -> None:
    reply = life.run("sh", "-c", script, container={"stopGrace": grace})
    life.writes(reply, b"begun\n")
    life.stop(reply)
    check(life, reply, Case("stopped", code))
    assert life.output(reply) == output


def test_a_job_that_no_node_takes_can_be_stopped_at_once(life: Life) -> None:
    reply = life.run("true", container=NOWHERE)
    life.reaches(reply, "pulling")
    wait_until(life.services, "its service")
    life.stop(reply)
    check(life, reply, Case("stopped", None), patience=15)


def test_a_stop_at_any_moment_of_the_start_ends_it_as_stopped_or_as_it_ended(life: Life) -> None:
    replies = []
    for moment in range(12):
        reply = life.script("exit 3")
        time.sleep(moment * 0.05)  # the moments are what is tried, not waited for
        life.stop(reply)
        replies.append(reply)
    for reply in replies:
        ended = life.ends(reply)
        starts = life.starts()[reply["executionId"]]
        assert starts <= 1
        if ended["status"] == "failed":
            assert (ended["exitCode"], starts) == (3, 1)
        else:
            assert (ended["status"], ended["failure"]) == ("stopped", None)
            assert ended["exitCode"] is None or ended["startedAt"]


def test_a_job_whose_container_is_removed_by_hand_ends_as_killed(life: Life, held: Reply) -> None:
    life.docker("rm", "-f", container(life, held))
    check(life, held, Case("failed", 137, "killed", ("SIGKILL", "not by fastlane")))
    assert life.output(held) == b"begun\n"


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_job_whose_service_is_removed_by_hand_ends_as_killed_after_a_minute(life: Life, held: Reply) -> None:
    life.docker("service", "rm", life.service(held))
    case = Case("failed", None, "killed", ("its service was removed from the swarm by somebody else",))
    ended = check(life, held, case, 180)
    assert ended["logInfo"]["truncated"]
    assert life.output(held).startswith(b"begun\n")


def test_nothing_of_any_of_them_is_left(life: Life) -> None:
    wait_until(life.is_clean, "the engine to be clean of them")
