"""Measures what fastlane costs, each figure next to a bare equivalent, in alternating rounds on one machine: ``make bench``."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from benchmarks import (
    api_processes,
    containers,
    counts,
    dispatch,
    endurance,
    enqueue,
    followers,
    hosts,
    labels,
    lists,
    logs,
    mixes,
    others,
    plots,
    price,
    report,
    responsiveness,
    several_engines,
    starts,
    stores,
    timed,
    transfer,
    writes,
)
from benchmarks.figures import Figure
from benchmarks.others import Other
from benchmarks.run import Run, conclude

PARTS = (
    *("enqueue", "counts", "starts", "dispatch", "endurance", "stores", "timed", "hosts", "price", "mixes", "lists", "transfer"),
    *("followers", "logs", "writes", "containers", "labels", "responsiveness"),
)
PEERS = ("huey", "celery")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Seconds of each load by requests. Jobs to dispatch and starts to time in each round (``stored``: on either store; ``lasting``: jobs
    over which memory is taken). The sizes of the timed queue, of a log in bytes, of the long lists, and of the parts about many hosts, a
    worker's price, other mixes of jobs and labelled services."""

    load: float = enqueue.SECONDS
    jobs: int = dispatch.JOBS
    stored: int = 1_000
    starts: int = 300
    lasting: int = endurance.JOBS
    queue: timed.Sizes = field(default_factory=timed.Sizes)
    log: int = logs.SIZE
    listed: lists.Sizes = field(default_factory=lists.Sizes)
    many: hosts.Sizes = field(default_factory=hosts.Sizes)
    priced: price.Sizes = field(default_factory=price.Sizes)
    mixed: mixes.Sizes = field(default_factory=mixes.Sizes)
    labelled: labels.Sizes = field(default_factory=labels.Sizes)
    lines: int = responsiveness.LINES


QUICK = Sizes(
    *(1.0, 500, 200, 100, 2_000, timed.Sizes(20_000, 3.0, 2.0), 4_000_000, lists.Sizes(10_000, 2_000, 1_000, 20)),
    many=hosts.QUICK,
    priced=price.QUICK,
    mixed=mixes.QUICK,
    labelled=labels.QUICK,
    lines=10_000,
)
"""For trying out the benchmark itself."""


@click.command()
@click.option("--engine", metavar="URL", help="A Docker engine in a swarm of one node that has the image ubuntu:latest.")
@click.option("--peers", type=click.Path(path_type=Path), default=others.FOLDER, help="The folder of the peers' virtual environments.")
@click.option("--rounds", default=3, show_default=True, help="Alternating rounds for each figure.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Measure only this part; may be repeated.")
@click.option("--quick", is_flag=True, help="Small sizes, for trying out the benchmark; the figures mean little.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    help="Save results to this file; a partial run: to *.partial.json.",
)
@click.option("--page/--no-page", help="Write the figures and plots of a whole run to docs/performance.md.")
def main(engine: str | None, peers: Path, rounds: int, only: tuple[str, ...], quick: bool, json_file: Path | None, page: bool) -> None:
    """Measures, prints the figures of each part, and then the whole table."""
    parts = only or PARTS
    if engine is None and (needy := {"logs", "writes", "containers", "labels", "responsiveness"} & set(parts)):
        raise click.UsageError(f"these parts need --engine: {', '.join(sorted(needy))}")
    found = [peer for name in PEERS if (peer := others.find(name, peers, click.echo))]
    about = report.surroundings(engine, found, [name for name in PEERS if name not in {peer.name for peer in found}])
    command = os.environ.get("BENCH_COMMAND") or shlex.join(["python", "-m", "benchmarks", "--rounds", str(rounds)])
    run: Run[Figure] = Run(command, about, json_file, click.echo)
    ways = ways_to_measure(engine or "", rounds, found, QUICK if quick else Sizes())
    run.measure({part: ways[part] for part in parts}, report.figures_table)
    whole = not only and not quick
    own = [figure for figure in run.figures if not report.is_on_mongo(figure.name)]
    code = conclude(run, report.figures_table(own), whole=whole, page=(plots.PAGE, "make bench") if page else None)
    if page and whole and not code:
        stand_in = report.figures_table([figure for figure in run.figures if report.is_on_mongo(figure.name)])
        report.write_page(report.MONGO_PAGE, "make bench", report.as_markdown(run.about, run.command, stand_in))
        plots.write([figure.as_json() for figure in run.figures], plots.PAGE)
    sys.exit(code)


def ways_to_measure(engine: str, rounds: int, peers: Sequence[Other], sizes: Sizes) -> dict[str, Callable[[], list[Figure]]]:
    """What measures each part."""
    say = click.echo
    return {
        "enqueue": lambda: [*enqueue.measure(rounds, say, sizes.load), *api_processes.measure(rounds, say, sizes.load)],
        "counts": lambda: counts.measure(say),
        "starts": lambda: starts.measure(rounds, say, peers, sizes.starts),
        "dispatch": lambda: dispatch.measure(rounds, say, peers, sizes.jobs),
        "endurance": lambda: endurance.measure(say, sizes.lasting),
        "stores": lambda: stores.measure(rounds, say, sizes.stored),
        "timed": lambda: timed.measure(rounds, say, sizes.queue),
        "hosts": lambda: hosts.measure(rounds, say, sizes.many),
        "price": lambda: price.measure(engine, rounds, say, sizes.priced),
        "mixes": lambda: mixes.measure(rounds, say, sizes.mixed, sizes.log),
        "lists": lambda: lists.measure(rounds, say, sizes.listed),
        "transfer": lambda: transfer.measure(rounds, say, sizes.listed.jobs),
        "followers": lambda: followers.measure(rounds, say),
        "logs": lambda: logs.measure(engine, rounds, say, sizes.log),
        "writes": lambda: writes.measure(engine, rounds, say),
        "containers": lambda: [*containers.measure(engine, rounds, say), *several_engines.measure(rounds, say)],
        "labels": lambda: labels.measure(engine, rounds, say, sizes.labelled),
        "responsiveness": lambda: responsiveness.measure(engine, rounds, say, lines=sizes.lines),
    }


if __name__ == "__main__":
    main()
