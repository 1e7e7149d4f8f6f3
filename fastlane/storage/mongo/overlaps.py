"""What of a job is under way: the executions that another tick of it meets, and the one that waits for them."""

from contextlib import aclosing
from operator import attrgetter

from fastlane.models.execution import Execution
from fastlane.models.retry import is_under_way
from fastlane.models.status import Status
from fastlane.storage.mongo.driver.database import Database
from fastlane.storage.mongo.executions import OLDEST
from fastlane.storage.mongo.jobs import belonging, whole
from fastlane.storage.mongo.rows import read_execution
from fastlane.storage.mongo.schema import EXECUTIONS, UNFINISHED, WAITING
from fastlane.storage.overlaps import MOST, OVER
from fastlane.storage.readable import readable


async def waiting(db: Database, job_id: str) -> Execution | None:
    """A job's newest execution that waits for others of its job."""
    await whole(db, job_id)
    return await _waiting(db, job_id)


async def waiting_of(db: Database, task_id: str, most: int) -> int:
    """How many executions of the task are enqueued, at most so many."""
    return min(most, await db.count(EXECUTIONS, {"task_id": task_id, "status": Status.ENQUEUED.value}, "executions_of_task_by_status"))


async def under_way_of(db: Database, task_id: str, job_id: str) -> list[Execution]:
    """The oldest ``MOST`` executions of the job that are under way, and its newest one that waits, oldest first. Raises Unreadable: one
    that cannot be read may run.

    They are walked from the oldest on. A failed one is settled after the attempt after it was inserted, so a walk that comes too late
    for the first still comes to the second.
    """
    bounds = await whole(db, job_id)
    if bounds is None:
        return []
    found: list[Execution] = []
    filter = {"task_id": task_id, "job_id": job_id, UNFINISHED: True, **belonging(bounds), "settled": False, "status": {"$nin": list(OVER)}}
    async with aclosing(db.walk(EXECUTIONS, filter, "executions_unfinished", OLDEST)) as rows:
        async for row in rows:
            if is_under_way(execution := read_execution(row)):
                found.append(execution)
            if len(found) == MOST:
                break
    if len(found) < MOST:
        return found
    last = await _waiting(db, job_id)
    return found if last is None or last in found else [*found, last]


async def _waiting(db: Database, job_id: str) -> Execution | None:
    rows = await db.find(EXECUTIONS, {"job_id": job_id, WAITING: True}, "executions_waiting")
    return max(readable(rows, read_execution), key=attrgetter("sequence"), default=None)
