"""The whole path, from HTTP to a container and back, with ``fastlane up`` as a user starts it, on a real swarm."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from tests.support.docs import ROOT
from tests.support.installation import LINGER, Installation, installed
from tests.support.waiting import LONG_PATIENCE, wait_until


@pytest.fixture(scope="module")
def fastlane(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("up"), engine) as installation:
        installation.serve("up")
        installation.until_healthy()
        yield installation


@pytest.fixture
def own(engine: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation for a test that does something to its processes."""
    with installed(tmp_path, engine) as installation:
        installation.serve("up")
        yield installation


def test_the_how_tos_first_curl_runs_as_typed(fastlane: Installation) -> None:
    command = ["curl", "-sS", "-XPOST", '-d{"image": "ubuntu:latest", "command": "ls -lah"}']
    typed = subprocess.run([*command, f"http://localhost:{fastlane.port}/tasks/test-task"], capture_output=True, check=True, timeout=30)
    reply = json.loads(typed.stdout)
    assert set(reply) == {"taskId", "jobId", "executionId", "queueJobId", "taskUrl", "jobUrl", "executionUrl"}
    ended = fastlane.ends(reply)
    assert (ended["status"], ended["exitCode"]) == ("done", 0)
    assert re.search(rb"^total ", fastlane.output(reply))
    stdout = fastlane.get(f"/tasks/test-task/jobs/{reply['jobId']}/stdout")
    assert stdout.headers["Fastlane-Exit-Code"] == "0"


def test_stdout_and_stderr_are_told_apart_and_the_exit_code_is_true(fastlane: Installation) -> None:
    reply = fastlane.run("sh", "-c", f"printf 'out\\n'; printf 'err' >&2{LINGER}; exit 7")
    ended = fastlane.ends(reply)
    assert (ended["status"], ended["exitCode"], ended["failure"]["reason"]) == ("failed", 7, "exit")
    assert fastlane.output(reply) == b"out\n"
    assert fastlane.output(reply, "stderr") == b"err"
    assert fastlane.output(reply, "logs") == b"out\n\n-=-\nerr"


def command(installation: Installation, *arguments: str) -> "subprocess.Popen[bytes]":
    """``fastlane`` on the command line, asking this server."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(installation.folder), "FASTLANE_URL": installation.url}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "fastlane", *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )


def test_a_run_on_the_command_line_passes_on_streams_and_exit_codes_and_keeps_to_limits(fastlane: Installation) -> None:
    script = f"head -c 100000 /dev/zero; printf '\\377'; echo trouble >&2{LINGER}; exit 9"
    run = command(fastlane, "run", "--memory", "64m", "ubuntu:latest", "--", "sh", "-c", script)
    late = command(fastlane, "run", "--timeout", "1s", "ubuntu:latest", "sleep", "600")
    out, err = run.communicate(timeout=LONG_PATIENCE)
    assert (run.returncode, out) == (9, bytes(100_000) + b"\xff"), err
    assert err.endswith(b"trouble\n")
    assert (late.wait(LONG_PATIENCE), late.communicate()[0]) == (124, b"")


def test_a_run_that_is_interrupted_stops_its_container_if_that_is_wanted(fastlane: Installation) -> None:
    run = command(fastlane, "run", "--task", "interrupted", "--stop-on-exit", "ubuntu:latest", "sh", "-c", "echo begun; sleep 600")
    assert run.stdout is not None
    assert run.stdout.readline() == b"begun\n"
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=LONG_PATIENCE)
    assert run.returncode == 130
    (row,) = fastlane.get("/executions?task=interrupted").json["items"]
    assert row["status"] == "stopped"


def test_a_log_can_be_read_while_the_job_still_runs(fastlane: Installation) -> None:
    reply = fastlane.run("sh", "-c", "echo begun; sleep 600")
    fastlane.reaches(reply, "running")
    wait_until(lambda: fastlane.output(reply) == b"begun\n", "the first line")
    assert fastlane.execution(reply)["status"] == "running"
    fastlane.post(f"/tasks/test/jobs/{reply['jobId']}/stop")
    assert fastlane.ends(reply)["status"] == "stopped"


def test_a_job_that_starts_later_has_no_execution_until_then(fastlane: Installation) -> None:
    reply = fastlane.run("sh", "-c", f"echo later{LINGER}", startIn="2s")
    assert reply["executionId"] is None
    assert fastlane.get(f"/tasks/test/jobs/{reply['jobId']}").json["job"]["status"] == "scheduled"
    ended = fastlane.ends(reply)
    assert ended["status"] == "done"
    assert ended["startedAt"] >= ended["scheduledFor"]
    assert fastlane.output(reply) == b"later\n"


def test_a_start_in_the_past_means_now(fastlane: Installation) -> None:
    reply = fastlane.run("true", startAt=1645113692)
    assert reply["executionId"] is None
    assert fastlane.ends(reply)["status"] == "done"


def test_a_missing_image_fails_with_the_engines_words(fastlane: Installation) -> None:
    reply = fastlane.post("/tasks/test", {"image": "nobody/has-this-image:1"}).json
    ended = fastlane.ends(reply)
    assert ended["failure"]["reason"] == "image"
    assert ended["failure"]["message"]
    assert ended["exitCode"] is None


def test_a_job_stopped_before_its_time_never_runs(fastlane: Installation) -> None:
    reply = fastlane.run("echo", "never", startIn="2s")
    assert fastlane.post(f"/tasks/test/jobs/{reply['jobId']}/stop").json["status"] == "stopped"
    after = fastlane.run("true", startIn="3s")
    assert fastlane.ends(after)["status"] == "done"
    assert fastlane.execution(reply)["status"] is None


def test_a_stop_while_the_container_is_being_made_ends_it(fastlane: Installation) -> None:
    reply = fastlane.run("sleep", "600")
    fastlane.reaches(reply, "pulling", "running")
    assert fastlane.post(f"/tasks/test/jobs/{reply['jobId']}/stop").status == 200
    assert fastlane.ends(reply)["status"] == "stopped"


def test_a_stop_after_the_end_leaves_it_as_it_ended(fastlane: Installation) -> None:
    reply = fastlane.run("true")
    fastlane.ends(reply)
    assert fastlane.post(f"/tasks/test/jobs/{reply['jobId']}/stop").json["status"] == "done"
    assert fastlane.execution(reply)["status"] == "done"


def test_a_stopped_container_gets_its_signal_and_its_grace(fastlane: Installation) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo ready; while true; do sleep 0.1; done"
    reply = fastlane.run("sh", "-c", script)
    wait_until(lambda: fastlane.output(reply) == b"ready\n", "the trap")
    fastlane.post(f"/tasks/test/jobs/{reply['jobId']}/stop")
    ended = fastlane.ends(reply)
    assert (ended["status"], ended["exitCode"]) == ("stopped", 5)
    assert fastlane.output(reply) == b"ready\nbye\n"


def test_nothing_of_a_finished_job_stays_on_the_engine(fastlane: Installation) -> None:
    for reply in [fastlane.run("true") for _ in range(3)]:
        fastlane.ends(reply)
    wait_until(lambda: not fastlane.services(), "the services to go")


def test_a_failed_job_with_a_retry_runs_again_and_the_ledger_has_one_tick(fastlane: Installation) -> None:
    script = f'echo "attempt $FASTLANE_ATTEMPT"{LINGER}; test "$FASTLANE_ATTEMPT" = 2'
    reply = fastlane.run("sh", "-c", script, retries=1, retryDelay="1s")
    ended = fastlane.reaches(reply, "done")
    path = f"/tasks/test/jobs/{reply['jobId']}"
    second, first = fastlane.get(path).json["job"]["executions"]
    assert [(one["attempt"], one["status"], one["exitCode"]) for one in (first, second)] == [(1, "failed", 1), (2, "done", 0)]
    assert (first["executionId"], second["executionId"]) == (reply["executionId"], ended["executionId"])
    waited = datetime.fromisoformat(second["scheduledFor"]) - datetime.fromisoformat(first["finishedAt"])
    assert waited == timedelta(seconds=1)
    assert second["startedAt"] >= second["scheduledFor"]
    for one, text in ((first, b"attempt 1\n"), (second, b"attempt 2\n")):
        assert fastlane.get(f"{path}/executions/{one['executionId']}/stdout").body == text
    (tick,) = fastlane.get(f"{path}/ticks").json["items"]
    assert (tick["id"], tick["outcome"], tick["execution"]["id"]) == (reply["queueJobId"], "started", first["executionId"])


def test_a_job_that_runs_longer_than_its_timeout_ends_as_timed_out(fastlane: Installation) -> None:
    reply = fastlane.run("sh", "-c", "trap 'exit 5' TERM; echo begun; while true; do sleep 0.1; done", timeout=2, retries=3)
    ended = fastlane.ends(reply)
    assert (ended["status"], ended["exitCode"], ended["failure"]) == ("timedout", 5, None)
    assert ended["durationMs"] >= 2_000
    assert fastlane.output(reply) == b"begun\n"
    assert fastlane.get(f"/tasks/test/jobs/{reply['jobId']}").json["job"]["executionCount"] == 1


def test_more_jobs_than_slots_wait_and_all_end(own: Installation) -> None:
    replies = [own.run("sh", "-c", f"echo {number}{LINGER}") for number in range(20)]
    for number, reply in enumerate(replies):
        assert own.ends(reply)["exitCode"] == 0
        assert own.output(reply) == f"{number}\n".encode()
    queues = own.get("/status").json["queues"]
    assert all(row["running"] == 0 for row in (queues.values() if isinstance(queues, dict) else queues))


def test_after_a_kill_of_up_the_running_job_is_taken_up_again_and_runs_once(own: Installation) -> None:
    reply = own.run("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 1; done; exit 4")
    waiting = own.run("echo", "waited", startIn="5s")
    wait_until(lambda: b"2\n" in own.output(reply), "some of the log")
    first = own.processes[0]
    first.kill()
    first.wait()
    own.serve("up")
    ended = own.ends(reply)
    assert (ended["status"], ended["exitCode"], ended["attempt"]) == ("failed", 4, 1)
    assert own.output(reply) == b"1\n2\n3\n4\n5\n6\n7\n8\n"
    assert own.ends(waiting)["status"] == "done"
    assert len(redis_children(own)) == 1


def test_sigterm_leaves_containers_running_and_the_next_start_takes_them_up(own: Installation) -> None:
    reply = own.run("sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 1; done")
    wait_until(lambda: b"1\n" in own.output(reply), "some of the log")
    first = own.processes[0]
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) == 0
    assert len(own.services()) == 1
    assert not redis_children(own)
    own.serve("up")
    assert own.ends(reply)["status"] == "done"
    assert own.output(reply) == b"1\n2\n3\n4\n5\n6\n"


@pytest.mark.thorough
def test_kills_at_any_moment_lose_and_repeat_nothing(own: Installation) -> None:
    replies = []
    for round_ in range(4):
        replies += [own.run("sh", "-c", f"echo start; sleep 1; echo {round_}{number}; exit {number}") for number in range(5)]
        time_to_kill = time.monotonic() + 0.4 * round_
        wait_until(lambda moment=time_to_kill: time.monotonic() >= moment, "the moment of the kill")
        own.processes[-1].kill()
        own.processes[-1].wait()
        own.serve("up")
    for place, reply in enumerate(replies):
        ended = own.ends(reply, patience=120)
        assert ended["exitCode"] == place % 5
        assert own.output(reply) == f"start\n{place // 5}{place % 5}\n".encode()
    wait_until(lambda: not own.services(), "the services to go", patience=120)


def redis_children(installation: Installation) -> list[psutil.Process]:
    """The Redis servers whose socket is in the installation's folder, or that its processes started."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if "valkey-server" in line and str(installation.folder) in line:
            found.append(process)
    return found
