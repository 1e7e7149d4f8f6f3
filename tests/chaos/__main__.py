"""``python -m tests.chaos SEED MINUTES``: runs jobs amid faults that the seed decides, and judges what became of them."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.chaos.checker import Verdict, judge
from tests.chaos.page import Row, publish, publish_planted
from tests.chaos.run import STORES, Order, run
from tests.chaos.stores import have_own_mounts
from tests.faults.mutants import ROOT, Gone, planted

PLANTED = Path(__file__).with_name("planted.toml")


def say(text: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Makes a run. Returns 1 when something was lost, doubled or unexplained."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").strip())
    parser.add_argument("seed", type=int)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--store", choices=STORES, default=STORES[0])
    parser.add_argument("--plant", default="", metavar="ID", help="a fault of tests/chaos/planted.toml, which the program then has")
    given = parser.parse_args()
    have_own_mounts()
    kept = Path(tempfile.mkdtemp(prefix="chaos-"))
    say(f"the record goes to {kept}")
    version = version_of(ROOT)
    with tempfile.TemporaryDirectory(prefix="chaos-program-") as copy:
        program = program_with(given.plant, Path(copy))
        verdict, words = run_and_judge(Order(given.seed, given.minutes * 60, given.store, program), kept)
    if given.plant:
        publish_planted(given.plant, f"{given.seed}, {given.minutes:g} min, {words}", verdict)
        return 0 if verdict.findings else 1
    publish(Row(given.seed, given.minutes, words, version), verdict)
    return 1 if verdict.findings else 0


def run_and_judge(order: Order, folder: Path) -> tuple[Verdict, str]:
    """Makes a run and says what it came to. Returns that, and the store in words."""
    rows, witness, words = run(order, folder, say)
    verdict = judge(rows, witness)
    for finding in verdict.findings:
        say(f"{finding.kind}: {finding.text}")
    say(
        json.dumps(
            {"seed": order.seed, "jobs": verdict.jobs, "executions": verdict.executions, "due times": verdict.due_times} | verdict.counts
        )
    )
    say(f"faults: {dict(verdict.faults)}")
    for kind, cases in verdict.apart.items():
        say(f"apart: {kind}: {len(cases)}")
    return verdict, words


def version_of(checkout: Path) -> str:
    """The commit of the program that runs, and whether its files differ from it."""
    git = ("git", "-C", str(checkout))
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "fastlane", "tests"], check=False).returncode
    return f"{commit}, changed" if changed else commit


def program_with(id: str, folder: Path) -> Path:
    """The folder of a copy of the program, which stays as it is while the run takes; with the fault of this id, unless that is empty."""
    shutil.copytree(ROOT / "fastlane", folder / "fastlane", ignore=shutil.ignore_patterns("__pycache__"))
    if id:
        fault = next(fault for fault in planted(PLANTED) if fault.id == id)
        assert not isinstance(fault, Gone), f"the text of {id} is in {fault.file} {fault.times} times"
        changed = folder / fault.file
        changed.write_bytes(fault.text(changed.read_bytes()))
    return folder


if __name__ == "__main__":
    sys.exit(main())
