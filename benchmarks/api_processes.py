"""Enqueue over HTTP by ``fastlane api --processes`` 1, 2 and 4: what a core more brings, and what each request costs.

The processes share one port, one store and one Redis. The load generator, Redis and all processes share the machine's cores: with few of
them, the rate says how the cores are divided rather than what the processes could do. Processor time for a request does not depend on that.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import enqueue
from benchmarks.figures import Figure
from benchmarks.processes import cpu_seconds, server, session_of, settings_for
from tests.support.redis import RealRedis

PROCESSES = (1, 2, 4)
CONNECTIONS = (enqueue.MANY, enqueue.MOST)


@dataclass(frozen=True, slots=True)
class Served:
    """Requests a second, the p99 of an answer in milliseconds, and the processor time of a request in microseconds."""

    rate: float
    p99: float
    cpu: float


def measure(rounds: int, say: Callable[[str], None], seconds: float = enqueue.SECONDS) -> list[Figure]:
    """Measures each number of processes in alternating rounds, with 32 connections and with 256."""
    found: dict[tuple[int, int], list[Served]] = {(many, count): [] for many in CONNECTIONS for count in PROCESSES}
    with contextlib.ExitStack() as stack:
        places = {count: stack.enter_context(_api(count)) for count in PROCESSES}
        for turn in range(rounds):
            for (many, count), rows in found.items():
                rows.append(_served(*places[count], many, seconds))
            told = ", ".join(f"{count} {found[enqueue.MANY, count][-1].rate:,.0f}/s" for count in PROCESSES)
            say(f"round {turn + 1}: by processes, {enqueue.MANY} connections: {told}")
    return [figure for many in CONNECTIONS for figure in _figures(many, {count: found[many, count] for count in PROCESSES})]


def _figures(connections: int, found: dict[int, list[Served]]) -> Iterator[Figure]:
    values: dict[str, tuple[str, Callable[[Served], float]]] = {
        "": ("requests/s", lambda served: served.rate),
        ", p99": ("ms", lambda served: served.p99),
        ", processor time of each": ("µs", lambda served: served.cpu),
    }
    for what, (unit, value) in values.items():
        for count, rows in found.items():
            peer: Sequence[float] = [] if count == 1 else [value(served) for served in found[1]]
            name = f"enqueue, {connections} connections, --processes {count}{what}"
            yield Figure(name, unit, [value(served) for served in rows], peer, "--processes 1" if peer else "")


@contextlib.contextmanager
def _api(count: int) -> Iterator[tuple[int, list[int]]]:
    """So many processes, warm; their port, and their ids with that of the one that watches them."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
        settings = {**settings_for(folder, redis.url), "FASTLANE_LOG_FORMAT": "console"}
        with server("api", settings, "--processes", str(count)) as (port, pid):
            enqueue.load_on(port, enqueue.MANY, enqueue.WARM_UP)
            pids = session_of(pid)
            if len(pids) < count:
                raise RuntimeError(f"{len(pids)} processes run, of {count}")
            yield port, pids


def _served(port: int, pids: Sequence[int], connections: int, seconds: float) -> Served:
    before = sum(map(cpu_seconds, pids))
    load = enqueue.load_on(port, connections, seconds)
    cpu = sum(map(cpu_seconds, pids)) - before
    return Served(load.rate, load.percentile(99), cpu / len(load.latencies) * 1e6)
