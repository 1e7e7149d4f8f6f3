"""A fastlane of real processes, with a data folder and an installation name of its own.

What differs between tests is given to it: the engine, Redis, settings, the pool, a token, the options of its processes and a witness.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from fastlane.config.access import hash_token, make_token
from tests.support.credentials import bearer
from tests.support.engine_views import DockerEngine, EngineView
from tests.support.ports import free_port
from tests.support.process_options import ProcessOptions
from tests.support.start_witness import TELL, StartWitness
from tests.support.waiting import LONG_PATIENCE, PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
LINGER = "; sleep 0.1"
"""The end of a script whose output is checked: a busy engine may lose what a container writes that ends at once (docs/swarm.md)."""

OUTPUT_SHOWN = 20_000
"""Characters of a process's output that a failed test shows: some lines of the log and the stacks of all threads."""


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
    """The processes of one fastlane."""

    folder: Path
    engine: EngineView
    name: str
    redis: str | None = None
    """A URL. ``up`` needs none."""
    settings: dict[str, str] = field(default_factory=dict)
    pool: dict[str, object] = field(default_factory=dict)
    """Fields of its one pool, beside name and hosts."""
    token: str | None = None
    """An admin's, which each request then carries."""
    options: ProcessOptions | None = None
    """How its processes differ from the command's."""
    python: str = sys.executable
    """Whose packages its processes use."""
    port: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.witness = StartWitness(self.folder / "witness")

    @property
    def url(self) -> str:
        """Where its API answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[subprocess.Popen[bytes]]:
        """The processes of the role ``worker`` that have not ended."""
        return self.running("worker")

    def running(self, role: str) -> list[subprocess.Popen[bytes]]:
        """The processes of a role that have not ended."""
        return [process for process in self.processes if _role(process) == role and process.poll() is None]

    def start(self, role: str, *, under: Sequence[str] = (), program: Path | None = None) -> subprocess.Popen[bytes]:
        """Starts ``fastlane up``, ``api`` or ``worker``. Its output goes to a file of that name in the folder.

        ``under``: a command that runs it, such as ``prlimit``. ``program``: the folder of another release, in place of this checkout.
        """
        command = [*under, self.python, "-m", "fastlane" if self.options is None else "tests.support.process", role]
        environment = self.environment(self.options) | ({} if program is None else {"PYTHONPATH": str(program)})
        with (self.folder / f"{role}.log").open("ab") as output:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def serve(self, role: str, *, under: Sequence[str] = (), program: Path | None = None) -> subprocess.Popen[bytes]:
        """Starts ``up`` or ``api`` and waits until it serves."""
        process = self.start(role, under=under, program=program)
        wait_until(lambda: self._alive(process), f"{role} to serve: {self.log(role)}")
        return process

    def until_healthy(self, patience: float = LONG_PATIENCE) -> None:
        """Returns once the health check is good."""
        wait_until(lambda: self.get("/healthcheck").status == 200, f"health: {self.get('/healthcheck').body!r}", patience)

    def log(self, role: str) -> str:
        """The end of the output of a role's processes."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"{role}.log").read_text()[-OUTPUT_SHOWN:]
        return ""

    def request(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        """One HTTP request to it."""
        headers = {**({} if self.token is None else bearer(self.token)), **(headers or {})}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LONG_PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            return Answer(reply.status, dict(reply.getheaders()), reply.read())
        except TimeoutError:
            raise AssertionError(f"no answer to {method} {path} for {LONG_PATIENCE:g} s: {self._stacks()}") from None
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """GET."""
        return self.request("GET", path)

    def post(self, path: str, body: object = None) -> Answer:
        """POST."""
        return self.request("POST", path, body)

    def run(self, *command: str, task: str = "test", **more: object) -> dict[str, Any]:
        """Posts a job of the stand-in image. Returns the enqueue reply."""
        answer = self.post(f"/tasks/{task}", {"image": "ubuntu:latest", "command": list(command), **more})
        assert answer.status == 200, answer.body
        reply: dict[str, Any] = answer.json
        return reply

    def run_script(self, script: str, *, container: dict[str, object] | None = None, **more: Any) -> dict[str, Any]:
        """Posts a job whose script tells ``witness`` of each start. Returns the enqueue reply."""
        return self.run("sh", "-c", TELL + script, container={"mounts": [self.witness.mount], **(container or {})}, **more)

    def stop(self, reply: dict[str, Any]) -> None:
        """Stops a job."""
        answer = self.post(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/stop")
        assert answer.status == 200, answer.body

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

    def has_written(self, reply: dict[str, Any], output: bytes) -> None:
        """Returns once a job's stdout is ``output``."""
        wait_until(lambda: self.output(reply) == output, f"{output!r} of {reply['jobUrl']}")

    def exit_code_header(self, reply: dict[str, Any]) -> str | None:
        """The exit code in the headers of a job's output."""
        return self.get(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/stdout").headers.get("Fastlane-Exit-Code")

    def services(self) -> list[str]:
        """The names of this installation's services on its engine."""
        return self.engine.services(self.name)

    def terminate(self, *processes: subprocess.Popen[bytes]) -> None:
        """Sends SIGTERM to these processes and waits for their ends."""
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(30)

    def end(self) -> None:
        """Ends all of its processes and removes its services."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self.engine.remove_services(self.name)

    def environment(self, options: ProcessOptions | None = None) -> dict[str, str]:
        """The environment variables of one of its processes. The first call chooses the port."""
        self.port = self.port or free_port()  # no earlier, since another program may take it
        pool: dict[str, Any] = {"name": "default", "match": "", "hosts": list(self.engine.hosts), **self.pool}
        pool |= {"insecure": True} if "tls" not in pool and any(host.startswith("tcp://") for host in pool["hosts"]) else {}
        token = {"name": "test", "token": hash_token(self.token), "role": "admin"} if self.token else None
        settings = {
            "PORT": str(self.port),
            "DATA_DIR": str(self.folder),
            "INSTALLATION": self.name,
            **({} if "CONFIG" in self.settings else {"POOLS": json.dumps([pool])}),
            "LEASE": "3s",
            "RENEW": "1s",
            "LOG_FORMAT": "json",
            "LISTEN": "127.0.0.1",
            **({"REDIS_URL": self.redis} if self.redis else {}),
            **({"TOKENS": json.dumps([token])} if token else {}),
            **self.settings,
        }
        chosen = {f"FASTLANE_{name}": value for name, value in settings.items()}
        return {
            **os.environ,
            "PYTHONFAULTHANDLER": "1",
            **chosen,
            **({} if options is None else {"PYTHONPATH": str(ROOT), **options.environment()}),
        }

    def _stacks(self) -> str:
        """Ends its processes. What they were doing: the state of each, and the end of its output with the stacks of its threads."""
        found = []
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(f"{_role(process)} {process.pid} is {psutil.Process(process.pid).status()}")
            process.send_signal(signal.SIGABRT)  # PYTHONFAULTHANDLER writes the stacks
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            found.append(self.log(_role(process)))
        return "\n".join(found)

    def _alive(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, f"it ended with {process.returncode}: {self.log('up')}{self.log('api')}"
        with contextlib.suppress(OSError):
            return b"fastlane is starting" not in self.get("/readyz").body
        return False


def _role(process: subprocess.Popen[bytes]) -> str:
    arguments = process.args
    assert isinstance(arguments, list)
    return str(arguments[-1])


@contextlib.contextmanager
def installed(
    folder: Path,
    engine: str | EngineView,
    *,
    redis: str | None = None,
    pool: dict[str, object] | None = None,
    with_token: bool = False,
    options: ProcessOptions | None = None,
    **settings: str,
) -> Iterator[Installation]:
    """An installation with nothing started yet, on a Docker engine at this URL or on another engine. All of it is gone after the block."""
    view = DockerEngine(engine) if isinstance(engine, str) else engine
    token = make_token() if with_token else None
    chosen = {name.upper(): value for name, value in settings.items()}
    installation = Installation(folder, view, f"test-{os.urandom(4).hex()}", redis, chosen, pool or {}, token, options)
    try:
        yield installation
    finally:
        installation.end()
