"""Which store a fastlane of the tests has: SQLite, or with ``FASTLANE_TEST_STORE=mongo`` a database of MongoDB's protocol.

A database stands for a data folder: whoever opens a fastlane in the same folder finds what was there. Databases are few, and emptied before
they are used again, since making their indexes takes longer than most tests. They are on one server, which starts with the first of them:
the one at FASTLANE_TEST_MONGO_URL, or one of the tests' own.
"""

import os
from contextlib import ExitStack
from pathlib import Path

from fastlane.config.types import SQLITE
from fastlane.storage.base import Store
from fastlane.storage.mongo.store import MongoStore
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.mongo import OUTSIDE, RealMongo, database_url, emptied, server_name
from tests.support.waiting import PATIENCE

CHOICES = ("sqlite", "mongo")
CHOSEN = os.environ.get("FASTLANE_TEST_STORE", "sqlite")
ON_MONGO = CHOSEN == "mongo"
assert CHOSEN in CHOICES, f"FASTLANE_TEST_STORE is {CHOSEN!r}; it may be {' or '.join(CHOICES)}"


class Databases:
    """The databases of a process's tests, by the folder that each stands for in the test that runs now."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._server: RealMongo | None = None
        self._taken: dict[Path, str] = {}
        self._made = 0

    @property
    def server(self) -> RealMongo:
        """The tests' own server, which starts when it is first asked for."""
        if self._server is None:
            self._server = self._stack.enter_context(RealMongo())
        return self._server

    def url_for(self, folder: Path) -> str:
        """The URL of the database that stands for this folder; it is empty when a test asks first."""
        folder = folder.resolve()
        if folder not in self._taken:
            self._taken[folder] = emptied(self._url(str(len(self._taken))))
        return self._taken[folder]

    def new_url(self) -> str:
        """The URL of a new database, for tests that run side by side in one process."""
        self._made += 1
        return self._url(f"new_{self._made}")

    def release(self) -> None:
        """The test is over: its databases may be used again."""
        self._taken.clear()

    def close(self) -> None:
        """Ends the server."""
        self._stack.close()
        self._server = None

    def _url(self, name: str) -> str:
        name = f"fastlane_test_{os.getpid()}_{name}"
        return self.server.url(name) if OUTSIDE is None else database_url(OUTSIDE, name)


DATABASES = Databases()


def store_url(folder: Path) -> str:
    """The ``store_url`` of a fastlane with this data folder."""
    return DATABASES.url_for(folder) if ON_MONGO else f"{SQLITE}{folder / 'fastlane.db'}"


def new_store(url: str, busy_timeout: float = PATIENCE) -> Store:
    """The store at a ``store_url``, which is to be opened. ``busy_timeout``: seconds that SQLite waits for its file."""
    if url.startswith(SQLITE):
        return SqliteStore(Path(url.removeprefix(SQLITE)), busy_timeout=busy_timeout)
    return MongoStore(url, deadline=PATIENCE)


def store_name() -> str:
    """The store of the tests' own fastlane, in words without a password."""
    return f"MongoDB: {server_name()}" if ON_MONGO else "SQLite"
