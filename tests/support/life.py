"""A fastlane whose jobs may ask for anything of their containers, and what an outsider sees of them on its engine.

A container that mounts the folder ``witness`` can tell of its start there, in a file that no engine knows of.
"""

import contextlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastlane.config.credentials import hash_token, make_token
from tests.support.credentials import bearer
from tests.support.installation import Answer, Installation
from tests.support.waiting import wait_until

ALLOWED = ("user", "workdir", "stopSignal", "mounts", "networks", "secrets", "constraints", "extraHosts")
TELL = 'echo "$FASTLANE_EXECUTION_ID" >> /witness/starts; '
"""What a script begins with whose starts are counted."""


@dataclass
class Life(Installation):
    """One fastlane, and what is on its engine."""

    token: str = field(kw_only=True, default_factory=make_token)

    def request(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        """One HTTP request to it, by somebody who may."""
        return super().request(method, path, body, {**bearer(self.token), **(headers or {})})

    def script(self, script: str, **more: Any) -> dict[str, Any]:
        """Posts a job that runs this script and whose starts are counted; the enqueue reply. ``container``: what else it asks for."""
        container = {"mounts": [f"{self.witness}:/witness"], **more.pop("container", {})}
        return self.run("sh", "-c", TELL + script, container=container, **more)

    def stop(self, reply: dict[str, Any]) -> None:
        """Stops a job."""
        answer = self.post(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/stop")
        assert answer.status == 200, answer.body

    def header(self, reply: dict[str, Any]) -> str | None:
        """The exit code as the header of its output tells it."""
        return self.get(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/stdout").headers.get("Fastlane-Exit-Code")

    def writes(self, reply: dict[str, Any], output: bytes) -> None:
        """Returns once it has written this."""
        wait_until(lambda: self.output(reply) == output, f"{output!r} of {reply['jobUrl']}")

    # what an outsider sees

    @property
    def witness(self) -> Path:
        """The folder that containers write to."""
        return self.folder / "witness"

    def starts(self) -> Counter[str]:
        """How often each execution has started."""
        with contextlib.suppress(FileNotFoundError):
            return Counter((self.witness / "starts").read_text().split())
        return Counter()

    def docker(self, *words: str) -> str:
        """The docker command's output."""
        command = ["docker", "-H", self.engine, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def service(self, reply: dict[str, Any]) -> str:
        """The name of the service of a job's first execution."""
        found = [name for name in self.services() if name.startswith(f"fastlane-{reply['executionId']}")]
        assert len(found) == 1, found
        return found[0]

    def containers(self) -> list[str]:
        """The names of all containers of its executions, whether they run or not."""
        known = self._known()
        return [name for name in self._names() if name.removeprefix("fastlane-")[:36] in known]

    def is_gone(self, reply: dict[str, Any]) -> bool:
        """Whether nothing of a job's executions is on its engine."""
        path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/executions?perPage=100"
        ids = {row["executionId"] for row in self.get(path).json["items"]}
        return not any(name.removeprefix("fastlane-")[:36] in ids for name in self.services() + self._names())

    def networks(self) -> list[str]:
        """The names of networks that it might have made."""
        return [name for name in self.docker("network", "ls", "--format", "{{.Name}}").split() if "fastlane" in name or self.name in name]

    def is_clean(self) -> bool:
        """Whether nothing of it is on its engine."""
        return not self.services() and not self.containers() and not self.networks()

    def _names(self) -> list[str]:
        return self.docker("ps", "-a", "--format", "{{.Names}}").split()

    def _known(self) -> set[str]:
        """The ids of all its executions."""
        known: set[str] = set()
        page = 1
        while (answer := self.get(f"/executions?perPage=100&page={page}")).status == 200 and answer.json["items"]:
            known.update(row["executionId"] for row in answer.json["items"])
            page += 1
        return known


@contextlib.contextmanager
def living(folder: Path, engine: str, *, most: int = 10, **extra: str) -> Iterator[Life]:
    """One that runs as ``fastlane up``, ``most`` jobs at once; all of it is gone after the block."""
    token = make_token()
    policy = {**dict.fromkeys(ALLOWED, True), "stopGrace": "10m", "init": True}
    pool = {"name": "default", "match": "", "hosts": [engine], "maxRunning": most, "policy": policy}
    settings = {
        "POOLS": json.dumps([pool]),
        "TOKENS": json.dumps([{"name": "test", "token": hash_token(token), "role": "admin"}]),
        **{name.upper(): value for name, value in extra.items()},
    }
    life = Life(folder, engine, f"life-{os.urandom(4).hex()}", None, settings, token=token)
    life.witness.mkdir(parents=True)
    try:
        life.serve("up")
        wait_until(lambda: life.get("/healthcheck").status == 200, "it to be well")
        yield life
    finally:
        life.end()
