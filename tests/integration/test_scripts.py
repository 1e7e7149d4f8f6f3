"""Tests of ``scripts/engine``: it starts a private engine or finds it running, and leaves nothing behind after a stop.

They run its commands as the make targets do: as root, with Debian's docker.io.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

ROOT = Path(__file__).parents[2]
ENGINE = str(ROOT / "scripts" / "engine")
SECONDS = 90


def engine(*arguments: str) -> str:
    """Runs scripts/engine; what it wrote to stdout. The pipe must close when the script ends, though an engine goes on."""
    done = subprocess.run([ENGINE, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def docker(url: str, *arguments: str) -> str:
    """Runs the docker command against an engine; what it wrote to stdout."""
    done = subprocess.run(["docker", "-H", url, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def processes_of(folder: Path) -> list[str]:
    """The command lines of what runs with this folder in them: the engine, its containerd, the shims of its containers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line:
            found.append(line)
    return found


def running(marker: str) -> list[int]:
    """The processes that were started with this word as an argument: containers' commands are seen from outside."""
    return [process.pid for process in psutil.process_iter(["cmdline"]) if marker in (process.info["cmdline"] or [])]


def control_groups(folder: Path) -> list[Path]:
    """The control groups of the engine of this folder."""
    name = f"fastlane-{sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
    return list(Path("/sys/fs/cgroup").glob(f"**/{name}*"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder for an engine, ended with the test."""
    with TemporaryDirectory(prefix="fl-", dir="/tmp") as name:
        try:
            yield Path(name)
        finally:
            engine("stop", name)


@pytest.fixture
def start(folder: Path) -> Callable[[], str]:
    """Starts the engine of ``folder``; its URL."""
    return lambda: engine("start", str(folder), "--private", "--name", "scripts-test").splitlines()[-1]


def test_a_stopped_engine_leaves_no_process_no_mount_and_no_control_group(folder: Path, start: Callable[[], str]) -> None:
    url = start()
    engine("image", url, "ubuntu:latest")
    docker(url, "run", "--detach", "--init", "ubuntu:latest", "sleep", "98761")
    assert running("98761")
    assert processes_of(folder)
    assert control_groups(folder)

    engine("stop", str(folder))

    assert processes_of(folder) == []
    assert running("98761") == []
    assert control_groups(folder) == []
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    assert not (folder / "docker.sock").exists()


def test_a_second_start_finds_the_engine_that_runs(start: Callable[[], str]) -> None:
    url = start()
    node = docker(url, "info", "--format", "{{.Swarm.NodeID}}")

    assert start() == url

    assert docker(url, "info", "--format", "{{.Swarm.NodeID}}") == node


@pytest.mark.parametrize("option", [["-H", "{}"], ["-H{}"], ["--host={}"]])
def test_an_engine_in_the_way_is_named_with_its_socket(folder: Path, option: list[str]) -> None:
    socket = f"unix://{folder}/other.sock"
    other = folder / "dockerd"
    other.write_text("#!/bin/sh\nread -r _\n")
    other.chmod(0o755)
    words = [word.format(socket) for word in option]
    with subprocess.Popen([str(other), *words], stdin=subprocess.PIPE) as process:
        try:
            done = subprocess.run([ENGINE, "start", str(folder / "own")], capture_output=True, text=True, timeout=SECONDS, check=False)
        finally:
            process.communicate(b"end\n")
    assert done.returncode == 1
    assert f"(pid {process.pid}, at {socket}) uses this machine's network: to use it, set DOCKER_HOST={socket}" in done.stderr


def test_of_two_engines_that_start_at_once_in_one_network_the_second_is_refused_in_plain_words(folder: Path) -> None:
    """Not on the machine's own network, but on one of their own."""
    folders = [folder / "one", folder / "two"]
    both = f"ip link set lo up; for d in {folders[0]} {folders[1]}; do {ENGINE} start $d 2>$d.err & done; wait"
    try:
        subprocess.run(["unshare", "--net", "sh", "-c", both], timeout=SECONDS, check=True, stdout=subprocess.DEVNULL)
        words = [Path(f"{each}.err").read_text() for each in folders]
        assert sorted("error" in each for each in words) == [False, True], words
        assert sum(" uses this machine's network: to use it, set DOCKER_HOST=" in each for each in words) == 1
    finally:
        for each in folders:
            engine("stop", str(each))


def test_a_killed_engine_is_cleaned_up_by_the_next_start_and_keeps_its_data(folder: Path, start: Callable[[], str]) -> None:
    url = start()
    engine("image", url, "ubuntu:latest")
    docker(url, "run", "--detach", "ubuntu:latest", "sleep", "98762")
    killed = int((folder / "pid").read_text())
    children = psutil.Process(killed).children()
    os.kill(killed, signal.SIGKILL)
    for child in children:
        child.kill()
    assert running("98762"), "the container outlives its engine: that is what the next start finds"

    assert start() == url

    assert running("98762") == []
    assert docker(url, "image", "ls", "--quiet", "ubuntu:latest")


def test_an_engine_with_a_long_path_has_sockets_that_are_short_enough() -> None:
    with TemporaryDirectory(prefix="fl-", dir="/tmp") as name:
        deep = Path(name, "d" * 60, "e" * 60)
        try:
            url = engine("start", str(deep), "--private").splitlines()[-1]
            assert len(url.removeprefix("unix://")) <= 107
            assert docker(url, "info", "--format", "{{.DockerRootDir}}") == str(deep / "data")
        finally:
            engine("stop", str(deep))
        assert not Path(url.removeprefix("unix://")).parent.exists()


def test_the_stand_in_image_says_that_it_is_one(start: Callable[[], str]) -> None:
    url = start()
    engine("image", url, "ubuntu:latest")

    labels = json.loads(docker(url, "image", "inspect", "--format", "{{json .Config.Labels}}", "ubuntu:latest"))
    listing = docker(url, "run", "--rm", "ubuntu:latest", "ls", "-lah")

    assert labels == {"fastlane.stand-in": "ubuntu:latest"}
    assert " bin" in listing
