"""``scripts/server``: it knows its own process from its first moment to its last, whatever the command line says meanwhile."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.checkout import checkout, command
from tests.support.ports import free_port
from tests.support.waiting import ended, wait_until

STARTING = """#!/bin/bash
exec python3 server.py
"""
"""A Python whose command line does not name the program, as it does not while a process starts."""
ENDING = """#!/bin/bash
echo "no such setting"
exit 1
"""
SERVER = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

answers = [503, 503, 200]

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(answers[0])
        self.end_headers()
        if len(answers) > 1:
            answers.pop(0)

HTTPServer(("127.0.0.1", int(os.environ["FASTLANE_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A checkout with a program that only starts."""
    with checkout("scripts") as folder:
        (folder / "server.py").write_text(SERVER)
        (folder / "fastlane").mkdir()
        try:
            yield folder
        finally:
            pid = folder / ".fastlane/up.pid"
            if pid.exists():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid.read_text().split()[0]), signal.SIGKILL)


def with_program(folder: Path, text: str) -> None:
    program = folder / ".venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text(text)
    program.chmod(0o755)


def server(folder: Path, *words: str, port: int = 0) -> subprocess.CompletedProcess[str]:
    return command(folder, "scripts/server", *words, FASTLANE_PORT=str(port))


@contextlib.contextmanager
def earlier_server(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A server as an earlier version started it, with its record."""
    with subprocess.Popen(["bash", "-c", 'exec -a "$0" sleep 300', f"{folder}/.venv/bin/fastlane up"]) as process:
        try:
            wait_until(lambda: "fastlane up" in " ".join(psutil.Process(process.pid).cmdline()), "the process's name")
            (folder / ".fastlane").mkdir()
            (folder / ".fastlane/up.pid").write_text(f"{process.pid} {free_port()} unix:///none 1-2-\n")
            yield process
        finally:
            process.kill()


def test_a_server_that_is_starting_is_not_taken_for_one_that_ended(folder: Path) -> None:
    with_program(folder, STARTING)
    port = free_port()

    started = server(folder, "start", "unix:///none", port=port)

    assert started.returncode == 0, started.stdout
    process = psutil.Process(int((folder / ".fastlane/up.pid").read_text().split()[0]))
    assert "fastlane up" not in " ".join(process.cmdline())
    assert "already running" in server(folder, "start", "unix:///none", port=port).stdout
    assert server(folder, "stop").returncode == 0
    assert ended(process)


def test_a_server_that_ended_is_reported_at_once_with_what_it_said(folder: Path) -> None:
    with_program(folder, ENDING)

    started = server(folder, "start", "unix:///none", port=free_port())

    assert started.returncode == 1
    assert "no such setting" in started.stdout
    assert "fastlane up ended" in started.stdout


def test_a_server_that_an_earlier_version_started_is_stopped(folder: Path) -> None:
    """Its record has no identity: the port comes after the pid."""
    with earlier_server(folder) as earlier:
        assert server(folder, "stop").returncode == 0
        assert earlier.wait(timeout=60) == -signal.SIGTERM
    assert not (folder / ".fastlane/up.pid").exists()


def test_a_server_that_an_earlier_version_started_is_replaced_when_the_program_has_changed(folder: Path) -> None:
    with_program(folder, STARTING)
    with earlier_server(folder) as earlier:
        port = int((folder / ".fastlane/up.pid").read_text().split()[1])
        assert f"already running on port {port}" in server(folder, "start", "unix:///none", port=port + 1).stdout
        assert "already running on the engine at unix:///none" in server(folder, "start", "unix:///other", port=port).stdout
        assert earlier.poll() is None
        started = server(folder, "start", "unix:///none", port=port)
        assert started.returncode == 0, started.stdout
        assert "restarting it" in started.stdout
        assert earlier.wait(timeout=60) == -signal.SIGTERM
    assert server(folder, "stop").returncode == 0


def test_a_process_that_has_the_pid_of_a_server_of_an_earlier_version_is_left_alone(folder: Path) -> None:
    with subprocess.Popen(["sleep", "300"]) as other:
        try:
            (folder / ".fastlane").mkdir()
            (folder / ".fastlane/up.pid").write_text(f"{other.pid} 10000 unix:///none 1\n")
            assert server(folder, "stop").returncode == 0
            assert other.poll() is None
        finally:
            other.kill()


def test_a_process_that_has_the_pid_of_an_ended_server_is_left_alone(folder: Path) -> None:
    with subprocess.Popen(["sleep", "300"]) as other:
        try:
            (folder / ".fastlane").mkdir()
            (folder / ".fastlane/up.pid").write_text(f"{other.pid} of-an-earlier-start 10000 unix:///none 1\n")
            assert server(folder, "stop").returncode == 0
            assert other.poll() is None
        finally:
            other.kill()
    assert not (folder / ".fastlane/up.pid").exists()


def test_each_checkout_names_its_services_once_unless_the_user_names_them(folder: Path) -> None:
    with_program(folder, '#!/bin/bash\necho "installation:$FASTLANE_INSTALLATION"\nexit 1\n')

    def named(**environment: str) -> str:
        done = command(folder, "scripts/server", "start", "unix:///none", FASTLANE_PORT=str(free_port()), **environment)
        return next(line for line in done.stdout.splitlines() if line.startswith("installation:")).partition(":")[2]

    first = named()
    assert first.startswith("fastlane-")
    assert named() == first
    assert named(FASTLANE_INSTALLATION="mine") == "mine"
    (folder / "fastlane.toml").write_text("port = 10000\n")
    assert named() == first
    (folder / "other.toml").write_text(' "installation"="mine"\n')
    assert named(FASTLANE_CONFIG="other.toml") == ""
    (folder / "fastlane.toml").write_text('port = 10000\ninstallation = "mine"\n')
    assert named() == ""


STATE_AND_START = """#!/bin/bash
echo "$STATE Thu Nov  5 21:00:58 2026    "
"""
"""What ps prints on macOS: the state in a column of fixed width."""


def test_without_proc_a_process_is_known_by_its_start_in_whatever_state_it_is(folder: Path) -> None:
    ps = folder / "bin/ps"
    ps.parent.mkdir()
    ps.write_text(STATE_AND_START)
    ps.chmod(0o755)
    states = 'for STATE in "S   " "Ss  " "R+  " "Z   "; do export STATE; identity 1; done'

    done = command(
        folder, "unshare", "--mount", "bash", "-c", f"mount -t tmpfs none /proc && PATH=$PWD/bin:$PATH && . scripts/lib.sh && {states}"
    )

    assert done.stdout.splitlines() == ["Thu-Nov-5-21:00:58-2026"] * 3
    assert done.returncode == 1
