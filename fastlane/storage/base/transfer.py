"""The port of exports and imports. Methods raise StoreDown as those of ``storage.base`` do, and moments are in milliseconds."""

from collections.abc import Sequence
from typing import Protocol

from fastlane.models.idempotency import IdempotencyRecord
from fastlane.models.task import Task


class TransferStore(Protocol):
    """What an export and an import of a store need beside the verbs of the others."""

    async def idempotency_records(self, since: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[IdempotencyRecord]:
        """The records that were written at that moment or later, by (created_at, key), after the named one."""

    async def restore_task(self, task: Task) -> None:
        """Gives a task the times of this one; makes it, without jobs, when there is none. Safe to repeat."""

    async def restore_record(self, record: IdempotencyRecord) -> None:
        """Inserts a record, unless its key has one. Safe to repeat."""
