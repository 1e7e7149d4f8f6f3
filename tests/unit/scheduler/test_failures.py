"""The words for people that a failure gets of what an engine said."""

import pytest

from fastlane.executors.port import EngineService, EngineTask, Phase, TaskEnd
from fastlane.models.container import Resources
from fastlane.models.job import Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.scheduler.verdict import failure_of, host_lost, host_removed, no_image, no_node, plain
from tests.support.factories import make_execution, make_spec

START = (
    "starting container failed: failed to create task for container: failed to create shim task: OCI runtime create failed: "
    'runc create failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown'
)
CONTAINER = "fastlane-01a2143f-c8ed-8c1f-9f66-cf128e8a1502-1.1.103k29q8oev3xksch6e8ze1p9"


def task(end: TaskEnd | None, code: int | None = None, message: str = "", **more: object) -> EngineTask:
    given: dict[str, object] = {"container_id": "c", "started_at": 1, "message": message, "end": end, "exit_code": code}
    return EngineTask(**{"id": "t", "service_id": "s", "phase": Phase.ENDED, "state": "failed", **given, **more})


@pytest.mark.parametrize(
    ("ended", "reason", "words"),
    [
        (task(TaskEnd.EXITED, 3, "task: non-zero exit (3)"), FailureReason.EXIT, "the command ended with exit code 3"),
        (
            task(TaskEnd.EXITED, 127, "task: non-zero exit (127)"),
            FailureReason.EXIT,
            "the command ended with exit code 127 (a command was not found)",
        ),
        (task(TaskEnd.EXITED, 126, "…"), FailureReason.EXIT, "the command ended with exit code 126 (the command cannot be executed)"),
        (task(TaskEnd.EXITED, 143, "task: non-zero exit (143)"), FailureReason.EXIT, "the command ended with exit code 143 (SIGTERM)"),
        (task(TaskEnd.EXITED, 200, "task: non-zero exit (200)"), FailureReason.EXIT, "the command ended with exit code 200"),
        (
            task(TaskEnd.EXITED, 143, "task: non-zero exit (143): dockerexec: unhealthy container"),
            FailureReason.EXIT,
            "the command ended with exit code 143 (SIGTERM): unhealthy container",
        ),
        (
            task(TaskEnd.EXITED, 127, START, started_at=None),
            FailureReason.EXIT,
            'the command could not be started (exit code 127): exec: "nosuch": executable file not found in $PATH',
        ),
        (
            task(TaskEnd.ENGINE, None, "starting container failed: failed to set up container networking: no such device", started_at=None),
            FailureReason.ENGINE,
            "its engine could not start the container: failed to set up container networking: no such device",
        ),
        (
            task(TaskEnd.OOM, 137, "task: non-zero exit (137)"),
            FailureReason.OOM,
            "memory ran out, and the container was killed (exit code 137)",
        ),
        (
            task(TaskEnd.KILLED, 137, "task: non-zero exit (137)"),
            FailureReason.KILLED,
            "its container was killed, but not by fastlane (exit code 137, SIGKILL)",
        ),
        (
            task(TaskEnd.KILLED, 143, "task: non-zero exit (143)"),
            FailureReason.KILLED,
            "its engine went down while it ran, and killed it after coming back (exit code 143)",
        ),
        (
            task(TaskEnd.KILLED, None, "task: non-zero exit (255)"),
            FailureReason.KILLED,
            "its engine went down while it ran, so its exit code is unknown",
        ),
        (
            task(TaskEnd.KILLED, None, f"No such container: {CONTAINER}"),
            FailureReason.KILLED,
            "its container is gone: its engine was shut down, or someone removed the container",
        ),
        (task(TaskEnd.KILLED, None, ""), FailureReason.KILLED, "its container was killed, but not by fastlane: failed"),
        (
            task(TaskEnd.IMAGE, None, "No such image: busybox@sha256:12", container_id=None),
            FailureReason.IMAGE,
            "its node could not get the image ubuntu: No such image: busybox@sha256:12",
        ),
        (
            task(TaskEnd.REJECTED, None, 'invalid mount config for type "bind": bind source path does not exist: /x', container_id=None),
            FailureReason.REJECTED,
            'its node refused the container: invalid mount config for type "bind": bind source path does not exist: /x',
        ),
        (
            task(TaskEnd.NO_SPACE, None, "mkdir /var/lib/docker/x: no space left on device", container_id=None),
            FailureReason.HOST_LOST,
            "its container was not started, because the disk of its node is full: mkdir /var/lib/docker/x: no space left on device",
        ),
        (task(TaskEnd.SHUTDOWN, 5, "shutdown", drained=True), FailureReason.KILLED, "its node was drained while it ran (exit code 5)"),
        (
            task(TaskEnd.SHUTDOWN, 5, "shutdown", drained=True, node="node3"),
            FailureReason.KILLED,
            "its node node3 was drained while it ran (exit code 5)",
        ),
        (
            task(TaskEnd.SHUTDOWN, None, "assigned node no longer meets constraints", state="rejected"),
            FailureReason.KILLED,
            "the swarm ended it (assigned node no longer meets constraints) while it ran",
        ),
    ],
)
def test_a_failure_is_a_sentence_with_the_engines_words(ended: EngineTask, reason: FailureReason, words: str) -> None:
    assert failure_of(
        make_execution(), ended, EngineService("s", "e", activated=True, stopping=False, created_at=1, tasks=(ended,))
    ) == Failure(reason, words)


def test_no_message_has_the_name_of_a_container() -> None:
    assert (
        CONTAINER
        not in failure_of(
            make_execution(), task(TaskEnd.KILLED, None, f"No such container: {CONTAINER}"), EngineService("s", "e", True, False, 1)
        ).message
    )


def test_a_long_message_is_cut() -> None:
    found = failure_of(
        make_execution(), task(TaskEnd.REJECTED, None, "x" * 5_000), EngineService("s", "e", activated=True, stopping=False, created_at=1)
    )
    assert len(found.message) == 1_000


def test_a_container_that_used_too_much_memory_is_told_its_limit() -> None:
    limited = make_execution(spec=make_spec(resources=Resources(memory=3 * 2**29)))
    ended = task(TaskEnd.OOM, 137, "task: non-zero exit (137)")
    found = failure_of(limited, ended, EngineService("s", "e", activated=True, stopping=False, created_at=1))
    assert found.message == "it used more than its limit of 1,536 MiB of memory, and the container was killed (exit code 137)"


def test_a_missed_deadline_names_what_did_not_happen() -> None:
    assert (
        no_node(3600, "no suitable node (1 node not available)") == "no node took it within 3600 s: no suitable node (1 node not available)"
    )
    assert no_node(3600, "") == "no node took it within 3600 s"
    assert no_image("the image ubuntu", 900) == "the image ubuntu was not on its node within 900 s"


def test_a_lost_host_leaves_open_whether_the_container_ever_started() -> None:
    row = make_execution()
    assert host_lost(row, "its node was down", 300).message == "its node was down (for 300 s; its container may have been started there)"


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (TaskEnd.LOST, "its node node3 was removed from the swarm, or was away for a day; its container may still run there"),
        (TaskEnd.KILLED, "its container on node3 was killed, but not by fastlane: failed"),
        (TaskEnd.NO_SPACE, "its container was not started, because the disk of its node node3 is full: "),
        (TaskEnd.ENGINE, "the engine of its node node3 could not start the container: "),
    ],
)
def test_what_died_with_a_node_names_the_node_that_it_was_seen_to_run_on(end: TaskEnd, words: str) -> None:
    """The swarm may not know the node any more, so its task has no name of it."""
    row = make_execution(status=Status.RUNNING, started_at=1, node="node3", host="manager1")
    service = EngineService("s", "e", activated=True, stopping=False, created_at=1)
    assert failure_of(row, task(end), service).message == words
    assert failure_of(row, task(TaskEnd.KILLED, 143), service).message.startswith("the engine of its node node3 went down while it ran")
    lost = host_lost(row, "its host could not be reached: manager1 refused the connection", 300).message
    assert lost.endswith(": manager1 refused the connection (for 300 s; its container may still run on its node node3)")
    assert host_removed(row, "its host was removed by force").message.endswith("; its container may still run on its node node3")


def test_what_the_layers_of_an_engine_put_around_each_others_words_is_left_out() -> None:
    assert plain(START) == 'exec: "nosuch": executable file not found in $PATH'
    assert plain("no frame: at all") == "no frame: at all"
