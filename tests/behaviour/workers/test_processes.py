"""``fastlane api --processes``: several real processes behind one port."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest

from tests.support.engine_views import NoDocker
from tests.support.installation import Answer, Installation
from tests.support.ports import free_ports
from tests.support.redis import RealRedis
from tests.support.waiting import PATIENCE, wait_until

COUNT = 3
ENGINE = NoDocker("unix:///none")
JOB = {"image": "ubuntu:latest", "command": "true"}
OWN, SHARED = b"fastlane_event_loop_lag_seconds_count", b"fastlane_workers "


@pytest.fixture
def server(tmp_path: Path, shared_redis: RealRedis) -> Iterator[Installation]:
    ports = {"PROCESSES": str(COUNT), "METRICS_PORT": str(free_ports(COUNT))}
    installation = Installation(tmp_path, ENGINE, f"group-{os.urandom(4).hex()}", shared_redis.url, settings=ports)
    installation.serve("api")
    yield installation
    installation.end()


def children(server: Installation) -> list[psutil.Process]:
    return psutil.Process(server.processes[0].pid).children()


def insisted(server: Installation, method: str, path: str, body: object = None) -> Answer:
    """The answer; the request is sent again when the process that had it was killed."""

    def answer() -> Answer | None:
        try:
            return server.request(method, path, body)
        except (OSError, HTTPException):
            return None

    return wait_until(answer, f"an answer to {method} {path}: {server.log('api')}")


def test_one_that_is_killed_is_replaced_and_nothing_that_was_answered_is_lost(server: Installation) -> None:
    first = {child.pid for child in children(server)}
    assert len(first) == COUNT
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(insisted, server, "POST", "/tasks/group", JOB) for _ in range(40)]
        os.kill(min(first), signal.SIGKILL)
        ids = [answer.result().json["jobId"] for answer in answers]
    assert len(set(ids)) == 40
    wait_until(
        lambda: len(children(server)) == COUNT and min(first) not in {child.pid for child in children(server)}, "another in its place"
    )
    listed = {row["id"] for row in insisted(server, "GET", "/tasks/group?perPage=1000").json["jobs"]}
    assert listed >= set(ids)
    assert re.search(r'"process.replaced".*"ended_by":"SIGKILL"', server.log("api"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_them_in_order(server: Installation, number: signal.Signals) -> None:
    them = children(server)
    server.processes[0].send_signal(number)
    assert server.processes[0].wait(PATIENCE) == 0
    assert not any(child.is_running() for child in them)
    with pytest.raises(ConnectionRefusedError):
        server.get("/livez")
    assert server.log("api").count("process.stopping") == COUNT


def test_one_that_is_told_to_end_by_someone_else_is_replaced(server: Installation) -> None:
    first = {child.pid for child in children(server)}
    os.kill(min(first), signal.SIGTERM)
    wait_until(lambda: min(first) not in {child.pid for child in children(server)}, "its end")
    wait_until(lambda: len(children(server)) == COUNT, "another in its place")
    assert re.search(r'"process.replaced".*"ended_by":null', server.log("api"))


def test_they_end_in_order_when_a_supervisor_signals_all_of_them_and_the_one_that_watches_them(server: Installation) -> None:
    """As systemd does by default: each hears of it twice."""
    them = children(server)
    for child in them:
        child.send_signal(signal.SIGTERM)
    server.processes[0].send_signal(signal.SIGTERM)
    assert server.processes[0].wait(PATIENCE) == 0
    assert not any(child.is_running() for child in them)


def test_a_second_signal_ends_them_at_once(server: Installation) -> None:
    them = children(server)
    them[0].suspend()  # so that it does not end by itself before
    server.processes[0].send_signal(signal.SIGTERM)
    wait_until(lambda: server.log("api").count("process.stopping") == COUNT - 1, "the first signal to have come")
    server.processes[0].send_signal(signal.SIGTERM)
    assert server.processes[0].wait(PATIENCE) == 130
    assert not any(child.is_running() for child in them)


def test_a_signal_before_they_serve_ends_them_all(tmp_path: Path) -> None:
    installation = Installation(tmp_path, ENGINE, "none", "redis://localhost:1/0", settings={"PROCESSES": str(COUNT)})
    try:
        process = installation.start("api")
        wait_until(lambda: len(children(installation)) == COUNT, "the last of them")
        them = children(installation)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert not any(child.is_running() for child in them)
    finally:
        installation.end()


def test_they_end_when_the_one_that_watches_them_is_killed(server: Installation) -> None:
    them = children(server)
    server.processes[0].kill()
    server.processes[0].wait()
    psutil.wait_procs(them, PATIENCE)
    assert not any(child.is_running() for child in them)


def test_the_shared_port_has_the_installations_figures_and_each_process_its_own(server: Installation) -> None:
    shared = server.get("/metrics").body
    assert SHARED in shared
    assert OWN not in shared
    for number in range(COUNT):
        single = Installation(server.folder, ENGINE, "none", port=int(server.settings["METRICS_PORT"]) + number)
        own = wait_until(lambda single=single: single.get("/metrics"), "its own port").body
        assert OWN in own
        assert SHARED not in own


def test_a_fault_that_ends_one_ends_all_and_is_told(tmp_path: Path) -> None:
    environment = {**os.environ, "FASTLANE_REDIS_URL": "redis://localhost:1/0", "FASTLANE_LISTEN": "127.0.0.1", "FASTLANE_PORT": "0"}
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "fastlane", "api", "--processes", "2", "--data-dir", str(tmp_path / "file" / "below")]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1, done.stdout
    assert b"below" in done.stderr


def test_the_number_of_processes_is_checked(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fastlane", "api", "--processes", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert b"processes" in done.stderr
    assert b"1 to 64" in done.stderr
