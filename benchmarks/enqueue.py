"""Enqueue over HTTP: ``fastlane api`` with its store and a Redis, no worker, against the bare handler.

Each of fastlane's answers means that the job is on disk (synchronous FULL) and in the queue. The jobs stay there, so that the store grows
as it would in use.
"""

import tempfile
from collections.abc import Callable

import uvloop

from benchmarks import load
from benchmarks.figures import Figure, Target
from benchmarks.processes import api, child, settings_for
from tests.support.ports import free_port
from tests.support.redis import RealRedis

BODY = b'{"image": "ubuntu:latest", "command": "true"}'
WARM_UP = 1.0
SECONDS = 4.0
MANY, MOST = 32, 256
BARE = "bare Tornado handler"


def measure(rounds: int, say: Callable[[str], None], seconds: float = SECONDS) -> list[Figure]:
    """Measures the rate and the p99 at 32 and 256 connections, and the median time at one; ``seconds`` each."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
        settings = {**settings_for(folder, redis.url), "FASTLANE_LOG_FORMAT": "console"}
        bare_port = free_port()
        with api(settings) as our_port, child("bare_handler", str(bare_port)):
            ports = (our_port, bare_port)
            for port in ports:
                load_on(port, MANY, WARM_UP)
            many: list[tuple[load.Load, ...]] = []
            most: list[tuple[load.Load, ...]] = []
            one: list[tuple[load.Load, ...]] = []
            for turn in range(rounds):
                many.append(tuple(load_on(port, MANY, seconds) for port in ports))
                most.append(tuple(load_on(port, MOST, seconds) for port in ports))
                one.append(tuple(load_on(port, 1, seconds / 2) for port in ports))
                rates = [f"{side.rate:,.0f}" for side in many[-1]]
                say(f"round {turn + 1}: {MANY} connections {rates[0]}/s against {rates[1]}/s")
    return _figures(many, most, one)


def load_on(port: int, connections: int, seconds: float) -> load.Load:
    """Enqueues jobs on that many connections for that long."""
    return uvloop.run(load.run(port, load.post(port, "/tasks/bench", BODY), connections=connections, seconds=seconds))


Rounds = list[tuple[load.Load, ...]]


def _figures(many: Rounds, most: Rounds, one: Rounds) -> list[Figure]:
    def figure(name: str, unit: str, pairs: list[tuple[float, ...]], target: Target | None = None) -> Figure:
        return Figure(name, unit, [pair[0] for pair in pairs], [pair[1] for pair in pairs], BARE, target=target)

    return [
        figure(
            f"enqueue over HTTP, {MANY} connections",
            "requests/s",
            [tuple(side.rate for side in pair) for pair in many],
            Target(0.60, at_least=True),
        ),
        figure(f"enqueue over HTTP, {MANY} connections, p99", "ms", [tuple(side.percentile(99) for side in pair) for pair in many]),
        figure(f"enqueue over HTTP, {MOST} connections", "requests/s", [tuple(side.rate for side in pair) for pair in most]),
        figure(f"enqueue over HTTP, {MOST} connections, p99", "ms", [tuple(side.percentile(99) for side in pair) for pair in most]),
        figure(
            "enqueue over HTTP, 1 connection, p50",
            "ms",
            [tuple(side.percentile(50) for side in pair) for pair in one],
            Target(4.5, at_least=False),
        ),
    ]
