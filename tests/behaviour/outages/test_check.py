"""``fastlane check``: it fails for a process that does not work, and for nothing else."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine_views import NoDocker
from tests.support.installation import ROOT, Installation, installed
from tests.support.redis import RealRedis
from tests.support.waiting import LONG_PATIENCE, wait_until

NO_ENGINE = NoDocker("unix:///nowhere/docker.sock")


@pytest.fixture
def installation(tmp_path: Path, own_redis: RealRedis) -> Iterator[Installation]:
    with installed(tmp_path, NO_ENGINE, redis=own_redis.url) as installation:
        yield installation


def check(installation: Installation, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as a health check does: where the process runs, with its environment."""
    command = [sys.executable, "-m", "fastlane", "check", *options]
    settings = {**installation.environment(), "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        command, cwd=installation.folder, env=settings, capture_output=True, text=True, timeout=LONG_PATIENCE, check=False
    )


def started(installation: Installation, role: str) -> subprocess.Popen[bytes]:
    process = installation.start(role)
    wait_until(lambda: check(installation).returncode == 0, f"the check of {role} to be good: {installation.log(role)}")
    return process


@pytest.mark.parametrize("role", ["up", *(pytest.param(role, marks=pytest.mark.thorough) for role in ("api", "worker"))])
def test_a_frozen_process_fails_the_check_and_an_outage_of_redis_does_not(installation, own_redis, role):
    process = started(installation, role)
    own_redis.pause()
    assert check(installation).returncode == 0
    own_redis.kill()
    assert check(installation).returncode == 0

    process.send_signal(signal.SIGSTOP)
    frozen = check(installation, "--timeout", "0.5")
    assert (frozen.returncode, frozen.stdout) == (1, "")
    assert "has not answered within 0.5 s: it is frozen, or its event loop is blocked" in frozen.stderr
    process.send_signal(signal.SIGCONT)
    good = check(installation)
    assert (good.returncode, good.stdout, good.stderr) == (0, "ok\n", "")


@pytest.mark.thorough
@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_process_that_starts_without_redis_is_good(installation, own_redis, role):
    own_redis.kill()
    started(installation, role)


@pytest.mark.thorough
def test_a_process_that_ended_fails_the_check_and_one_that_was_killed_leaves_nothing_in_the_way(installation):
    process = started(installation, "worker")
    process.kill()
    process.wait()
    dead = check(installation)
    assert (dead.returncode, dead.stdout) == (1, "")
    assert "no process answers at" in dead.stderr

    installation.terminate(started(installation, "worker"))
    assert check(installation).returncode == 1


@pytest.mark.thorough
def test_processes_that_share_a_data_folder_answer_each_on_a_socket_of_its_own(installation):
    api = started(installation, "api")
    installation.settings["CHECK_SOCKET"] = str(installation.folder / "worker.sock")
    started(installation, "worker")
    api.send_signal(signal.SIGSTOP)
    assert check(installation).returncode == 0
    del installation.settings["CHECK_SOCKET"]
    assert check(installation, "--timeout", "0.5").returncode == 1


@pytest.mark.thorough
def test_a_second_process_leaves_the_socket_to_the_first_and_says_so(installation):
    api = started(installation, "api")
    worker = installation.start("worker")
    wait_until(lambda: "set check_socket to another path" in installation.log("worker"), "the worker to say so")
    installation.terminate(worker)
    assert check(installation).returncode == 0
    assert api.poll() is None


@pytest.mark.thorough
def test_a_process_works_where_no_socket_can_be_made(installation):
    installation.settings["CHECK_SOCKET"] = "/proc/nothing/check.sock"
    installation.serve("api")
    assert "check.not_answered" in installation.log("api")
    assert check(installation).returncode == 1


@pytest.mark.thorough
def test_faults_of_other_settings_do_not_fail_the_check_but_its_own_do_even_with_a_long_path(installation):
    folder = installation.folder / ("long" * 30)
    folder.mkdir()
    installation.settings["DATA_DIR"] = str(folder)
    started(installation, "worker")
    assert check(installation, FASTLANE_PORT="no port").returncode == 0
    missing = check(installation, "--config", "missing.toml")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "missing.toml: does not exist" in missing.stderr


def test_a_server_that_was_told_to_stop_still_answers_for_a_while_but_is_not_ready(installation):
    installation.settings["STOP_WAIT"] = "10m"
    api = installation.serve("api")
    assert "Connection" not in installation.get("/readyz").headers
    api.send_signal(signal.SIGTERM)
    ready = wait_until(lambda: (found := installation.get("/readyz")).status == 503 and found, "the server to say that it stops")
    assert ready.headers["Connection"] == "close"
    assert ready.json["detail"] == "this server stops; send requests to another fastlane api"
    reply = installation.post("/tasks/task", {"image": "ubuntu", "startIn": "1h", "command": ["true"]})
    assert (reply.status, reply.headers["Connection"]) == (200, "close")
    api.send_signal(signal.SIGTERM)
    assert api.wait(LONG_PATIENCE) == 130


def test_up_answers_in_a_data_folder_that_it_makes(installation):
    installation.settings["DATA_DIR"] = str(installation.folder / "new")
    started(installation, "up")
