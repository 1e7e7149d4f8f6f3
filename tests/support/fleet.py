"""A fastlane on several nodes: real processes, a pool over all nodes, an image that each of them pulls, and a witness outside of Docker.

Every container tells of its start in a file of this machine that all nodes share: its execution, and its own name, which is the beginning
of its container's id. A container may be asked to wait for the test's word, whatever happens to its node meanwhile.
"""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import requests

from fastlane.config.credentials import hash_token, make_token
from tests.support.life import Life
from tests.support.process_options import ProcessOptions
from tests.support.registry import Registry
from tests.support.swarms import Node, Swarms
from tests.support.waiting import wait_until

TASK = "job"
LABEL = "fastlane.installation"
TELL = 'echo "$FASTLANE_EXECUTION_ID $(hostname)" >> /witness/starts; '
COUNT = 'i=0; while [ $i -lt {lines} ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done; '
HOLD = "until [ -e /witness/go-$FASTLANE_JOB_ID ]; do sleep 0.05; done; "
LIVE = "sleep 1; "
"""A busy engine loses the whole of a stream when the container ends before the engine has begun to read (docs/swarm.md)."""
HALF = 500
"""Lines of each stream that a job which waits writes before, and as many after."""


def lines(word: str, count: int) -> bytes:
    """What COUNT writes to a stream."""
    return b"".join(b"%s %d\n" % (word.encode(), number) for number in range(count))


@dataclass
class Posted:
    """A job that was accepted, what it writes to each stream, its exit code, and the node that it has to run on, if any."""

    reply: dict[str, Any]
    out: bytes
    err: bytes
    code: int
    node: str | None = None

    @property
    def path(self) -> str:
        """Of the job."""
        return f"/tasks/{self.reply['taskId']}/jobs/{self.reply['jobId']}"


@dataclass
class Fleet(Life):
    """An installation whose pool has all nodes of a bed; ``image`` is what its jobs run."""

    bed: Swarms = field(kw_only=True)
    image: str = field(kw_only=True)

    # jobs

    def job(self, script: str, out: bytes, err: bytes, code: int = 0, *, node: str | None = None, **more: object) -> Posted:
        """Posts one that runs this script; ``node``: the one that it has to run on."""
        container: dict[str, object] = {"mounts": [f"{self.witness}:/witness"], "stopGrace": "2s"}
        if node is not None:
            container["constraints"] = [f"node.hostname=={node}"]
        body = {"image": self.image, "command": ["sh", "-c", f"{TELL}{script}{LIVE}exit {code}"], "container": container, **more}
        answer = self.post(f"/tasks/{TASK}", body)
        assert answer.status == 200, answer.body
        return Posted(answer.json, out, err, code, node)

    def counts(self, number: int, code: int = 0, **more: Any) -> Posted:
        """Posts one that writes so many lines to each stream, and ends."""
        return self.job(COUNT.format(lines=number), lines("out", number), lines("err", number), code, **more)

    def waits(self, code: int = 0, **more: Any) -> Posted:
        """Posts one that writes half of its lines, waits for ``let_go``, and writes the rest."""
        half = COUNT.format(lines=HALF)
        out, err = lines("out", HALF), lines("err", HALF)
        return self.job(f"{half}{HOLD}{half}", out * 2, err * 2, code, **more)

    def talks(self, **more: Any) -> Posted:
        """Posts one that writes a line to stdout every now and then, until ``let_go``."""
        script = 'i=0; until [ -e /witness/go-$FASTLANE_JOB_ID ]; do echo "out $i"; i=$((i+1)); sleep 0.2; done; '
        return self.job(script, b"", b"", **more)

    def let_go(self, *jobs: Posted) -> None:
        """Lets containers go on that wait."""
        for job in jobs:
            (self.witness / f"go-{job.reply['jobId']}").touch()

    def begun(self, *jobs: Posted) -> None:
        """Returns once the first half of each one's log is stored."""
        for job in jobs:
            self.reaches(job.reply, "running")
            wait_until(lambda job=job: self.output(job.reply) == lines("out", HALF), f"the first half of {job.path}")
            wait_until(lambda job=job: self.output(job.reply, "stderr") == lines("err", HALF), f"the first half of {job.path}")

    # what became of them

    def attempts(self, job: Posted) -> list[dict[str, Any]]:
        """Its executions, the first attempt first."""
        rows: list[dict[str, Any]] = self.get(f"{job.path}/executions?perPage=100").json["items"]
        return rows[::-1]

    def tellers(self, execution_id: str) -> list[str]:
        """The names of the containers that told of their start as this execution's."""
        with contextlib.suppress(FileNotFoundError):
            rows = [line.split() for line in (self.witness / "starts").read_text().splitlines()]
            return [name for id, name in rows if id == execution_id]
        return []

    def check_none_twice(self, *jobs: Posted) -> None:
        """No execution of these started more than once."""
        for job in jobs:
            for row in self.attempts(job):
                assert len(self.tellers(row["executionId"])) <= 1, row

    def check_whole(self, job: Posted, row: dict[str, Any] | None = None) -> dict[str, Any]:
        """It ended by itself, in one container that started once, with its whole log. The execution (``row``: not its newest one)."""
        ended = row or self.ends(job.reply, patience=180)
        expected = ("failed" if job.code else "done", job.code)
        assert (ended["status"], ended["exitCode"]) == expected, ended
        assert ended["host"] in self.hosts
        assert self.tellers(ended["executionId"]) == [ended["containerId"][:12]], ended
        for stream, text in (("stdout", job.out), ("stderr", job.err)):
            assert self.get(f"{job.path}/executions/{ended['executionId']}/{stream}").body == text, (stream, ended)
        sizes = {"stdoutBytes": len(job.out), "stderrBytes": len(job.err), "truncated": False}
        assert {name: ended["logInfo"][name] for name in sizes} == sizes
        return ended

    # what is on the nodes

    @property
    def hosts(self) -> list[str]:
        """Of its pool."""
        found: list[str] = json.loads(self.extra["POOLS"])[0]["hosts"]
        return found

    def services(self) -> list[str]:
        """The names of its services, as its swarms' first nodes that answer tell."""
        names: set[str] = set()
        for node in self.bed.nodes:
            with contextlib.suppress(*AWAY), asking(node) as client:
                names.update(row["Spec"]["Name"] for row in client.services(filters={"label": f"{LABEL}={self.name}"}))
        return sorted(names)

    def containers(self, *nodes: Node) -> list[str]:
        """The names of the containers of services of any fastlane that are on these nodes (all), running or not, each with its node's."""
        names = []
        for node in nodes or self.bed.nodes:
            with contextlib.closing(node.client()) as client:
                names += [f"{node.name}{row['Names'][0]}" for row in client.containers(all=True, filters={"name": "fastlane-"})]
        return names

    def check_nothing_left(self, patience: float = 120) -> None:
        """Nothing of it is on any node: services, containers, networks."""
        wait_until(lambda: not self.services(), f"its services to go: {self.services()}", patience)
        wait_until(lambda: not self.containers(), f"its containers to go: {self.containers()}", patience)
        for node in self.bed.nodes:
            with contextlib.closing(node.client()) as client:
                assert {row["Name"] for row in client.networks()} <= {"bridge", "host", "none", "docker_gwbridge", "ingress"}

    def end(self) -> None:
        """Ends all of its processes and removes its services, on nodes that answer."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for node in self.bed.nodes:
            with contextlib.suppress(*AWAY), asking(node) as client:
                for row in client.services(filters={"label": f"{LABEL}={self.name}"}):
                    client.remove_service(row["ID"])


AWAY = (docker.errors.DockerException, requests.RequestException, OSError)
"""What is raised when a node's engine is asked that is not there, or whose swarm is not."""


@contextlib.contextmanager
def asking(node: Node) -> Iterator[docker.APIClient]:
    """A client of its engine. Raises OSError where none listens: docker-py would leave a socket open."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(node.url.removeprefix("unix://"))
    with contextlib.closing(node.client()) as client:
        yield client


@contextlib.contextmanager
def fleet(
    folder: Path, bed: Swarms, image: str, hosts: Sequence[str] = (), *, redis: str | None = None, most: int = 100, **extra: str
) -> Iterator[Fleet]:
    """A fleet with nothing started yet, on all nodes through the network, or on these ``hosts``; all of it is gone after the block."""
    token = make_token()
    (folder / "witness").mkdir(parents=True)
    policy = {"mounts": [f"{folder}/witness"], "constraints": ["*"], "stopGrace": "10s"}
    pool = {"name": "default", "match": "", "hosts": list(hosts) or [node.tcp for node in bed.nodes], "maxRunning": most, "policy": policy}
    settings = {
        "POOLS": json.dumps([pool]),
        "TOKENS": json.dumps([{"name": "test", "token": hash_token(token), "role": "admin"}]),
        "LEASE": "2s",
        "RENEW": "0.7s",
        "HOST_LOST_AFTER": "20s",
        "BREAKER_RESET": "3s",
        **{name.upper(): value for name, value in extra.items()},
    }
    made = Fleet(
        folder,
        bed.nodes[0].url,
        f"fleet-{os.urandom(4).hex()}",
        redis,
        settings,
        ProcessOptions(reconcile=2.0),
        bed=bed,
        image=image,
        token=token,
    )
    try:
        yield made
    except BaseException as error:
        error.add_note(told(bed))
        raise
    finally:
        made.end()


def told(bed: Swarms) -> str:
    """What each manager says of all nodes, for whoever reads a failure."""
    found = []
    for node in bed.nodes:
        try:
            with asking(node) as client:
                rows = [(row["Description"]["Hostname"], row["Status"]["State"], row["ManagerStatus"]) for row in client.nodes()]
        except AWAY as error:
            rows = [error]
        found.append(f"{node.name}: {rows}")
    return "\n".join(found)


@contextlib.contextmanager
def image_of(bed: Swarms) -> Iterator[str]:
    """A registry that all nodes reach, and the reference of the stand-in image there."""
    with bed.registry() as registry:
        yield push(registry, bed)


def push(registry: Registry, bed: Swarms) -> str:
    """The stand-in image in the registry."""
    return registry.push(bed.nodes[0].url, "stand-in:1").reference


def leader(bed: Swarms) -> Node:
    """The node that leads its swarm, as the first that answers tells."""

    def found() -> Node | None:
        for node in bed.nodes:
            with contextlib.suppress(*AWAY), asking(node) as client:
                names = [row["Description"]["Hostname"] for row in client.nodes() if row.get("ManagerStatus", {}).get("Leader")]
                return next((other for other in bed.nodes if other.name in names), None)
        return None

    return wait_until(found, "a leader", 120)


def agreed(bed: Swarms) -> Node:
    """Returns once all managers of a bed take all of them for ready and the same one for their leader: that one."""

    def found() -> str | None:
        told = set()
        for node in bed.nodes:
            with asking(node) as client:
                rows = client.nodes()
            if not all(row["Status"]["State"] == "ready" and row["ManagerStatus"]["Reachability"] == "reachable" for row in rows):
                return None
            told.add(next((row["Description"]["Hostname"] for row in rows if row["ManagerStatus"].get("Leader")), ""))
        return told.pop() if len(told) == 1 else None

    def tried() -> str | None:
        with contextlib.suppress(*AWAY):
            return found()
        return None

    name = wait_until(tried, "the managers to agree", 120)
    return next(node for node in bed.nodes if node.name == name)


def docker_command(node: Node, *words: str) -> str:
    """The docker command's output, at this node's socket."""
    command = ["docker", "-H", node.url, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
