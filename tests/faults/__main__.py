"""``python -m tests.faults``: runs the tests nearest to a fault against it, for each of many faults, and writes down which test finds it.

- ``measure``: finds out which test calls which function (nearest.py).
- ``all``: tries each fault of ``planted.toml`` and ``--number`` generated ones, and writes ``results.json``. ``--only`` takes those whose
  id or file contains a text, ``--status`` those that had this result.
- ``sample``: for a few minutes, tries faults that a test found, or whose row in ``planted.toml`` names one, against that test, in an order
  that the seed decides: by default the commit. It fails when one survives, and when a fault of ``planted.toml`` no longer fits the code.
- ``show ID``: prints the change that a fault makes.

A survivor needs a test at the level nearest to the user, simpler code in which the fault cannot be made, or a line in
``equivalent.toml`` that says why nobody could notice it.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tests.faults import nearest
from tests.faults.mutants import ROOT, Fault, Gone, chosen, equivalent, folder_of, generated, lot, planted
from tests.faults.nearest import Nearest, exists
from tests.faults.trial import Trial, Verdict

RESULTS = Path(__file__).with_name("results.json")
NICENESS = 15
SAMPLE_SECONDS = 240
ORDER = ("survived", "unfinished", "error", "killed", "equivalent")


@dataclass(frozen=True)
class Row:
    """A line of the results. ``killer``: the first test that failed."""

    id: str
    file: str
    meaning: str
    status: str
    killer: str
    seconds: float


def read_rows() -> dict[str, Row]:
    """The results that are stored, by id."""
    if not RESULTS.exists():
        return {}
    return {row["id"]: Row(**row) for row in json.loads(RESULTS.read_text("utf-8"))["faults"]}


def write_rows(rows: Iterable[Row], seed: str) -> None:
    """Stores results: a head that counts them, then a line each, the survivors first."""
    reasons = equivalent()
    ordered = sorted(rows, key=lambda row: (ORDER.index("equivalent" if row.id in reasons else row.status), row.file, row.id))
    folders: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in ordered:
        folders[folder_of(row.file)]["equivalent" if row.id in reasons else row.status] += 1
    total = sum(folders.values(), Counter())
    counts = {name: dict(sorted(folders[name].items())) for name in sorted(folders)}
    head = {"seed": seed, "commit": git("rev-parse", "--short", "HEAD"), "total": dict(sorted(total.items())), "folders": counts}
    lines = ",\n".join(f"  {json.dumps(asdict(row), ensure_ascii=False)}" for row in ordered)
    head_text = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items())
    RESULTS.write_text(f'{{\n{head_text},\n "faults": [\n{lines}\n ]\n}}\n', "utf-8")


def git(*arguments: str) -> str:
    """What a command of git prints."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()


def say(text: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# ---- running

Work = tuple[Fault, list[list[str]]]
_TRIALS: list[Trial] = []
"""The copy of this process."""


def _begin(trials: "multiprocessing.SimpleQueue[Trial]") -> None:
    os.nice(max(0, NICENESS - os.nice(0)))
    trial = trials.get()
    trial.prepare()
    _TRIALS.append(trial)


def _try(work: Work) -> Verdict:
    return _TRIALS[0].run(*work)


def run(works: Sequence[Work], processes: int, seconds: float | None) -> Iterable[tuple[Fault, Verdict]]:
    """Tries the faults side by side, until all are done or that time is over, even amid one."""
    deadline = None if seconds is None else time.monotonic() + seconds
    faults = {fault.id: fault for fault, _ in works}
    context = multiprocessing.get_context("fork")
    trials: multiprocessing.SimpleQueue[Trial] = context.SimpleQueue()
    with ExitStack() as stack:
        for _ in range(processes):
            trials.put(stack.enter_context(Trial()))
        pool = stack.enter_context(context.Pool(processes, _begin, (trials,)))
        verdicts = pool.imap_unordered(_try, works)
        for number in range(1, len(works) + 1):
            try:
                verdict = verdicts.next(None if deadline is None else deadline - time.monotonic())
            except multiprocessing.TimeoutError:
                return
            say(f"{number}/{len(works)} {verdict.status:9} {verdict.seconds:6.1f} s  {verdict.id}  {verdict.killer}")
            yield faults[verdict.id], verdict
        pool.close()
        pool.join()


def row_of(fault: Fault, verdict: Verdict) -> Row:
    """The line for a result."""
    return Row(fault.id, fault.file, fault.meaning, verdict.status, verdict.killer, verdict.seconds)


def find_planted() -> tuple[list[Fault], list[Gone]]:
    """The faults by hand, and those whose text is gone."""
    found = list(planted())
    return [one for one in found if isinstance(one, Fault)], [one for one in found if isinstance(one, Gone)]


def run_all(options: argparse.Namespace) -> int:
    """Tries all faults, or some; stores what became of them."""
    seed, status = options.seed or "1", options.status
    by_hand, gone = find_planted()
    tests, rows = Nearest(), read_rows()
    faults = [*by_hand, *chosen(options.number, seed)]
    known = {fault.id for fault in faults}
    if not options.only and status is None:
        rows = {id: row for id, row in rows.items() if id in known}
    faults = [fault for fault in faults if not options.only or any(only in fault.id or only in fault.file for only in options.only)]
    faults = [fault for fault in faults if status is None or (rows[fault.id].status if fault.id in rows else "new") == status]
    works = [(fault, stages(fault, tests)) for fault in sorted(faults, key=lambda fault: lot(seed, fault.id))]
    for count, (fault, verdict) in enumerate(run(works, options.processes, options.seconds)):
        rows[fault.id] = row_of(fault, verdict)
        if count % 10 == 0:
            write_rows(rows.values(), seed)
    write_rows(rows.values(), seed)
    return report(gone, [row for row in rows.values() if row.status in ("survived", "unfinished", "error")])


def sample(options: argparse.Namespace) -> int:
    """Tries faults that a test has found, against that test and then the nearest. A fault whose tests take too long together, as on a busy
    machine, has not survived."""
    seed = options.seed or git("rev-parse", "HEAD")
    say(f"the seed is {seed}")
    by_hand, gone = find_planted()
    tests, rows = Nearest(), read_rows()
    killed = [row for row in rows.values() if row.status == "killed" and row.killer.startswith("tests/")]
    # Those of the pages take a build and a browser each. One that is found slowly would take the place of many.
    killed = [row for row in killed if not row.file.startswith("static/") and row.seconds <= SAMPLE_SECONDS / 4]
    there = {fault.id: fault for fault in by_hand}
    for file in {row.file for row in killed if (ROOT / row.file).exists()}:
        there |= {fault.id: fault for fault in generated(file)}
    finders = {row.id: row.killer for row in killed if row.id in there} | {fault.id: fault.test for fault in by_hand if fault.test}
    works = [(there[id], stages(there[id], tests, finders[id])) for id in sorted(finders, key=lambda id: lot(seed, id))]
    survivors, tried = [], 0
    for fault, verdict in run(works, options.processes, options.seconds or SAMPLE_SECONDS):
        tried += 1
        if verdict.status in ("survived", "error"):
            survivors.append(row_of(fault, verdict))
    say(f"{tried} of {len(works)} faults tried")
    return report(gone, survivors)


def stages(fault: Fault, tests: Nearest, finder: str = "") -> list[list[str]]:
    """The tests to run against a fault, stage by stage: first the one that is known to find it."""
    first = fault.test or finder
    return [*([[first]] if first and exists(first) else []), *tests.of(fault)]


def report(gone: Sequence[Gone], survivors: Sequence[Row]) -> int:
    """Says what needs work; 1 if anything does."""
    reasons = equivalent()
    survivors = [row for row in survivors if row.id not in reasons]
    for one in gone:
        say(f"planted.toml: {one.id}: its text stands {one.times} times in {one.file}; write it anew, or take it out")
    for row in survivors:
        say(f"{row.status}: {row.id}\n    {row.meaning}")
    return 1 if gone or survivors else 0


def main(arguments: Sequence[str]) -> int:
    """Runs a command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=("measure", "all", "sample", "show"))
    parser.add_argument("id", nargs="?")
    parser.add_argument("--number", type=int, default=600, help="of generated faults")
    parser.add_argument("--seed", help="decides which are generated, and the order")
    parser.add_argument("--only", action="append", help="a text in the id or the file; may be repeated")
    parser.add_argument("--status", help="only those that had this result, or `new`")
    parser.add_argument("--seconds", type=float, help="how long to try faults")
    parser.add_argument("--processes", type=int, default=2)
    parsed = parser.parse_args(arguments)
    if parsed.command == "measure":
        nearest.measure()
        return 0
    if parsed.command == "show":
        return show(parsed.id)
    if parsed.command == "sample":
        return sample(parsed)
    return run_all(parsed)


def show(id: str) -> int:
    """Prints a fault as a change of its file."""
    import difflib

    file = read_rows()[id].file if id in read_rows() else id.partition(":")[0]
    candidates = [*find_planted()[0], *(generated(file) if (ROOT / file).exists() else [])]
    for fault in islice((fault for fault in candidates if fault.id == id), 1):
        right = (ROOT / fault.file).read_bytes()
        lines = (right.decode().splitlines(), fault.text(right).decode().splitlines())
        say("\n".join(difflib.unified_diff(*lines, fault.file, fault.meaning, lineterm="")))
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
