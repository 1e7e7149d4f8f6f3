"""The processes that a figure is measured on: other modules of this folder, each started with ``python -m``."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 30.0


@contextlib.contextmanager
def child(module: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A module of this folder at work, from the moment when it has printed a first line, ``ready``, until the end of the block."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if line != "ready\n":
                raise RuntimeError(f"{module} did not start: {line!r}")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
