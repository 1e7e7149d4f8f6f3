"""Documents that an older version of fastlane wrote, and the indexes that MongoDB takes."""

from fastlane.storage.mongo.rows import INDEXES, document, read
from fastlane.storage.records import EXECUTIONS
from tests.support.factories import new


def test_an_execution_without_the_fields_of_later_versions_is_read() -> None:
    _, _, execution = new()
    row = document(EXECUTIONS, execution)
    del row["usage"]
    assert read(EXECUTIONS, row) == execution


def test_no_index_is_of_the_id_alone() -> None:
    """MongoDB has that one itself, and refuses it with a condition or another name. The tests' server does not."""
    keys = {index.document["name"]: list(index.document["key"]) for some in INDEXES.values() for index in some}
    assert [name for name, fields in keys.items() if fields == ["_id"]] == []
