"""Measures what fastlane costs, each figure beside the bare thing, in alternating rounds on one machine: ``make bench``."""

import os
import shlex
from pathlib import Path

import click

from benchmarks import containers, dispatch, enqueue, report
from benchmarks.figures import Figure
from benchmarks.processes import ROOT

PARTS = ("enqueue", "dispatch", "containers")


@click.command()
@click.option("--engine", required=True, metavar="URL", help="A Docker engine in a swarm of one node, with the image ubuntu:latest.")
@click.option("--rounds", default=3, show_default=True, help="How many alternating rounds of each figure.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Measure this part only; may be repeated.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the result to this file too.")
@click.option("--page/--no-page", help="Write the figures into docs/performance.md.")
def main(engine: str, rounds: int, only: tuple[str, ...], json_file: Path | None, page: bool) -> None:
    """Measures, and prints the table."""
    parts = only or PARTS
    about = report.surroundings(engine)
    figures: list[Figure] = []
    for part in parts:
        click.echo(f"==> {part}")
        if part == "enqueue":
            figures += enqueue.measure(engine, rounds, click.echo)
        elif part == "dispatch":
            figures += dispatch.measure(rounds, click.echo)
        else:
            figures += containers.measure(engine, rounds, click.echo)
    command = os.environ.get("BENCH_COMMAND") or shlex.join(["python", "-m", "benchmarks", "--engine", engine, "--rounds", str(rounds)])
    text = report.as_markdown(figures, about, command)
    click.echo(text)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(report.as_json(figures, about, command))
    if page:
        report.write_page(ROOT / "docs" / "performance.md", text)


if __name__ == "__main__":
    main()
