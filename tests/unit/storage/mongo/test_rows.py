"""Documents that an older version of fastlane wrote."""

from fastlane.storage.mongo.rows import LATER, execution_row, read_execution
from tests.support.factories import new


def test_an_execution_without_the_fields_of_later_versions_is_read() -> None:
    _, _, execution = new()
    row = execution_row(execution, "made")
    for name in LATER:
        del row[name]
    assert read_execution(row) == execution
