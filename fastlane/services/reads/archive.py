"""Packs the logs of many runs into one tar file, as it is read: a file for each run, with both streams in order of arrival, and after each
1,000 of them a list of these runs as lines of JSON, which also names the runs without their whole log. Holds a slice of a log, and a list.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from tarfile import BLOCKSIZE, PAX_FORMAT, RECORDSIZE, TarInfo
from urllib.parse import quote

from fastlane.clock import iso
from fastlane.errors import Unreadable
from fastlane.models.job import Execution
from fastlane.models.search import RunRange
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.reads.search import GoOn, LogSearches, Missing, missing_log
from fastlane.streams.reader import SLICE, read_slices

LISTED_AT_ONCE = 1_000


class LogArchives(Service):
    """Makes archives. ``searches`` finds the runs."""

    def __init__(self, parts: ServiceParts, searches: LogSearches) -> None:
        super().__init__(parts)
        self._searches = searches

    async def tar(self, wanted: RunRange, go_on: GoOn) -> AsyncGenerator[bytes, None]:
        """The bytes of the file, the newest run first. Without its end, a block of zeros, it ended because it may not ``go_on``."""
        rows: list[Mapping[str, object]] = []
        size, lists, now = 0, 0, self._clock.now()
        async with aclosing(self._searches.runs(wanted)) as runs:
            async for run in runs:
                if not go_on():
                    return
                if not run.is_wanted:
                    continue
                async with aclosing(self._log(run.execution, rows)) as parts:
                    async for part in parts:
                        size += len(part)
                        yield part
                        if not go_on():
                            return
                if len(rows) >= LISTED_AT_ONCE:
                    lists += 1
                    yield (data := _list(lists, rows, now))
                    size += len(data)
                    rows.clear()
        if rows or not lists:
            yield (data := _list(lists + 1, rows, now))
            size += len(data)
        size += 2 * BLOCKSIZE
        yield bytes(2 * BLOCKSIZE + -size % RECORDSIZE)

    async def _log(self, execution: Execution, rows: list[Mapping[str, object]]) -> AsyncGenerator[bytes, None]:
        """The file of a run, if it has a log, and its row of the list. The size of a file comes before it, so that one whose log goes away
        meanwhile is filled up with zeros."""
        head = await self._store.log_head(execution.id)
        name, read, is_unreadable = _name(execution), 0, False
        if head.offset:
            yield _header(name, head.offset, execution.finished_at or execution.started_at or execution.created_at)
            try:
                async with aclosing(read_slices(self._store, execution.id, 0, head.offset)) as slices:
                    async for pieces in slices:
                        data = b"".join(piece.data for piece in pieces)
                        read += len(data)
                        yield data
            except Unreadable:
                is_unreadable = True
            for start in range(read, head.offset, SLICE):
                yield bytes(min(SLICE, head.offset - start))
            yield bytes(-head.offset % BLOCKSIZE)
        reason = Missing.UNREADABLE if is_unreadable else missing_log(execution, head, read)
        rows.append(_row(execution, name if head.offset else None, head.offset, reason))


def _name(execution: Execution) -> str:
    """The name of a run's file: TASK/JOB/TIME-EXECUTION.log, without characters that mean something elsewhere."""
    due = iso(execution.scheduled_for).replace(":", "-")
    return f"{quote(execution.task_id, safe=' ')}/{execution.job_id}/{due}-{execution.id}.log"


def _row(execution: Execution, name: str | None, size: int, reason: Missing | None) -> Mapping[str, object]:
    ids = {"taskId": execution.task_id, "jobId": execution.job_id, "executionId": execution.id}
    end = {"status": execution.status, "exitCode": execution.exit_code}
    due = {"scheduledFor": iso(execution.scheduled_for), "attempt": execution.attempt}
    return {"file": name, "bytes": size, "missing": reason, **ids, **due, **end}


def _list(number: int, rows: Sequence[Mapping[str, object]], now: int) -> bytes:
    data = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    return _header(f"runs-{number:04}.jsonl", len(data), now) + data + bytes(-len(data) % BLOCKSIZE)


def _header(name: str, size: int, time: int) -> bytes:
    """What comes before a file that was changed at this time (milliseconds)."""
    info = TarInfo(name)
    info.size, info.mtime, info.mode = size, time // 1000, 0o644
    return info.tobuf(PAX_FORMAT)
