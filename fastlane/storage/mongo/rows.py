"""The verbs over records in MongoDB, and the collections with their indexes, which ``migration`` makes.

Each row is a document, whose ``_id`` is the row's ``id``. Documents have additional fields for indexes, because MongoDB cannot make an
index from a condition over several fields: the conditions of the record's indexes (``flags``), and the fields that ``_ADDED`` names. A
nonce of the write (``made``) distinguishes its repetition from another process's write. Every query names its index, so none scans a
collection.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pymongo import ASCENDING, IndexModel

from fastlane.errors import FastlaneError, ReadTooLong, StoreDown
from fastlane.models.access import may_see
from fastlane.models.ids import nonce
from fastlane.models.status import FINAL
from fastlane.models.store_version import StoreVersion
from fastlane.storage import records
from fastlane.storage.base import DELETED_STAY
from fastlane.storage.mongo.database import LIST_ADVICE, Database, Document
from fastlane.storage.pages import after_all_with, literal_start
from fastlane.storage.records import ALL, LAST, Among, Between, Index, Part, Place, Record, Value, Where, Without, filled

Answer = TypeVar("Answer")

BY_ID = "_id_"
MANY = 2**31 - 1
"""More rows than are read at once."""
META = "meta"
"""The collection of records with one row, and of the store's identity."""
TO_COUNT, COUNTED, COUNTED_OF, COUNTED_IN = "is_to_count", "counted", "counted_of", "counted_in"
"""Fields of a job, an execution or a task: ``stored_counts`` has to look at it; the status, and of a job the task, as which it is counted;
by which batch."""
BORN = "born"
"""A field of a task: a nonce of the write that made it, since one may be made again after it was deleted."""
UNCOUNTED = "is_uncounted"
"""A field of an execution that has ended: ``history`` has not counted it. True, or missing."""

_ADDED: Mapping[str, Callable[[Any], Document]] = {
    # The inputs of a job's status in addition to its fields; and its labels as a list.
    records.JOBS.name: lambda job: {
        "labels": [records.label_text(*label) for label in sorted(job.spec.labels.items())],
        "is_cron": job.schedule.cron is not None,
        "expiration": job.spec.expiration,
        # Parts of the spec that are read alone.
        "expect_every": job.spec.expect_every,
        "done_by": job.spec.done_by,
        "name": job.spec.name,
        # The jobs that it follows, by which it is found.
        "after": [] if job.schedule.after is None else list(job.schedule.after.jobs),
        TO_COUNT: True,
    },
    # A record, and not a reservation.
    records.RECEIPTS.name: lambda _: {"op": nonce(), "done": True},
    records.EXECUTIONS.name: lambda execution: {TO_COUNT: True} | ({UNCOUNTED: True} if execution.status in FINAL else {}),
}


def document(record: Record[Value], value: Value, made: str | None = None) -> Document:
    """A value as a new document. ``made``: the nonce of its write; a fresh one without."""
    row = record.row(value)
    if record.key and len(record.key) == 1:
        row = {"_id": row.pop(record.key[0]), **row}
    elif record.key:
        row["_id"] = " ".join(row[name] for name in record.key)
    row |= _ADDED[record.name](value) if record.name in _ADDED else {}
    return row | {flag.flag: True for flag in record.flags if flag.flag and flag.holds(value)} | {"made": made or nonce()}


def read(record: Record[Value], row: Mapping[str, Any]) -> Value:
    """The value of a document. Raises Unreadable."""
    return record.read({record.key[0]: row["_id"], **row} if len(record.key) == 1 else row)


def flag_changes(record: Record[Value], value: Value) -> dict[str, dict[str, Any]]:
    """The change that gives a document the flags of this value."""
    flags = {str(flag.flag): flag.holds(value) for flag in record.flags}
    raised, lowered = ({name: True for name, holds in flags.items() if holds}, {name: "" for name, holds in flags.items() if not holds})
    return {"$set": raised, "$unset": lowered}


PAUSE = 0.25
"""Seconds between two counts of a process that keeps writing."""

VERSION = "version"
"""The id of the document with the store's id and the number of commits."""


def foreign(version: Mapping[str, Any] | None) -> int:
    """How many commits processes of other versions have counted, which write without ``TO_COUNT``."""
    return 0 if version is None else int(version["commits"]) - int(version.get("counting", 0))


class CommitCounter:
    """Counts the commits of this process, in the document that has the store's id.

    Raising the number in each write would double the writes, all to one document. So a process raises it for its recent writes together,
    and before it reads the number; a write that was answered is counted within ``PAUSE`` seconds.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._uncounted = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Gives a new store its id."""
        await self._db.upsert(META, VERSION, {"$setOnInsert": {"store": nonce(), "commits": 0, "made_at": datetime.now(UTC)}})

    async def close(self) -> None:
        """Counts what is not counted yet, if the store answers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(FastlaneError):
            await self._db.call(self._count)

    def committed(self) -> None:
        """Counts a commit."""
        self._uncounted = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._count_soon(), name="commit counter")

    async def check(self) -> None:
        """Raises the number: the store can be written."""
        if not await self._db.update(META, VERSION, {}, {"$inc": {"commits": 1, "counting": 1}}):
            raise StoreDown("the store has lost its data while fastlane used it; start fastlane again")

    async def version(self, *, confirmed: bool = False) -> StoreVersion:
        """How far the store has come, all commits of this process counted. ``confirmed``: read after a write that a majority has. It raises
        another number, so that it hides no loss."""
        if confirmed:
            await self._db.update(META, VERSION, {}, {"$inc": {"confirmations": 1}})
        await self._count()
        stored = await self._db.one(META, VERSION)
        if stored is None:
            raise StoreDown("the store has lost its data while fastlane used it; start fastlane again")
        return StoreVersion(stored["store"], stored["commits"])

    async def _count(self) -> None:
        if self._uncounted:
            self._uncounted = False
            try:
                await self.check()
            except BaseException:
                self._uncounted = True
                raise

    async def _count_soon(self) -> None:
        while self._uncounted:
            await asyncio.sleep(PAUSE)
            with contextlib.suppress(StoreDown):
                await self._db.call(self._count)


class MongoRows:
    """``Rows`` of a database."""

    def __init__(self, db: Database, commits: CommitCounter) -> None:
        self._db = db
        self.committed = commits.committed

    async def written(self, write: Callable[[], Awaitable[Answer]]) -> Answer:
        """Passes on the result of a write, and counts it as a commit if something was written."""
        written = await self._db.call(write)
        if written:
            self.committed()
        return written

    async def catch_up(self, job_id: str | None = None) -> None:
        """Does nothing: the rows of one write are visible at once."""

    async def get(self, record: Record[Value], *key: str) -> Value | None:
        collection, id = (record.name, " ".join(key)) if key else (META, record.name)
        row = await self._db.call(lambda: self._db.one(collection, id))
        return record.first if row is None or GONE_AT in row else read(record, row)

    async def find(self, index: Index[Value], where: Where, part: Part = ALL, *, listed: bool = False) -> list[Value]:
        async def fetch(count: int) -> list[Document]:
            return await self._rows(index, where, None, part, count, listed=listed)

        return await filled(fetch, MANY if part.limit is None else part.limit, lambda row: read(index.record, row))

    async def select(
        self, index: Index[Any], where: Where, fields: Sequence[str], part: Part = ALL, *, listed: bool = False
    ) -> list[dict[str, Any]]:
        found = await self._rows(
            index, where, [_named(name, index.record) for name in fields], part, MANY if part.limit is None else part.limit, listed=listed
        )
        return [{name: row.get(_named(name, index.record)) for name in fields} for row in found]

    async def _rows(
        self, index: Index[Any], where: Where, fields: Sequence[str] | None, part: Part, limit: int | None, *, listed: bool
    ) -> list[Document]:
        if limit == 0 or any(isinstance(wanted, Among) and not wanted.values for wanted in where.values()):
            return []
        filter, direction = filter_of(index, where, part), -1 if part.newest else 1
        names = index.order if index.name or len(index.record.key) == 1 else ("_id",)
        name = (OF_TASK.get(index.name) if isinstance(where.get("task_id"), str) else None) or index.name or BY_ID
        options: dict[str, Any] = {
            "sort": [(_named(name, index.record), direction) for name in names],
            "skip": part.skip,
            "limit": 0 if limit is None or limit >= MANY else limit,
            "fields": fields,
        }
        advice = LIST_ADVICE if listed else ""
        return await self._db.call(lambda: self._db.find(index.record.name, filter, name, **options), advice=advice)

    async def select_keys(self, record: Record[Any], keys: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        (key,) = record.key
        rows = await self._db.call(lambda: self._db.with_ids(record.name, keys, ("_id", *fields)))
        return {id: {key: id, **{name: row.get(name) for name in fields if name != key}} for id, row in rows.items()}

    async def count(self, index: Index[Any], where: Where, most: int | None = None) -> int:
        found = await self._db.call(lambda: self._db.count(index.record.name, filter_of(index, where), index.name or BY_ID))
        return found if most is None else min(most, found)

    async def sums(self, index: Index[Any], where: Where, by: str, added: Sequence[str], highest: Sequence[str]) -> list[dict[str, int]]:
        sums = {**{name: {"$sum": f"${name}"} for name in added}, **{name: {"$max": f"${name}"} for name in highest}}
        stages: list[Document] = [{"$match": filter_of(index, where)}, {"$group": {"_id": f"${by}", **sums}}, {"$sort": {"_id": 1}}]
        rows = await self._db.call(lambda: self._db.group(index.record.name, stages, index.name or BY_ID), advice=LIST_ADVICE)
        return [{by: row.pop("_id"), **row} for row in rows]

    async def visible_tasks(self, pattern: str) -> Sequence[str]:
        return await self._db.call(lambda: visible_tasks(self._db, pattern))

    async def insert_missing(self, record: Record[Value], values: Sequence[Value]) -> int:
        rows = [document(record, value) for value in values]

        async def insert() -> int:
            await self._db.insert_missing(record.name, rows)
            return len(rows)

        return await self.written(insert)

    async def insert(self, record: Record[Value], value: Value) -> bool:
        row = document(record, value)
        return await self.written(lambda: self._db.insert(record.name, row))

    async def replace(self, record: Record[Value], value: Value, seen: Where) -> bool:
        row = document(record, value)
        if record.key:
            id = str(row["_id"])
            return await self.written(
                lambda: self._db.replace(record.name, id, seen, row, lambda stored: bool(stored["made"] == row["made"]))
            )
        return await self.written(lambda: self._replace_first(record, row, seen))

    async def _replace_first(self, record: Record[Value], row: Document, seen: Where) -> bool:
        assert record.first is not None
        await self._db.upsert(META, record.name, {"$setOnInsert": record.row(record.first)})
        return await self._db.update(META, record.name, seen, {"$set": row}, lambda stored: stored.get("made") == row["made"])

    async def update(self, record: Record[Any], key: str, changes: Where, seen: Where | None = None) -> bool:
        change: Document = {"$set": record.changes(changes)} | ({"$inc": {"rev": 1}} if record is records.JOBS else {})
        return await self.written(lambda: self._db.update(record.name, key, seen or {}, change))

    async def delete(self, record: Record[Any], keys: Sequence[Place], seen: Where | None = None) -> int:
        if not keys:
            return 0
        between = "/" if record.name == CHUNKS else " "
        filter = {"_id": {"$in": [between.join(map(str, key)) for key in keys]}, **(seen or {})}
        return await self.written(lambda: self._db.delete(record.name, filter))

    async def delete_some(self, index: Index[Any], where: Where, part: Part = ALL) -> int:
        ids = [row["_id"] for row in await self._rows(index, where, ("_id",), part, part.limit, listed=False)]
        filter = filter_of(index, where) | {"_id": {"$in": ids}}  # one may have changed meanwhile
        return await self.written(lambda: self._db.delete(index.record.name, filter)) if ids else 0


MAX_VISIBLE, ID_MARGIN = 12 * 1024 * 1024, 13
"""Bytes that the ids in a filter may take, since a command has 16 MiB at most; and the bytes that each takes beside its own."""


async def visible_tasks(db: Database, pattern: str) -> list[str]:
    """The ids of the tasks that a pattern matches. Tasks whose ids begin differently are not read. Raises ReadTooLong for more than a
    filter can name."""
    start = literal_start(pattern)
    range = {"$gte": start, "$lt": after_all_with(start)} if start else {"$gte": ""}
    rows = await db.joined(("tasks", start), lambda: db.find(TASKS, {"_id": range}, BY_ID, fields=("_id",)))
    found = [row["_id"] for row in rows if may_see(pattern, row["_id"])]
    if sum(len(id.encode()) + ID_MARGIN for id in found) > MAX_VISIBLE:
        raise ReadTooLong(f"this covers {len(found)} tasks, which is too much at once; {LIST_ADVICE}")
    return found


def filter_of(index: Index[Any], where: Where, part: Part = ALL) -> Document:
    """The filter of a walk along an index. A range has two sides, since some servers find null below every number."""
    if not index.name and len(index.record.key) > 1:
        start = " ".join(where[name] for name in index.equal)
        return {"_id": {"$gte": f"{start} ", "$lt": f"{start}!"}}
    own = index.where
    filter: Document = {} if own is None or own.flag is None else {own.flag: True}
    for name, wanted in [*(() if own is None else own.where.items()), *where.items()]:
        field = _named(name, index.record)
        filter[field] = filter.get(field, {}) | _condition(wanted) if isinstance(wanted, Between) else _condition(wanted)
        if field == "_id" and isinstance(wanted, str):
            filter[field] = {"$in": [wanted]}
    names = [_named(name, index.record) for name in index.order]
    if len(names) <= 1 and part.after is None:
        return filter or {"_id": {"$gte": ""}}
    if len(names) == 1 and part.after is not None:
        return filter | {names[0]: {"$gt": part.after[0]}}
    bounds = [("$gt", "$gt", part.after), ("$gt", "$gte", part.first), ("$lt", "$lte", part.last)]
    further = [_beyond(names, bound, strictly, at_last) for strictly, at_last, bound in bounds if bound is not None]
    if further or not filter:
        low, high = (part.after or part.first or (-LAST - 1,))[0], (part.last or (LAST,))[0]
        within = filter.get(names[0], {"$gte": -LAST - 1, "$lte": LAST})
        filter[names[0]] = {"$gte": max(low, within["$gte"]), "$lte": min(high, within["$lte"])}
    return filter | ({"$and": further} if further else {})


def _beyond(names: Sequence[str], place: Place, strictly: str, at_last: str) -> Document:
    """Rows beyond a place, by their first field or, where that is the same, by their second."""
    (first, second), (moment, id) = names[:2], place[:2]
    other_side = {"$lte": LAST} if strictly == "$gt" else {"$gte": -LAST - 1}
    return {"$or": [{first: {strictly: moment, **other_side}}, {first: moment, second: {at_last: id}}]}


def _condition(wanted: Any) -> Any:
    match wanted:
        case Among(values):
            return {"$in": sorted(values)}
        case Without(values):
            return {"$nin": sorted(values)}
        case Between(low, high):
            return {"$gte": low, "$lte": high}
        case records.Beyond(text):
            return {"$gt": text}
    return wanted


def _named(name: str, record: Record[Any]) -> str:
    return "_id" if record.key == (name,) else name.removeprefix("spec.")


JOBS, TICKS, EXECUTIONS, TASKS, RECEIPTS = (
    one.name for one in (records.JOBS, records.TICKS, records.EXECUTIONS, records.TASKS, records.RECEIPTS)
)
DELIVERIES, RECEIVERS, QUOTAS, EVENTS = (one.name for one in (records.DELIVERIES, records.RECEIVERS, records.QUOTAS, records.EVENTS))
IMAGES, HOSTS, BACKFILLS, CALENDARS = (one.name for one in (records.IMAGES, records.HOSTS, records.BACKFILLS, records.CALENDARS))
SEALS, CHAIN_HEADS, SEAL_PLACE = (one.name for one in (records.SEALS, records.CHAIN_HEADS, records.SEAL_PLACE))
ARCHIVED_LOGS = records.ARCHIVED_LOGS.name
HOURS, DELETED, CHUNKS = records.HOURS.name, records.DELETED.name, "log_chunks"

WEEK = 7 * 86_400

UNDER_WAY, UNFINISHED, WAITING = (str(one.flag) for one in (records.UNDER_WAY, records.UNFINISHED, records.WAITING))
TO_COME, TO_CHECK, LATE = (str(one.flag) for one in (records.TO_COME, records.TO_CHECK, records.LATE))
FOLLOWS, NAMES_CALENDARS = str(records.FOLLOWS.flag), str(records.NAMES_CALENDARS.flag)
PENDING, GONE_AT, GONE = "is_pending", "gone_at", "gone"
"""Fields of a job: it has an intent; when it was deleted (on a tombstone). And a tombstone's status."""


def _index(
    name: str, *keys: str, where: Mapping[str, object] | None = None, seconds: int | None = None, unique: bool = False
) -> IndexModel:
    options: dict[str, object] = {"name": name, "unique": True} if unique else {"name": name}
    if where is not None:
        options["partialFilterExpression"] = where
    if seconds is not None:
        options["expireAfterSeconds"] = seconds
    return IndexModel([(key, ASCENDING) for key in keys], **options)


def _declared(index: records.Index[Any]) -> IndexModel:
    condition = index.where
    where: Mapping[str, object] | None = {condition.flag: True} if condition is not None and condition.flag is not None else None
    if condition is not None and any(isinstance(wanted, records.Between) for wanted in condition.where.values()):
        where = {name: {"$gt": 0} for name in condition.where}
    if condition is not None and any(isinstance(wanted, records.Beyond) for wanted in condition.where.values()):
        where = {name: _condition(wanted) for name, wanted in condition.where.items()}
    return _index(index.name, *("_id" if name == "id" else name for name in index.keys), where=where, unique=index.is_unique)


OF_TASK: Mapping[str, str] = {
    records.JOBS_BY_CREATION.name: records.JOBS_OF_TASK.name,
    **{
        one.name: f"{one.name.replace('_by_', '_of_task_by_')}"
        for one in (records.EVENTS_BY_TIME, records.EXECUTIONS_BY_CREATION, records.EXECUTIONS_BY_START, records.EXECUTIONS_BY_END)
    },
}
"""The index of one task's rows in the same order, for each index in whose order events are read. SQLite finds a task's rows while it walks
all, which takes MongoDB as long as the walk is."""


def _of_task(index: records.Index[Any]) -> IndexModel:
    whole = _declared(index).document
    return _index(OF_TASK[index.name], "task_id", *list(whole["key"])[:2], where=whole.get("partialFilterExpression"))


# A new index of a collection that an earlier migration names needs a later one, with a part of its own.
_OWN: Mapping[str, Sequence[IndexModel]] = {
    TASKS: (_index("tasks_by_word", "words"), _index("tasks_to_count", TO_COUNT, where={TO_COUNT: True})),
    JOBS: (
        _index("jobs_by_label", "labels", "created_at", "_id", "task_id"),
        _index("jobs_by_label_and_status", "labels", "job_status", "created_at", "_id", "task_id"),
        _index("jobs_of_task_by_label", "labels", "task_id", "created_at", "_id"),
        _index("jobs_next_of_task", "task_id", "next_tick", "expiration", where={"next_tick": {"$gt": 0}}),
        _index("jobs_following", "after", "_id", where={FOLLOWS: True}),
        _index("jobs_pending", PENDING, where={PENDING: True}),
        _index("jobs_gone", GONE_AT, seconds=WEEK),
        _index("jobs_to_count", "job_status", "task_id", where={TO_COUNT: True}),
    ),
    TICKS: (_index("ticks_of_job", "job_id", "incarnation", "due", "_id"),),
    EXECUTIONS: (
        _index("executions_of_task_by_status", "task_id", "status", "scheduled_for", "_id"),
        _index("executions_failed", "status", "finished_at", "_id", "job_id", "task_id", where={"finished_at": {"$gt": 0}}),
        *(_of_task(one) for one in (records.EXECUTIONS_BY_CREATION, records.EXECUTIONS_BY_START, records.EXECUTIONS_BY_END)),
        _index("executions_uncounted", UNCOUNTED, where={UNCOUNTED: True}),
        _index("executions_to_count", "status", "task_id", where={TO_COUNT: True}),
    ),
    CHUNKS: (
        _index("chunks_of_execution", "execution_id", "sequence"),
        _index("logs", "execution_id", where={"sequence": 0}),
        _index("chunks_by_offset", "execution_id", "start_offset", where={"bytes": {"$gt": 0}}),
        _index("chunks_by_stdout", "execution_id", "start_stdout", where={"stdout_bytes": {"$gt": 0}}),
        _index("chunks_by_stderr", "execution_id", "start_stderr", where={"stderr_bytes": {"$gt": 0}}),
    ),
    RECEIPTS: (_index("receipts_by_age", "created_at", "_id"),),
    HOURS: (_declared(records.HOURS_OF_TASK), _declared(records.HOURS_BY_AGE)),
    EVENTS: (_of_task(records.EVENTS_BY_TIME),),
    DELETED: (_index("deleted_by_age", "deleted_at", seconds=DELETED_STAY),),
}
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    collection: (
        *(_declared(one) for one in records.INDEXES if one.record.name == collection and collection != TICKS),
        *_OWN.get(collection, ()),
    )
    for collection in (
        TASKS,
        JOBS,
        TICKS,
        EXECUTIONS,
        CHUNKS,
        RECEIPTS,
        DELIVERIES,
        RECEIVERS,
        QUOTAS,
        HOURS,
        EVENTS,
        IMAGES,
        DELETED,
        HOSTS,
        BACKFILLS,
        CALENDARS,
        SEALS,
        CHAIN_HEADS,
        SEAL_PLACE,
        ARCHIVED_LOGS,
    )
}
