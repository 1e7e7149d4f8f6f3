"""The calls that fastlane makes to its store and to Redis, as they leave it: for tests and benchmarks that count them.

A statement of SQLite is recorded as it was written, without its values; what a trigger does is part of its statement.
"""

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from functools import partial
from socket import AF_UNIX, socket
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import structlog
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from fastlane.queue.redis.connection import Script
from fastlane.storage.mongo import database
from fastlane.storage.sqlite import connection
from fastlane.storage.sqlite.file import SqliteFile
from tests.support.redis import RealRedis
from tests.support.waiting import PATIENCE

OWN = frozenset({"HELLO", "CLIENT", "ECHO", "AUTH", "SELECT"})
"""Commands of Redis by which a client connects."""

Command = tuple[str, dict[str, Any]]


class Commands(CommandListener):
    """The commands that clients of MongoDB send, but for those by which they connect. ``of_requests``: those of HTTP requests alone, not of
    what a server does by the clock, and also those that fetch the rest of an answer."""

    def __init__(self, *, of_requests: bool = False) -> None:
        self.sent: list[Command] = []
        self._of_requests = of_requests

    def started(self, event: CommandStartedEvent) -> None:
        if self._of_requests and "request_id" not in structlog.contextvars.get_contextvars():
            return
        if event.command_name == "getMore" and self._of_requests:
            self.sent.append((event.command_name, {"getMore": event.command["collection"]}))
        if event.command_name in ("find", "aggregate", "update", "delete", "insert", "count", "distinct", "findAndModify"):
            self.sent.append((event.command_name, dict(event.command)))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Is of no interest."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Is of no interest."""


@contextlib.contextmanager
def recorded_commands(*, of_requests: bool = False) -> Iterator[list[Command]]:
    """The commands of the stores on MongoDB that are opened in this block, for as long as they are open: the verb, and all of it."""
    commands = Commands(of_requests=of_requests)

    def client(url: str, **options: Any) -> AsyncIOMotorClient[Any]:
        return AsyncIOMotorClient(url, event_listeners=[commands], **options)

    with patch.object(database, "AsyncIOMotorClient", client):
        yield commands.sent


class RecordingConnection(sqlite3.Connection):
    """A connection that records its statements in ``record``."""

    def __init__(self, *arguments: Any, record: list[str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._record = record

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self._record.append(statement)
        return super().execute(statement, *values)

    def executemany(self, statement: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        rows = list(rows)
        self._record += [statement] * len(rows)
        return super().executemany(statement, rows)


@contextlib.contextmanager
def recorded_statements() -> Iterator[list[str]]:
    """The statements of the stores on SQLite that are made in this block, for as long as they are open: each of their threads connects when
    it first has something to do, perhaps after the block."""
    record: list[str] = []
    factory: Any = partial(RecordingConnection, record=record)

    def connect(file: SqliteFile) -> sqlite3.Connection:
        return connection.connect(file.path, file.busy_timeout, factory)

    with patch.object(SqliteFile, "_connect", connect):
        yield record


class RedisRecord:
    """Names what all clients of a server call: a script by its name, anything else by its command. Used as a context manager."""

    def __init__(self, server: RealRedis) -> None:
        self._server = server
        self._socket = socket(AF_UNIX)
        self._scripts = {script.digest: name for name, script in Script.read_all().items()}

    def __enter__(self) -> "RedisRecord":
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(self._server.socket))
        self._socket.sendall(b"MONITOR\r\n")
        self._lines = self._socket.makefile("rb")
        assert self._lines.readline() == b"+OK\r\n"
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()
        self._socket.close()

    def take(self) -> list[str]:
        """The calls since the last look. What a script calls in turn is part of it."""
        mark, calls = uuid4().hex, []
        with self._server.client() as client:
            client.echo(mark)
        while mark not in (line := self._lines.readline().decode()):
            words = re.findall(r'"((?:[^"\\]|\\.)*)"', line.partition("] ")[2])
            if words and " lua]" not in line and words[0].upper() not in OWN:
                calls.append(self._scripts.get(words[1], words[1]) if words[0].upper() == "EVALSHA" else words[0].lower())
        return calls
