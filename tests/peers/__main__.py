"""``python -m tests.peers [NAME ...]``: strikes schedulers and prints what became of their due times; ``--page`` writes the table."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.report import write_page
from tests.peers.faults import FAULTS, Counts, Kind, run
from tests.peers.kinds import PEERS_OF, Fastlane
from tests.support.swarms import Swarms

PAGE = Path(__file__).parents[2] / "docs/proof.md"
FASTLANE = "fastlane"
Results = Mapping[str, Mapping[str, Counts | str]]


def main() -> int:
    """Strikes each scheduler with each fault, several at once."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=(__doc__ or "").strip())
    parser.add_argument("names", nargs="*", help=f"{FASTLANE}, {', '.join(PEERS_OF)}; all without any")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only this fault")
    parser.add_argument("--at-once", type=int, default=16, help="how many schedulers run side by side")
    parser.add_argument("--page", action="store_true", help="write the table to docs/proof.md")
    given = parser.parse_args()
    faults = given.fault or list(FAULTS)
    with ExitStack() as stack, ThreadPoolExecutor(given.at_once) as pool:
        makers: dict[str, Callable[[], Kind]] = {name: PEERS_OF[name] for name in given.names or PEERS_OF if name != FASTLANE}
        if FASTLANE in given.names or not given.names:
            swarms = stack.enter_context(Swarms("separate"))
            makers = {FASTLANE: lambda: Fastlane(swarms), **makers}
        under_way = {(name, fault): pool.submit(_one, make, fault) for fault in faults for name, make in makers.items()}
        results = {make().name: {fault: under_way[name, fault].result() for fault in faults} for name, make in makers.items()}
        kinds = [make() for make in makers.values()]
    table = as_table(results)
    _say(table)
    if given.page:
        configurations = "".join(f"- {kind.name}: {kind.configuration}.\n" for kind in kinds)
        write_page(
            PAGE, "make proof-peers", f"{datetime.now(UTC):%Y-%m-%d}. Each cell: lost / doubled / unexplained.\n\n{table}\n{configurations}"
        )
    return 0


def _one(make: Callable[[], Kind], fault: str) -> Counts | str:
    kind = make()
    try:
        counts = run(kind, fault)
    except (AssertionError, OSError, psutil.Error, subprocess.SubprocessError) as error:
        _say(f"{kind.name}, {fault}: {error!r}")
        return "failed"
    _say(f"{kind.name}, {fault}: {counts}")
    return counts


def as_table(results: Results) -> str:
    """The counts as a Markdown table: a row for each fault, a column for each scheduler."""
    faults = next(iter(results.values()))
    lines = [f"| fault | due times | {' | '.join(results)} |", "| --- | --- |" + " --- |" * len(results)]
    for fault in faults:
        cells = [results[name][fault] for name in results]
        due = next((str(cell.due) for cell in cells if isinstance(cell, Counts)), "")
        shown = [f"{cell.lost} / {cell.doubled} / {cell.unexplained}" if isinstance(cell, Counts) else cell for cell in cells]
        lines.append(f"| {fault} | {due} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
