"""Which tests are nearest to a function: those that call it and little else come first.

``measure`` finds out what each test calls and keeps it in ``.faults/``, which git ignores: about half an hour on 2 cores. Without it,
the nearest tests are those that mirror the file's path, and then suites by its folder.
"""

import ast
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Set
from functools import cache
from pathlib import Path

from tests.faults.mutants import ROOT, Fault, folder_of

REACH = ROOT / ".faults"
SUITES = ("unit", "http", "adapters", "client", "contract", "behaviour")
SLOWEST = 12.0
"""Seconds; a test that takes longer is not run against single faults."""
STAGE = (20, 40)
"""Tests of each stage: first the nearest of ``tests/unit``, then the nearest of the other suites."""
STAGE_SECONDS = 60.0
"""What the tests of a stage may take together, by what they took when they were measured."""

BY_FOLDER = {
    "queue scripts": ("tests/contract/test_queue*.py", "tests/adapters/redis", "tests/unit/queue"),
    "queue": ("tests/unit/queue", "tests/contract/test_queue*.py", "tests/adapters/redis"),
    "storage/mongo": ("tests/unit/storage/mongo", "tests/contract/test_store*.py", "tests/adapters/mongo"),
    "storage/sqlite": ("tests/unit/storage/sqlite", "tests/contract/test_store*.py", "tests/adapters/sqlite"),
    "storage/transfer": ("tests/behaviour/transfer", "tests/contract/test_store_transfer*.py"),
    "storage": ("tests/unit/storage", "tests/contract/test_store*.py"),
    "models": ("tests/unit/models", "tests/behaviour/schedule", "tests/behaviour/jobs", "tests/behaviour/retry"),
    "services": ("tests/unit/services", "tests/behaviour/jobs", "tests/behaviour/schedule", "tests/behaviour/stop", "tests/behaviour/why"),
    "scheduler": ("tests/unit/scheduler", "tests/behaviour/repair", "tests/behaviour/workers", "tests/behaviour/hosts"),
    "executors": ("tests/unit/executors", "tests/adapters/swarm"),
    "web": ("tests/unit/web", "tests/http", "tests/behaviour/jobs"),
    "streams": ("tests/unit/streams", "tests/behaviour/logs"),
    "client": ("tests/unit/client", "tests/client"),
    "cli": ("tests/unit/cli", "tests/client"),
}
UNSEEN = {
    "fastlane/cli/client/": ("tests/client/test_commands.py", "tests/client/test_contexts.py", "tests/client/test_apply.py"),
    "fastlane/cli/": ("tests/unit/cli", "tests/behaviour/transfer/test_commands.py"),
    "fastlane/process.py": ("tests/behaviour/workers/test_processes.py",),
    "fastlane/web/streaming/": ("tests/behaviour/logs",),
}
"""Tests of what runs in a process of its own, where nobody sees what they call, and of what another folder's tests show."""
PAGES = {
    "console/form/": "console_form",
    "console/(actions|perform|taskactions|runform)": "console_actions",
    "console/(job|runform|changes|history|whole|notifications|times)": "console_job",
    "console/(lists|filters|tasks|marks|times)": "console_lists",
    "console/(hosts|pools)": "console_hosts",
    "console/(execution|tail)": "console_execution",
    "console/(session|live|morph)": "console_tabs",
    "console|api|dom|tabs": "console*",
    "log/(search|pattern)": "log_page_search",
    "log/(lines|row|colours|list)": "log_page_lines",
    "log/(colours|lines|row)": "log_page_text",
    "log/(list|pattern|permalink|urls)": "log_page_reading",
    "log/(selection|permalink)|clipboard": "log_page_copying",
    "(stream|log/(link|connection|notices))": "log_page_connection",
    "log/(executions|jobevents|plan)": "log_page_attempts",
    "log/(actions|tools|about)": "log_page_actions",
    "words|outcome": "log_page_words",
    "log/|stream|words|outcome": "log_page*",
    "login": "login",
    "docs": "docs_examples",
    "": "pages",
}
"""The tests of each page's code: what a file's path below ``static/src`` begins with, and the files in ``tests/browser``."""


def measure() -> None:
    """Runs the suites once, one after the other, and writes what each test calls."""
    REACH.mkdir(exist_ok=True)
    for suite in SUITES:
        command = (sys.executable, "-m", "pytest", "-q", "-p", "tests.faults.reach", "--reach", str(REACH / f"{suite}.jsonl"))
        subprocess.run([*command, "-m", "not thorough and not model", "--timeout", "300", f"tests/{suite}"], cwd=ROOT, check=False)


def exists(test: str) -> bool:
    """Whether a test, by its node id without parameters, is there."""
    file, _, name = test.partition("::")
    return name.rpartition("::")[2] in _functions_in(file)


@cache
def _functions_in(file: str) -> frozenset[str]:
    found = ast.walk(ast.parse((ROOT / file).read_text("utf-8"))) if (ROOT / file).exists() else ()
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


class Nearest:
    """The tests for each fault."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._breadth: dict[str, int] = defaultdict(int)
        self._tests: dict[str, set[str]] = defaultdict(set)
        self._modules: dict[str, set[str]] = defaultdict(set)
        self._of_file: Counter[tuple[str, str]] = Counter()
        self._measured = {file.stem for file in REACH.glob("*.jsonl")}
        for file in sorted(REACH.glob("*.jsonl")):
            for line in file.read_text("utf-8").splitlines():
                test, seconds, called = json.loads(line)
                if exists(test):  # it may have gone since
                    self._read(test, seconds, called)

    def _read(self, test: str, seconds: float, called: Sequence[str]) -> None:
        self._seconds[test] += seconds
        self._breadth[test] = max(self._breadth[test], len(called))
        for function in called:
            self._tests[function].add(test)
            self._modules[function.partition("::")[0]].add(test)
            self._of_file[test, function.partition("::")[0]] += 1

    def of(self, fault: Fault) -> list[list[str]]:
        """The stages of tests to run against a fault: pytest's arguments for each."""
        if fault.file.startswith("static/"):
            file = fault.file.removeprefix("static/src/")
            return [[f"tests/browser/test_{tests}.py"] for pattern, tests in PAGES.items() if re.match(pattern, file)]
        tests = self._tests.get(f"{fault.file}::{fault.place}") or self._modules.get(fault.file)
        if not tests:
            return [[path] for path in self._by_path(fault)]
        measured = self._ranked(tests, fault.file)
        unit = [test for test in measured if test.startswith("tests/unit/")]
        others = [test for test in measured if not test.startswith("tests/unit/")]
        further = [[path] for path in self._unmeasured(fault)]
        further += [list(paths) for folder, paths in UNSEEN.items() if fault.file.startswith(folder)]
        return [stage for stage in (list(self._within(unit, STAGE[0])), list(self._within(others, STAGE[1])), *further) if stage]

    def _ranked(self, tests: Set[str], file: str) -> list[str]:
        """The quick ones of these tests: in turn one of those that call little, and one of those that call most of the file."""
        quick = [test for test in tests if self._seconds[test] <= SLOWEST]
        by_breadth = sorted(quick, key=lambda test: (self._breadth[test], test))
        by_file = sorted(quick, key=lambda test: (-self._of_file[test, file], self._breadth[test], test))
        return list(dict.fromkeys(test for pair in zip(by_file, by_breadth, strict=True) for test in pair))

    def _within(self, tests: Sequence[str], most: int) -> Iterator[str]:
        left = STAGE_SECONDS
        for test in tests[:most]:
            left -= self._seconds[test]
            if left < 0:
                return
            yield test

    def _unmeasured(self, fault: Fault) -> Iterator[str]:
        """The files of the suites that nobody has measured, by the fault's folder."""
        for path in BY_FOLDER.get(folder_of(fault.file), ()):
            if path.split("/")[1] not in self._measured:
                yield from sorted(str(file.relative_to(ROOT)) for file in (ROOT / path).glob("test_*.py"))

    def _by_path(self, fault: Fault) -> Iterator[str]:
        module = Path(fault.file)
        mirrored = Path("tests/unit", *module.parts[1:-1], f"test_{module.name}")
        if (ROOT / mirrored).exists():
            yield str(mirrored)
        folder = folder_of(fault.file)
        of_folder = f"tests/unit/{folder}"
        yield from BY_FOLDER.get(folder, (of_folder if (ROOT / of_folder).exists() else "tests/unit/test_app.py",))
