"""Formats code that is written by code, as ``ruff format`` has it."""

import subprocess
import sys
from pathlib import Path

FIRST_PARTY = 'lint.isort.known-first-party = ["fastlane"]'
"""Also where the module does not exist yet."""


def formatted(source: str, target: Path) -> str:
    """The source of the module that will stand at ``target``, with its imports sorted."""
    ruff = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(target), "-"]
    sorted_imports = _run([*ruff, "check", "--quiet", "--select", "I", "--config", FIRST_PARTY, "--fix", *name], source)
    return _run([*ruff, "format", "--quiet", *name], sorted_imports)


def _run(command: list[str], text: str) -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60).stdout
