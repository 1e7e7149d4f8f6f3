"""The cost of a follower: a thousand followers of a job that writes a hundred lines a second, against a bare broadcast.

fastlane's side is ``fastlane api`` on its store and a Redis, and a process that runs the worker's pump. The CPU is that of the process that
serves the sockets. On both sides a line's time runs from its creation, so that batching counts.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Target
from benchmarks.processes import child, cpu_seconds, resident_bytes, settings_for, started
from tests.support.ports import free_port
from tests.support.redis import RealRedis
from tests.support.waiting import wait_until

FOLLOWERS = 1_000
LINES = 100
SECONDS = 10.0
BARE = "bare Tornado broadcast"


@dataclass(frozen=True, slots=True)
class Price:
    """One side of a round: the share of lines that arrived, times in milliseconds, CPU as a share of one core, KiB for each follower."""

    share: float
    p50: float
    p99: float
    cpu: float
    memory: float


def measure(rounds: int, say: Callable[[str], None], *, followers: int = FOLLOWERS, seconds: float = SECONDS) -> list[Figure]:
    """Measures delivery, times, CPU and memory of both sides, in alternating rounds."""
    _allow_sockets(followers)
    ours: list[Price] = []
    bare: list[Price] = []
    for turn in range(rounds):
        with _fastlane() as (pid, port, path):
            ours.append(_price(pid, port, path, followers, seconds))
        port = free_port()
        with child("followers_bare", str(port), str(LINES)) as process:
            bare.append(_price(process.pid, port, "/", followers, seconds))
        sides = [f"p99 {side.p99:.0f} ms, {side.cpu:.0%} CPU, {side.memory:.0f} KiB" for side in (ours[-1], bare[-1])]
        say(f"round {turn + 1}: {sides[0]} against {sides[1]}; {ours[-1].share:.2%} delivered")
    return _figures(f"{followers:,} followers × {LINES} lines/s", ours, bare)


def _figures(name: str, ours: list[Price], bare: list[Price]) -> list[Figure]:
    def figure(what: str, unit: str, value: Callable[[Price], float], target: Target | None = None) -> Figure:
        return Figure(f"{name}, {what}", unit, [value(side) for side in ours], [value(side) for side in bare], BARE, target=target)

    return [
        figure("lines delivered", "%", lambda side: side.share * 100, Target(1.0, at_least=True)),
        figure("p50 from a line's making", "ms", lambda side: side.p50),
        figure("p99", "ms", lambda side: side.p99, Target(1.1, at_least=False)),
        figure("CPU", "% of a core", lambda side: side.cpu * 100, Target(1.2, at_least=False)),
        figure("memory a follower", "KiB", lambda side: side.memory, Target(1.2, at_least=False)),
    ]


@contextmanager
def _fastlane() -> Iterator[tuple[int, int, str]]:
    """An API, and a job that writes; the API's process and port, and the job's path."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
        port = free_port()
        settings = settings_for(Path(folder), redis.url)
        around = {**settings, "FASTLANE_PORT": str(port), "FASTLANE_LISTEN": "127.0.0.1", "FASTLANE_LOG_LEVEL": "warning"}
        with started([sys.executable, "-m", "fastlane", "api"], around) as (process, _):
            wait_until(lambda: _listens(port), "the API")
            with child("followers_writer", str(LINES), env=settings) as writer:
                assert writer.stdout is not None
                yield process.pid, port, writer.stdout.readline().strip()


def _price(pid: int, port: int, path: str, followers: int, seconds: float) -> Price:
    idle = resident_bytes(pid)
    with child("followers_crowd", str(port), path, str(followers), str(seconds)) as crowd:
        assert crowd.stdout is not None
        began, before = time.perf_counter(), cpu_seconds(pid)
        told = json.loads(crowd.stdout.readline())
        cpu = (cpu_seconds(pid) - before) / (time.perf_counter() - began)
        memory = (resident_bytes(pid) - idle) / followers / 1024
    return Price(told["lines"] / told["expected"], told["p50"], told["p99"], cpu, memory)


def _listens(port: int) -> bool:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _allow_sockets(followers: int) -> None:
    """Raises the limit of open sockets for the processes that this one starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = followers * 2 + 500
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
