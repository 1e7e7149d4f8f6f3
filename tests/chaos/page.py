"""docs/proof.md: its tables of runs and of planted faults, which the command writes."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.checker import KINDS, Verdict

PAGE = Path(__file__).parents[2] / "docs" / "proof.md"
PLANTED = Path(__file__).with_name("planted.toml")
RUNS = ("seed", "minutes", "store", "version", "jobs", "executions", "due times", "faults", *KINDS, "apart")
FAULTS = ("fault of the program", "in a run of", "noticed as")


@dataclass(frozen=True)
class Row:
    """A run, as its row of the page begins."""

    seed: int
    minutes: float
    store: str
    version: str

    def __str__(self) -> str:
        return f"| {self.seed} | {self.minutes:g} | {self.store} | {self.version} |"


def publish(run: Row, verdict: Verdict) -> None:
    """Adds a run to the page, in place of an earlier one of the same version."""
    figures = (verdict.jobs, verdict.executions, verdict.due_times, verdict.faults.total(), *verdict.counts.values())
    _write(RUNS, str(run), f"{run} {' | '.join(map(str, (*figures, sum(map(len, verdict.apart.values())))))} |")


def publish_planted(id: str, run: str, verdict: Verdict) -> None:
    """Writes down whether a planted fault was noticed in a run."""
    noticed = ", ".join(f"{count} {kind}" for kind, count in verdict.counts.items() if count) or "not noticed"
    begin = f"| `{id}`: {meanings()[id]} |"
    _write(FAULTS, begin, f"{begin} {run} | {noticed} |")


def meanings() -> Mapping[str, str]:
    """What goes wrong by each planted fault."""
    return {row["id"]: row["meaning"] for row in tomllib.loads(PLANTED.read_text("utf-8"))["fault"]}


def _write(head: tuple[str, ...], begin: str, row: str) -> None:
    """Writes a row into the table with this head, in place of one that begins alike."""
    lines = [line for line in PAGE.read_text().splitlines() if not line.startswith(begin)]
    at = lines.index(f"| {' | '.join(head)} |") + 2
    while lines[at : at + 1] and lines[at].startswith("| "):
        at += 1
    lines.insert(at, row)
    PAGE.write_text("\n".join(lines) + "\n")
