"""What an exception of MongoDB's driver becomes: one of ours, which says whether to try again and quotes no document."""

import re

import pytest
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    DocumentTooLarge,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from fastlane.errors import FastlaneError, StoreDown, StoreRefused
from fastlane.storage.mongo.database import DUPLICATE, LOGIN, PASSING, translated
from tests.support.docs import ROOT

SECRET = "a value of a document"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ServerSelectionTimeoutError(SECRET), StoreDown, "no primary can be reached"),
        (ConfigurationError(SECRET), StoreDown, "mongodb+srv"),
        (NotPrimaryError(SECRET), StoreDown, "stepped down"),
        (WriteConcernError(SECRET), StoreDown, "a majority of its members did not confirm"),
        (WaitQueueTimeoutError(SECRET), StoreDown, "all connections to it are taken"),
        (AutoReconnect(SECRET), StoreDown, "was cut, or had no answer"),
        (OperationFailure(SECRET, 189), StoreDown, "it answered with error 189"),
        (OperationFailure(SECRET, 1, {"errorLabels": ["RetryableWriteError"]}), StoreDown, "it answered with error 1"),
        (OperationFailure(SECRET, 18), StoreRefused, "the store refuses the login"),
        (DocumentTooLarge(SECRET), FastlaneError, "larger than a document"),
        (OperationFailure(SECRET, 2), FastlaneError, "the store refuses this: it answered with error 2"),
        (OverflowError(SECRET), FastlaneError, "the store refuses this: OverflowError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_fault_of_the_driver_is_ours_and_quotes_nothing(error: Exception, kind: type[Exception], words: str) -> None:
    found = translated(error)
    assert type(found) is kind
    assert words in str(found)
    assert SECRET not in str(found)


def test_the_page_about_stores_has_the_codes_of_the_errors_that_pass() -> None:
    rows = [line.split(" | ") for line in (ROOT / "docs/stores.md").read_text("utf-8").splitlines() if "error codes" in line]
    found = {row[0].removeprefix("| "): {int(code) for code in re.findall(r"\b\d+\b", row[1])} for row in rows}
    assert found == {"error codes after which a call is repeated": PASSING, "other error codes": {DUPLICATE, *LOGIN}}
