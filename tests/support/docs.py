"""The pages in Markdown, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[str]:
    """Each command of a page, with all of its lines: one goes on while a quote is open or a line ends in a backslash."""
    for language, text in CODE.findall(page.read_text("utf-8")):
        if language == "console":
            yield from _commands(text.splitlines())


def _commands(lines: list[str]) -> Iterator[str]:
    command = ""
    for line in lines:
        if command:
            command += f"\n{line}"
        elif line.startswith("$ "):
            command = line.removeprefix("$ ")
        if command and _is_complete(command):
            yield command
            command = ""
    assert not command, f"a quote of this command is never closed: {command}"


def _is_complete(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not command.endswith("\\")
