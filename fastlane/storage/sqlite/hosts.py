"""Statements for the hosts, and for the revision of the pools, which is one row."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from fastlane.models.host import HostLoad, HostRecord
from fastlane.models.pool import PoolsRevision
from fastlane.storage.documents import HOST_FIELDS, host_from
from fastlane.storage.readable import readable
from fastlane.storage.sqlite.rows import fetched, insert_into
from fastlane.storage.sqlite.schema import ON_HOST, UNDER_WAY

_ALL = ", ".join(HOST_FIELDS)
_INSERT = insert_into("hosts", HOST_FIELDS).replace("INSERT", "INSERT OR IGNORE", 1)
_UPDATE = f"UPDATE hosts SET {', '.join(f'{name} = ?' for name in HOST_FIELDS)} WHERE id = ? AND version = ?"
_LOAD = f"""SELECT coalesce(sum({UNDER_WAY} AND service_id IS NOT NULL), 0),
    coalesce(sum({UNDER_WAY} AND service_id IS NULL AND placed_at >= :since), 0),
    coalesce(sum(NOT {UNDER_WAY} AND service_id IS NOT NULL), 0)
    FROM executions INDEXED BY executions_on_host
    WHERE host = :address AND (:swarm_id IS NULL OR swarm_id IS NULL OR swarm_id = :swarm_id) AND {ON_HOST}"""


def mark(db: sqlite3.Connection) -> str:
    """A text for the hosts and the revision of the pools."""
    query = "SELECT (SELECT number FROM pools_revision), (SELECT count(*) FROM hosts), (SELECT coalesce(sum(version), 0) FROM hosts)"
    return "/".join(map(str, db.execute(query).fetchone()))


def all_hosts(db: sqlite3.Connection) -> Sequence[HostRecord]:
    """The hosts that can be read."""
    rows = fetched(db, f"SELECT {_ALL} FROM hosts ORDER BY address, id", ())
    return readable(rows, lambda row: host_from(dict(zip(HOST_FIELDS, row, strict=True))))


def write(db: sqlite3.Connection, row: Mapping[str, Any]) -> bool:
    """Writes a version of a host after the one before it."""
    values = [row[name] for name in HOST_FIELDS]
    if row["version"] == 1:
        return db.execute(_INSERT, values).rowcount == 1
    return db.execute(_UPDATE, [*values, row["id"], row["version"] - 1]).rowcount == 1


def prune(db: sqlite3.Connection, before: int) -> None:
    """Deletes hosts that were removed before a moment."""
    db.execute("DELETE FROM hosts WHERE removed_at < ?", (before,))


def load(db: sqlite3.Connection, address: str, swarm_id: str | None, since: int) -> HostLoad:
    """What is placed on a host."""
    return HostLoad(*db.execute(_LOAD, {"address": address, "swarm_id": swarm_id, "since": since}).fetchone())


def pools_revision(db: sqlite3.Connection) -> PoolsRevision:
    """The recorded revision."""
    number, digest, recorded_at, reload = db.execute("SELECT number, digest, recorded_at, reload FROM pools_revision").fetchone()
    return PoolsRevision(number, digest, recorded_at, bool(reload))


def record_pools(db: sqlite3.Connection, revision: PoolsRevision) -> bool:
    """Replaces the revision before this one."""
    update = "UPDATE pools_revision SET number = ?, digest = ?, recorded_at = ?, reload = ? WHERE number = ?"
    values = (revision.number, revision.digest, revision.recorded_at, revision.reload, revision.number - 1)
    return db.execute(update, values).rowcount == 1
