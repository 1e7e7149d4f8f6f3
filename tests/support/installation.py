"""A fastlane on trial: its own data folder, installation name and processes, on a real Redis and a real engine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.support.process_options import ProcessOptions
from tests.support.waiting import LONG_PATIENCE, wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)


@dataclass
class Installation:
    """The processes of one fastlane. ``engine`` is a Docker URL, ``redis`` a Redis URL (None: ``up`` brings its own)."""

    folder: Path
    engine: str
    name: str
    redis: str | None = None
    extra: dict[str, str] = field(default_factory=dict)
    options: ProcessOptions | None = None
    """What its processes have other than fastlane's own."""
    port: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, role: str) -> subprocess.Popen[bytes]:
        """Starts ``fastlane up``, ``api`` or ``worker``; its output goes to a file of that name in the folder."""
        command = [sys.executable, "-m", "fastlane" if self.options is None else "tests.support.process", role]
        with (self.folder / f"{role}.log").open("ab") as output:
            process = subprocess.Popen(command, cwd=self.folder, env=self._environment(role), stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def serve(self, role: str) -> subprocess.Popen[bytes]:
        """Starts ``up`` or ``api`` and waits until it serves."""
        process = self.start(role)
        wait_until(lambda: self._alive(process), f"{role} to serve: {self.log(role)}")
        return process

    def log(self, role: str) -> str:
        """The end of what the processes of a role have said."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"{role}.log").read_text()[-4000:]
        return ""

    def request(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        """One HTTP request to it."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LONG_PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers or {})
            reply = connection.getresponse()
            return Answer(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """GET."""
        return self.request("GET", path)

    def post(self, path: str, body: object = None) -> Answer:
        """POST."""
        return self.request("POST", path, body)

    def run(self, *command: str, task: str = "test", **more: object) -> dict[str, Any]:
        """Posts a job of the stand-in image; the enqueue reply."""
        answer = self.post(f"/tasks/{task}", {"image": "ubuntu:latest", "command": list(command), **more})
        assert answer.status == 200, answer.body
        reply: dict[str, Any] = answer.json
        return reply

    def execution(self, reply: dict[str, Any]) -> dict[str, Any]:
        """The newest execution of a job, in full."""
        job = self.get(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}")
        assert job.status == 200, job.body
        executions: list[dict[str, Any]] = job.json["job"]["executions"]
        return executions[0] if executions else {"status": None}

    def reaches(self, reply: dict[str, Any], *statuses: str, patience: float = LONG_PATIENCE) -> dict[str, Any]:
        """The newest execution of a job, once it has one of these statuses."""

        def reached() -> dict[str, Any] | None:
            execution = self.execution(reply)
            return execution if execution["status"] in statuses else None

        return wait_until(reached, f"{statuses} of {reply['jobUrl']}, which is {self.execution(reply)['status']}", patience)

    def ends(self, reply: dict[str, Any], patience: float = LONG_PATIENCE) -> dict[str, Any]:
        """The newest execution of a job, once it is final."""
        return self.reaches(reply, "done", "failed", "stopped", "timedout", "expired", patience=patience)

    def output(self, reply: dict[str, Any], stream: str = "stdout") -> bytes:
        """What a job has written so far."""
        return self.get(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/{stream}").body

    def services(self) -> list[str]:
        """The names of this installation's services on its engine."""
        command = ["docker", "-H", self.engine, "service", "ls", "--format", "{{.Name}}"]
        command += ["--filter", f"label=fastlane.installation={self.name}"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()

    def end(self) -> None:
        """Ends all of its processes and removes its services."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        for name in self.services():
            subprocess.run(["docker", "-H", self.engine, "service", "rm", name], capture_output=True, check=False, timeout=30)

    def _alive(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, f"it ended with {process.returncode}: {self.log('up')}{self.log('api')}"
        with contextlib.suppress(OSError):
            return self.get("/livez").status == 200
        return False

    def _environment(self, role: str) -> dict[str, str]:
        self.port = self.port or free_port()
        pool = [{"name": "default", "match": "", "hosts": [self.engine]}]
        settings = {
            "PORT": str(self.port),
            "DATA_DIR": str(self.folder),
            "INSTALLATION": self.name,
            "POOLS": json.dumps(pool),
            "LEASE": "3s",
            "RENEW": "1s",
            "LOG_FORMAT": "json",
            **({"REDIS_URL": self.redis} if self.redis else {}),
            **self.extra,
        }
        chosen = {f"FASTLANE_{name}": value for name, value in settings.items()}
        return {**os.environ, **chosen, **({} if self.options is None else {"PYTHONPATH": str(ROOT), **self.options.environment()})}


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def installed(folder: Path, engine: str, *, redis: str | None = None, **extra: str) -> Iterator[Installation]:
    """An installation with nothing started yet; all of it is gone after the block."""
    name = f"test-{os.urandom(4).hex()}"
    installation = Installation(folder, engine, name, redis, {key.upper(): value for key, value in extra.items()})
    try:
        yield installation
    finally:
        installation.end()
