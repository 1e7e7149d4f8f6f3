"""What a store's own tools could do to its data behind fastlane's back, with either store: rows are damaged, backups made and restored.

Stores are named by their ``store_url``.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from pymongo import MongoClient
from pymongo.database import Database

from fastlane.config.types import SQLITE
from fastlane.models.job import Execution
from fastlane.models.tick import Tick
from fastlane.storage.mongo.commits import tick_row
from fastlane.storage.mongo.rows import document
from fastlane.storage.records import EXECUTIONS
from tests.support.mongo import emptied


def damage(url: str, table: str, id: str | None, field: str = "spec", value: str | None = None) -> None:
    """Writes a text over a row's field; by default, half of what is there."""
    if url.startswith(SQLITE):
        with closing(sqlite3.connect(_file(url))) as db, db:
            (text,) = db.execute(f"SELECT {field} FROM {table} WHERE id = ?", (id,)).fetchone()
            db.execute(f"UPDATE {table} SET {field} = ? WHERE id = ?", (_or_half(value, text), id))
        return
    with _database(url) as database:
        row = database[table].find_one({"_id": id})
        assert row is not None
        database[table].update_one({"_id": id}, {"$set": {field: _or_half(value, row[field])}})


def damage_hosts_revision(url: str, *, lose: bool = False) -> None:
    """Writes nonsense into the row with the hosts' revision, or removes it."""
    if url.startswith(SQLITE):
        with closing(sqlite3.connect(_file(url))) as db, db:
            db.execute("DELETE FROM hosts_revision" if lose else "UPDATE hosts_revision SET recent = 'x'")
        return
    with _database(url) as database:
        if lose:
            database["meta"].delete_one({"_id": "hosts_revision"})
        else:
            database["meta"].update_one({"_id": "hosts_revision"}, {"$set": {"recent": "x"}})


def name_store(url: str, name: str) -> None:
    """Gives a store an id that is not random."""
    if url.startswith(SQLITE):
        with closing(sqlite3.connect(_file(url))) as db, db:
            db.execute("UPDATE version SET store = ?", (name,))
        return
    with _database(url) as database:
        database["meta"].update_one({"_id": "version"}, {"$set": {"store": name}})


def checks_of(url: str) -> int:
    """How many times a store has shown that it can be written."""
    if url.startswith(SQLITE):
        with closing(sqlite3.connect(_file(url))) as db:
            return int(db.execute("SELECT count FROM checks").fetchone()[0])
    with _database(url) as database:
        return int(database["meta"].find_one({"_id": "version"}, {"commits": 1})["commits"])  # type: ignore[index]


def back_up(url: str) -> Callable[[], None]:
    """Copies a store, as the documented commands do. Returns what puts the copy in its place, while nobody has it open."""
    if url.startswith(SQLITE):
        return _back_up_file(_file(url))
    with _database(url) as database:
        rows = {name: list(database[name].find()) for name in database.list_collection_names()}

    def restore() -> None:
        with _database(emptied(url)) as database:
            for name, documents in rows.items():
                kept = [one for one in documents if one["_id"] != "schema"]
                if kept:
                    database[name].insert_many(kept)

    return restore


def add_history(url: str, ticks: Sequence[Tick], executions: Sequence[Execution]) -> None:
    """Adds rows to a database of MongoDB, where commits of one job come one after the other."""
    with _database(url) as database:
        database["ticks"].insert_many([tick_row(tick, one.incarnation, "") for tick, one in zip(ticks, executions, strict=True)])
        database["executions"].insert_many([document(EXECUTIONS, one, "") for one in executions])


def _back_up_file(path: Path) -> Callable[[], None]:
    copy = path.with_name(f"copy-{uuid4().hex}")
    with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(copy)) as target:
        db.backup(target)

    def restore() -> None:
        for part in path.parent.glob(path.name + "*"):
            part.unlink()
        shutil.copy(copy, path)

    return restore


def _or_half(value: str | None, text: str) -> str:
    return text[: len(text) // 2] if value is None else value


def _file(url: str) -> Path:
    return Path(url.removeprefix(SQLITE))


@contextmanager
def _database(url: str) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](url, timeoutMS=30_000, retryWrites=False) as client:
        yield client.get_default_database()
