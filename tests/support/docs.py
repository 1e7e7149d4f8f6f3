"""The pages in Markdown, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples/README.md"]
CODE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[str]:
    """Each command of a page, with all of its lines: one goes on while a quote is open or a line ends in a backslash."""
    return commands_in(page.read_text("utf-8"))


def commands_in(text: str) -> Iterator[str]:
    """Each command of a text."""
    for block in blocks(text, "console"):
        yield from _commands(block.splitlines())


def section(page: Path, heading: str) -> str:
    """What stands below a heading of the third level, up to the next heading of that level or a higher one."""
    _, _, rest = page.read_text("utf-8").partition(f"\n### {heading}\n")
    assert rest, f"{page.name} has no heading {heading}"
    return re.split(r"^#{1,3} (?=[A-Z])", rest, maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code in this language."""
    return [code for found, code in CODE.findall(text) if found == language]


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
