"""The port of exports and imports. Methods raise StoreDown as those of ``storage.base`` do, and moments are in milliseconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastlane.models.access import Requester
from fastlane.models.delivery import Delivery, MailQuota
from fastlane.models.execution import Execution
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Task
from fastlane.models.retention import TaskHour


@dataclass(frozen=True, slots=True)
class Noted:
    """When the store heard that an execution started, and that it ended: its events are read from these."""

    start: int | None = None
    end: int | None = None


NOT_NOTED = Noted()


class TransferStore(Protocol):
    """What an export and an import of a store need beside the verbs of the others."""

    async def idempotency_records(self, since: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[IdempotencyRecord]:
        """The records that were written at that moment or later, by (created_at, key), after the named one."""

    async def restore_task(self, task: Task) -> None:
        """Gives a task the times of this one; makes it, without jobs, when there is none. Safe to repeat."""

    async def restore_record(self, record: IdempotencyRecord) -> None:
        """Inserts a record, unless its key has one. Safe to repeat."""

    async def creators(self, job_ids: Sequence[str]) -> Mapping[str, Requester | None]:
        """Who made each of these jobs, of those that are there."""

    async def noted(self, execution_ids: Sequence[str]) -> Mapping[str, Noted]:
        """What is noted of each of these executions, of those that are there."""

    async def deliveries(self, ids: Sequence[str]) -> Mapping[str, Sequence[Delivery]]:
        """The deliveries of each of these executions or jobs that has any, by id."""

    async def logged(self, execution_ids: Sequence[str]) -> frozenset[str]:
        """Which of these executions have a log."""

    async def restore_execution(self, execution: Execution, noted: Noted, *, is_counted: bool) -> bool:
        """Inserts an execution with what was noted of it. False, and nothing written, when an execution has its id already. With
        ``is_counted`` the counts of its hour have it already."""

    async def hour_rows(self, limit: int, after: TaskHour | None = None) -> Sequence[TaskHour]:
        """The counts of each hour, task and pool, in an order of the store's own, after the named one."""

    async def restore_hours(self, rows: Sequence[TaskHour]) -> None:
        """Writes counts in place of those of the same hour, task and pool. Safe to repeat."""

    async def mail_quotas(self, limit: int, after: str = "") -> Sequence[MailQuota]:
        """The quotas of mails, by id, after the named one."""
