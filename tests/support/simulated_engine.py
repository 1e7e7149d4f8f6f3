"""Simulated engines: one process that answers, on a unix socket for each, the calls of Docker's API that fastlane makes.

Each is a swarm of one node. What its services do is the script of the executor that ends at once (``tests.support.instant``); only the way
to it is the engine's own, so that ``SwarmExecutor`` runs on a thousand hosts on one machine. ``tests/contract/test_executor.py`` holds it
to what a real engine does.

``python -m tests.support.simulated_engine FOLDER COUNT [WITNESS]`` serves ``FOLDER/0`` to ``FOLDER/(COUNT-1)`` and prints ``ready``.
WITNESS is a file that gets the id of each execution that starts, one line a start. With it, parking and activating take a moment, as on a
real engine: so a worker that dies has left many of them half done. ``EngineProcess`` is such a process.

On any of the engines, ``POST /simulated/silent`` makes that engine accept calls and never answer, ``/simulated/dead`` makes it refuse
connections, ``/simulated/release`` lets all that holds there go on, and ``GET /simulated/calls`` tells how many calls all of them have had.
From ``/simulated/lines`` to ``/simulated/quiet``, all that runs on any of them writes a line each second.
"""

import asyncio
import contextlib
import json
import os
import re
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import uvloop
from aiohttp import web

from fastlane.clock import SystemClock, iso
from fastlane.executors.port import EngineTask, Order, Phase, TaskEnd
from fastlane.executors.swarm import spec
from fastlane.executors.swarm.clocks import rfc3339
from fastlane.models.log import Piece
from tests.support.engine import connect
from tests.support.instant import InstantExecutor, Run
from tests.support.waiting import wait_until

Raw = dict[str, Any]

VERSION = re.compile(r"^/v1\.\d+")
NAMELESS = "registry.invalid"
"""A registry that cannot be looked up; every other image is on the node."""
IMAGE_ID = "sha256:" + "1f" * 32
NO_ENDPOINT = "starting container failed: failed to set up container networking: failed to create endpoint e on network bridge: no address"
SLOW = {"create", "update"}
MOMENT = 0.05
"""Seconds that a slow call waits before it is carried out, and again before it is answered."""
PARTS = 20
"""In how many parts of a second lines are written, so that they do not all come at once."""


class Refused(Exception):
    """A call that the engine refuses: its status and words."""


@dataclass
class SimulatedEngine:
    """One engine: its services as submitted, with their versions."""

    name: str
    runs: InstantExecutor
    silent: bool = False
    services: dict[str, Raw] = field(default_factory=dict)

    @property
    def _mine(self) -> dict[str, Run]:
        return self.runs.world[self.name]

    # the swarm and its node

    def version(self, _request: web.BaseRequest, _id: str) -> Raw:
        return {"ApiVersion": "1.45", "MinAPIVersion": "1.24"}

    def info(self, _request: web.BaseRequest, _id: str) -> Raw:
        cluster = {"ID": f"swarm-{self.name}", "Spec": {"Orchestration": {"TaskHistoryRetentionLimit": 5}}}
        swarm = {"NodeID": f"node-{self.name}", "ControlAvailable": True, "Cluster": cluster}
        return {"ID": f"engine-{self.name}", "SystemTime": _now(), "Swarm": swarm}

    def nodes(self, _request: web.BaseRequest, _id: str) -> list[Raw]:
        leader = {"Leader": True, "Reachability": "reachable"}
        node = {"ID": f"node-{self.name}", "Spec": {"Availability": "active"}, "Status": {"State": "ready"}, "ManagerStatus": leader}
        return [{**node, "UpdatedAt": iso(0), "Description": {"Hostname": f"machine-{self.name.rpartition('/')[2]}"}}]

    def nothing(self, _request: web.BaseRequest, _id: str) -> list[Raw]:
        return []

    # images

    def image(self, _request: web.BaseRequest, name: str) -> Raw:
        if name.startswith(NAMELESS):
            raise Refused(404, f"No such image: {name}")
        return {"Id": IMAGE_ID}

    def distribution(self, _request: web.BaseRequest, name: str) -> Raw:
        raise Refused(500, f'Get "https://{NAMELESS}/v2/": dial tcp: lookup {NAMELESS}: no such host')

    # services

    async def create(self, request: web.BaseRequest, _id: str) -> Raw:
        wanted: Raw = json.loads(await request.read())
        labels, container = wanted["Labels"], wanted["TaskTemplate"]["ContainerSpec"]
        if " " in container["Image"]:
            raise Refused(400, f'ContainerSpec: "{container["Image"]}" is not a valid repository/tag')
        if any(service["Spec"]["Name"] == wanted["Name"] for service in self.services.values()):
            words = f"name conflicts with an existing object: service {wanted['Name']} already exists"
            raise Refused(409, f"rpc error: code = AlreadyExists desc = {words}")
        words = container.get("Args")
        command = None if words is None else tuple(words)
        if container["Image"] == "sha256:" + "0" * 64:
            command = ("end", "image")
        id = f"service{len(self.services)}x{labels[spec.EXECUTION].replace('-', '')}{labels[spec.EPOCH]}"
        attempt = dict(text.split("=", 1) for text in container["Env"])["FASTLANE_ATTEMPT"]
        order = Order(labels[spec.EXECUTION], labels[spec.TASK], labels[spec.JOB], int(attempt), int(labels[spec.EPOCH]), 0, command, {})
        self._mine[id] = Run(id, order, SystemClock().now())
        self.services[id] = {"ID": id, "Version": {"Index": 1}, "CreatedAt": _now(), "UpdatedAt": _now(), "Spec": wanted}
        return {"ID": id}

    def listed(self, request: web.BaseRequest, _id: str) -> list[Raw]:
        return [service for service in self.services.values() if _has(service, _filters(request).get("label", ()))]

    def service(self, _request: web.BaseRequest, id: str) -> Raw:
        return self._named(id)

    async def update(self, request: web.BaseRequest, id: str) -> Raw:
        wanted: Raw = json.loads(await request.read())
        service = self._named(id)
        if int(request.query["version"]) != service["Version"]["Index"]:
            raise Refused(500, "rpc error: code = Unknown desc = update out of sequence")
        service["Spec"], service["UpdatedAt"] = wanted, _now()
        service["Version"] = {"Index": service["Version"]["Index"] + 1}
        constraints = (wanted["TaskTemplate"].get("Placement") or {}).get("Constraints") or ()
        if spec.NOWHERE in constraints:
            await self.runs.stop(self.name, service["ID"])
        elif wanted["Mode"]["Replicated"]["Replicas"]:
            await self.runs.activate(self.name, service["ID"])
        return {"Warnings": None}

    def remove(self, _request: web.BaseRequest, id: str) -> Raw:
        service = self._named(id)
        del self.services[service["ID"]]
        self._mine.pop(service["ID"]).removed = True
        return {}

    def _named(self, name: str) -> Raw:
        found = self.services.get(name) or next((known for known in self.services.values() if known["Spec"]["Name"] == name), None)
        if found is None:
            raise Refused(404, f"service {name} not found")
        return found

    # tasks

    def tasks(self, request: web.BaseRequest, _id: str) -> list[Raw]:
        wanted = _filters(request)
        if "service" in wanted:
            chosen = [self.services[id] for id in wanted["service"] if id in self.services]
        else:
            chosen = [service for service in self.services.values() if _has(service, wanted.get("label", ()))]
        return [raw for service in chosen for raw in self._tasks_of(self._mine[service["ID"]])]

    def _tasks_of(self, run: Run) -> list[Raw]:
        """Its task and, once it was stopped, the second one that a real stop leaves."""
        if run.task is None:
            return []
        first = _task(run.task, f"node-{self.name}")
        later = {"ID": f"zlater{run.id}", "CreatedAt": _now(), "Status": {"State": "pending", "Timestamp": _now()}}
        return [first, {**first, "NodeID": "", **later}] if run.stopping else [first]

    def task(self, _request: web.BaseRequest, id: str) -> Raw:
        return _task(self._run_of(id).task, f"node-{self.name}")

    def container(self, _request: web.BaseRequest, id: str) -> Raw:
        task = self._run_of(id).task
        ended = task.phase is Phase.ENDED
        state = {"Status": "exited" if ended else "running", "Running": not ended, "OOMKilled": task.end == "oom"}
        times = {"StartedAt": _time(task.started_at), "FinishedAt": _time(task.finished_at)}
        return {"Id": task.container_id, "State": {**state, **times, "ExitCode": task.exit_code or 0}}

    def stats(self, _request: web.BaseRequest, id: str) -> Raw:
        running = self._run_of(id).task.phase is not Phase.ENDED
        memory = {"usage": 3 * 2**20, "stats": {"inactive_file": 2**20}} if running else {}
        moved = [{"op": "read", "value": 4096}, {"op": "write", "value": 512}] if running else None
        return {
            "cpu_stats": {"cpu_usage": {"total_usage": 250_000_000 if running else 0}},
            "memory_stats": memory,
            "blkio_stats": {"io_service_bytes_recursive": moved},
        }

    async def log(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        run = self._run_of(id)
        whole, _, fraction = request.query.get("since", "0").partition(".")
        since = int(whole) * 1_000_000_000 + int(fraction or 0)
        response = web.StreamResponse()
        await response.prepare(request)
        sent = 0
        while True:
            run.grown.clear()
            frames = b"".join(_frames(piece) for piece in run.log[sent:] if piece.time >= since)
            sent = len(run.log)
            if frames:
                await response.write(frames)
            if request.query.get("follow") != "1":
                return response
            await run.grown.wait()

    def _run_of(self, id: str) -> Any:
        """The run that has this task or container."""
        run = self._mine.get(id.removeprefix("task-").removeprefix("container-"))
        if run is None or run.task is None:
            raise Refused(404, f"No such task or container: {id}")
        return run


ROUTES = tuple(
    (method, re.compile(f"^{path}$"), verb)
    for method, path, verb in (
        ("GET", "/tasks", "tasks"),
        ("GET", "/nodes", "nodes"),
        ("GET", "/info", "info"),
        ("GET", "/services/([^/]+)", "service"),
        ("GET", "/containers/([^/]+)/json", "container"),
        ("GET", "/containers/([^/]+)/stats", "stats"),
        ("GET", "/images/(.+)/json", "image"),
        ("POST", "/services/create", "create"),
        ("POST", "/services/([^/]+)/update", "update"),
        ("DELETE", "/services/([^/]+)", "remove"),
        ("GET", "/services", "listed"),
        ("GET", "/tasks/([^/]+)", "task"),
        ("GET", "/(?:tasks|containers)/([^/]+)/logs", "log"),
        ("GET", "/version", "version"),
        ("GET", "/(?:networks|secrets)", "nothing"),
        ("GET", "/distribution/(.+)/json", "distribution"),
    )
)
"""Each call: its method, its path after the version, and the method that answers it."""


class Simulation:
    """A number of engines with their sockets. ``witness`` gets a line for each execution that starts; with it, some calls are slow. Used
    as an async context manager."""

    def __init__(self, folder: Path, count: int, witness: Path | None = None) -> None:
        self.names = [str(folder / str(number)) for number in range(count)]
        self.runs = InstantExecutor(self.names, witness=witness)
        self._moment = MOMENT if witness else 0.0
        self.calls: Counter[str] = Counter()
        """How many calls of each kind all of them have had."""
        self._engines = {name: SimulatedEngine(name, self.runs) for name in self.names}
        self._servers: dict[str, asyncio.Server] = {}
        self._web: dict[str, web.Server] = {}
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Simulation":
        for name in self.names:
            await self.serve(name)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.quiet()
        for name in self.names:
            await self.kill(name)

    async def serve(self, name: str) -> None:
        """The engine accepts connections, and answers; with all that it had before."""
        self._web[name] = web.Server(partial(self._answer, self._engines[name]), access_log=None)
        self._servers[name] = await asyncio.get_running_loop().create_unix_server(self._web[name], name, backlog=256)

    async def kill(self, name: str) -> None:
        """The engine refuses connections, and ends those that it has."""
        self._servers[name].close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        await self._web[name].shutdown(0.01)

    def silence(self, name: str) -> None:
        """The engine accepts calls from now on, and never answers."""
        self._engines[name].silent = True

    def write(self) -> None:
        """All that runs writes a line each second from now on."""
        self.quiet()
        self._writing = asyncio.create_task(self._write_lines())

    def quiet(self) -> None:
        """What runs writes no more lines by itself."""
        if self._writing is not None:
            self._writing.cancel()

    async def _write_lines(self) -> None:
        loop, part = asyncio.get_running_loop(), 0
        began = loop.time()
        while True:
            self.runs.write_lines(part % PARTS, PARTS)
            part += 1
            await asyncio.sleep(max(0.0, began + part / PARTS - loop.time()))

    async def _answer(self, engine: SimulatedEngine, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/simulated/"):
            return await self._control(engine, request.path.rpartition("/")[2])
        path = VERSION.sub("", request.path)
        for method, pattern, verb in ROUTES:
            found = pattern.match(path) if method == request.method else None
            if found is not None:
                self.calls[_kind(verb, request)] += 1
                if engine.silent:
                    await asyncio.Event().wait()
                await asyncio.sleep(self._moment if verb in SLOW else 0)
                answer = await _answered(getattr(engine, verb), request, found[1] if found.re.groups else "")
                await asyncio.sleep(self._moment if verb in SLOW else 0)
                return answer
        return _json({"message": f"{request.method} {path} is not simulated"}, 501)

    async def _control(self, engine: SimulatedEngine, what: str) -> web.StreamResponse:
        if what == "silent":
            self.silence(engine.name)
        elif what == "dead":
            asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(self.kill(engine.name)))
        elif what == "lines":
            self.write()
        elif what == "quiet":
            self.quiet()
        elif what == "release":
            for run in list(self.runs.world[engine.name].values()):
                self.runs.release(run.order.execution_id)
        elif what == "calls":
            return _json(dict(self.calls))
        return _json({})


def _kind(verb: str, request: web.BaseRequest) -> str:
    """What a call is counted as: the list of all tasks of an installation is a look."""
    return "look" if verb == "tasks" and "service" not in _filters(request) else verb


async def _answered(verb: Callable[[web.BaseRequest, str], Any], request: web.BaseRequest, id: str) -> web.StreamResponse:
    try:
        made = verb(request, id)
        answer = await made if asyncio.iscoroutine(made) else made
    except Refused as error:
        return _json({"message": error.args[1]}, error.args[0])
    return answer if isinstance(answer, web.StreamResponse) else _json(answer, 201 if "create" in request.path else 200)


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(content).encode(), status=status, content_type="application/json")


def _now() -> str:
    return rfc3339(time.time_ns())


def _time(moment: int | None) -> str:
    return "0001-01-01T00:00:00Z" if moment is None else rfc3339(moment * 1_000_000)


def _filters(request: web.BaseRequest) -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = json.loads(request.query.get("filters") or "{}")
    return found


def _has(service: Raw, labels: Sequence[str]) -> bool:
    """Whether the service has all of these labels, each ``NAME=VALUE``."""
    own = service["Spec"]["Labels"]
    return all(own.get(name) == value for name, _, value in (label.partition("=") for label in labels))


def _task(task: EngineTask, node: str) -> Raw:
    """The task as an engine shows it."""
    ended = task.phase is Phase.ENDED
    status: Raw = {"State": task.state, "Timestamp": _time(task.changed_at), "Message": task.message or task.state}
    if task.started_at is not None:
        status["ContainerStatus"] = {"ContainerID": task.container_id, "PID": 0, "ExitCode": task.exit_code or 0}
    if task.end is TaskEnd.ENGINE:
        status |= {"State": "failed", "Err": NO_ENDPOINT, "ContainerStatus": {"ContainerID": task.container_id, "ExitCode": 128}}
    elif ended and task.state in {"failed", "rejected"}:
        status["Err"] = "No such image" if task.end is TaskEnd.IMAGE else task.message
    created = _time(task.started_at or task.changed_at)
    return {"ID": task.id, "ServiceID": task.service_id, "NodeID": node, "CreatedAt": created, "UpdatedAt": _now(), "Status": status}


def _frames(piece: Piece) -> bytes:
    """A piece of a log as an engine sends it: a frame for each line."""
    stamp = rfc3339(piece.time).encode() + b" "
    lines = piece.data.splitlines(keepends=True) if b"\r" not in piece.data else [piece.data]
    return b"".join(struct.pack(">BxxxI", piece.stream, len(stamp) + len(line)) + stamp + line for line in lines)


class EngineProcess:
    """One engine in a process of its own, which several workers share and which outlives each of them. Its socket is in a folder with a
    short path. Used as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.host = f"unix://{folder}/0"
        self._folder = folder
        self._witness = folder / "starts"

    def __enter__(self) -> "EngineProcess":
        command = [sys.executable, "-m", "tests.support.simulated_engine", str(self._folder), "1", str(self._witness)]
        with (self._folder / "engine.log").open("ab") as output:
            self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=output, stderr=output)
        wait_until((self._folder / "0").exists, "the engine's socket")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def starts(self) -> Counter[str]:
        """How often each execution has started."""
        return Counter(self._witness.read_text().split()) if self._witness.exists() else Counter()

    def services(self) -> list[Raw]:
        """The services that are still there."""
        with contextlib.closing(connect(self.host)) as client:
            found: list[Raw] = client.services()
            return found


async def serve(folder: Path, count: int, witness: Path | None) -> None:
    """Answers until it is ended."""
    async with Simulation(folder, count, witness):
        click.echo("ready")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None))
