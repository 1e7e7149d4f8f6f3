"""The processes that a figure is measured on: other modules of this folder, each started with ``python -m``."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 30.0


@contextlib.contextmanager
def child(module: str, *words: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A module of this folder at work, from the moment when it has printed a first line, ``ready``, until the end of the block. What it
    writes to standard error is shown when it does not come to that."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    around = {**os.environ, **(env or {})}
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command, cwd=ROOT, env=around, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                said.seek(0)
                raise RuntimeError(f"{module} did not start: {said.read()[-2000:]}")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
