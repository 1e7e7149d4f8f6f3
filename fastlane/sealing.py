"""Seals what ended: appends a seal to its job's chain for each execution and each row of the ledger, from the rows as they are stored.

Nothing of this is part of the writes that end an execution. One worker looks for ends and for ticks that came to nothing, a few seconds
behind, and a second time an hour behind for what was stored late. A seal is inserted under its number: of two processes one appends, and
the other one looks again. A process that ends anywhere leaves seals that its place does not have yet; the next look finds them by their
rows. Before rows are removed, their removal is sealed, so a crash between the two leaves rows that may go.

Each seal also binds the newest seals of other jobs that this process appended and none has bound yet: without the later seals of all jobs,
nobody can take off the end of one chain.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from fastlane.clock import Clock, unless_cancelled
from fastlane.errors import TransientError
from fastlane.models.event import LAST_RANK, EventKind, Position, Source, Span
from fastlane.models.receipt import (
    LATE,
    ChainBuilder,
    ChainEnd,
    ChainHead,
    Removals,
    Seal,
    SealedRow,
    SealKeys,
    SealKind,
    SealPlace,
    ranges,
    removal,
)
from fastlane.storage.base import Store
from fastlane.storage.retention_port import GoingJob
from fastlane.storage.seal_port import EndedRow

log = structlog.get_logger()

LAG = 10_000
"""Milliseconds by which the first look stays behind: several processes write, and what ended first may be stored last."""
AGAIN_AFTER = LATE // 2
"""How far behind the second look is (milliseconds)."""
HELD = 600_000
"""Milliseconds for which the second look waits for an execution that is not settled: its tick may change until then."""
IDLE = 600_000
"""Milliseconds after which the place moves on when nothing ends."""
PAGE = 100
AT_ONCE = 8
"""Jobs whose chains are appended to together: the log of each is read."""
TRIES = 5
"""How often a process that meets another one at the same chain looks again."""
NEWEST = 50
"""The newest executions of a job that are sealed before it is removed: older ones have been."""
MOST_BOUND = 2 * AT_ONCE
"""Ends of other chains that one seal binds at most."""
UNSTARTED = frozenset({EventKind.TICK_SKIPPED, EventKind.TICK_MISSED, EventKind.TICK_EXPIRED})
"""Events of ticks that make no execution."""


EVERY = 2.0
"""Seconds between two looks."""


class Sealing:
    """Appends to the chains of a store, with the keys of the settings."""

    def __init__(self, store: Store, clock: Clock, keys: SealKeys) -> None:
        self._events = store
        self._seals = store.seals
        self._clock = clock
        self._keys = keys
        self._unbound: dict[str, ChainEnd] | None = None
        """The ends of chains that no seal binds yet, by job; None: not looked for."""
        self._held = ("", 0)
        """For which execution the second look waits, and since when."""

    async def look(self) -> int:
        """Seals what has ended since the last look; how many seals it appended. Safe to repeat, by any process."""
        now = self._clock.now()
        place = await self._seals.place()
        if place is None:
            place = _beginning(now)
            await self._seals.write_place(self._keys.signed_place(replace(place, version=1)))
            return 0
        count = 0
        for name, behind in (("ends", LAG), ("late_ends", AGAIN_AFTER)):
            count += await self._walk_ends(name, now - behind)
        for name, behind in (("events", LAG), ("late_events", AGAIN_AFTER)):
            count += await self._walk_events(name, now - behind)
        return count

    async def _walk_ends(self, name: str, until: int) -> int:
        count, full = 0, True
        while full and (place := await self._seals.place()) is not None:
            after = getattr(place, name)
            rows = await self._seals.ended(until, PAGE, (after["time"], after["id"]))
            full, at = len(rows) == PAGE, after
            if name == "late_ends" and (ready := self._ready(rows)) < len(rows):
                rows, full, until = rows[:ready], False, after["time"]
            if rows:
                count += await self.seal_ended(rows)
                at = {"time": rows[-1].end_noted_at, "id": rows[-1].id}
            full = await self._go_on(place, name, at, until, full=full) and full
        return count

    def _ready(self, rows: Sequence[EndedRow]) -> int:
        """How many of these rows the second look goes on by: those before the first that is not settled, unless it has waited for that."""
        now, (id, since) = self._clock.now(), self._held
        for index, row in enumerate(rows):
            if not row.settled:
                self._held = (row.id, since if row.id == id else now)
                if now - self._held[1] < HELD:
                    return index
        return len(rows)

    async def _go_on(self, place: SealPlace, name: str, at: Mapping[str, Any], until: int, *, full: bool) -> bool:
        """Writes how far this look came; False when another process was faster. While nothing ends, the place moves all the same: what is
        inserted by hand into the past is not sealed."""
        if not full and until - at["time"] > IDLE:
            at = {"time": until, "id": ""}
        if at == getattr(place, name):
            return True
        changes: dict[str, Any] = {name: at, "version": place.version + 1}
        return await self._seals.write_place(replace(place, **changes))

    async def _walk_events(self, name: str, until: int) -> int:
        count, full = 0, True
        while full and (place := await self._seals.place()) is not None:
            after = getattr(place, name)
            span = Span(Position(after["time"], after["id"]), Position(until, "~", LAST_RANK))
            events = [] if until < after["time"] else await self._events.events(Source.RECORDED, span, PAGE)
            full, at = len(events) == PAGE, after
            new = [event for event in events if (event.time, event.id) > (after["time"], after["id"])]
            for event in new:
                if event.kind in UNSTARTED and event.job_id is not None and event.task_id is not None:
                    ticks = await self._seals.ticks_at(event.job_id, event.detail.get("due", event.time))
                    rows = await self._seals.rows(SealKind.TICK, ticks)
                    count += await self._append(event.job_id, event.task_id, list(rows.values()))
            if new:
                at = {"time": new[-1].time, "id": new[-1].id}
            full = await self._go_on(place, name, at, until, full=full) and full
        return count

    async def seal_ended(self, rows: Sequence[EndedRow]) -> int:
        """Seals these executions, and their ticks that change no more."""
        sealed = await self._seals.sealed([id for row in rows for id in (row.id, row.tick_id)])
        await self._write_heads({row.job_id: row.task_id for row in rows if row.id in sealed}, rows, sealed)
        left = [row for row in rows if row.id not in sealed or row.tick_id not in sealed]
        if not left:
            return 0
        unfinished = await self._seals.unfinished_ticks(left)
        executions = await self._seals.rows(SealKind.EXECUTION, [row.id for row in left if row.id not in sealed])
        ticks = await self._seals.rows(SealKind.TICK, [row.tick_id for row in left if row.tick_id not in {*sealed, *unfinished}])
        of_job: dict[tuple[str, str], dict[str, SealedRow]] = {}
        for row in left:
            found = of_job.setdefault((row.job_id, row.task_id), {})
            found |= {one.id: one for one in (executions.get(row.id), ticks.get(row.tick_id)) if one is not None}
        jobs, count = list(of_job.items()), 0
        for first in range(0, len(jobs), AT_ONCE):
            some = jobs[first : first + AT_ONCE]
            counts = await unless_cancelled(asyncio.gather(*(self._append(*ids, list(found.values())) for ids, found in some)))
            count += sum(counts)
        return count

    async def before_rows(
        self, job_id: str, task_id: str, executions: Sequence[str] = (), ticks: Sequence[str] = (), logs: Sequence[str] = ()
    ) -> None:
        """Seals what is not sealed of rows that are about to be removed, and then their removal."""
        sealed = await self._seal_going([GoingJob(job_id, task_id, executions, ticks)])
        numbers = [sealed[id] for id in (*executions, *ticks) if id in sealed]
        of_logs = list((await self._seals.sealed(logs)).values()) if logs else []
        seals = await self._seals.removals(job_id) if numbers or of_logs else ()
        before = Removals(seals)
        new, new_logs = [one for one in numbers if not before.has_row(one)], [one for one in of_logs if not before.has_log(one)]
        if new or new_logs:
            rows = ranges([*new, *(seal.number for seal in seals)], before.rows)
            row = removal(rows, await self._without_gaps(job_id, ranges(new_logs, before.logs)))
            await self._append(job_id, task_id, [row], removes=True)

    async def before_jobs(self, jobs: Sequence[GoingJob]) -> None:
        """Seals what is not sealed of jobs that are about to be deleted, and then that all of each goes."""
        await self._seal_going(jobs)
        heads = await self._seals.heads_of([job.job_id for job in jobs])
        for job in jobs:
            head, last = heads.get(job.job_id), None
            if head is not None:
                last = await self._seals.last(job.job_id)
            if head is None or (last is not None and last.facts.get("rows") == [[1, last.number - 1]]):
                continue
            number = head.number if last is None else last.number
            await self._append(job.job_id, job.task_id, [removal([[1, number]], [])], removes=True)

    async def _seal_going(self, jobs: Sequence[GoingJob]) -> Mapping[str, int]:
        """Seals rows that are about to be removed, if they ended since receipts are kept; the numbers of the seals of all."""
        ids = [id for job in jobs for id in (*job.executions, *job.ticks)]
        place = await self._seals.place() if ids else None
        if place is None:
            return {}
        sealed = await self._seals.sealed(ids)
        if all(id in sealed for id in ids):
            return sealed
        executions = await self._seals.rows(SealKind.EXECUTION, [id for job in jobs for id in job.executions if id not in sealed])
        ticks = await self._seals.rows(SealKind.TICK, [id for job in jobs for id in job.ticks if id not in sealed])
        kept = {id: row for id, row in executions.items() if row.values.get("end_noted_at", 0) >= place.since}
        kept |= {id: row for id, row in ticks.items() if row.values.get("created_at", 0) >= place.since}
        for job in jobs:
            await self._append(job.job_id, job.task_id, [kept[id] for id in (*job.executions, *job.ticks) if id in kept])
        return await self._seals.sealed(ids) if kept else sealed

    async def _without_gaps(self, job_id: str, runs: list[list[int]]) -> list[list[int]]:
        """The runs of logs, joined where what is between two of them has no log: otherwise each tick would divide them."""
        joined = runs[:1]
        for first, last in runs[1:]:
            gap = first - joined[-1][1] - 1
            between = await self._seals.after(job_id, joined[-1][1], gap) if gap <= PAGE else ()
            if len(between) == gap and not any("log" in seal.facts for seal in between):
                joined[-1][1] = last
            else:
                joined.append([first, last])
        return joined

    async def _append(self, job_id: str, task_id: str, rows: Sequence[SealedRow], *, removes: bool = False) -> int:
        """Appends a seal for each of these rows that has none; how many. What is sealed is read after the end of the chain: what another
        process appended since then stands at the number that this one wants."""
        if not rows:
            return 0
        with_logs = [await self._with_log(row) for row in rows]
        for _ in range(TRIES):
            last, head = await self._seals.last(job_id), await self._seals.head(job_id)
            builder = ChainBuilder(self._keys, job_id, task_id, last, head)
            sealed = await self._seals.sealed([row.id for row in rows if row.id])
            left = [row for row in with_logs if row.id not in sealed]
            if not left:
                await self._write_head(head, job_id, task_id, builder)
                return 0
            if (newest := await self._append_all(builder, left)) is not None:
                if await self._write_head(head, job_id, task_id, builder):
                    self._bind_later(newest)
                return len(left)
        log.warning("receipts.chain_stuck", job_id=job_id, task_id=task_id, removes=removes)
        return 0

    async def _append_all(self, builder: ChainBuilder, rows: Sequence[SealedRow]) -> Seal | None:
        """Appends these rows, of which there is one at least; the newest seal, None when another process was faster."""
        unbound = await self._ends()
        newest: Seal | None = None
        for row in rows:
            others = {job: unbound.pop(job) for job in list(unbound)[:MOST_BOUND] if job != builder.job_id}
            newest = builder.append(row, self._clock.now(), others)
            appended = False
            try:
                appended = await self._seals.append_seal(newest)
            finally:
                if not appended:  # unless there is a newer end meanwhile
                    unbound |= {**others, **unbound}
            if not appended:
                return None
        return newest

    async def _ends(self) -> dict[str, ChainEnd]:
        """The ends that the next seal binds. A process begins with the seal at which the look before it stopped."""
        if self._unbound is None:
            place = await self._seals.place()
            seal = await self._seals.of_row(place.ends["id"]) if place is not None and place.ends.get("id") else None
            head = None if seal is None else await self._seals.head(seal.job_id)
            if self._unbound is None:
                self._unbound = {}
                if seal is not None and head is not None and head.number >= seal.number:
                    self._bind_later(seal)
        return self._unbound

    def _bind_later(self, seal: Seal) -> None:
        if self._unbound is not None:
            self._unbound[seal.job_id] = ChainEnd(seal.number, seal.signature)

    async def _write_heads(self, jobs: Mapping[str, str], rows: Sequence[EndedRow], sealed: Mapping[str, int]) -> None:
        """Writes the ends of chains that do not have the seals of these rows yet: a process ended between the two writes."""
        heads = await self._seals.heads_of(list(jobs)) if jobs else {}
        for job_id, task_id in jobs.items():
            head, numbers = heads.get(job_id), [sealed.get(id, 0) for row in rows if row.job_id == job_id for id in (row.id, row.tick_id)]
            if head is None or head.number < max(numbers):
                await self._write_head(
                    head, job_id, task_id, ChainBuilder(self._keys, job_id, task_id, await self._seals.last(job_id), head)
                )

    async def _write_head(self, seen: ChainHead | None, job_id: str, task_id: str, builder: ChainBuilder) -> bool:
        """Writes where the chain ends now; whether it did."""
        before = seen or ChainHead(job_id, task_id)
        if builder.number <= before.number:
            return False
        head = replace(before, task_id=task_id, number=builder.number, digest=builder.digest, version=before.version + 1)
        return await self._seals.write_head(self._keys.signed_head(head))

    async def _with_log(self, row: SealedRow) -> SealedRow:
        if row.kind is not SealKind.EXECUTION:
            return row
        return row.with_log(await self._seals.log_digest(row.id))


def _beginning(now: int) -> SealPlace:
    at = {"time": now, "id": ""}
    return SealPlace(since=now, ends=at, late_ends=at, events=at, late_events=at)


class Sealer:
    """Seals what ends, while it ``is_chosen``."""

    def __init__(self, sealing: Sealing, clock: Clock, is_chosen: Callable[[], Awaitable[bool]]) -> None:
        self._sealing, self._clock, self._is_chosen = sealing, clock, is_chosen

    async def run(self) -> None:
        """Looks again and again."""
        while True:
            try:
                if await self._is_chosen():
                    count = await self._sealing.look()
                    if count:
                        log.debug("receipts.sealed", seals=count)
            except TransientError as error:
                log.debug("receipts.waiting", error=str(error))
            await self._clock.sleep(EVERY)
