"""The other job queues of a run: the environment of each, and its processes. A queue that is not installed is reported, and is None."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT, child
from benchmarks.witness import VARIABLE

NAMES = ("huey", "celery", "rq", "arq", "dramatiq")
DISTRIBUTIONS = {"airflow": "apache-airflow"}
"""What a peer's package is called where that isn't its module's name."""
FOLDER = ROOT / ".venv-peers"
DEADLINE = 300.0
"""Seconds that any one client may take."""


@dataclass(frozen=True, slots=True)
class Other:
    """A peer that is installed: its name, its version, and its Python."""

    name: str
    version: str
    python: Path

    @contextmanager
    def working(self, socket: Path, witness: Path) -> Iterator[int]:
        """Runs one of its workers; yields its process id."""
        words = (self.name, str(socket), "work")
        with child("peers", *words, env={VARIABLE: str(witness)}, python=self.python) as process:
            yield process.pid

    def client(self, socket: Path, *words: object) -> str:
        """Runs one of its clients to the end and returns its output (see ``benchmarks.peers``)."""
        command = [str(self.python), "-m", "benchmarks.peers", self.name, str(socket), *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
        if done.returncode:
            raise RuntimeError(f"a client of {self.name} failed: {done.stderr[-2000:]}")
        return done.stdout


def version_of(name: str, folder: Path = FOLDER) -> str:
    """The version of the peer in its environment. Raises OSError or SubprocessError where it cannot be imported."""
    program = f"import {name}, importlib.metadata as m; print(m.version({DISTRIBUTIONS.get(name, name)!r}))"
    asked = [str(folder / name / "bin/python"), "-c", program]
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=DEADLINE).stdout.strip()


def find(name: str, folder: Path, say: Callable[[str], None]) -> Other | None:
    """The peer of that name in the environments of ``folder``. Reports a missing one, and returns None."""
    try:
        return Other(name, version_of(name, folder), folder / name / "bin/python")
    except (OSError, subprocess.SubprocessError):
        say(f"{name} is not installed: skipping it")
        return None
