"""The verbs over records in SQLite. Each is one statement, made from the record's declaration."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from fastlane.storage.pages import TextBudget
from fastlane.storage.records import ALL, Among, Between, Index, Part, Place, Record, Value, Where, Without, filled
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.threads import BatchOperation, RunBatch

Answer = TypeVar("Answer")
Given = Sequence[Any] | Mapping[str, Any]

MANY = 2**62
"""More rows than there are."""
FIRST, END = (-(2**63), ""), (2**63 - 1, "")
"""Less, and more, than every (moment, id)."""


class SqliteRows:
    """``Rows`` of a file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def catch_up(self, job_id: str | None = None) -> None:
        """Does nothing: a commit is whole at once."""

    async def get(self, record: Record[Value], *key: str) -> Value | None:
        if len(key) == 1:
            return await self._file.read(BatchOperation(key[0], _reader(record)))
        query = f"SELECT {', '.join(record.fields)} FROM {record.name}{_matching(record)}"
        rows = await self._file.read(lambda db: fetched(db, query, key))
        return record.of(list(rows[0])) if rows else None

    async def find(self, index: Index[Value], where: Where, part: Part = ALL, *, listed: bool = False) -> list[Value]:
        limit = MANY if part.limit is None else part.limit

        async def fetch(count: int) -> list[tuple[Any, ...]]:
            return await self._rows(index, where, index.record.fields, part, count, listed=listed)

        return await filled(fetch, limit, lambda row: index.record.of(list(row)))

    async def select(
        self, index: Index[Any], where: Where, fields: Sequence[str], part: Part = ALL, *, listed: bool = False
    ) -> list[dict[str, Any]]:
        rows = await self._rows(index, where, fields, part, MANY if part.limit is None else part.limit, listed=listed)
        return [dict(zip(fields, row, strict=True)) for row in rows]

    async def _rows(
        self, index: Index[Any], where: Where, fields: Sequence[str], part: Part, limit: int, *, listed: bool
    ) -> list[tuple[Any, ...]]:
        if any(isinstance(wanted, Among) and not wanted.values for wanted in where.values()):
            return []
        given: list[Any] = []
        query = f"{_walk(index, where, fields, part, given)} LIMIT ? OFFSET ?"
        run = self._file.list if listed else self._file.read
        return await run(lambda db: fetched(db, query, (*given, limit, part.skip)))

    async def select_keys(self, record: Record[Any], keys: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        if not keys:
            return {}
        (key,) = record.key
        columns = ", ".join(f"{record.name}.{name}" for name in (key, *fields))
        query = f"SELECT {columns} FROM json_each(?) AS asked CROSS JOIN {record.name} ON {record.name}.{key} = asked.value"
        rows = await self._file.read(lambda db: fetched(db, query, (as_json(keys),)))
        return {row[0]: dict(zip((key, *fields), row, strict=True)) for row in rows}

    async def count(self, index: Index[Any], where: Where, most: int | None = None) -> int:
        given: list[Any] = []
        query = f"SELECT count(*) FROM (SELECT 1 FROM {_source(index, where, ALL, given)} LIMIT ?) AS one_page"
        return await self._file.read(lambda db: int(db.execute(query, (*given, MANY if most is None else most)).fetchone()[0]))

    async def sums(self, index: Index[Any], where: Where, by: str, added: Sequence[str], highest: Sequence[str]) -> list[dict[str, int]]:
        given: list[Any] = []
        columns = [by, *(f"sum({name})" for name in added), *(f"max({name})" for name in highest)]
        query = f"SELECT {', '.join(columns)} FROM {_source(index, where, ALL, given)} GROUP BY {by} ORDER BY {by}"
        rows = await self._file.list(lambda db: fetched(db, query, given))
        return [dict(zip((by, *added, *highest), row, strict=True)) for row in rows]

    async def insert_missing(self, record: Record[Value], values: Sequence[Value]) -> int:
        rows = [_plain(record.row(value)) for value in values]
        return await self._file.write(lambda db: insert_missing(db, record, rows)) if rows else 0

    async def insert(self, record: Record[Value], value: Value) -> bool:
        return await self.insert_missing(record, [value]) == 1

    async def replace(self, record: Record[Value], value: Value, seen: Where) -> bool:
        row = record.row(value)
        statement = f"UPDATE {record.name} SET {', '.join(f'{name} = ?' for name in row)}{_matching(record, seen)}"
        given = (*_plain(row), *(row[name] for name in record.key), *seen.values())
        return await self._file.write(lambda db: db.execute(statement, given).rowcount == 1)

    async def update(self, record: Record[Any], key: str, changes: Where, seen: Where | None = None) -> bool:
        row, seen = record.changes(changes), seen or {}
        statement = f"UPDATE {record.name} SET {', '.join(f'{name} = ?' for name in row)}{_matching(record, seen)}"
        given = (*_plain(row), key, *seen.values())
        return await self._file.write(lambda db: db.execute(statement, given).rowcount == 1)

    async def delete(self, record: Record[Any], keys: Sequence[Place], seen: Where | None = None) -> int:
        statement = f"DELETE FROM {record.name}{_matching(record, seen or {})}"
        given = [(*key, *(seen or {}).values()) for key in keys]
        return await self._file.write(lambda db: db.executemany(statement, given).rowcount) if given else 0

    async def delete_some(self, index: Index[Any], where: Where, part: Part = ALL) -> int:
        given: list[Any] = []
        if part.limit is None:
            statement = f"DELETE FROM {_source(index, where, part, given)}"
        else:
            key = index.record.key[0] if len(index.record.key) == 1 else "rowid"
            statement = f"DELETE FROM {index.record.name} WHERE {key} IN ({_walk(index, where, (key,), part, given)} LIMIT ?)"
            given.append(part.limit)
        return await self._file.write(lambda db: db.execute(statement, given).rowcount)


@lru_cache
def _reader(record: Record[Value]) -> RunBatch[str, Value | None]:
    """Reads the rows with these keys, in their order, by one statement."""
    (key,) = record.key
    columns = ", ".join(f"{record.name}.{name}" for name in record.fields)
    query = f"SELECT {columns} FROM json_each(?) AS asked CROSS JOIN {record.name} ON {record.name}.{key} = asked.value"
    place = record.fields.index(key)

    def read(db: sqlite3.Connection, keys: Sequence[str]) -> list[Value | None]:
        found = {row[place]: row for row in fetched(db, query, (as_json(keys),))}
        return [record.of(list(found[key])) if key in found else None for key in keys]

    return read


def insert_missing(db: sqlite3.Connection, record: Record[Any], rows: Sequence[Sequence[Any]]) -> int:
    """Inserts rows, whose values are in the order of the record's columns, where none has their keys; how many."""
    statement = f"{insert_into(record.name, record.columns)} ON CONFLICT ({', '.join(record.key)}) DO NOTHING"
    return db.executemany(statement, rows).rowcount


def insert_into(table: str, fields: Sequence[str]) -> str:
    """An INSERT of one row whose values are in the order of ``fields``."""
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"


def as_json(values: Iterable[Any]) -> str:
    """A list for ``json_each``."""
    return orjson.dumps(list(values)).decode()


def _plain(row: Mapping[str, Any]) -> list[Any]:
    """The values of a row. A list of texts is JSON."""
    return [as_json(value) if isinstance(value, list) else value for value in row.values()]


def _matching(record: Record[Any], seen: Where | None = None) -> str:
    """The condition that a row has a key, and is as it was seen."""
    conditions = [*(f"{name} = ?" for name in record.key), *(f"{name} IS ?" for name in seen or {})]
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _hinted(index: Index[Any]) -> str:
    return f"{index.record.name} INDEXED BY {index.name}" if index.name and not index.is_key else index.record.name


def _column(field: str) -> str:
    """A field, or a part of a spec."""
    name, dot, part = field.partition(".")
    return f"CASE WHEN json_valid({name}) THEN {name} ->> '$.{part}' END" if dot else name


def _walk(index: Index[Any], where: Where, fields: Sequence[str], part: Part, given: list[Any]) -> str:
    """A SELECT along an index. Rows of several values of its first field are merged from a walk for each."""
    columns = f"SELECT {', '.join(_column(name) for name in fields)} FROM "
    direction = "DESC" if part.newest else "ASC"
    order = f" ORDER BY {', '.join(f'{name} {direction}' for name in index.order)}" if index.order else ""
    first = next(iter(index.equal), None)
    several = where.get(first) if first is not None and index.order else None
    if not isinstance(several, Among):
        return f"{columns}{_source(index, where, part, given)}{order}"
    walks = [_source(index, {**where, str(first): value}, part, given) for value in sorted(several.values)]
    return " UNION ALL ".join(f"{columns}{walk}" for walk in walks) + order


def _source(index: Index[Any], where: Where, part: Part, given: list[Any]) -> str:
    """A FROM and a WHERE; adds the values of its parameters to ``given``."""
    conditions = [] if index.where is None else [index.where.sql]
    place = f"({', '.join(index.order)})" if len(index.order) > 1 else "".join(index.order)
    marks = f"({', '.join('?' * len(index.order))})" if len(index.order) > 1 else "?"
    if part.after is not None:  # first, because SQLite begins its walk at the first of several lower bounds
        conditions.append(f"{place} > {marks}")
        given += part.after
    for name, wanted in where.items():
        match wanted:
            case Among(values):
                conditions.append(f"{name} IN (SELECT value FROM json_each(?))")
                given.append(as_json(values))
            case Without(values):
                conditions.append(f"{name} NOT IN (SELECT value FROM json_each(?))")
                given.append(as_json(values))
            case Between(low, high):
                conditions += [f"{name} >= ?", f"{name} <= ?"]
                given += [low, high]
            case None:
                conditions.append(f"{name} IS NULL")
            case _:
                conditions.append(f"{name} = ?")
                given.append(wanted)
    for sign, bound in ((">=", part.first), ("<=", part.last)):
        if bound is not None:
            conditions.append(f"{place} {sign} {marks}")
            given += bound
    for sign, bound in ((">=", part.first), ("<=", part.last)):  # so that it is looked up in the index
        if bound is not None:
            conditions.append(f"{index.order[0]} {sign} ?")
            given.append(bound[0])
    return f"{_hinted(index)} WHERE {' AND '.join(conditions) or 'TRUE'}"


def fetched(db: sqlite3.Connection, query: str, given: Given) -> list[tuple[Any, ...]]:
    """The rows of a query, whatever bytes their texts have."""
    return with_any_text(db, lambda: db.execute(query, given).fetchall())


def bounded(db: sqlite3.Connection, query: str, given: Given, spec: int | None) -> list[tuple[Any, ...]]:
    """The rows of a query, of which the column ``spec`` has a spec. Raises Invalid when their specs are too large to hold."""
    rows, budget = [], TextBudget()
    with closing(db.execute(query, given)) as cursor:
        for row in cursor:
            rows.append(row)
            if spec is not None:
                budget.spend(row[spec])
    return rows


def with_any_text(db: sqlite3.Connection, read: Callable[[], Answer]) -> Answer:
    """The result of ``read``. When a text is not UTF-8, it is read again with surrogates in it, which make reading it as JSON fail."""
    try:
        return read()
    except sqlite3.OperationalError as error:
        if not str(error).startswith("Could not decode to UTF-8"):
            raise
    db.text_factory = _decoded
    try:
        return read()
    finally:
        db.text_factory = str


def _decoded(text: bytes) -> str:
    return text.decode(errors="surrogateescape")
