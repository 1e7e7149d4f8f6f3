"""Documents that an older version of fastlane wrote."""

from fastlane.storage.mongo.rows import document, read
from fastlane.storage.records import EXECUTIONS
from tests.support.factories import new


def test_an_execution_without_the_fields_of_later_versions_is_read() -> None:
    _, _, execution = new()
    row = document(EXECUTIONS, execution)
    del row["usage"]
    assert read(EXECUTIONS, row) == execution
