"""The server's advice, as the command line gives it: what to type next is never a request."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from fastlane.cli.client.wording import WORDS, in_commands
from tests.support.docs import ROOT

REQUEST = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE)\b|\?\w+=|/\w+/blacklist")
PLACES = ("services", "executors", "models/job.py", "models/job_change.py", "web/api/hosts.py", "web/api/values.py")
"""The server's modules with texts that reach a user of the command line."""


def texts(path: Path) -> Iterator[str]:
    """Each text of a module that is a sentence with a request in it, with X for values; no docstring, and no field's description."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    skipped |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    skipped |= {id(word.value) for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords if word.arg == "more"}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if " " in text and REQUEST.search(text):
            yield text


def test_what_to_do_next_is_a_command():
    """A new text of the server needs a row in ``WORDS``."""
    folders = [ROOT / "fastlane" / place for place in PLACES]
    files = [path for folder in folders for path in ([folder] if folder.suffix else folder.rglob("*.py"))]
    found = sorted({text for path in files for text in texts(path)})
    said = [in_commands(text.replace("POST X to", 'POST {"host": "h:2375"} to')) for text in found]
    assert [words for words in said if REQUEST.search(words)] == []
    assert len(found) > 10, "there are such texts"
    assert len(WORDS) > 10
