"""``python -m tests.chaos SEED MINUTES``: runs jobs amid faults that the seed decides, and judges what became of them."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.checker import Verdict, judge
from tests.chaos.run import run

PAGE = Path(__file__).parents[2] / "docs" / "proof.md"


def say(text: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Makes a run. Returns 1 when something was lost, doubled or unexplained."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").strip())
    parser.add_argument("seed", type=int)
    parser.add_argument("minutes", type=float)
    given = parser.parse_args()
    kept = Path(tempfile.mkdtemp(prefix="chaos-"))
    say(f"the record goes to {kept}")
    rows, witness = run(given.seed, given.minutes * 60, kept, say)
    verdict = judge(rows, witness)
    for finding in verdict.findings:
        say(f"{finding.kind}: {finding.text}")
    counts = {kind: sum(finding.kind == kind for finding in verdict.findings) for kind in ("lost", "twice", "log", "unexplained", "left")}
    say(json.dumps({"seed": given.seed, "jobs": verdict.jobs, "executions": verdict.executions, "due times": verdict.due_times, **counts}))
    say(f"faults: {dict(verdict.faults)}")
    for kind, cases in verdict.apart.items():
        say(f"apart: {kind}: {len(cases)}")
    publish(given.seed, given.minutes, verdict, counts)
    return 1 if verdict.findings else 0


def publish(seed: int, minutes: float, verdict: Verdict, counts: Mapping[str, int]) -> None:
    """Adds a run to the page's table, in place of an earlier one of the same version."""
    version = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PAGE.parent, capture_output=True, text=True, check=True)
    begin = f"| {seed} | {minutes:g} | {version.stdout.strip()} |"
    figures = (verdict.jobs, verdict.executions, verdict.due_times, verdict.faults.total(), *counts.values())
    apart = sum(map(len, verdict.apart.values()))
    lines = [line for line in PAGE.read_text().splitlines() if not line.startswith(begin)]
    last = max(number for number, line in enumerate(lines[: lines.index("## What runs")]) if line.startswith("| "))
    lines.insert(last + 1, f"{begin} {' | '.join(map(str, (*figures, apart)))} |")
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
