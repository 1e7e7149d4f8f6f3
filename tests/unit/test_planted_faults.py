"""The faults that are planted by hand fit the code: each text is in its file once, and the test that finds it exists."""

import ast
import tomllib
from collections import Counter
from functools import cache

import pytest

from tests.faults.mutants import PLANTED, ROOT, Gone, planted

ROWS = tomllib.loads(PLANTED.read_text("utf-8"))["fault"]


def test_each_fault_has_an_id_of_its_own() -> None:
    assert [id for id, count in Counter(row["id"] for row in ROWS).items() if count > 1] == []


def test_the_text_of_each_fault_stands_once_in_its_file() -> None:
    gone = [f"{one.id}: {one.times} times in {one.file}" for one in planted() if isinstance(one, Gone)]
    assert gone == [], "write the same mistake for the code as it is now, or take the row out when it cannot be made"


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of a file's tests."""
    found = ast.walk(ast.parse((ROOT / file).read_text("utf-8")))
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", [row for row in ROWS if "test" in row], ids=lambda row: row["id"])
def test_the_test_that_finds_a_fault_exists(row: dict[str, str]) -> None:
    file, _, name = row["test"].partition("::")
    assert name in names_in(file)
