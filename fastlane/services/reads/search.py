"""Searches the logs of many runs for lines, and reads the logs of many runs one after the other: the newest run first, since that is what
people ask about, and within a run as it was written.

A search holds a slice of a log, whatever is searched. All searches of a process take turns: one works at a time, for some milliseconds, and
rests as long, so that they take half of the event loop at most.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum

from fastlane.errors import NotFound, Unreadable
from fastlane.models.access import may_see
from fastlane.models.job import Execution
from fastlane.models.log import Head
from fastlane.models.paging import After, Key, Page, Wanted as Wanted, Window
from fastlane.models.search import RunRange, SearchCursor, WantedLines
from fastlane.services.parts import Service, ServiceParts
from fastlane.storage.base import find_job, find_task, no_such_job
from fastlane.streams.reader import read_slices
from fastlane.streams.scan import Hit, LineSearcher

AT_ONCE, AT_ONCE_OF_CALLER = 8, 2
"""Searches and archives at once in one process, and of one caller."""
RUNS_AT_ONCE = 10
"""Executions of a page: each may have a spec of a megabyte."""
WORK = 0.004
"""Seconds of processor time for which a search works at a time."""
PROGRESS_EVERY = 1.0
"""Seconds between two events that say how far a search is."""
MOST_NAMED = 100
"""Runs without their whole log that are named; all are counted."""
LATEST = 10**15
GoOn = Callable[[], bool]
"""Whether a search may go on: its client is there, and the server does not end."""


class Missing(StrEnum):
    """Why a log, or a part of it, was not searched."""

    REMOVED = "removed"
    """Retention, or the size that all logs may have, removed it, or its end."""
    TRUNCATED = "truncated"
    """Some of it was never kept: it was longer than logs may be, or got lost on its way."""
    UNREADABLE = "unreadable"
    """It is damaged, or a newer fastlane wrote it."""


@dataclass(slots=True)
class Searched:
    """Runs whose log was searched, their bytes, the hits, and by reason the runs without their whole log."""

    runs: int = 0
    bytes: int = 0
    hits: int = 0
    missing: dict[Missing, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A line with a match, in the log of an execution, and the place after it."""

    execution: Execution
    hit: Hit
    cursor: SearchCursor


@dataclass(frozen=True, slots=True)
class MissingLog:
    """An execution of which the log, or a part of it, is not there."""

    execution: Execution
    reason: Missing
    cursor: SearchCursor


@dataclass(frozen=True, slots=True)
class SearchPoint:
    """How far the search is."""

    counts: Searched
    cursor: SearchCursor


@dataclass(frozen=True, slots=True)
class SearchEnd:
    """The end of a search. ``is_cut``: there may be more hits than its limit."""

    counts: Searched
    is_cut: bool


SearchPart = FoundLine | MissingLog | SearchPoint | SearchEnd


@dataclass(frozen=True, slots=True)
class ListedRun:
    """An execution, and its key in the list that it was found in. ``is_wanted``: whether it was due in the time that is asked for; others
    come too, so that a walk over many of them can be ended and says how far it is."""

    execution: Execution
    key: tuple[int, str | int]
    is_wanted: bool = True

    def cursor(self, position: int, *, is_done: bool = False) -> SearchCursor:
        """A place in its log."""
        return SearchCursor(*self.key, position, is_done)


class LogSearches(Service):
    """Searches logs. Raises NotFound for a task or job that does not exist, and StoreDown."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._turn = asyncio.Lock()

    async def check_exists(self, runs: RunRange) -> None:
        """Returns when there is such a task or job for the caller; raises NotFound otherwise."""
        task_id = runs.task_id
        if task_id is None:
            return
        if not may_see(runs.visible, task_id):
            raise NotFound(f"there is no task {task_id!r}") if runs.job_id is None else no_such_job(task_id, runs.job_id)
        if runs.job_id is not None:
            await find_job(self._store, task_id, runs.job_id)
        else:
            await find_task(self._store, task_id)

    async def runs(self, wanted: RunRange, start: SearchCursor | None = None) -> AsyncGenerator[ListedRun, None]:
        """The runs, the newest first, from the one that the cursor names on."""
        of_job = wanted.job_id is not None
        key: Key = (LATEST, LATEST) if of_job else (LATEST if wanted.until is None else wanted.until + 1, "")
        if start is not None:  # so that the one that it names comes as well
            key = (start.first, start.second + 1) if isinstance(start.second, int) else (start.first, f"{start.second}~")
        after: After | None = After(0, key)
        while after is not None:
            page = await self._page(wanted, Window(1, RUNS_AT_ONCE, after))
            for one in page.rows:
                key = (one.sequence, one.attempt) if of_job else (one.scheduled_for, one.id)
                yield ListedRun(one, key, wanted.includes(one))
            after = page.next

    async def _page(self, wanted: RunRange, window: Window) -> Page[Execution]:
        if wanted.job_id is not None:
            return await self._store.list_executions_of(wanted.job_id, window)
        listed = Wanted(task_id=wanted.task_id, since=wanted.since, visible=wanted.visible)
        return await self._store.list_executions(listed, window)

    async def search(self, wanted: WantedLines, go_on: GoOn) -> AsyncGenerator[SearchPart, None]:
        """The hits, the runs without their whole log, once a second how far it is, and the end. Without that, it ended because it may not
        ``go_on``."""
        counts, loop = Searched(), asyncio.get_running_loop()
        told = loop.time()
        async with aclosing(self.runs(wanted.runs, wanted.start)) as runs:
            async for run in runs:
                async with aclosing(self._search_run(run, wanted, counts, go_on)) as events:
                    async for event in events:
                        if not isinstance(event, SearchPoint):
                            yield event
                        elif loop.time() >= told + PROGRESS_EVERY:
                            told = loop.time()
                            yield event
                if not go_on():
                    return
                if counts.hits >= wanted.limit:
                    break
        yield SearchEnd(counts, counts.hits >= wanted.limit)

    async def _search_run(self, run: ListedRun, wanted: WantedLines, counts: Searched, go_on: GoOn) -> AsyncGenerator[SearchPart, None]:
        """Searches one log, from where the cursor says if it is of this run."""
        if not run.is_wanted:
            yield SearchPoint(counts, run.cursor(0, is_done=True))
            return
        start = wanted.start if wanted.start is not None and (wanted.start.first, wanted.start.second) == run.key else None
        if start is not None and start.is_done:
            return
        after = 0 if start is None else start.position
        execution, head = run.execution, await self._store.log_head(run.execution.id)
        scanner = LineSearcher(wanted.pattern, wanted.stream, after=after, most=wanted.limit)
        is_unreadable = False
        try:
            async with aclosing(read_slices(self._store, execution.id, 0, head.offset)) as slices:
                async for pieces in slices:
                    before = scanner.offset
                    async for event in self._found(run, scanner.feed(pieces), wanted, counts, go_on):
                        yield event
                    if not go_on() or counts.hits >= wanted.limit:
                        return
                    counts.bytes += max(0, scanner.offset - max(before, after))
                    yield SearchPoint(counts, run.cursor(max(after, scanner.offset)))
        except Unreadable:
            is_unreadable = True
        if execution.status.final:
            async for event in self._found(run, scanner.finish(), wanted, counts, go_on):
                yield event
            if not go_on() or counts.hits >= wanted.limit:
                return
        counts.runs += scanner.offset > 0
        done = run.cursor(scanner.offset, is_done=True)
        reason = Missing.UNREADABLE if is_unreadable else missing_log(execution, head, scanner.offset)
        if reason is not None:
            counts.missing[reason] = counts.missing.get(reason, 0) + 1
            if counts.missing[reason] <= MOST_NAMED:
                yield MissingLog(execution, reason, done)
        yield SearchPoint(counts, done)

    async def _found(
        self, run: ListedRun, steps: Iterator[Hit | None], wanted: WantedLines, counts: Searched, go_on: GoOn
    ) -> AsyncGenerator[SearchPart, None]:
        """What a scanner finds, up to the limit."""
        for hit in await self._work(steps, go_on):
            if counts.hits >= wanted.limit:
                return
            counts.hits += 1
            yield FoundLine(run.execution, hit, run.cursor(hit.position))

    async def _work(self, steps: Iterator[Hit | None], go_on: GoOn) -> Sequence[Hit]:
        """Takes all steps, in turns with other searches and with all else that this process does."""
        hits: list[Hit] = []
        is_over = False
        while not is_over and go_on():
            async with self._turn:
                began, is_over = time.thread_time(), True
                for step in steps:
                    if step is not None:
                        hits.append(step)
                    if time.thread_time() - began >= WORK:
                        is_over = False
                        break
                await asyncio.sleep(time.thread_time() - began)
        return hits


def missing_log(execution: Execution, head: Head, searched: int) -> Missing | None:
    """Why not all of what the execution wrote was there. A log is removed from its end, so its beginning may be left."""
    written = execution.stdout_bytes + execution.stderr_bytes
    if searched < max(written if execution.status.final else 0, head.offset):
        return Missing.REMOVED
    return Missing.TRUNCATED if head.truncated or execution.truncated else None
