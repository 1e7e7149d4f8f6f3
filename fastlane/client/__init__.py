"""The Python client of a fastlane server: ``Client``, and ``AsyncClient`` for asyncio. It imports nothing of the server."""

from fastlane.client.address import Address
from fastlane.client.asynchronous.client import AsyncClient
from fastlane.client.errors import (
    Changed,
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    JobFailed,
    NotEnded,
    NotFastlane,
    NotFound,
    NotStarted,
    Refused,
    TooMany,
    Unauthorized,
    Unavailable,
    Unreachable,
    WrongAddress,
)
from fastlane.client.log_output import AttemptBegan, Ended, Failed, Finished, LogEvent, LogQuery, Output
from fastlane.client.log_search import LogHit, LogMissing, SearchCounts, SearchEnded, SearchEvent, SearchProgress, SearchQuery
from fastlane.client.synchronous.client import Client

__all__ = [
    "Address",
    "AsyncClient",
    "AttemptBegan",
    "Changed",
    "Client",
    "ClientError",
    "Conflict",
    "Ended",
    "Failed",
    "Finished",
    "Forbidden",
    "Invalid",
    "JobFailed",
    "LogEvent",
    "LogHit",
    "LogMissing",
    "LogQuery",
    "NotEnded",
    "NotFastlane",
    "NotFound",
    "NotStarted",
    "Output",
    "Refused",
    "SearchCounts",
    "SearchEnded",
    "SearchEvent",
    "SearchProgress",
    "SearchQuery",
    "TooMany",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "WrongAddress",
]
