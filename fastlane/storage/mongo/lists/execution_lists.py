"""The list of executions over several jobs: of all tasks, of one, or of those that a caller may see. Every filter has an index in the
list's order; where a filter has several values, the server merges a walk for each."""

import re
from dataclasses import replace
from typing import Any

from fastlane.models.execution import Execution
from fastlane.models.paging import Page, Wanted, Window
from fastlane.models.status import Status
from fastlane.storage.mongo.commits import complete_pending
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.jobs import visible_tasks
from fastlane.storage.mongo.lists.paged import EXECUTION_ROWS, page
from fastlane.storage.pages import FEW_TASKS
from fastlane.storage.records import LAST


async def executions(db: Database, wanted: Wanted, window: Window) -> Page[Execution]:
    """Executions of all tasks, or of one, the latest due first."""
    if wanted.visible is not None and wanted.task_id is not None:
        one = replace(wanted, visible=None)
        return await executions(db, one, window) if re.match(wanted.visible, wanted.task_id) else Page(window, 0, (), None)
    await complete_pending(db)
    tasks = None if wanted.visible is None else await visible_tasks(db, wanted.visible)
    filter, index = _found(wanted, tasks)
    return await page(db, EXECUTION_ROWS, filter, index, window)


def _found(wanted: Wanted, tasks: list[str] | None) -> tuple[dict[str, Any], str]:
    """The filter of a list, and the index whose order is the list's. Many tasks are filtered on the way."""
    statuses = sorted(wanted.statuses or Status)
    due = {"scheduled_for": {"$gte": -LAST - 1 if wanted.since is None else wanted.since, "$lte": LAST}}
    of_tasks: dict[str, Any] = {}
    if tasks is not None:
        of_tasks = {"task_id": {"$in": tasks}}
    elif wanted.task_id is not None:
        of_tasks, tasks = {"task_id": wanted.task_id}, [wanted.task_id]
    if tasks is None or len(tasks) * (len(statuses) if wanted.statuses else 1) > FEW_TASKS:
        return {"status": {"$in": statuses}, **due, **of_tasks}, "executions_by_status"
    if not wanted.statuses:
        return {**of_tasks, **due}, "executions_of_task"
    return {**of_tasks, "status": {"$in": statuses}, **due}, "executions_of_task_by_status"
