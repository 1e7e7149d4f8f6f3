"""Fills an empty store with the lines of an export.

All dispatch is paused first, and stays paused, since the exported jobs may have continued elsewhere. A job gets its next tick only after
its whole history is imported. So an import that ends half-way starts nothing; throw its store away.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field, replace

from fastlane.errors import FastlaneError
from fastlane.models.delivery import Delivery, MailQuota
from fastlane.models.event import Event
from fastlane.models.host import HostRecord
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import Execution, Job, Task
from fastlane.models.log import STDERR, STDOUT, Chunk, Head
from fastlane.models.pool import RESTORED
from fastlane.models.retention import TaskHour
from fastlane.models.tick import Tick
from fastlane.storage.base import Store
from fastlane.storage.transfer.lines import ExecutionLine, JobLine, Line, LogPart, Other, PausedPools

MAX_LINES, MAX_LOG_BYTES = 500, 4 * 1024 * 1024
"""How many lines, and how many bytes of logs, are written concurrently at most."""
SHOWN = 20
"""How many jobs and executions a summary names at most."""


@dataclass(slots=True)
class Summary:
    """The next events after an import: the jobs that are due already, soonest first, and the executions that were under way."""

    due: int = 0
    first_due: list[Job] = field(default_factory=list)
    under_way: int = 0
    first_under_way: list[Execution] = field(default_factory=list)


class Importer:
    """Imports lines that were checked, in their order: ``prepare``, ``add`` each of them, ``finish``."""

    def __init__(self, store: Store) -> None:
        self.summary = Summary()
        self._store = store
        self._now = int(time.time() * 1000)
        self._wave = _Wave()
        self._open: JobLine | None = None

    async def prepare(self) -> None:
        """Pauses all dispatch. Raises FastlaneError when the store is not empty."""
        counts = await self._store.counts()
        if counts.tasks or counts.jobs or any(counts.executions.values()):
            raise FastlaneError(f"the store is not empty: it has {counts.jobs} jobs; name another one, or remove this one first")
        await self._store.pause_pool(RESTORED, True)

    async def add(self, line: Line) -> None:
        """Imports the next line, together with some that follow it."""
        self._wave.add(line)
        self._note(line)
        if self._wave.is_full:
            await self.write()

    async def finish(self) -> None:
        """Writes what is left."""
        await self.write()
        if self._open is not None:
            await self._arm(self._open)

    def _note(self, line: Line) -> None:
        if isinstance(line, JobLine) and line.job.next_tick is not None and line.job.next_tick <= self._now:
            self.summary.due += 1
            shown = sorted([*self.summary.first_due, line.job], key=lambda job: (job.next_tick, job.id))
            self.summary.first_due = shown[:SHOWN]
        if isinstance(line, ExecutionLine) and not line.execution.status.final:
            self.summary.under_way += 1
            self.summary.first_under_way = [*self.summary.first_under_way, line.execution][:SHOWN]

    async def write(self) -> None:
        """Writes what was added."""
        wave, self._wave = self._wave, _Wave()
        await self._store.transfer.restore_hours(wave.hours)  # before the executions, of which some are in these counts
        await _all(self._store.create(_unarmed(line), None, None) for line in wave.jobs.values())
        jobs = ({} if self._open is None else {self._open.job.id: self._open}) | wave.jobs
        await _all(self._insert_ticks(jobs[job_id], ticks) for job_id, ticks in wave.ticks.items())
        await _all(self._insert(line) for line in wave.executions)
        await _all(self._append(parts) for parts in wave.logs.values())
        await _all(self._restore(line) for line in wave.others)
        await self._store.add_events(wave.events)
        *complete, last = jobs.values() or (None,)
        await _all(self._arm(line) for line in complete if line is not None)
        self._open = last

    async def _arm(self, line: JobLine) -> None:
        if line.job != _unarmed(line) and not await self._store.advance(_unarmed(line), line.job, (), None):
            raise _changed(f"job {line.job.id}")

    async def _insert_ticks(self, line: JobLine, ticks: list[Tick]) -> None:
        if not await self._store.advance(_unarmed(line), _unarmed(line), ticks, None):
            raise _changed(f"job {line.job.id}")

    async def _insert(self, line: ExecutionLine) -> None:
        if not await self._store.transfer.restore_execution(line.execution, line.noted, is_counted=line.is_counted):
            raise _changed(f"execution {line.execution.id}")

    async def _append(self, parts: list[LogPart]) -> None:
        head = await self._store.log_head(parts[0].execution_id)
        for part in parts:
            chunk = Chunk(part.execution_id, head, _after(head, part), part.pieces)
            if not await self._store.append(chunk):
                raise _changed(f"the log of execution {part.execution_id}")
            head = chunk.end

    async def _restore(self, line: Other) -> None:
        match line:
            case PausedPools():
                for name in line.names:
                    await self._store.pause_pool(name, True)
            case HostRecord():
                await self._restore_host(line)
            case PulledImage():
                await self._store.write_image(replace(line, removed_by=None, version=1))
            case Delivery():
                await self._store.insert_deliveries([line])
            case Task():
                await self._store.transfer.restore_task(line)
            case IdempotencyRecord():
                await self._store.transfer.restore_record(line)
            case MailQuota():
                await self._store.write_mail_quota(replace(line, version=1))

    async def _restore_host(self, host: HostRecord) -> None:
        """Replaces the record of the host that a process may have written when it started on the empty store."""
        version = 1
        while not await self._store.write_host(replace(host, version=version)):
            version = 1 + max(stored.version for stored in await self._store.hosts() if stored.id == host.id)


class _Wave:
    """Lines that are written concurrently."""

    def __init__(self) -> None:
        self.hours: list[TaskHour] = []
        self.jobs: dict[str, JobLine] = {}
        self.ticks: defaultdict[str, list[Tick]] = defaultdict(list)
        self.executions: list[ExecutionLine] = []
        self.logs: defaultdict[str, list[LogPart]] = defaultdict(list)
        self.events: list[Event] = []
        self.others: list[Other] = []
        self._lines = self._log_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to write."""
        return self._lines >= MAX_LINES or self._log_bytes >= MAX_LOG_BYTES

    def add(self, line: Line) -> None:
        """Adds a line."""
        self._lines += 1
        match line:
            case TaskHour():
                self.hours.append(line)
            case JobLine():
                self.jobs[line.job.id] = line
            case Tick():
                self.ticks[line.job_id].append(line)
            case ExecutionLine():
                self.executions.append(line)
            case LogPart():
                self.logs[line.execution_id].append(line)
                self._log_bytes += sum(len(piece.data) for piece in line.pieces)
            case Event():
                self.events.append(line)
            case PausedPools() | HostRecord() | PulledImage() | Delivery() | Task() | IdempotencyRecord() | MailQuota():
                self.others.append(line)


def _unarmed(line: JobLine) -> Job:
    """The job as its maker left it, without a next tick, and without a check."""
    return replace(line.job, next_tick=None, held_tick=None, check_at=None, requested_by=line.created_by)


def _after(head: Head, part: LogPart) -> Head:
    sizes = {stream: sum(len(piece.data) for piece in part.pieces if piece.stream == stream) for stream in (STDOUT, STDERR)}
    return Head(
        head.sequence + 1,
        head.offset + sizes[STDOUT] + sizes[STDERR],
        head.stdout + sizes[STDOUT],
        head.stderr + sizes[STDERR],
        part.dropped,
        part.marks,
    )


def _changed(what: str) -> FastlaneError:
    return FastlaneError(f"{what} was written by someone else during the import; stop every fastlane that uses this store, and begin anew")


async def _all(works: Iterable[Awaitable[object]]) -> None:
    await asyncio.gather(*works)
