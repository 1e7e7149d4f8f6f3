"""Fills an empty store with the lines of an export.

All dispatch is paused first, and stays so, since what the export tells of may have gone on elsewhere. A job gets its next tick only after
all that it has had is there. So an import that ends half-way starts nothing; its store is to be thrown away.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field, replace

from fastlane.errors import FastlaneError
from fastlane.models.container.pulled_image import PulledImage
from fastlane.models.execution import Execution
from fastlane.models.idempotency import IdempotencyRecord
from fastlane.models.job import Job
from fastlane.models.logs.chunk import STDERR, STDOUT, Chunk, Head
from fastlane.models.notify.delivery import Delivery
from fastlane.models.placement.host_record import HostRecord
from fastlane.models.placement.pool import RESTORED
from fastlane.models.schedule.tick import Tick
from fastlane.models.task import Task
from fastlane.storage.base import Store
from fastlane.storage.transfer.lines import KINDS, End, Line, LogPart, PausedPools, Start

MAX_LINES, MAX_LOG_BYTES = 500, 4 * 1024 * 1024
"""How many lines, and how many bytes of logs, are written side by side at most."""
SHOWN = 20
"""How many jobs and executions a summary names at most."""


@dataclass(slots=True)
class Summary:
    """What is to happen after an import: the jobs that are due already, soonest first, and the executions that were under way."""

    due: int = 0
    first_due: list[Job] = field(default_factory=list)
    under_way: int = 0
    first_under_way: list[Execution] = field(default_factory=list)


class Checker:
    """Checks the lines of an export as they come, before any of it is imported."""

    def __init__(self) -> None:
        self._start: Start | None = None
        self.counts: Counter[str] = Counter()
        self._end: End | None = None
        self._job: str | None = None

    def check(self, line: Line) -> None:
        """Raises FastlaneError for a line that must not stand here."""
        if isinstance(line, Start) != (self._start is None):
            raise FastlaneError("an export begins with its line of the kind 'export', and has one")
        if self._end is not None:
            raise FastlaneError("there is more after the end of the export: are these two files?")
        match line:
            case Start():
                self._start = line
                return
            case End():
                self._end = line
                return
            case Job():
                self._job = line.id
            case Tick() | Execution() | Delivery() if line.job_id != self._job:
                raise FastlaneError(f"this {KINDS[type(line)]} does not follow its job {line.job_id}")
        self.counts[KINDS[type(line)]] += 1

    def finish(self) -> None:
        """Raises FastlaneError when lines are missing."""
        if self._start is None:
            raise FastlaneError("the file is empty")
        if self._end is None:
            raise FastlaneError("the export was cut: its last line is missing; make another one")
        if dict(self._end.counts) != dict(self.counts):
            raise FastlaneError(f"lines of the export are missing: it should have {dict(self._end.counts)}, and has {dict(self.counts)}")


class Importer:
    """Imports lines that were checked, in their order: ``prepare``, ``add`` each of them, ``finish``."""

    def __init__(self, store: Store) -> None:
        self.summary = Summary()
        self._store = store
        self._now = int(time.time() * 1000)
        self._wave = _Wave()
        self._open: Job | None = None

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
        if isinstance(line, Job) and line.next_tick is not None and line.next_tick <= self._now:
            self.summary.due += 1
            shown = sorted([*self.summary.first_due, line], key=lambda job: (job.next_tick, job.id))
            self.summary.first_due = shown[:SHOWN]
        if isinstance(line, Execution) and not line.status.final:
            self.summary.under_way += 1
            self.summary.first_under_way = [*self.summary.first_under_way, line][:SHOWN]

    async def write(self) -> None:
        """Writes what was added."""
        wave, self._wave = self._wave, _Wave()
        await _all(self._store.create(_unarmed(job), None, None) for job in wave.jobs.values())
        jobs = ({} if self._open is None else {self._open.id: self._open}) | wave.jobs
        await _all(self._insert_ticks(jobs[job_id], ticks) for job_id, ticks in wave.ticks.items())
        await _all(self._insert(execution) for execution in wave.executions)
        await _all(self._append(parts) for parts in wave.logs.values())
        await _all(self._restore(line) for line in wave.others)
        *complete, last = jobs.values() or (None,)
        await _all(self._arm(job) for job in complete if job is not None)
        self._open = last

    async def _arm(self, job: Job) -> None:
        if job != _unarmed(job) and not await self._store.advance(_unarmed(job), job, (), None):
            raise _changed(f"job {job.id}")

    async def _insert_ticks(self, job: Job, ticks: list[Tick]) -> None:
        if not await self._store.advance(_unarmed(job), _unarmed(job), ticks, None):
            raise _changed(f"job {job.id}")

    async def _insert(self, execution: Execution) -> None:
        if not await self._store.insert(execution):
            raise _changed(f"execution {execution.id}")

    async def _append(self, parts: list[LogPart]) -> None:
        head = await self._store.log_head(parts[0].execution_id)
        for part in parts:
            chunk = Chunk(part.execution_id, head, _after(head, part), part.pieces)
            if not await self._store.append(chunk):
                raise _changed(f"the log of execution {part.execution_id}")
            head = chunk.end

    async def _restore(self, line: PausedPools | HostRecord | PulledImage | Delivery | Task | IdempotencyRecord) -> None:
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
                await self._store.restore_task(line)
            case IdempotencyRecord():
                await self._store.restore_record(line)

    async def _restore_host(self, host: HostRecord) -> None:
        """Over what a process that began on the empty store may have written of the host."""
        version = 1
        while not await self._store.write_host(replace(host, version=version)):
            version = 1 + max(stored.version for stored in await self._store.hosts() if stored.id == host.id)


class _Wave:
    """Lines that are written side by side."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.ticks: defaultdict[str, list[Tick]] = defaultdict(list)
        self.executions: list[Execution] = []
        self.logs: defaultdict[str, list[LogPart]] = defaultdict(list)
        self.others: list[PausedPools | HostRecord | PulledImage | Delivery | Task | IdempotencyRecord] = []
        self._lines = self._log_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to write."""
        return self._lines >= MAX_LINES or self._log_bytes >= MAX_LOG_BYTES

    def add(self, line: Line) -> None:
        """Adds a line."""
        self._lines += 1
        match line:
            case Job():
                self.jobs[line.id] = line
            case Tick():
                self.ticks[line.job_id].append(line)
            case Execution():
                self.executions.append(line)
            case LogPart():
                self.logs[line.execution_id].append(line)
                self._log_bytes += sum(len(piece.data) for piece in line.pieces)
            case PausedPools() | HostRecord() | PulledImage() | Delivery() | Task() | IdempotencyRecord():
                self.others.append(line)


def _unarmed(job: Job) -> Job:
    """The job without a tick to come, and without a check."""
    return replace(job, next_tick=None, held_tick=None, check_at=None)


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
