"""The faults that are planted by hand fit the code: each text is in its file once, and the test that finds it exists."""

import tomllib
from collections import Counter

import pytest

from tests.faults.mutants import PLANTED, Gone, planted
from tests.faults.nearest import exists

pytestmark = pytest.mark.texts

ROWS = tomllib.loads(PLANTED.read_text("utf-8"))["fault"]


def test_each_fault_has_an_id_of_its_own() -> None:
    assert [id for id, count in Counter(row["id"] for row in ROWS).items() if count > 1] == []


def test_the_text_of_each_fault_stands_once_in_its_file() -> None:
    gone = [f"{one.id}: {one.times} times in {one.file}" for one in planted() if isinstance(one, Gone)]
    assert gone == [], "write the same mistake for the code as it is now, or take the row out when it cannot be made"


@pytest.mark.parametrize("row", [row for row in ROWS if "test" in row], ids=lambda row: row["id"])
def test_the_test_that_finds_a_fault_exists(row: dict[str, str]) -> None:
    assert exists(row["test"])
