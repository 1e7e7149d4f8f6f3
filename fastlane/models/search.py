"""What a search in the logs of many runs looks for, how far it is, and what it finds."""

import re
from dataclasses import dataclass
from typing import ClassVar

from fastlane.models.job import Execution
from fastlane.models.pattern import Pattern

MAX_CURSOR = 100
_FORM = re.compile(
    r"(0|[1-9][0-9]{0,15})/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,14})(/end)?", re.ASCII
)
ENDED = "end"


@dataclass(frozen=True, slots=True)
class SearchCursor:
    """How far a search is: in the list of executions, at the one with this key (its due time and id or, in the list of a job, its sequence
    and attempt), and in its log, of which the lines that end up to ``position`` were searched. ``is_done``: all of it was."""

    first: int
    second: str | int
    position: int
    is_done: bool = False

    FORM: ClassVar[str] = f"^(?:{_FORM.pattern}|{ENDED})$"

    def __str__(self) -> str:
        return f"{self.first}/{self.second}/{self.position}{'/end' if self.is_done else ''}"


def read_search_cursor(text: str, *, of_job: bool) -> SearchCursor:
    """The cursor that a client sends back. Raises ValueError for text that is not a cursor of such a search."""
    found = _FORM.fullmatch(text) if len(text) <= MAX_CURSOR else None
    if found is None or found[2].isdigit() is not of_job:
        raise ValueError("is not a cursor of this search; send one back as an event had it, with the same task and job")
    return SearchCursor(int(found[1]), int(found[2]) if of_job else found[2], int(found[3]), found[4] is not None)


@dataclass(frozen=True, slots=True)
class RunRange:
    """Selects runs: of a task (None: of all tasks that ``visible``, a pattern, lets see), or of one job of it; due from ``since`` to
    ``until`` (milliseconds, None: whenever)."""

    task_id: str | None = None
    job_id: str | None = None
    since: int | None = None
    until: int | None = None
    visible: str | None = None

    def includes(self, execution: Execution) -> bool:
        """Whether the run was due in this time."""
        due = execution.scheduled_for
        return (self.since is None or due >= self.since) and (self.until is None or due <= self.until)


@dataclass(frozen=True, slots=True)
class WantedLines:
    """A search: for which lines, of which stream (None: both), of which runs; ``limit`` hits at most. ``start``: where it goes on."""

    pattern: Pattern
    runs: RunRange
    limit: int
    stream: int | None = None
    start: SearchCursor | None = None
