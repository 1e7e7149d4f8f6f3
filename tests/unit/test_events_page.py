"""docs/events.md and the code name the same events, with the same levels."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.texts

ROOT = Path(__file__).parents[2]
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
EVENT = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")
ROW = re.compile(r"^\| `([a-z_.]+)` \| ([a-z ]+) \| (.+) \|$", re.MULTILINE)
CHOSEN = {"job.enqueued": {"debug"}, "job.scheduled": {"debug"}}
"""Events whose names stand in a variable."""


def logged() -> Iterator[tuple[str, str]]:
    """Each event that the package logs, with a level."""
    for path in (ROOT / "fastlane").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and (levels := levels_of(node.func)):
                names = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
                yield from ((name, level) for name in names for level in levels if EVENT.fullmatch(name))


def levels_of(function: ast.expr) -> list[str]:
    """The levels at which a call of this function logs; none when it does not log."""
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in ("log", "logger"):
        return [LEVELS[function.attr]] if function.attr in LEVELS else []
    if isinstance(function, ast.IfExp):
        return levels_of(function.body) + levels_of(function.orelse)
    return ["either"] if isinstance(function, ast.Name) and function.id == "log_it" else []


def test_the_page_and_the_code_name_the_same_events_and_levels() -> None:
    found = {name: set(levels) for name, levels in CHOSEN.items()}
    for name, level in logged():
        found.setdefault(name, set()).add(level)
    listed = {name: level for name, level, _ in ROW.findall((ROOT / "docs" / "events.md").read_text("utf-8"))}
    assert found.keys() - listed.keys() == set(), "say in docs/events.md what they mean, and what to do"
    assert listed.keys() - found.keys() == set(), "nothing logs these"
    for name, levels in found.items():
        assert " or " in listed[name] if levels == {"either"} else levels <= set(listed[name].split(" or ")), (name, levels, listed[name])
