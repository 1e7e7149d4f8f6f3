"""The URL of a MongoDB store, read as the driver reads it."""

import warnings
from dataclasses import dataclass, field

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from fastlane.errors import FastlaneError

DEFAULT_DATABASE = "fastlane"
SRV = "mongodb+srv://"


@dataclass(frozen=True, slots=True)
class MongoUrl:
    """A URL, which may hold a password, and the name of its database."""

    text: str = field(repr=False)
    database: str


def read_url(text: str) -> MongoUrl:
    """The URL of a store. Raises FastlaneError, whose message quotes nothing of it."""
    if text.startswith(SRV):  # its hosts are found in DNS, when it is opened
        return MongoUrl(text, text.removeprefix(SRV).partition("?")[0].partition("/")[2] or DEFAULT_DATABASE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            database = parse_uri(text, warn=False)["database"]
    except (PyMongoError, ValueError, UserWarning):
        words = "store_url is not the URL of a MongoDB; write mongodb://USER:PASSWORD@HOST:27017,HOST:27017/DATABASE?replicaSet=NAME"
        raise FastlaneError(f"{words}, with /, :, @ and % in the password as %2F, %3A, %40 and %25") from None
    return MongoUrl(text, database or DEFAULT_DATABASE)
