"""What must hold at the end, when nothing is left to do: the store, the ledger, the logs, the queue and the hosts against what was seen."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastlane.models.job import Execution, Job
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick
from tests.model.changes import gaps
from tests.model.checks import Start
from tests.model.counts import Counts
from tests.model.failures import is_tried_again
from tests.support.ledger import ticks_of

if TYPE_CHECKING:
    from tests.model.world import World

PAGE = 1000
STARTING = frozenset({Outcome.STARTED, Outcome.QUEUED, Outcome.REPLACED})
UNSEEN = frozenset({FailureReason.HOST_LOST, FailureReason.KILLED})
"""The reasons after which nobody knows what the container did."""


class Accounts:
    """The final look at a world; complains to its witness."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._witness = world.witness
        self._complain = world.witness.complain

    async def examine(self) -> None:
        """All of it."""
        for job in self._witness.jobs.values():
            rows = self._witness.book.rows_of(job.id)
            whole = job.id not in self._witness.book.partly
            await self._examine_job(job, rows, whole=whole)
            if whole:
                self._examine_ledger(job, list(await ticks_of(self._world.store, job.id, PAGE)), rows)
                self._examine_attempts(job, rows)
        for row in self._witness.rows.values():
            if row.job_id not in self._witness.book.partly:
                await self._examine_execution(row)
        await Counts(self._world).examine()
        lanes = await self._world.queue_counts()
        if any(lane.ready or lane.timed or lane.running or lane.blocked for lane in lanes.values()):
            self._complain(f"the queue counts {lanes}")
        self._examine_leftovers()

    async def _examine_job(self, job: Job, rows: Sequence[Execution], *, whole: bool) -> None:
        found = {row.id: row for row in await self._world.store.executions_of(job.id, PAGE)}
        expected = {row.id: row for row in rows if whole or row.id in found}
        if found != expected:
            self._complain(f"job {job.id} has executions {found}, expected {rows}")
        if await self._world.store.job(job.id) != job:
            self._complain(f"job {job.id} is {await self._world.store.job(job.id)}, expected {job}")

    def _examine_ledger(self, job: Job, ledger: Sequence[Tick], rows: Sequence[Execution]) -> None:
        """It has the rows that were seen, those that a stop wrote, and no others; what started has exactly one first attempt."""
        seen = {tick.id: tick for tick in self._witness.ticks.values() if tick.job_id == job.id}
        by_stops = [tick for tick in ledger if tick.id not in seen]
        for words in gaps(self._witness.book.owed.get(job.incarnation, []), by_stops):
            self._complain(f"job {job.id}, which was stopped, {words}")
        if {tick.id: tick for tick in ledger if tick not in by_stops} != seen:
            self._complain(f"the ledger of job {job.id} is {ledger}, seen were {seen}")
        first = Counter(row.tick_id for row in rows if row.attempt == 1)
        for tick in ledger:
            if first[tick.id] != (0 if tick.execution_id is None else 1):
                self._complain(f"{tick} has {first[tick.id]} first attempts")
            if (tick.outcome is Outcome.STARTED) is bool(tick.reason):
                self._complain(f"{tick} does not say why")

    def _examine_attempts(self, job: Job, rows: Sequence[Execution]) -> None:
        """Each attempt after the first follows one that failed in a way that may pass, and none is left out."""
        by_place = {(row.tick_id, row.attempt): row for row in rows}
        for (tick_id, attempt), row in by_place.items():
            curable = is_tried_again(row)
            following = by_place.get((tick_id, attempt + 1))
            if following is not None and (not curable or attempt > row.spec.retries):
                self._complain(f"{row} was followed by another attempt")
            if following is not None and following.sequence != row.sequence:
                self._complain(f"{following} has another sequence than the attempt before it")
            stopped = row.stop_requested_at is not None or job.stops(row.sequence)
            if curable and attempt <= row.spec.retries and not stopped and row.expires_at is None and following is None:
                self._complain(f"{row} was followed by no other attempt")
            if attempt > 1 and (tick_id, attempt - 1) not in by_place:
                self._complain(f"{row} follows nothing")

    async def _examine_execution(self, row: Execution) -> None:
        tick = self._witness.ticks[row.tick_id]
        never = None if row.has_started else {Status.STOPPED: Outcome.STOPPED, Status.EXPIRED: Outcome.EXPIRED}.get(row.status)
        if row.attempt == 1 and tick.outcome not in ({never} if never else STARTING):
            self._complain(f"the ledger says {tick} of {row}")
        start = self._witness.starts.get(row.id)
        unseen = self._is_unseen(row)
        if row.status is Status.DONE and start is None:
            self._complain(f"{row.id} is done, and never started")
        if start is not None and not (row.has_started or unseen or row.status is Status.STOPPED):
            self._complain(f"{row.id} started, and its row does not say so: {row}")
        # How it ended is known, and the host went away before its log was read.
        is_cut_off = row.host is not None and self._world.was_lost(row.host, row.started_at or 0)
        if row.truncated and not unseen and not is_cut_off:
            self._complain(f"{row.id} says that its log is not whole")
        if start is not None and not row.truncated and not unseen:
            await self._examine_log(row, start)

    def _is_unseen(self, row: Execution) -> bool:
        """Whether nobody knows what the container did: also when it was to stop, or out of time, on a host that stayed away."""
        if row.failure is not None:
            return row.failure.reason in UNSEEN
        ended = row.status in (Status.STOPPED, Status.TIMEDOUT)
        return ended and row.exit_code is None and row.host in self._world.ever_down

    async def _examine_log(self, row: Execution, start: Start) -> None:
        read = await self._world.store.read_log(row.id, 0, 1 << 30)
        for stream, count in ((1, row.stdout_bytes), (2, row.stderr_bytes)):
            written = b"".join(piece.data for piece in start.run.log if piece.stream == stream)
            stored = b"".join(piece.data for piece in read.pieces if piece.stream == stream)
            if stored != written or count != len(stored):
                self._complain(f"the log of {row.id} has {stored!r} in stream {stream} (its row says {count}), written was {written!r}")

    def _examine_leftovers(self) -> None:
        for name in self._world.leftover_keys():
            self._complain(f"the queue has still the key {name}")
        for host, services in self._world.engines.items():
            if services:
                self._complain(f"{host} has still the services {list(services)}")
