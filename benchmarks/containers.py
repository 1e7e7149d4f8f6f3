"""Jobs on a real engine: ``fastlane up`` as its own process against a bare docker-py loop that creates the same service and waits for it.

The loop lists its tasks every 20 ms. fastlane's client waits for a single job by the request itself (``wait``), and asks ``GET /status``
how many of a hundred have ended: every 20 ms for the last one, and the more rarely the more are left, so that its questions, which both
processes would answer beside the containers, change nothing. A single job's time runs from just before the request to the answer that
reports its end, without the removal. Single jobs of both are run in turn, since an engine's own times differ by far more than what
fastlane adds: what counts is the median of the differences. The time of a hundred jobs includes the removals on both sides, except
fastlane's last ones.
"""

import contextlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import docker

from benchmarks.figures import Comparison, Figure, Target, percentile
from tests.support.installation import Installation, installed

IMAGE = "ubuntu:latest"
JOB = json.dumps({"image": IMAGE, "command": "true"})
SINGLES = 40
"""Single jobs of each, a round."""
AT_ONCE = 100
PAUSE = 0.02
PATIENCE = 120.0
BARE = "bare docker-py loop"


class Bare:
    """The loop. Its services are like fastlane's: the same image by id, command, init, log driver and restart policy."""

    def __init__(self, engine: str) -> None:
        self._client = docker.APIClient(base_url=engine, version="1.41", timeout=60)
        self._image = self._client.inspect_image(IMAGE)["Id"]

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def one(self) -> float:
        """Runs one service, then removes it. Returns the milliseconds from its creation to its end."""
        began = time.perf_counter()
        service = self._create()
        while not self._ended([service]):
            time.sleep(PAUSE)
        took = time.perf_counter() - began
        self._client.remove_service(service)
        return took * 1000

    def many(self, count: int) -> float:
        """Runs ``count`` services at once and removes each when it has ended. Returns the rate a second."""
        began = time.perf_counter()
        waiting = [self._create() for _ in range(count)]
        while waiting:
            for service in self._ended(waiting):
                self._client.remove_service(service)
                waiting.remove(service)
            time.sleep(PAUSE)
        return count / (time.perf_counter() - began)

    def _create(self) -> str:
        template = {
            "ContainerSpec": {"Image": self._image, "Args": ["true"], "Init": True},
            "RestartPolicy": {"Condition": "none"},
            "LogDriver": {"Name": "local"},
        }
        name = f"bare-{uuid4().hex}"
        service: str = self._client.create_service(template, name=name, mode={"Replicated": {"Replicas": 1}})["ID"]
        return service

    def _ended(self, services: list[str]) -> list[str]:
        states = {task["ServiceID"]: task["Status"]["State"] for task in self._client.tasks(filters={"service": services})}
        wrong = {state for state in states.values() if state in ("failed", "rejected", "orphaned")}
        if wrong:
            raise RuntimeError(f"a task of the bare loop ended as {wrong}")
        return [service for service in services if states.get(service) == "complete"]


class Client:
    """A client of fastlane on one kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def one(self) -> float:
        """Runs one job. Returns the milliseconds from its request to its end."""
        began = time.perf_counter()
        execution = self._call("POST", "/tasks/bench?wait=60", JOB)["execution"]
        if execution is None or execution["status"] != "done":
            raise RuntimeError(f"a job did not end as done: {execution}")
        return (time.perf_counter() - began) * 1000

    def many(self, count: int) -> float:
        """Runs ``count`` jobs. Returns the rate a second, from the first request until the last job has ended."""
        wanted = self._done() + count
        began = time.perf_counter()
        for _ in range(count):
            self._call("POST", "/tasks/bench", JOB)
        while (left := wanted - self._done()) > 0:
            if time.perf_counter() - began > PATIENCE:
                raise RuntimeError(f"{left} of {count} jobs did not end as done")
            time.sleep(PAUSE * left)
        return count / (time.perf_counter() - began)

    def placed(self, count: int) -> Counter[str]:
        """How many of the last ``count`` executions each host has got."""
        return Counter(row["host"] for row in self._call("GET", f"/executions?perPage={count}")["items"])

    def _done(self) -> int:
        done: int = self._call("GET", "/status")["executions"]["done"]
        return done

    def _call(self, method: str, path: str, body: str | None = None) -> Any:
        self._connection.request(method, path, body)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:1000]!r}")
        return json.loads(data)


@contextlib.contextmanager
def serving(engine: str) -> Iterator[tuple[Client, Installation]]:
    """``fastlane up`` on an engine, and a client of it."""
    pools = json.dumps([{"name": "default", "match": "", "hosts": [engine], "maxRunning": AT_ONCE}])
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder), engine, pools=pools, lease="15s", renew="5s") as fastlane:
        fastlane.serve("up")
        with contextlib.closing(Client(fastlane.port)) as client:
            yield client, fastlane


def measure(engine: str, rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """Measures single jobs, and a hundred at once."""
    singles: list[list[tuple[float, float]]] = []
    many: list[tuple[float, float]] = []
    with serving(engine) as (client, _), contextlib.closing(Bare(engine)) as bare:
        client.one()
        bare.one()
        for turn in range(rounds):
            singles.append([_pair(client, bare, ours_first=bool(number % 2)) for number in range(SINGLES)])
            many.append((client.many(AT_ONCE), bare.many(AT_ONCE)))
            medians = [percentile([pair[side] for pair in singles[-1]], 50) for side in (0, 1)]
            more = _difference(singles[-1])
            say(f"round {turn + 1}: single {medians[0]:.0f} ms against {medians[1]:.0f} ms, by pairs {more:+.0f} ms")
            say(f"round {turn + 1}: {AT_ONCE} at once {many[-1][0]:.2f}/s against {many[-1][1]:.2f}/s")
    ours, theirs = ([[pair[side] for pair in pairs] for pairs in singles] for side in (0, 1))

    def single(percent: float, target: Target | None = None, pairs: Sequence[float] = ()) -> Figure:
        sides = [[percentile(values, percent) for values in side] for side in (ours, theirs)]
        name = f"a single job, request to finished, p{percent:g}"
        return Figure(name, "ms", sides[0], sides[1], BARE, Comparison.DIFFERENCE, target, pairs)

    return [
        single(50, Target(20.0, at_least=False), [_difference(pairs) for pairs in singles]),
        single(95),
        Figure(
            f"{AT_ONCE} jobs at once",
            "jobs/s",
            [pair[0] for pair in many],
            [pair[1] for pair in many],
            BARE,
            target=Target(0.98, at_least=True),
        ),
    ]


def _pair(client: Client, bare: Bare, *, ours_first: bool) -> tuple[float, float]:
    """The milliseconds of a job of fastlane and of one of the loop, one after the other."""
    if ours_first:
        return client.one(), bare.one()
    theirs = bare.one()
    return client.one(), theirs


def _difference(pairs: Sequence[tuple[float, float]]) -> float:
    """By how much fastlane's jobs took longer: the median of the pairs."""
    return median(ours - theirs for ours, theirs in pairs)
