"""The one way in which an execution is stopped: the row, then the message."""

from typing import Any

import pytest

from fastlane.errors import QueueDown
from fastlane.models.job import Execution
from fastlane.models.status import Status
from fastlane.models.transitions import ExecutionChange
from fastlane.queue.executions import QueueMessages, Stopper
from fastlane.queue.port import TICKS, Cancelled, Entry
from tests.support.clock import FakeClock
from tests.support.factories import make_execution


class Row:
    """A store with one execution, and the queue; ``done`` has what happened, in order."""

    def __init__(self, execution: Execution, found: Cancelled = Cancelled.ABSENT) -> None:
        self.execution, self.found, self.done = execution, found, list[str]()
        self.down = False
        self.entries: list[Entry] = []
        clock, this = FakeClock(), _any(self)
        self.stopper = Stopper(this, clock, QueueMessages(this, clock))

    async def change(self, change: ExecutionChange) -> Execution | None:
        if not change.permitted(self.execution):
            return None
        self.execution = change.applied_to(self.execution)
        self.done.append(change.name)
        return self.execution

    async def cancel(self, _id: str) -> Cancelled:
        if self.down:
            raise QueueDown("away")
        self.done.append("cancel entry")
        return self.found

    async def put(self, entries: list[Entry]) -> int:
        self.entries += entries
        return len(entries)


def _any(value: Any) -> Any:
    return value


async def test_an_execution_that_no_worker_has_ends_at_once_and_is_put_to_be_settled() -> None:
    row = Row(make_execution(), Cancelled.REMOVED)
    stopped = await row.stopper.stop(row.execution)
    assert stopped is row.execution
    assert stopped.status is Status.STOPPED
    assert row.done == ["cancel", "cancel entry"]
    assert [entry.lane for entry in row.entries] == [TICKS]


@pytest.mark.parametrize("status", [Status.PULLING, Status.RUNNING])
async def test_the_owner_of_another_one_is_asked_to_stop_it(status: Status) -> None:
    row = Row(make_execution(status=status, epoch=1), Cancelled.NOTIFIED)
    stopped = await row.stopper.stop(row.execution)
    assert stopped is not None
    assert (stopped.status, stopped.is_stopping) == (status, True)
    assert row.done == ["flag-stop", "cancel entry"]
    assert row.entries == []


async def test_one_that_another_process_has_changed_is_left_alone() -> None:
    row = Row(make_execution(status=Status.RUNNING, epoch=1))
    assert await row.stopper.stop(make_execution()) is None
    assert row.done == []


async def test_a_queue_that_is_away_leaves_the_row_written() -> None:
    row = Row(make_execution(status=Status.RUNNING, epoch=1))
    row.down = True
    with pytest.raises(QueueDown):
        await row.stopper.stop(row.execution)
    assert row.execution.is_stopping


async def test_the_owner_itself_needs_no_message() -> None:
    row = Row(make_execution(status=Status.PULLING, epoch=1))
    marked = await row.stopper.mark(row.execution)
    assert marked is not None
    assert row.done == ["flag-stop"]
