"""The hosts, and the revision of the pools, which is one document."""

from collections.abc import Sequence
from dataclasses import asdict, fields

from fastlane.models.host import HostLoad, HostRecord
from fastlane.models.ids import nonce
from fastlane.models.pool import PoolsRevision
from fastlane.models.status import UNDER_WAY
from fastlane.storage.documents import HOST_FIELDS, host_document, host_from
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.schema import BY_ID, EXECUTIONS, HOSTS, META, ON_HOST
from fastlane.storage.readable import readable

_ID = "pools_revision"
_ALL = {"_id": {"$gte": ""}}
_REVISION = tuple(field.name for field in fields(PoolsRevision))


async def mark(db: Database) -> str:
    """A text for the hosts and the revision of the pools."""
    revision = await db.one(META, _ID, ("number",))
    versions = [row["version"] for row in await db.find(HOSTS, _ALL, BY_ID, fields=("version",))]
    return f"{0 if revision is None else revision['number']}/{len(versions)}/{sum(versions)}"


async def all_hosts(db: Database) -> Sequence[HostRecord]:
    """The hosts that can be read, by address and id."""
    rows = await db.find(HOSTS, _ALL, BY_ID)
    return sorted(readable(rows, _read), key=lambda record: (record.address, record.id))


async def write(db: Database, record: HostRecord) -> bool:
    """Writes a version of a host after the one before it."""
    row = host_document(record)
    row = {"_id": row.pop("id"), **row, "made": nonce()}
    if record.version == 1:
        return await db.insert(HOSTS, row)
    return await db.replace(HOSTS, record.id, {"version": record.version - 1}, row, lambda stored: stored["made"] == row["made"])


async def prune(db: Database, before: int) -> bool:
    """Deletes hosts that were removed before a moment; whether there were any."""
    removed = [record.id for record in await all_hosts(db) if record.removed_at is not None]
    return bool(removed) and await db.delete(HOSTS, {"_id": {"$in": removed}, "removed_at": {"$gte": 0, "$lt": before}}) > 0


async def load(db: Database, address: str, swarm_id: str | None, since: int) -> HostLoad:
    """What is placed on a host."""
    fields = ("status", "service_id", "swarm_id", "placed_at")
    rows = await db.find(EXECUTIONS, {"host": address, ON_HOST: True}, "executions_on_host", fields=fields)
    here = [row for row in rows if swarm_id is None or row["swarm_id"] in (None, swarm_id)]
    bound = [row for row in here if row["service_id"] is not None]
    placed = [row for row in here if row["service_id"] is None and row["placed_at"] is not None and row["placed_at"] >= since]
    under_way = [row for row in bound if row["status"] in UNDER_WAY]
    return HostLoad(len(under_way), len([row for row in placed if row["status"] in UNDER_WAY]), len(bound) - len(under_way))


async def pools_revision(db: Database) -> PoolsRevision:
    """The recorded revision."""
    row = await db.one(META, _ID)
    return PoolsRevision() if row is None else PoolsRevision(*(row[name] for name in _REVISION))


async def record_pools(db: Database, revision: PoolsRevision) -> bool:
    """Replaces the revision before this one."""
    made = nonce()
    await db.upsert(META, _ID, {"$setOnInsert": asdict(PoolsRevision())})
    change = {"$set": {**asdict(revision), "made": made}}
    return await db.update(META, _ID, {"number": revision.number - 1}, change, lambda stored: stored.get("made") == made)


def _read(row: Document) -> HostRecord:
    return host_from({**{name: row.get(name) for name in HOST_FIELDS}, "id": row["_id"]})
