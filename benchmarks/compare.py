"""Measures fastlane against other job queues on Redis, on one machine and the same kind of Redis server: ``make bench-peers``.

For each queue: how many no-ops a second a client enqueues and a worker processes, and how late delayed jobs start, both on an empty
queue and on one with many jobs that are due much later. With an engine, also how long it takes from a request to a finished container.
"""

import contextlib
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import click
import uvloop

from benchmarks import dispatch, end_to_end, others, report, witness
from benchmarks.end_to_end_sides import sides
from benchmarks.figures import Lateness
from benchmarks.others import Other
from benchmarks.peers.__main__ import delays
from benchmarks.processes import ROOT, api, child, resident_bytes, settings_for
from benchmarks.run import Run, conclude
from benchmarks.starts import HttpClient
from benchmarks.timed import fill_store, rebuilt
from fastlane import __version__
from tests.support.redis import RealRedis

AHEAD = 10.0
"""Seconds from the first call to the first due time."""
PATIENCE = 25.0
"""Seconds to wait for a start after the last due time."""
CONTAINERS, CELERY, AIRFLOW = "containers", "celery", "airflow"
PARTS = ("fastlane", *others.NAMES, CONTAINERS)
SLOW = {"rq": 0.1}
"""The share of no-ops that a peer is given which takes long over each."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """No-ops of a rate; delayed jobs, and the seconds within which they are due; those far off, and how long a worker has with them before
    the others come."""

    jobs: int = 4_000
    delayed: int = 500
    span: float = 10.0
    far: int = 100_000
    settle: float = 25.0


QUICK = Sizes(400, 50, 3.0, 2_000, 2.0)
"""For trying out the benchmark itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One queue's results: rates a second, times in milliseconds, memory in bytes."""

    name: str
    version: str
    enqueued: float
    processed: float
    empty: Lateness
    far: Lateness
    resident: int
    """The worker's memory with the far-off jobs in the queue."""

    def as_json(self) -> dict[str, Any]:
        """The row for the result file."""
        return {
            "name": self.name,
            "version": self.version,
            "enqueued": round(self.enqueued),
            "processed": round(self.processed),
            "empty": self.empty.as_json(),
            "far": self.far.as_json(),
            "workerBytes": self.resident,
        }


class Side(Protocol):
    """One of the measured queues: a peer or fastlane."""

    name: str
    version: str

    def rates(self, jobs: int) -> tuple[float, float]:
        """Jobs enqueued and processed a second."""

    def late(self, sizes: Sizes, far: int) -> tuple[Lateness, int]:
        """The lateness with that many far-off jobs, and the worker's memory in bytes."""


class Peer:
    """A peer."""

    def __init__(self, other: Other) -> None:
        self._other = other
        self.name, self.version = other.name, other.version

    def rates(self, jobs: int) -> tuple[float, float]:
        """As ``Side`` says."""
        return dispatch.processed(self._other, round(jobs * SLOW.get(self.name, 1.0)))

    def late(self, sizes: Sizes, far: int) -> tuple[Lateness, int]:
        """As ``Side`` says."""
        with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
            if far:
                self._other.client(redis.socket, "fill", far)
            seen = _witness(folder)
            with self._other.working(redis.socket, seen) as pid:
                time.sleep(sizes.settle if far else 1.0)
                start = _start()
                self._other.client(redis.socket, "delay", start, sizes.span, sizes.delayed)
                return _seen(seen, {token: due for token, due in delays(start, sizes.span, sizes.delayed)}, start, sizes), resident_bytes(
                    pid
                )


class Fastlane:
    """fastlane: jobs arrive at an API process over HTTP on one connection; one worker, whose executor ends each job at once."""

    name = "fastlane"
    version = __version__

    def rates(self, jobs: int) -> tuple[float, float]:
        """As ``Side`` says."""
        with tempfile.TemporaryDirectory() as folder, RealRedis() as redis, self._client(settings_for(folder, redis.url)) as client:
            for _ in range(100):
                client.enqueue()
            began = time.perf_counter()
            for _ in range(jobs):
                client.enqueue()
            enqueued = jobs / (time.perf_counter() - began)
        return enqueued, dispatch.dispatch(1, jobs)

    def late(self, sizes: Sizes, far: int) -> tuple[Lateness, int]:
        """As ``Side`` says."""
        with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
            seen = _witness(folder)
            settings = settings_for(folder, redis.url, seen)
            with self._client(settings) as client:
                if far:
                    fill_store(Path(folder) / "fastlane.db", far)
                with child("dispatch_worker", env=settings) as worker:
                    uvloop.run(rebuilt(Path(folder) / "fastlane.db"))
                    time.sleep(sizes.settle if far else 1.0)
                    start = _start()
                    dues = {_delayed(client, due): due for _, due in delays(start, sizes.span, sizes.delayed)}
                    return _seen(seen, dues, start, sizes), resident_bytes(worker.pid)

    @contextlib.contextmanager
    def _client(self, settings: dict[str, str]) -> Iterator[HttpClient]:
        with api(settings) as port, contextlib.closing(HttpClient(port)) as client:
            yield client


def _delayed(client: HttpClient, due: float) -> str:
    return client.enqueue(b'{"image": "ubuntu:latest", "command": "true", "startAt": %.3f}' % due)


def _witness(folder: str) -> Path:
    seen = Path(folder) / "starts"
    seen.touch()
    return seen


def _start() -> float:
    return round(time.time() + AHEAD, 3)


def _seen(seen: Path, dues: dict[str, float], start: float, sizes: Sizes) -> Lateness:
    """The lateness of jobs, of which the last has just been enqueued."""
    if time.time() > start:
        raise RuntimeError(f"the machine is too busy: {sizes.delayed} jobs were not enqueued within {AHEAD:g} s, before the first was due")
    patience = start + sizes.span + PATIENCE - time.time()
    found = witness.wait_for(seen, sizes.delayed, patience, only=dues.keys())
    return Lateness.of({token: due * 1000 for token, due in dues.items()}, found)


def measure(side: Side, sizes: Sizes) -> Row:
    """The row of one queue."""
    enqueued, processed = side.rates(sizes.jobs)
    empty, _ = side.late(sizes, 0)
    far, resident = side.late(sizes, sizes.far)
    return Row(side.name, side.version, enqueued, processed, empty, far, resident)


def as_table(rows: Sequence[Row], sizes: Sizes) -> str:
    """The rows as a Markdown table."""
    late = f"{sizes.delayed} due within {sizes.span:g} s: p50 / p99 / max, ms"
    head = f"| queue | enqueued/s, one client | processed/s, one worker | {late} | the same with {sizes.far:,} far off | worker then, MB |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *map(_line, rows)])


def _line(row: Row) -> str:
    rates = f"{row.enqueued:,.0f} | {row.processed:,.0f}"
    return f"| {row.name} {row.version} | {rates} | {_late(row.empty)} | {_late(row.far)} | {row.resident / 1e6:,.0f} |"


def _late(late: Lateness) -> str:
    if not late.late:
        return "none started"
    words = [" / ".join(_number(late.percentile(percent)) for percent in (50.0, 99.0, 100.0))]
    words += [f"{late.early} early, by up to {_number(-min(late.late))}"] if late.early else []
    words += [f"{late.missing} not started"] if late.missing else []
    words += [f"{late.again} twice"] if late.again else []
    return "; ".join(words)


def _number(value: float) -> str:
    return "never" if value == float("inf") else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def all_tables(rows: Sequence[Row | end_to_end.Row], sizes: Sizes) -> str:
    """The table of the queues, and that of the finished containers."""
    queues = [row for row in rows if isinstance(row, Row)]
    ended = [row for row in rows if isinstance(row, end_to_end.Row)]
    tables = [as_table(queues, sizes)] if queues else []
    return "\n\n".join([*tables, end_to_end.as_table(ended)] if ended else tables)


@click.command()
@click.option("--engine", metavar="URL", help="A Docker engine in a swarm of one node that has the image ubuntu:latest.")
@click.option("--peers", type=click.Path(path_type=Path), default=others.FOLDER, help="The folder of the peers' virtual environments.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Measure only this queue, or the containers; may be repeated.")
@click.option("--quick", is_flag=True, help="Small sizes, for trying out the benchmark; the figures mean little.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Save results to this file; a partial run: to *.partial.json.")
@click.option("--page/--no-page", help="Write the tables of a whole run to docs/performance.md.")
def main(engine: str | None, peers: Path, only: tuple[str, ...], quick: bool, json_file: Path | None, page: bool) -> None:
    """Measures, prints the row of each queue and those of the containers, and then the whole tables."""
    parts = only or PARTS
    if engine is None and CONTAINERS in parts:
        raise click.UsageError(f"this part needs --engine: {CONTAINERS}")
    names = [name for name in (*others.NAMES, AIRFLOW) if name in parts or (CONTAINERS in parts and name in (CELERY, AIRFLOW))]
    found = {name: peer for name in names if (peer := others.find(name, peers, click.echo))}
    about = report.surroundings(engine, list(found.values()), [name for name in names if name not in found])
    queues: list[Side] = [Fastlane()] if "fastlane" in parts else []
    queues += [Peer(peer) for name, peer in found.items() if name in parts]
    sizes = QUICK if quick else Sizes()
    command = os.environ.get("BENCH_COMMAND") or shlex.join(["python", "-m", "benchmarks.compare"])
    run: Run[Row | end_to_end.Row] = Run(command, about, json_file, click.echo)
    ways: dict[str, Callable[[], Sequence[Row | end_to_end.Row]]] = {side.name: partial(rows_of, side, sizes) for side in queues}
    if engine is not None and CONTAINERS in parts:
        ended = end_to_end.QUICK if quick else end_to_end.Sizes()
        ways[CONTAINERS] = lambda: end_to_end.measure(sides(engine, found.get), ended, click.echo)
    run.measure(ways, partial(all_tables, sizes=sizes))
    to_page = (ROOT / "docs" / "performance.md", "make bench-peers") if page else None
    sys.exit(conclude(run, all_tables(run.figures, sizes), whole=not only and not quick, page=to_page))


def rows_of(side: Side, sizes: Sizes) -> list[Row]:
    """The one row of a queue."""
    return [measure(side, sizes)]


if __name__ == "__main__":
    main()
