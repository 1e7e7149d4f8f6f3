"""Reads and changes of deliveries, a document each."""

from collections.abc import Collection, Sequence

from fastlane.models.delivery import Delivery
from fastlane.models.ids import nonce
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.schema import DELIVERIES, TO_SEND
from fastlane.storage.notices import by_execution, delivery_document, delivery_from
from fastlane.storage.readable import filled, readable


async def insert(db: Database, deliveries: Sequence[Delivery]) -> bool:
    """Inserts those whose ids no document has; whether any were given."""
    await db.insert_missing(DELIVERIES, [_row(delivery) for delivery in deliveries])
    return bool(deliveries)


async def get(db: Database, delivery_id: str) -> Delivery | None:
    """One delivery."""
    row = await db.one(DELIVERIES, delivery_id)
    return None if row is None else _read(row)


async def of_execution(db: Database, execution_id: str) -> Sequence[Delivery]:
    """Those of an execution, by id."""
    return readable(await db.find(DELIVERIES, {"execution_id": execution_id}, "deliveries_of_execution", sort=[("_id", 1)]), _read)


async def of_all(db: Database, ids: Sequence[str]) -> dict[str, list[Delivery]]:
    """Those of each of these executions, by id."""
    rows = await db.find(DELIVERIES, {"execution_id": {"$in": list(ids)}}, "deliveries_of_execution")
    return by_execution(readable(rows, _read))


async def due(db: Database, now: int, limit: int, without: Collection[str]) -> Sequence[Delivery]:
    """Those that are due, but for those to these origins."""
    filter = {TO_SEND: True, "due": {"$gte": 0, "$lte": now}, "origin": {"$nin": sorted(without)}}

    async def fetch(count: int) -> list[Document]:
        return await db.find(DELIVERIES, filter, "deliveries_due", sort=[("due", 1), ("_id", 1)], limit=count)

    return await filled(fetch, limit, _read)


async def write(db: Database, delivery: Delivery) -> bool:
    """Writes a version of a delivery after the one before it."""
    row = _row(delivery)
    condition = {"version": delivery.version - 1}
    return await db.replace(DELIVERIES, delivery.id, condition, row, lambda stored: stored["made"] == row["made"])


async def drop(db: Database, delivery_id: str) -> bool:
    """Deletes one."""
    return await db.delete(DELIVERIES, {"_id": delivery_id}) > 0


async def drop_of(db: Database, execution_ids: Sequence[str]) -> None:
    """Deletes those of these executions."""
    if execution_ids:
        rows = await db.find(DELIVERIES, {"execution_id": {"$in": list(execution_ids)}}, "deliveries_of_execution", fields=("_id",))
        if rows:
            await db.delete(DELIVERIES, {"_id": {"$in": [row["_id"] for row in rows]}})


def _row(delivery: Delivery) -> Document:
    document = delivery_document(delivery)
    flag = {} if delivery.due is None else {TO_SEND: True}
    return {"_id": document.pop("id"), **document, **flag, "made": nonce()}


def _read(row: Document) -> Delivery:
    return delivery_from({**row, "id": row["_id"]})
