"""What the driver's exceptions mean: each becomes one of ours, without the driver's words, since those may quote an address or a value."""

from bson.errors import BSONError
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from fastlane.errors import FastlaneError, StoreDown

PASSING = frozenset({6, 7, 50, 64, 79, 89, 91, 100, 112, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""The server's error codes for what may pass by itself: no primary, a network error between its members, a time limit, a conflict."""
LOGIN = frozenset({13, 18, 8000})
"""The codes for a login that is missing, wrong, or not enough."""

PASSING_ERRORS = (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    WaitQueueTimeoutError,
    WriteConcernError,
)
"""The driver's exceptions for the same. In a call, a fault of its configuration is a name (mongodb+srv) that DNS did not answer."""

DRIVER_ERRORS = (PyMongoError, BSONError, OverflowError, UnicodeError)
"""What a call of the driver raises."""


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed a moment later. A write that failed so may have been made."""
    if isinstance(error, PASSING_ERRORS):
        return True
    return isinstance(error, OperationFailure) and (error.code in PASSING or error.has_error_label("RetryableWriteError"))


def words_for(error: Exception) -> str:
    """What has happened, in words that quote nothing."""
    if isinstance(error, ServerSelectionTimeoutError):
        return "no primary can be reached"
    if isinstance(error, ConfigurationError):  # in a call; the URL was read before
        return "the servers that its name stands for (mongodb+srv) cannot be looked up"
    if isinstance(error, NotPrimaryError):
        return "its primary has stepped down"
    if isinstance(error, WriteConcernError):
        return "a majority of its members did not confirm a write"
    if isinstance(error, WaitQueueTimeoutError):
        return "all connections to it are taken"
    if isinstance(error, AutoReconnect | ConnectionFailure):
        return "the connection to its primary was cut, or had no answer"
    code = error.code if isinstance(error, OperationFailure) else None
    return f"it answered with error {code}" if code is not None else type(error).__name__


def translated(error: Exception) -> FastlaneError:
    """Our exception for one of the driver."""
    if may_pass(error):
        return StoreDown(f"the store cannot be used: {words_for(error)}")
    if isinstance(error, OperationFailure) and error.code in LOGIN:
        return StoreDown("the store refuses the login: check the user, the password, authSource and the user's roles")
    if isinstance(error, DocumentTooLarge):
        return FastlaneError("the store refuses this: it is larger than a document of MongoDB may be")
    return FastlaneError(f"the store refuses this: {words_for(error)}")
