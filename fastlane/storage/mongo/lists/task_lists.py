"""Reads of tasks, and their lists. How many jobs each task of a page has is counted then.

A list that is filtered by words or by a pattern is found in the ids alone, which are short; the page's own rows are read whole.
"""

import re
from collections.abc import Sequence
from typing import Any

from fastlane.models.job import Task
from fastlane.models.paging import After, Page, Window
from fastlane.storage.mongo.commits.intents import complete_pending
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.jobs import LAST
from fastlane.storage.mongo.lists.paged import ListSource, rows_of
from fastlane.storage.mongo.rows import read_task
from fastlane.storage.mongo.schema import BY_ID, JOBS, TASKS
from fastlane.storage.pages import stretch_of
from fastlane.storage.visibility import after_all_with, literal_start
from fastlane.storage.words import contains, words_of

_NEWEST = [("modified_at", -1), ("_id", -1)]
_ROWS: ListSource[Document] = ListSource(TASKS, ("modified_at", "_id"), lambda row: row)
_ALL = {"modified_at": {"$gte": -LAST - 1, "$lte": LAST}}


async def get(db: Database, task_id: str) -> Task | None:
    """One task. How many jobs it has is counted, since a number in the task would be wrong after some crashes."""
    await complete_pending(db)
    row = await db.one(TASKS, task_id)
    return None if row is None else read_task(row, (await job_counts(db, [task_id])).get(task_id, 0))


async def tasks(db: Database, window: Window, visible: str | None) -> Page[Task]:
    """All tasks, those changed last first."""
    await complete_pending(db)
    if visible is not None:
        seen = set(await visible_tasks(db, visible))
        rows = await db.find(TASKS, _ALL, "tasks_by_change", sort=_NEWEST, fields=("modified_at",))
        return await _page_of(db, window, [row for row in rows if row["_id"] in seen])
    if window.after is not None:
        moment, id = window.after.key
        range = {"modified_at": {"$gte": -LAST - 1, "$lte": moment}}
        further = {"$or": [{"modified_at": {"$lt": moment}}, {"modified_at": moment, "_id": {"$lt": id}}]}
        rows = await rows_of(db, _ROWS, {**range, **further}, "tasks_by_change", limit=window.per_page + 1)
        return await _shown(db, window, window.after.total, rows[: window.per_page], more=len(rows) > window.per_page)
    total = await db.lengths.get("tasks", lambda: db.count(TASKS, _ALL, "tasks_by_change"), int)
    stretch = stretch_of(window, total)
    if stretch is None:
        return Page(window, total, (), None)
    rows = await rows_of(db, _ROWS, _ALL, "tasks_by_change", skip=stretch.skip, limit=stretch.size, backwards=stretch.backwards)
    return await _shown(db, window, total, rows, more=window.offset + window.per_page < total)


async def tasks_with(db: Database, words: Sequence[str], window: Window, visible: str | None) -> Page[Task]:
    """Tasks whose id contains all of these words, each whole or as the beginning of a word; those changed last first."""
    phrases = [phrase for phrase in map(words_of, words) if phrase]
    if not phrases:
        return Page(window, 0, (), None)
    await complete_pending(db)
    filter = {"$and": [condition for phrase in phrases for condition in _conditions(phrase)]}
    rows = await db.find(TASKS, filter, "tasks_by_word", fields=("modified_at",))
    found = [row for row in rows if _matches(row["_id"], phrases) and (visible is None or re.match(visible, row["_id"]))]
    return await _page_of(db, window, sorted(found, key=_key, reverse=True))


async def visible_tasks(db: Database, pattern: str) -> list[str]:
    """The ids of the tasks that a pattern matches. Tasks whose ids begin differently are not read."""
    start = literal_start(pattern)
    range = {"$gte": start, "$lt": after_all_with(start)} if start else {"$gte": ""}
    rows = await db.find(TASKS, {"_id": range}, BY_ID, fields=("_id",))
    return [row["_id"] for row in rows if re.match(pattern, row["_id"])]


async def _page_of(db: Database, window: Window, found: Sequence[Document]) -> Page[Task]:
    """The page of a list whose keys are at hand."""
    if window.after is not None:
        total, start = window.after.total, 0
        found = [row for row in found if _key(row) < tuple(window.after.key)]
    else:
        total, start = len(found), window.offset
    rows = found[start : start + window.per_page]
    return await _shown(db, window, total, rows, more=start + window.per_page < len(found))


async def _shown(db: Database, window: Window, total: int, rows: Sequence[Document], *, more: bool) -> Page[Task]:
    ids = [row["_id"] for row in rows]
    whole, counts = await db.with_ids(TASKS, ids), await job_counts(db, ids)
    shown = tuple(read_task(whole[id], counts.get(id, 0)) for id in ids if id in whole)
    return Page(window, total, shown, After(total, _key(rows[-1])) if more and rows else None)


async def job_counts(db: Database, task_ids: Sequence[str]) -> dict[str, int]:
    """How many jobs each of these tasks has, if it has any."""
    if not task_ids:
        return {}
    counted = ("job_counts", *sorted(task_ids))
    return await db.lengths.get(counted, lambda: _job_counts(db, task_ids), lambda found: sum(found.values()))


async def _job_counts(db: Database, task_ids: Sequence[str]) -> dict[str, int]:
    stages: list[dict[str, Any]] = [{"$match": {"task_id": {"$in": list(task_ids)}}}, {"$group": {"_id": "$task_id", "count": {"$sum": 1}}}]
    return {row["_id"]: row["count"] for row in await db.group(JOBS, stages, "jobs_of_task")}


def _key(row: Document) -> tuple[int, str]:
    return row["modified_at"], row["_id"]


def _conditions(phrase: Sequence[str]) -> list[dict[str, Any]]:
    """Filters by the words of a phrase, each of which one word of a task meets. The last one may be the beginning of a word."""
    *whole, last = phrase
    return [*({"words": word} for word in whole), {"words": {"$elemMatch": {"$gte": last, "$lt": last + chr(0x10FFFF)}}}]


def _matches(task_id: str, phrases: Sequence[Sequence[str]]) -> bool:
    words = words_of(task_id)
    return all(contains(words, phrase) for phrase in phrases)
