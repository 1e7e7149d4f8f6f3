"""A search in the logs of many runs: what is asked for, and what comes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fastlane.client.errors import ClientError
from fastlane.client.log_output import Stream


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Which lines, in the logs of which runs: of a ``task``, of one ``job`` of it, or of all tasks that you may see. ``pattern``: a
    regular expression, or (``fixed``) the text itself. ``since``, ``until``: when the runs were due: a time, or a duration ago (7d).
    ``limit``: hits at most, 10,000 at most."""

    pattern: str
    task: str | None = None
    job: str | None = None
    since: str | None = None
    until: str | None = None
    stream: Stream | None = None
    ignore_case: bool = False
    fixed: bool = False
    limit: int = 1_000

    def query(self, cursor: str | None, hits: int) -> dict[str, Any]:
        """The query's parameters: from the cursor on, after this many hits."""
        flags = {"ignoreCase": 1 if self.ignore_case else None, "fixed": 1 if self.fixed else None}
        runs = {"task": self.task, "job": self.job, "since": self.since, "until": self.until}
        return {"pattern": self.pattern, **runs, **flags, "stream": self.stream, "limit": max(1, self.limit - hits), "from": cursor}


@dataclass(frozen=True, slots=True)
class LogHit:
    """A line with a match: of which run, due when (``scheduled_for``) and which attempt; the line's ``number`` in its log, when it came
    (``time``, ISO 8601), and its ``text``, or a part of it (``cut``), with the match from ``begin`` to ``end`` (characters). ``line_url``:
    the page of the log, at that line."""

    task: str
    job: str
    execution: str
    scheduled_for: str
    attempt: int
    stream: Stream
    number: int
    time: str
    text: str
    begin: int
    end: int
    cut: bool
    line_url: str
    row: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)
    """As the server has it."""


@dataclass(frozen=True, slots=True)
class LogMissing:
    """A run of which the log, or a part of it, was not searched. ``reason``: removed (by retention), truncated (never kept) or
    unreadable."""

    task: str
    job: str
    execution: str
    scheduled_for: str
    reason: str
    row: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)
    """As the server has it."""


@dataclass(frozen=True, slots=True)
class SearchCounts:
    """How many logs were searched so far, their bytes, the hits, and the runs without their whole log, by reason."""

    runs: int = 0
    bytes: int = 0
    hits: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)

    def plus(self, other: "SearchCounts") -> "SearchCounts":
        """The counts of both."""
        missing = {name: self.missing.get(name, 0) + other.missing.get(name, 0) for name in {**self.missing, **other.missing}}
        return SearchCounts(self.runs + other.runs, self.bytes + other.bytes, self.hits + other.hits, missing)


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """How far the search is."""

    counts: SearchCounts


@dataclass(frozen=True, slots=True)
class SearchEnded:
    """The end. ``limited``: there may be more hits than the limit. ``removed_before``: retention may have removed runs that ended before
    this time with all that they had, so that they could not be named; None: no run that was asked for."""

    counts: SearchCounts
    limited: bool
    removed_before: str | None = None


SearchEvent = LogHit | LogMissing | SearchProgress | SearchEnded


class SearchReader:
    """Reads the events of a search, over several connections: the ``cursor`` from which the next one goes on, and the counts of all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.cursor: str | None = None
        self.hits = 0
        self._before = SearchCounts()
        self._now = SearchCounts()

    def begin(self) -> None:
        """A connection begins: its counts begin anew."""
        self._before = replace(self._before.plus(self._now), hits=self.hits)
        self._now = SearchCounts()

    def read(self, kind: str, data: Mapping[str, Any]) -> SearchEvent | None:
        """The event; None for events of later versions. Raises ClientError when the search failed."""
        self.cursor = data.get("cursor", self.cursor)
        match kind:
            case "hit" if self.hits >= self._limit:  # the last connection was lost after the last hit
                return SearchEnded(self._before, limited=True)
            case "hit":
                self.hits += 1
                begin, end = data["match"]
                line = (data["stream"], data["number"], data["time"], data["text"])
                return LogHit(*_run(data), data["attempt"], *line, begin, end, data["cut"], data["lineUrl"], data)
            case "missing":
                return LogMissing(*_run(data), data["reason"], data)
            case "progress":
                return SearchProgress(self._counts(data))
            case "end":
                return SearchEnded(self._counts(data), data["limited"], data["removedBefore"])
            case "failure":
                raise ClientError(data["detail"])
            case _:
                return None

    def _counts(self, data: Mapping[str, Any]) -> SearchCounts:
        self._now = SearchCounts(data["runs"], data["bytes"], 0, data["missing"])
        return replace(self._before.plus(self._now), hits=self.hits)


def _run(data: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return data["taskId"], data["jobId"], data["executionId"], data["scheduledFor"]
