"""From an enqueue to its start: from a client's call until the worker calls the code that starts the job.

fastlane's job goes over HTTP to ``fastlane api``, which writes it to disk and answers. A worker claims it, records that, places, parks,
binds and confirms it, and only then asks the executor to start it. The baseline (``bare_starts``) commits as often and crosses the same
two processes, without fastlane. A peer's client puts the job into Redis, and its worker calls a function. All use one Redis, one after
another in each round, with a call every ten milliseconds.
"""

import contextlib
import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import load, witness
from benchmarks.figures import Figure, Target, percentile
from benchmarks.others import Other
from benchmarks.peers.__main__ import WARM
from benchmarks.processes import api, child, settings_for
from tests.support.ports import free_port
from tests.support.redis import RealRedis

GAP = 0.01
WARM_UP = 10
PATIENCE = 30.0
BODY = b'{"image": "ubuntu:latest", "command": "true"}'
BARE = "bare, three commits"
TARGETS = {(BARE, 50.0): Target(1.5, at_least=False), ("celery", 99.0): Target(1.0, at_least=False)}
Pace = Callable[[int], list[float]]
"""Makes a number of calls; returns the times from each call to its start, in milliseconds."""


class HttpClient:
    """A client that sends on one connection and waits for each answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def enqueue(self, body: bytes = BODY) -> str:
        """Posts a job; returns its id."""
        self._socket.sendall(load.post(self._port, "/tasks/bench", body))
        received = b""
        while (whole := load.body_of(received)) is None:
            more = self._socket.recv(65536)
            if not more:
                raise RuntimeError("the server closed the connection")
            received += more
        if not received.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"not a 200: {received[:2000]!r}")
        return str(json.loads(whole)["jobId"])


@contextlib.contextmanager
def ours(redis: RealRedis, folder: Path) -> Iterator[Pace]:
    """fastlane: an API process and a worker on that Redis."""
    seen = folder / "starts"
    seen.touch()
    settings = settings_for(folder, redis.url, seen)
    with api(settings) as port, child("dispatch_worker", env=settings), contextlib.closing(HttpClient(port)) as client:
        yield over_http(client, seen)


@contextlib.contextmanager
def bare(redis: RealRedis, folder: Path) -> Iterator[Pace]:
    """The bare program: its two processes on that Redis."""
    seen, port = folder / "bare-starts", free_port()
    seen.touch()
    words = (str(folder / "bare.db"), redis.url)
    with (
        child("bare_starts", "serve", *words, str(port)),
        child("bare_starts", "work", *words, env={witness.VARIABLE: str(seen)}),
        contextlib.closing(HttpClient(port)) as client,
    ):
        yield over_http(client, seen)


def over_http(client: HttpClient, seen: Path) -> Pace:
    """What paces calls of a client whose jobs write to that witness."""

    def pace(count: int) -> list[float]:
        before = seen.stat().st_size
        sent = dict(_paced(client, WARM_UP + count)[WARM_UP:])
        started = witness.wait_for(seen, len(sent), PATIENCE, only=sent.keys(), after=before)
        return _complete([(moment - sent[job]) * 1000 for job, moment in started], count)

    return pace


@contextlib.contextmanager
def theirs(peer: Other, redis: RealRedis, folder: Path) -> Iterator[Pace]:
    """A peer: its worker on that Redis."""
    seen = folder / peer.name
    seen.touch()
    with peer.working(redis.socket, seen):

        def pace(count: int) -> list[float]:
            before = seen.stat().st_size
            peer.client(redis.socket, "pace", count, GAP)
            started = witness.wait_for(seen, count, PATIENCE, ignore=(WARM,), after=before)
            return _complete([(moment - float(sent)) * 1000 for sent, moment in started], count)

        yield pace


def measure(rounds: int, say: Callable[[str], None], peers: Sequence[Other], count: int) -> list[Figure]:
    """Measures fastlane against the bare program and each peer, with ``count`` jobs of each in a round."""
    with tempfile.TemporaryDirectory() as name, RealRedis() as redis, contextlib.ExitStack() as stack:
        folder = Path(name)
        paces = {"fastlane": stack.enter_context(ours(redis, folder)), BARE: stack.enter_context(bare(redis, folder))}
        for peer in peers:
            paces[peer.name] = stack.enter_context(theirs(peer, redis, folder))
        times: dict[str, list[list[float]]] = {side: [] for side in paces}
        for turn in range(rounds):
            for side, pace in paces.items():
                times[side].append(pace(count))
            told = ", ".join(f"{side} {percentile(all_[-1], 50):.2f}/{percentile(all_[-1], 99):.2f}" for side, all_ in times.items())
            say(f"round {turn + 1}: enqueue to start, p50/p99 in ms: {told}")
    return [_figure(times, percent, side) for percent in (50.0, 99.0) for side in times if side != "fastlane"]


def _figure(times: dict[str, list[list[float]]], percent: float, beside: str) -> Figure:
    ours, theirs = ([percentile(all_, percent) for all_ in times[side]] for side in ("fastlane", beside))
    return Figure(f"enqueue to start, p{percent:g}", "ms", ours, theirs, beside, target=TARGETS.get((beside, percent)))


def _paced(client: HttpClient, count: int) -> list[tuple[str, float]]:
    """Posts jobs at even intervals; returns each job and the moment of its call."""
    began, sent = time.time(), []
    for number in range(count):
        time.sleep(max(0.0, began + number * GAP - time.time()))
        moment = time.time()
        sent.append((client.enqueue(), moment))
    return sent


def _complete(times: list[float], count: int) -> list[float]:
    if len(times) != count:
        raise TimeoutError(f"{len(times)} of {count} jobs started within {PATIENCE:g} s")
    return times
