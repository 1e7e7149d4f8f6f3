"""Measures fastlane against bare baselines, in alternating rounds on one machine: ``make bench``."""

import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from benchmarks import containers, dispatch, enqueue, followers, lists, logs, others, report, starts, timed, writes
from benchmarks.figures import Figure
from benchmarks.others import Other
from benchmarks.processes import ROOT

PARTS = ("enqueue", "starts", "dispatch", "timed", "lists", "followers", "logs", "writes", "containers")
PEERS = ("huey", "celery")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many jobs are dispatched and how many starts are timed in each round, the sizes of the timed queue, and the bytes of a log."""

    jobs: int = dispatch.JOBS
    starts: int = 300
    queue: timed.Sizes = field(default_factory=timed.Sizes)
    log: int = logs.SIZE


QUICK = Sizes(500, 100, timed.Sizes(20_000, 3.0, 2.0), 4_000_000)
"""Sizes for a trial of the benchmark itself."""


@click.command()
@click.option("--engine", metavar="URL", help="A Docker engine in a swarm of one node, with the image ubuntu:latest.")
@click.option("--peers", type=click.Path(path_type=Path), default=others.FOLDER, help="The folder of the other job queues' environments.")
@click.option("--rounds", default=3, show_default=True, help="How many alternating rounds of each figure.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Measure this part only; may be repeated.")
@click.option("--quick", is_flag=True, help="Use small sizes to try the benchmark itself; the figures mean little.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the result of a full run to this file.")
@click.option("--page/--no-page", help="Write the figures of a full run into docs/performance.md.")
def main(engine: str | None, peers: Path, rounds: int, only: tuple[str, ...], quick: bool, json_file: Path | None, page: bool) -> None:
    """Measures the figures and prints their table."""
    parts = only or PARTS
    if engine is None and (needy := {"logs", "writes", "containers"} & set(parts)):
        raise click.UsageError(f"these parts need --engine: {', '.join(sorted(needy))}")
    found = [peer for name in PEERS if (peer := others.find(name, peers, click.echo))]
    about = report.surroundings(engine, found, [name for name in PEERS if name not in {peer.name for peer in found}])
    figures = measure(parts, engine, rounds, found, QUICK if quick else Sizes())
    command = os.environ.get("BENCH_COMMAND") or shlex.join(["python", "-m", "benchmarks", "--rounds", str(rounds)])
    text = report.as_markdown(about, command, report.figures_table(figures))
    click.echo(text)
    if only or quick:
        click.echo("Not saved: only a full run at full size is saved.")
        return
    if json_file is not None:
        report.write_json(json_file, about, command, figures)
    if page:
        report.write_page(ROOT / "docs" / "performance.md", "make bench", text)


def measure(parts: Sequence[str], engine: str | None, rounds: int, peers: Sequence[Other], sizes: Sizes) -> list[Figure]:
    """Measures these parts and returns their figures."""
    say = click.echo
    ways: dict[str, Callable[[], list[Figure]]] = {
        "enqueue": lambda: enqueue.measure(rounds, say),
        "starts": lambda: starts.measure(rounds, say, peers, sizes.starts),
        "dispatch": lambda: dispatch.measure(rounds, say, peers, sizes.jobs),
        "timed": lambda: timed.measure(rounds, say, sizes.queue),
        "lists": lambda: lists.measure(rounds, say),
        "followers": lambda: followers.measure(rounds, say),
        "logs": lambda: logs.measure(engine or "", rounds, say, sizes.log),
        "writes": lambda: writes.measure(engine or "", rounds, say),
        "containers": lambda: containers.measure(engine or "", rounds, say),
    }
    figures = []
    for part in parts:
        began = time.monotonic()
        say(f"==> {part}, load {os.getloadavg()[0]:.2f}")
        figures += ways[part]()
        say(f"    {time.monotonic() - began:.0f} s")
    return figures


if __name__ == "__main__":
    main()
