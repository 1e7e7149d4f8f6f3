"""Exports and imports. An export writes the content of a store as lines, while the store is in use; an import fills an empty store with
them.

An export is not a snapshot of the whole store, but each job is consistent: the job is read first, and everything that came to it later is
left out. The importer fires the ticks that the job had not fired then. An execution that ended shortly before, or meanwhile, is written as
not settled, so that its further attempt cannot be missed: settling it once more does no harm.

The record of a job's backfill is read before the job, and stands behind all else of it. So each due time for which the job, as it is in
the file, has no tick is among the remaining ones; a remaining one with a tick does not run again. The receipt of a step that came after
the job was read is left out with its tick: with the receipt alone, the due time would seem to have run.

The counts of hours are read first. Executions that ended before the export began are in them, and are written as counted. Recorded events
are read last, so that no event about anything written before is missing.

Receipts are written with the logs alone, without which no execution is as it was sealed. How far rows were sealed is read first, the chains
last. Of what was sealed after the export began, rows may be missing from the file, or not final in it. So an import ends each chain before
that, with the keys; what runs then is sealed there.

An import pauses all dispatch first, which stays paused, since the exported jobs may have continued elsewhere. A job gets its next tick only
after its whole history is imported. So an import that ends half-way starts nothing; throw its store away.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, get_args

from fastlane.clock import unless_cancelled
from fastlane.errors import ArchiveDamaged, ArchiveDown, FastlaneError, NotUnique, ReadTooLong, StoreDown
from fastlane.models.backfill import Backfill
from fastlane.models.calendar import Calendar
from fastlane.models.delivery import Delivery, MailQuota
from fastlane.models.event import LAST_RANK, Event, Position, Source, Span, at
from fastlane.models.host import HostRecord
from fastlane.models.ids import DAY, IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import Execution, Job, Task
from fastlane.models.log import STDERR, STDOUT, Chunk, Head, Mark
from fastlane.models.paging import Page, WantedJobs, Window
from fastlane.models.pool import RESTORED
from fastlane.models.receipt import ChainBuilder, ChainHead, Removals, Seal, SealKeys, SealKind, SealPlace, removal
from fastlane.models.retention import TaskHour
from fastlane.models.tick import Tick, once_key
from fastlane.storage.base import NOT_NOTED, Noted, Store
from fastlane.storage.transfer.lines import KINDS, End, ExecutionLine, JobLine, Line, LogPart, Other, PausedPools, Start

PAGE = 100
TOGETHER = 16
"""Jobs that are read at once: each alone would mostly wait for its reader."""
SLICE_BYTES = 256 * 1024
MARGIN = 600_000
"""Milliseconds before an export's start from which on something counts as of the same time, since clocks differ."""

MANY = 1_000
"""Hours and events of a page: they are small."""

Row = TypeVar("Row")


OnWait = Callable[[str], None]
"""Called with the words of a fault when a read of an export has to wait."""
OnLoss = Callable[[str], None]
"""Called with the words of a fault when the archive has lost a log, or a part of it."""
PATIENCE, PAUSE = 60.0, 1.0
"""Seconds for which a read of an export is tried again when the store does not answer, and from one try to the next."""


async def export(
    store: Store,
    *,
    version: str,
    installation: str,
    with_logs: bool,
    on_wait: OnWait = lambda _: None,
    on_loss: OnLoss = lambda _: None,
) -> AsyncIterator[Line]:
    """The lines of an export. ``version`` is this fastlane's. What the archive has lost of a log is left
    out. Raises StoreDown or ArchiveDown when the store or the archive has not answered for ``PATIENCE``
    seconds."""
    counts: Counter[str] = Counter()
    exporter = _Exporter(store, int(time.time() * 1000), _Patience(on_wait), on_loss, with_logs=with_logs)
    yield Start(version, installation, exporter.started_at, with_logs)
    async for line in exporter.lines():
        counts[KINDS[type(line)]] += 1
        yield line
    yield End(dict(counts))


@dataclass(frozen=True, slots=True)
class _Read:
    """A job, the first pages of its ticks and executions, read after it, and its backfill, read before it."""

    job: Job
    ticks: Page[Tick]
    executions: Page[Execution]
    backfill: Backfill | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """The parts of some executions, and of some jobs, by their ids."""

    noted: Mapping[str, Noted]
    deliveries: Mapping[str, Sequence[Delivery]]
    logged: frozenset[str]


class _Patience:
    """Repeats reads of a store, or an archive, that does not answer for a while, as when its server restarts: an export of hours must not
    end with that."""

    def __init__(self, on_wait: OnWait) -> None:
        self._on_wait = on_wait

    async def __call__(self, read: Callable[[], Awaitable[Row]]) -> Row:
        """The answer of a read. Raises StoreDown or ArchiveDown when it fails for too long, and at once when it alone takes too long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while True:
            try:
                return await read()
            except (StoreDown, ArchiveDown) as error:
                if isinstance(error, ReadTooLong) or loop.time() + PAUSE > until:
                    raise
                self._on_wait(str(error))
                await asyncio.sleep(PAUSE)


class _Exporter:
    def __init__(self, store: Store, started_at: int, again: _Patience, on_loss: OnLoss, *, with_logs: bool) -> None:
        self.started_at = started_at
        self._store = store
        self._again = again
        self._on_loss = on_loss
        self._with_logs = with_logs
        self._ahead: set[str] = set()
        """The keys of the remaining due times of backfills that have no tick among the lines so far."""

    async def lines(self) -> AsyncIterator[Line]:
        store, transfer = self._store, self._store.transfer
        again = self._again
        place = await again(store.seals.place) if self._with_logs else None
        hosts = await again(store.hosts)
        yield PausedPools(tuple(sorted((await again(store.paused_pools)).names)))
        if place is not None:
            yield place
        for host in hosts:
            yield host
        async for calendar in self._calendars():
            yield calendar
        for engine in sorted({host.engine_id for host in hosts if host.engine_id is not None}):
            for image in await again(partial(store.pulled_images, engine)):
                yield image
        while await again(lambda: store.history.count_ends(MANY)) == MANY:
            pass
        hours: AsyncIterator[TaskHour] = self._after_each_other(lambda last: transfer.hour_rows(MANY, last))
        quotas: AsyncIterator[MailQuota] = self._after_each_other(lambda last: transfer.mail_quotas(PAGE, "" if last is None else last.id))
        tasks = self._walked(store.list_tasks)  # after the jobs, whose import changes their times
        receipts = (self._heads(), self._seals()) if self._with_logs else ()
        parts: tuple[AsyncIterator[Line], ...] = (hours, self._all_jobs(), tasks, self._requests(), quotas, self._events(), *receipts)
        for part in parts:
            async for line in part:
                yield line

    def _heads(self) -> AsyncIterator[ChainHead]:
        return self._after_each_other(lambda last: self._store.seals.all_heads(MANY, "" if last is None else last.id))

    def _seals(self) -> AsyncIterator[Seal]:
        return self._after_each_other(lambda last: self._store.seals.all_seals(MANY, "" if last is None else last.id))

    def _calendars(self) -> AsyncIterator[Calendar]:
        return self._after_each_other(lambda last: self._store.calendars.all(MANY, "" if last is None else last.id))

    async def _all_jobs(self) -> AsyncIterator[Line]:
        async for page in self._pages(lambda window: self._store.list_all_jobs(WantedJobs(), window)):
            for start in range(0, len(page), TOGETHER):
                async for line in self._jobs([listed.id for listed in page[start : start + TOGETHER]]):
                    yield line

    async def _jobs(self, job_ids: Sequence[str]) -> AsyncIterator[Line]:
        reads = await self._reads(job_ids)
        first = [execution for read in reads for execution in read.executions.rows]
        asked = self._again(lambda: self._store.transfer.creators(job_ids)), self._found(first, job_ids)
        creators, found = await unless_cancelled(asyncio.gather(*asked))
        for read in reads:
            yield JobLine(read.job, creators.get(read.job.id, read.job.requested_by))
            async for line in self._job(read, found):
                yield line
            for delivery in found.deliveries.get(read.job.id, ()):
                yield delivery
            if read.backfill is not None:
                yield read.backfill

    async def _reads(self, job_ids: Sequence[str]) -> list[_Read]:
        """These jobs, as far as they are there, each with the backfill that it had all the while: they are read again when one began or
        ended meanwhile."""
        found, asked, of_jobs = dict[str, _Read](), list(job_ids), self._store.backfills.of_jobs
        while asked:
            before = await self._again(partial(of_jobs, asked))
            reads = await unless_cancelled(asyncio.gather(*map(self._read, asked)))
            for id, read in zip(asked, reads, strict=True):
                found.pop(id, None)
                if read is not None:
                    backfill = before.get(id)
                    found[id] = replace(read, backfill=backfill if backfill and backfill.incarnation == read.job.incarnation else None)
            after = await self._again(partial(of_jobs, asked))
            asked = [id for id in asked if _which(before.get(id)) != _which(after.get(id))]
        return [found[id] for id in job_ids if id in found]

    async def _read(self, job_id: str) -> "_Read | None":
        """A job, and then its parts; nothing if it is gone, or newer than the export."""
        job = await self._again(lambda: self._store.job(job_id))
        if job is None or job.created_at > self.started_at + MARGIN:
            return None
        window = Window(1, PAGE)
        ticks, executions = await unless_cancelled(
            asyncio.gather(
                self._again(lambda: self._store.list_ticks(job_id, window)),
                self._again(lambda: self._store.list_executions_of(job_id, window)),
            )
        )
        return _Read(job, ticks, executions)

    async def _job(self, read: "_Read", found: "_Found") -> AsyncIterator[Line]:
        job = read.job
        if read.backfill is not None and read.backfill.ended_at is None:
            self._ahead.update(map(read.backfill.key_of, read.backfill.remaining))
        async for tick in self._walked(lambda window: self._store.list_ticks(job.id, window), read.ticks):
            if not await self._is_later(tick, job):
                self._ahead.discard(tick.key)
                yield tick
        async for rows in self._pages(lambda window: self._store.list_executions_of(job.id, window), read.executions):
            page = [execution for execution in rows if execution.sequence <= job.sequence and execution.belongs_to(job)]
            found = found if rows is read.executions.rows else await self._found(page)
            for execution in page:
                yield self._as_exported(execution, found.noted.get(execution.id, NOT_NOTED))
                for delivery in found.deliveries.get(execution.id, ()) if execution.status.final else ():
                    yield delivery
            async for part in self._logs([execution.id for execution in page if execution.id in found.logged]):
                yield part

    async def _found(self, executions: Sequence[Execution], job_ids: Sequence[str] = ()) -> "_Found":
        ids, transfer = [execution.id for execution in executions], self._store.transfer
        again = self._again
        return _Found(
            *await unless_cancelled(
                asyncio.gather(
                    again(lambda: transfer.noted(ids)),
                    again(lambda: transfer.deliveries([*ids, *job_ids])),
                    again(lambda: transfer.logged(ids if self._with_logs else [])),
                )
            )
        )

    async def _is_later(self, tick: Tick, job: Job) -> bool:
        """Whether the job, as it was read, has not fired this tick yet."""
        upcoming = job.next_tick if job.next_tick is not None else job.held_tick
        if upcoming is not None and (tick.key == once_key(job.schedule_revision) or (tick.key.startswith("c:") and tick.due >= upcoming)):
            return True
        if tick.execution_id is None or tick.created_at < self.started_at - MARGIN:
            return False
        execution = await self._again(partial(self._store.execution, tick.execution_id))
        return execution is not None and execution.sequence > job.sequence

    def _as_exported(self, execution: Execution, noted: Noted) -> ExecutionLine:
        ended = execution.finished_at if noted.end is None else noted.end
        is_counted = execution.status.final and (ended or 0) < self.started_at
        if execution.finished_at is not None and execution.finished_at >= self.started_at - MARGIN:
            execution = replace(execution, settled=False)
        if not self._with_logs and execution.status.final:
            had_output = execution.stdout_bytes > 0 or execution.stderr_bytes > 0
            execution = replace(execution, stdout_bytes=0, stderr_bytes=0, truncated=execution.truncated or had_output)
        return ExecutionLine(execution, noted, is_counted)

    async def _logs(self, execution_ids: Sequence[str]) -> AsyncIterator[LogPart]:
        for id in execution_ids:
            async for part in self._log(id):
                yield part

    async def _log(self, execution_id: str) -> AsyncIterator[LogPart]:
        marks: dict[int, Mark] = {}
        offset = 0
        while True:
            head = await self._again(lambda: self._store.log_head(execution_id))
            try:
                found = await self._again(partial(self._store.read_log, execution_id, offset, SLICE_BYTES))
            except ArchiveDamaged as error:
                self._on_loss(str(error))
                return
            if not found.pieces:
                break
            offset = found.next_offset
            marks |= {piece.stream: Mark(piece.time, 0) for piece in found.pieces}  # how far each stream has come
            yield LogPart(execution_id, found.pieces, dict(marks), 0)
        if head.marks or head.dropped:
            yield LogPart(execution_id, (), head.marks, head.dropped)

    async def _requests(self) -> AsyncIterator[IdempotencyRecord]:
        def page(last: IdempotencyRecord | None) -> Awaitable[Sequence[IdempotencyRecord]]:
            after = None if last is None else (last.created_at, last.key)
            return self._store.transfer.idempotency_records(self.started_at - DAY, PAGE, after)

        async for record in self._after_each_other(page):
            if record.created_at < self.started_at - MARGIN or record.key not in self._ahead:
                yield record

    async def _events(self) -> AsyncIterator[Event]:
        """The events that are recorded up to now; later ones do not make the walk longer."""
        first, last = at(0), Position(int(time.time() * 1000) + MARGIN, "", LAST_RANK)
        while events := await self._again(partial(self._store.events, Source.RECORDED, Span(first, last), MANY)):
            for event in events:
                yield event
            first = Position(events[-1].time, f"{events[-1].id}~")

    async def _after_each_other(self, list_after: Callable[[Row | None], Awaitable[Sequence[Row]]]) -> AsyncIterator[Row]:
        """All rows of a list whose pages begin after a row."""
        last: Row | None = None
        while rows := await self._again(partial(list_after, last)):
            for row in rows:
                yield row
            last = rows[-1]

    async def _walked(self, list_page: Callable[[Window], Awaitable[Page[Row]]], first: Page[Row] | None = None) -> AsyncIterator[Row]:
        """All rows of a list, page by page; ``first`` was read already."""
        async for rows in self._pages(list_page, first):
            for row in rows:
                yield row

    async def _pages(
        self, list_page: Callable[[Window], Awaitable[Page[Row]]], first: Page[Row] | None = None
    ) -> AsyncIterator[Sequence[Row]]:
        window = Window(1, PAGE)
        page = first if first is not None else await self._again(partial(list_page, window))
        while True:
            yield page.rows
            if page.next is None:
                return
            window = replace(window, after=page.next)
            page = await self._again(partial(list_page, window))


def _which(backfill: Backfill | None) -> tuple[str, int | None] | None:
    """Which backfill a record is of, and whether it has ended."""
    return None if backfill is None else (backfill.request, backfill.ended_at)


MAX_LINES, MAX_LOG_BYTES = 500, 4 * 1024 * 1024
"""How many lines, and how many bytes of logs, are written concurrently at most."""
SHOWN = 20
"""How many jobs, executions and backfills a summary names at most."""


@dataclass(slots=True)
class Summary:
    """The next events after an import: the jobs that are due already, soonest first, and the executions and the
    backfills that were under way. ``left_out``: seals that were not imported, for want of the keys."""

    due: int = 0
    first_due: list[Job] = field(default_factory=list)
    under_way: int = 0
    first_under_way: list[Execution] = field(default_factory=list)
    backfills: int = 0
    first_backfills: list[Backfill] = field(default_factory=list)
    left_out: int = 0


class Importer:
    """Imports lines that were checked, in their order: ``prepare``, ``add`` each of them, ``finish``. ``keys``: of receipts; without them,
    these are left out."""

    def __init__(self, store: Store, keys: SealKeys | None = None, *, as_exported: bool = False) -> None:
        """``as_exported``: writes the receipts as they are in the file, to look at them, and notes the file's jobs: in ``ends``, the task
        of each, and the number and digest with which its chain ends."""
        self.summary = Summary()
        self.started_at = 0
        self.ends: dict[str, tuple[str, int, str]] = {}
        self._as_exported = as_exported
        self._store = store
        self._chains = _Chains(store, keys, as_exported=as_exported)
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
        await self._chains.finish()
        self.summary.left_out = self._chains.left_out

    def _note(self, line: Line) -> None:
        match line:
            case Start():
                self.started_at = self._chains.started_at = line.started_at
            case JobLine() if self._as_exported:
                self.ends[line.job.id] = (line.job.task_id, 0, "")
            case ChainHead() if self._as_exported:
                self.ends[line.id] = (line.task_id, line.number, line.digest)
            case Seal() if self._as_exported:
                self.ends.setdefault(line.job_id, (line.task_id, 0, ""))
        if isinstance(line, JobLine) and line.job.next_tick is not None and line.job.next_tick <= self._now:
            self.summary.due += 1
            shown = sorted([*self.summary.first_due, line.job], key=lambda job: (job.next_tick, job.id))
            self.summary.first_due = shown[:SHOWN]
        if isinstance(line, ExecutionLine) and not line.execution.status.final:
            self.summary.under_way += 1
            self.summary.first_under_way = [*self.summary.first_under_way, line.execution][:SHOWN]
        if isinstance(line, Backfill) and line.ended_at is None:
            self.summary.backfills += 1
            self.summary.first_backfills = [*self.summary.first_backfills, line][:SHOWN]

    async def write(self) -> None:
        """Writes what was added."""
        wave, self._wave = self._wave, _Wave()
        await self._store.transfer.restore_hours(wave.lines[TaskHour])  # before the executions, of which some are in these counts
        await _all(self._store.create(_unarmed(line), None, None) for line in wave.lines[JobLine])
        jobs = {line.job.id: line for line in (*([] if self._open is None else [self._open]), *wave.lines[JobLine])}
        ticks, logs = (_by(name, wave.lines[kind]) for name, kind in (("job_id", Tick), ("execution_id", LogPart)))
        await _all(self._insert_ticks(jobs[job_id], rows) for job_id, rows in ticks.items())
        await _all(self._insert(line) for line in wave.lines[ExecutionLine])
        await _all(self._append(parts) for parts in logs.values())
        await _all(self._restore(line) for kind in get_args(Other) for line in wave.lines[kind])
        await self._store.add_events(wave.lines[Event])
        await self._chains.write([*wave.lines[SealPlace], *wave.lines[ChainHead]], wave.lines[Seal])
        *complete, last = jobs.values() or (None,)
        await _all(self._arm(line) for line in complete if line is not None)
        self._open = last

    async def _arm(self, line: JobLine) -> None:
        before = _unarmed(line)
        try:
            armed = line.job == before or await self._store.advance(before, line.job, (), None)
        except NotUnique:  # another job took the key over while the file was written
            armed = await self._store.advance(before, replace(line.job, unique_key=None), (), None)
        if not armed:
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
            case Calendar():
                await self._store.calendars.write(replace(line, version=1))
            case PulledImage():
                await self._store.write_image(replace(line, removed_by=None, version=1))
            case Delivery():
                await self._store.insert_deliveries([line])
            case Backfill():
                if not await self._store.backfills.write(replace(line, version=1)):
                    raise _changed(f"the backfill of job {line.id}")
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


class _Chains:
    """Writes the chains of receipts, each up to where the export began, and signs where it ends now."""

    def __init__(self, store: Store, keys: SealKeys | None, *, as_exported: bool) -> None:
        self.started_at = 0
        self.left_out = 0
        self._seals = store.seals
        self._keys = keys
        self._as_exported = as_exported
        self._last: Seal | None = None
        """The newest seal of the job whose seals come."""
        self._of_job = ("", "")
        self._later: list[Seal] = []
        """Its seals that were made while the file was written."""

    async def write(self, ends: Sequence[SealPlace | ChainHead], seals: Sequence[Seal]) -> None:
        """Writes the next lines of receipts."""
        if self._keys is None and not self._as_exported:
            self.left_out += len(seals)
            return
        await _all(self._write_end(end) for end in ends)
        kept = list[Seal]()
        for seal in seals:
            if seal.job_id != self._of_job[0]:
                await self._insert(kept)
                await self._cut()
                kept = []
                self._of_job, self._last, self._later = (seal.job_id, seal.task_id), None, []
            if self._as_exported or (not self._later and seal.sealed_at < self.started_at):
                kept.append(seal)
                self._last = seal
            else:
                self._later.append(seal)
        await self._insert(kept)

    async def finish(self) -> None:
        """Ends the last chain."""
        await self._cut()

    async def _write_end(self, end: SealPlace | ChainHead) -> None:
        match end:
            case ChainHead():
                await self._seals.write_head(replace(end, version=1))
            case SealPlace():
                stored = await self._seals.place()  # a worker that was started on the empty store has written one
                await self._seals.write_place(replace(end, version=1 if stored is None else stored.version + 1))

    async def _insert(self, seals: Sequence[Seal]) -> None:
        for start in range(0, len(seals), MAX_LINES):
            await _all(map(self._seals.append_seal, seals[start : start + MAX_LINES]))

    async def _cut(self) -> None:
        """Ends the chain of a job before its later seals. What was removed while the file was written may be missing in it."""
        if not self._later or self._keys is None:
            return
        last, later, (job_id, task_id) = self._last, self._later, self._of_job
        self._later = []
        head = await self._seals.head(job_id)
        if head is None or self._keys.fault(head.key, head.signature, head.body) is not None:
            return  # what is wrong there stays wrong
        builder = ChainBuilder(self._keys, job_id, task_id, last)
        removals = (one for one in later if one.kind is SealKind.REMOVAL and self._keys.fault(one.key, one.signature, one.body) is None)
        gone, number = Removals(removals), builder.number
        rows, logs = ([(first, min(end, number)) for first, end in found if first <= number] for found in (gone.rows, gone.logs))
        if rows or logs:
            await self._seals.append_seal(builder.append(removal(rows, logs), int(time.time() * 1000)))
        end = replace(head, number=builder.number, digest=builder.digest, version=head.version + 1)
        await self._seals.write_head(self._keys.signed_head(end))


class _Wave:
    """Lines that are written concurrently, by their types."""

    def __init__(self) -> None:
        self.lines: defaultdict[type, list[Any]] = defaultdict(list)
        self._count = self._log_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to write."""
        return self._count >= MAX_LINES or self._log_bytes >= MAX_LOG_BYTES

    def add(self, line: Line) -> None:
        """Adds a line."""
        self._count += 1
        self.lines[type(line)].append(line)
        if isinstance(line, LogPart):
            self._log_bytes += sum(len(piece.data) for piece in line.pieces)


def _by(name: str, lines: Sequence[Row]) -> Mapping[str, list[Row]]:
    """Lines by the id in one of their fields."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for line in lines:
        found[getattr(line, name)].append(line)
    return found


def _unarmed(line: JobLine) -> Job:
    """The job as its maker left it, without a next tick, a check, and a unique key."""
    return replace(line.job, next_tick=None, held_tick=None, check_at=None, requested_by=line.created_by, unique_key=None)


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
    return FastlaneError(f"{what} was written by someone else during the import; stop every fastlane that uses this store, and begin again")


async def _all(works: Iterable[Awaitable[object]]) -> None:
    await unless_cancelled(asyncio.gather(*works))
