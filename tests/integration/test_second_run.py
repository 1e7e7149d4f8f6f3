"""``run_pytest`` of ``scripts/testing.sh``: what fails beside other tests runs once more, by itself."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
SECONDS = 120

TESTS = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range({count}))
def test_hurried(number):
    ran = pathlib.Path(f"ran-{{number}}")
    first = not ran.exists()
    ran.write_text("")
    assert not first or number >= {failing}, "too late"

def test_wrong():
    assert {right}
"""


def run(folder: Path, *, failing: int, right: bool = True, setting: str = "") -> subprocess.CompletedProcess[str]:
    """Runs five tests of which this many fail the first time, and one more."""
    (folder / ".venv-test").symlink_to(sys.prefix)
    (folder / "tests").mkdir()
    (folder / "test_some.py").write_text(TESTS.format(count=5, failing=failing, right=right))
    sources = " ".join(f". {shlex.quote(str(SCRIPTS / name))};" for name in ("lib.sh", "testing.sh"))
    script = f"set -euo pipefail; {sources} {setting} run_pytest some test_some.py"
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_a_few_tests_that_fail_beside_others_and_pass_by_themselves_are_named(tmp_path: Path) -> None:
    failing = 3
    done = run(tmp_path, failing=failing)
    assert done.returncode == 0, done.stdout
    named = [f"test_some.py::test_hurried[{number}]" for number in range(failing)]
    *_, last = done.stdout.split("==> Passed by themselves")
    assert sorted(word for word in last.split() if "::" in word) == named
    assert sorted(line.split("\t")[1] for line in (tmp_path / "tests/ran-again.tsv").read_text().splitlines()) == named
    assert "too late" in done.stdout, "the first failure is shown"
    assert f"{failing} passed" in done.stdout, "the others do not run again"


@pytest.mark.parametrize(("failing", "right", "setting"), [(4, True, ""), (1, False, ""), (1, True, "MOST_AGAIN=0;")])
def test_more_failures_and_those_that_stay_fail_the_run(tmp_path: Path, failing: int, right: bool, setting: str) -> None:
    done = run(tmp_path, failing=failing, right=right, setting=setting)
    assert done.returncode == 1, done.stdout
    assert "Passed by themselves" not in done.stdout
