"""What must hold at the end, when nothing is left to do: the store, the ledger, the logs, the queue and the hosts against what was seen."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastlane.models.cron import ticks_between
from fastlane.models.execution import Execution, Reason
from fastlane.models.job import Job
from fastlane.models.schedule import Kind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick
from tests.model.checks import Start

if TYPE_CHECKING:
    from tests.model.world import World

PAGE = 1000
CURABLE = frozenset({Reason.EXIT, Reason.OOM, Reason.KILLED, Reason.HOST_LOST})
"""The reasons after which another attempt is made."""
UNSEEN = frozenset({Reason.HOST_LOST, Reason.KILLED})
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
            rows = [row for row in self._witness.rows.values() if row.job_id == job.id]
            await self._examine_job(job, rows)
            ledger = list(await self._world.store.ticks_of(job.id, PAGE))
            self._examine_ledger(job, ledger, rows)
            self._examine_attempts(job, rows)
        for row in self._witness.rows.values():
            await self._examine_execution(row)
        await self._examine_counts()
        self._examine_leftovers()

    async def _examine_job(self, job: Job, rows: Sequence[Execution]) -> None:
        found = {row.id: row for row in await self._world.store.executions_of(job.id, PAGE)}
        if found != {row.id: row for row in rows}:
            self._complain(f"job {job.id} has executions {found}, expected {rows}")
        if await self._world.store.job(job.id) != job:
            self._complain(f"job {job.id} is {await self._world.store.job(job.id)}, expected {job}")

    def _examine_ledger(self, job: Job, ledger: Sequence[Tick], rows: Sequence[Execution]) -> None:
        """Every due time stands in exactly one row, and what started has exactly one first attempt."""
        if {tick.id: tick for tick in ledger} != {tick.id: tick for tick in self._witness.ticks.values() if tick.job_id == job.id}:
            self._complain(f"the ledger of job {job.id} is {ledger}")
        first = Counter(row.tick_id for row in rows if row.attempt == 1)
        for tick in ledger:
            if first[tick.id] != (0 if tick.execution_id is None else 1):
                self._complain(f"{tick} has {first[tick.id]} first attempts")
            if (tick.outcome is Outcome.STARTED) is bool(tick.reason):
                self._complain(f"{tick} does not say why")
        if job.schedule.cron is None:
            stopped = job.schedule.kind is Kind.AT and job.stop_sequence > 0
            if len(ledger) != 1 and not (stopped and not ledger):
                self._complain(f"job {job.id} has the ledger {ledger}")
        else:
            self._examine_cron(job, ledger)

    def _examine_cron(self, job: Job, ledger: Sequence[Tick]) -> None:
        assert job.schedule.cron is not None
        due = ticks_between(job.schedule.cron, job.created_at, job.last_tick or 0, PAGE)
        for moment in due:
            rows = [tick for tick in ledger if tick.due <= moment <= (tick.until or tick.due)]
            if len(rows) != 1:
                self._complain(f"job {job.id} was due at {moment}, for which its ledger has {rows}")
        counted = sum(tick.count for tick in ledger)
        if counted != len(due):
            self._complain(f"job {job.id} was due {len(due)} times, its ledger counts {counted}")

    def _examine_attempts(self, job: Job, rows: Sequence[Execution]) -> None:
        """Each attempt after the first follows one that failed in a way that may pass, and none is left out."""
        by_place = {(row.tick_id, row.attempt): row for row in rows}
        for (tick_id, attempt), row in by_place.items():
            curable = row.status is Status.FAILED and row.failure is not None and row.failure.reason in CURABLE
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
        if row.attempt == 1 and tick.outcome is not (never or Outcome.STARTED):
            self._complain(f"the ledger says {tick} of {row}")
        start = self._witness.starts.get(row.id)
        unseen = row.failure is not None and row.failure.reason in UNSEEN
        if row.status is Status.DONE and start is None:
            self._complain(f"{row.id} is done, and never started")
        if start is not None and not (row.has_started or unseen or row.status is Status.STOPPED):
            self._complain(f"{row.id} started, and its row does not say so: {row}")
        if row.truncated and not unseen:
            self._complain(f"{row.id} says that its log is not whole")
        if start is not None and not row.truncated and not unseen:
            await self._examine_log(row, start)

    async def _examine_log(self, row: Execution, start: Start) -> None:
        read = await self._world.store.read_log(row.id, 0, 1 << 30)
        for stream, count in ((1, row.stdout_bytes), (2, row.stderr_bytes)):
            written = b"".join(piece.data for piece in start.run.log if piece.stream == stream)
            stored = b"".join(piece.data for piece in read.pieces if piece.stream == stream)
            if stored != written or count != len(stored):
                self._complain(f"the log of {row.id} has {stored!r} in stream {stream} (its row says {count}), written was {written!r}")

    async def _examine_counts(self) -> None:
        counts = await self._world.store.counts()
        expected = Counter(row.status for row in self._witness.rows.values())
        if counts.jobs != len(self._witness.jobs) or any(counts.executions[status] != expected[status] for status in Status):
            self._complain(f"the store counts {counts}, there are {len(self._witness.jobs)} jobs and {expected}")
        lanes = await self._world.queue_counts()
        if any(lane.ready or lane.timed or lane.running or lane.blocked for lane in lanes.values()):
            self._complain(f"the queue counts {lanes}")

    def _examine_leftovers(self) -> None:
        for accepted in self._witness.accepted:
            if accepted.job_id not in self._witness.jobs or accepted.execution_id not in (None, *self._witness.rows):
                self._complain(f"{accepted} was accepted, and is not there")
        for name in self._world.leftover_keys():
            self._complain(f"the queue has still the key {name}")
        for host, services in self._world.engines.items():
            if services:
                self._complain(f"{host} has still the services {list(services)}")
