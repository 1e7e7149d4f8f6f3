"""How much there is: of all tasks, or of those that a caller may see. Everything is counted along an index."""

import asyncio
from typing import Any

from fastlane.clock import unless_cancelled
from fastlane.models.status import Status
from fastlane.storage.base import Counts
from fastlane.storage.mongo.commits.intents import complete_pending
from fastlane.storage.mongo.driver.database import Database
from fastlane.storage.mongo.jobs import LAST
from fastlane.storage.mongo.lists.task_lists import visible_tasks
from fastlane.storage.mongo.schema import EXECUTIONS, JOBS, TASKS

_ANY = {"$gte": -LAST - 1, "$lte": LAST}


async def counts(db: Database, visible: str | None) -> Counts:
    """All tasks, jobs and executions by status, or those of the tasks whose id matches ``visible``."""
    await complete_pending(db)
    return await db.lengths.get(("counts", visible), lambda: _counts(db, visible), _rows)


async def _counts(db: Database, visible: str | None) -> Counts:
    tasks = None if visible is None else await visible_tasks(db, visible)
    of_tasks: dict[str, Any] = {} if tasks is None else {"task_id": {"$in": tasks}}
    of_jobs = ({"created_at": _ANY}, "jobs_by_creation") if tasks is None else (of_tasks, "jobs_of_task")
    index = "executions_by_status" if tasks is None else "executions_of_task_by_status"
    jobs, *executions = await unless_cancelled(
        asyncio.gather(db.count(JOBS, *of_jobs), *(db.count(EXECUTIONS, {**of_tasks, "status": status.value}, index) for status in Status))
    )
    count = len(tasks) if tasks is not None else await db.count(TASKS, {"modified_at": _ANY}, "tasks_by_change")
    return Counts(count, jobs, dict(zip(Status, executions, strict=True)))


def _rows(found: Counts) -> int:
    return found.jobs + sum(found.executions.values())
