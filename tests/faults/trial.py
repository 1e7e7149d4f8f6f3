"""Runs tests against faults, each in a copy of this checkout: the checkout itself is never changed.

A process for each copy imports what tests import from elsewhere, and then forks once a fault and stage: the child has only fastlane and
the tests to import. Compiled files are compared by their content, since two faults of one file can be of one second.
"""

import ctypes
import glob
import importlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastlane.die_with_parent import PR_SET_PDEATHSIG
from tests.faults.mutants import ROOT, Fault

LONGEST = 150
"""Seconds that a stage may take."""
LONGEST_IN_BROWSER = 600
MOST_BY_CHANCE = 6
"""Twice the tests that may fail by chance in a stage."""
IMPORTED = (
    *(
        "hypothesis",
        "tornado.web",
        "tornado.websocket",
        "docker",
        "aiohttp",
        "motor.motor_asyncio",
        "redis.asyncio",
        "marshmallow",
        "apispec",
    ),
    *(
        "prometheus_client",
        "click",
        "structlog",
        "orjson",
        "httpx",
        "yaml",
        "uvloop",
        "jsonschema",
        "environs",
    ),
    "croniter",
)
READ_AGAIN = ("fastlane/web/", "fastlane/client/", "fastlane/models/")
"""From these the client is generated anew; the tests do that when a file is newer."""
LINKED = (".venv-test", ".venv-mongo", ".venv-swift", "static/node_modules")
BUILT = "fastlane/static"
MADE = (
    *("fastlane/client/contract.py", "fastlane/client/synchronous"),
    *(f"{BUILT}/assets", f"{BUILT}/pages", f"{BUILT}/.stamp"),
)
"""What git does not know, and tests need."""
OPTIONS = ("-x", "-q", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider", "--timeout", "90", "--tb", "no")


@dataclass(frozen=True)
class Verdict:
    """What became of a fault: ``killed`` by a test, ``survived``, ``unfinished`` (the tests took too long together),
    ``error`` (no test could be run)."""

    id: str
    status: str
    killer: str
    seconds: float


class Trial:
    """A copy of the checkout, in which faults are tried one after the other. A context manager."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="flf", dir="/tmp"))
        self._builds = False

    def __enter__(self) -> "Trial":
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout.decode()
        for name in filter(None, listed.split("\0")):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.folder / name, follow_symlinks=False)
        for name in MADE:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.folder / name, dirs_exist_ok=True)
            elif (ROOT / name).exists():
                shutil.copy2(ROOT / name, self.folder / name)
        for name in LINKED:
            (self.folder / name).symlink_to(ROOT / name)
        compiled = (sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "fastlane")
        subprocess.run(compiled, cwd=self.folder, check=True)
        return self

    def prepare(self) -> None:
        """Imports what tests need, in the process that is to fork."""
        for name in IMPORTED:
            importlib.import_module(name)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, fault: Fault | None, stages: Sequence[Sequence[str]]) -> Verdict:
        """Tries a fault; None: nothing is changed, and all tests should pass."""
        began = time.monotonic()
        if fault is None:
            return self._stages("none", stages, began, mongo=True)
        is_of_pages = fault.file.startswith("static/")
        if is_of_pages and not self._builds:
            assert self._build(), "the pages cannot be built without a fault either"
            self._builds = True
        file = self.folder / fault.file
        right, found = file.read_bytes(), file.stat()
        try:
            file.write_bytes(fault.text(right))
            if not fault.file.startswith(READ_AGAIN):
                os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
            if is_of_pages and not self._build():
                return Verdict(fault.id, "killed", "the build of the pages", round(time.monotonic() - began, 1))
            return self._stages(fault.id, stages, began, mongo="storage/mongo" in fault.file)
        finally:
            file.write_bytes(right)
            if is_of_pages:
                self._use_pages(ROOT / BUILT)
            if not fault.file.startswith(READ_AGAIN):
                os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))

    def _stages(self, id: str, stages: Sequence[Sequence[str]], began: float, *, mongo: bool) -> Verdict:
        status, killer = "error", ""
        for stage in stages:
            arguments = [path for pattern in stage for path in self._found(pattern)]
            found, killer = self._stage(arguments, "" if mongo else " and not mongo")
            status = found if found != "error" else status
            if status not in ("survived", "error"):
                break
        return Verdict(id, status, killer, round(time.monotonic() - began, 1))

    def _stage(self, arguments: list[str], marked: str) -> tuple[str, str]:
        """Runs tests; what became of the fault, and the test that failed. It has to fail twice: on a busy machine, some fail by chance."""
        by_chance: list[str] = []
        while len(by_chance) < MOST_BY_CHANCE:
            code, output = self._pytest([*arguments, *by_chance], marked)
            if code is None:  # no test hangs: pytest's own deadline is shorter
                return "unfinished", ""
            if code == pytest.ExitCode.OK:
                return "survived", ""
            found = re.search(r"^(?:FAILED|ERROR) (tests/[^\s\[]+)", output, re.MULTILINE)
            if found is None:
                is_absent = code == pytest.ExitCode.NO_TESTS_COLLECTED or "not found:" in output
                return ("error", "") if is_absent else ("killed", "import")
            if code == pytest.ExitCode.INTERRUPTED or self._pytest([found[1]], marked)[0] != pytest.ExitCode.OK:
                return "killed", found[1]
            by_chance += ["--deselect", found[1]]
        return "unfinished", ""

    def _found(self, pattern: str) -> list[str]:
        return sorted(glob.glob(pattern, root_dir=self.folder)) if "*" in pattern else [pattern]

    def _pytest(self, arguments: Sequence[str], marked: str) -> tuple[int | None, str]:
        """Runs pytest in a child; its code, None after too long a time, and its output."""
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            pid = os.fork()
            if pid == 0:
                self._child(output.fileno(), arguments, marked)
            code = _wait(pid, LONGEST_IN_BROWSER if any("tests/browser/" in one for one in arguments) else LONGEST)
            output.seek(0)
            return code, output.read()

    def _child(self, output: int, arguments: Sequence[str], marked: str) -> None:
        try:
            os.setsid()
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(self.folder)
            os.environ["PYTHONPATH"] = str(self.folder)
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "fastlane", "builder")]:
                del sys.modules[name]
            sys.path[:] = [str(self.folder), *(path for path in sys.path if path not in ("", str(ROOT)))]
            sys.dont_write_bytecode = False
            code = pytest.main([*OPTIONS, "-m", f"not thorough and not model{marked}", *arguments])
            sys.stdout.flush()
            os._exit(code)
        except BaseException:  # noqa: BLE001 - this process is a copy, and ends here
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(99)

    def _build(self) -> bool:
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            for command in (["node_modules/.bin/tsc"], ["node", "build.js", made]):
                if subprocess.run(command, cwd=self.folder / "static", capture_output=True, timeout=600, check=False).returncode != 0:
                    return False
            self._use_pages(Path(made))
        return True

    def _use_pages(self, built: Path) -> None:
        for name in ("assets", "pages"):
            shutil.rmtree(self.folder / BUILT / name)
            shutil.copytree(built / name, self.folder / BUILT / name)


def _wait(pid: int, seconds: float) -> int | None:
    """The exit code of a child, None after too long a time, and the end of all of its processes."""
    with selectors.DefaultSelector() as selector:
        handle = os.pidfd_open(pid)
        selector.register(handle, selectors.EVENT_READ)
        ended = bool(selector.select(seconds))
        os.close(handle)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if ended else None
