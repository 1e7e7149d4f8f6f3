"""What may become of a job, change by change: what docs/design.md and docs/scheduling.md say (and not what the code does)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

from fastlane.models.cron import next_tick, ticks_between
from fastlane.models.job import Execution, Job, Spec
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.tick import Outcome, Tick

MOST = 5000
FIRE, FOLLOW, STOP, INSTEAD, FILL, COUNT, HALT = "fire", "follow", "stop", "run_instead", "fill", "count", "halt"
OF_BACKFILLS = frozenset({FILL, "begin_backfill", "stop_backfill"})
BY_HAND = frozenset({"run", "retry"})
OF_ARMING = {"modified_at", "spec", "schedule", "revision", "schedule_revision", "requested_by", "armed", "unique_key"}
MAY_CHANGE = {
    FIRE: {"sequence", "next_tick", "last_tick"},
    FOLLOW: {"sequence", "last_tick", "chain"},
    COUNT: {"failing"},
    HALT: {"failing", "modified_at", "revision", "next_tick", "held_tick"},
    "put": {*OF_ARMING, "sequence", "next_tick", "last_tick", "held_tick", "chain", "failing"},
    "run": {"sequence"},
    "retry": {"sequence"},
    INSTEAD: {"sequence", "next_tick", "last_tick"},
    FILL: {"sequence"},
    "begin_backfill": set(),
    "stop_backfill": {"sequence"},
    "pause": {"modified_at", "revision", "next_tick", "held_tick"},
    "resume": {"modified_at", "revision", "next_tick", "last_tick", "held_tick", "failing"},
    STOP: {"modified_at", "sequence", "stop_sequence", "next_tick", "last_tick", "held_tick", "unique_key"},
}
"""The fields of a job that each kind of change may touch."""
TAKES_A_NUMBER = frozenset({FIRE, FOLLOW, "put", STOP, INSTEAD, FILL, "stop_backfill", *BY_HAND})
RAISES_THE_REVISION = frozenset({"put", "pause", "resume", HALT})


@dataclass(frozen=True)
class Change:
    """What was written: a job before and after it, the rows of its ledger, the execution; ``wish``: the details that a PUT asked for."""

    kind: str
    before: Job
    after: Job
    ticks: Sequence[Tick] = ()
    execution: Execution | None = None
    wish: tuple[Spec | None, Schedule | None] = (None, None)

    def faults(self) -> Iterator[str]:
        """What is wrong with it, in words."""
        changed = {f.name for f in fields(Job) if getattr(self.before, f.name) != getattr(self.after, f.name)}
        if too_many := changed - MAY_CHANGE[self.kind]:
            yield f"changed {sorted(too_many)}"
        if self.after.sequence != self.before.sequence + (self.kind in TAKES_A_NUMBER):
            yield f"brought the sequence from {self.before.sequence} to {self.after.sequence}"
        if self.after.revision != self.before.revision + (self.kind in RAISES_THE_REVISION):
            yield f"brought the revision from {self.before.revision} to {self.after.revision}"
        yield from getattr(self, f"_{self.kind}", self._by_hand)()
        if self.kind not in (STOP, *OF_BACKFILLS):
            yield from self._rows()

    def passed(self) -> list[int]:
        """The due times that came up, and of which none can fire after this change: each must stand in a row that is written with it."""
        first = self._coming(self.before)
        cron, after, last = self.before.schedule.cron, self._coming(self.after), self.after.last_tick
        if first is None or self.kind in (FOLLOW, COUNT, *BY_HAND) or (cron is None and self.kind in ("pause", "resume", HALT)):
            return []
        if self.kind == INSTEAD or (self.kind == FIRE and cron is None):
            return [first]
        until = self.after.modified_at
        if cron is not None and self.kind != STOP and after is not None and self.after.schedule.cron == cron:
            until = after - 1
        elif cron is not None and self.kind in (FIRE, "resume"):
            until = last or 0
        if until < first:
            return []
        found = [first] if cron is None else [first, *ticks_between(cron, first, until, MOST)]
        end = self.before.spec.expiration
        late = [due for due in found if cron is not None and end is not None and due >= end]
        return [due for due in found if not late or due <= late[0]]

    def _coming(self, job: Job) -> int | None:
        return job.held_tick if job.next_tick is None else job.next_tick

    # each kind

    def _fire(self) -> Iterator[str]:
        if self.before.paused or self.before.next_tick is None:
            yield "fired a job without a tick to come"
        if self.after.next_tick is None and self.before.schedule.cron is not None:
            end = self.before.spec.expiration
            if end is None or not self.ticks or self.ticks[-1].outcome is not Outcome.EXPIRED or self.ticks[-1].due < end:
                yield "ended a cron that is not over"

    def _follow(self) -> Iterator[str]:
        """A job takes in the end of another: it keeps it for the others of a list, or writes one row."""
        after, chain = self.before.schedule.after, self.after.chain
        if after is None or chain is None or (self.before.chain is not None and chain.seen == self.before.chain.seen):
            yield "followed nothing that is new"
        if len(self.ticks) > 1 or any(not tick.key.startswith("e:") for tick in self.ticks):
            yield f"made the ticks {self.ticks}"
        if self.execution is not None:
            followed = [end.job_id for end in self.execution.upstream or ()]
            if followed != list(after.jobs if after else ()) or self.before.stopped:
                yield f"ran after {followed}, stopped: {self.before.stopped}"

    def _put(self) -> Iterator[str]:
        before, after = self.before, self.after
        if (after.spec, after.schedule) != self.wish:
            yield "has other details than were asked for"
        if after.armed != after.sequence or after.stopped or after.paused:
            yield "left the job stopped or paused"
        same = after.schedule.cron is not None and after.schedule.cron == before.schedule.cron
        if after.schedule_revision != before.schedule_revision + (not same):
            yield f"brought the schedule's revision from {before.schedule_revision} to {after.schedule_revision}"
        if (self.execution is not None) is not (after.schedule.kind is ScheduleKind.NOW):
            yield f"made the execution {self.execution}"
        if after.schedule.cron is None:
            if after.next_tick != after.schedule.at:
                yield f"is due at {after.next_tick}"
        elif same and before.next_tick is not None:
            if after.next_tick != before.next_tick:
                yield f"moved the tick of an unchanged cron from {before.next_tick} to {after.next_tick}"
        elif after.next_tick != next_tick(after.schedule.cron, max(after.modified_at, after.last_tick or 0)):
            yield f"is due at {after.next_tick}"

    def _pause(self) -> Iterator[str]:
        if self.before.next_tick is None or (self.after.next_tick, self.after.held_tick) != (None, self.before.next_tick):
            yield f"held {self.after.held_tick}"

    def _resume(self) -> Iterator[str]:
        if not self.before.paused or self.after.paused:
            yield "released nothing"
        cron = self.before.schedule.cron
        if cron is None and self.after.next_tick != self.before.held_tick:
            yield f"moved {self.before.held_tick} to {self.after.next_tick}"
        if cron is not None and (self.after.next_tick or 1 << 62) <= self.after.modified_at:
            yield f"is due at {self.after.next_tick}, which has passed"

    def _stop(self) -> Iterator[str]:
        if self.after.stop_sequence != self.after.sequence or self._coming(self.after) is not None or not self.after.stopped:
            yield "left something to come"

    def _run_instead(self) -> Iterator[str]:
        """A run that stands in for the next tick, and for no other."""
        due, cron = self.before.next_tick, self.before.schedule.cron
        if due is None or self.before.paused:
            yield "stood in for a tick that was not to come"
            return
        if (self.after.last_tick, self.after.next_tick) != (due, None if cron is None else next_tick(cron, due)):
            yield f"stood in for {due}, and goes on at {self.after.next_tick}"
        if self.execution is None or [tick.outcome for tick in self.ticks] != [Outcome.SKIPPED, self.ticks[-1].outcome]:
            yield f"made the ticks {self.ticks}"

    def _fill(self) -> Iterator[str]:
        """A tick of a backfill: at a due time that has passed, with what the job is now, beside everything else."""
        (tick,) = self.ticks
        if self.before.paused:
            yield "went on with the backfill of a job that is paused"
        if (self.execution is None) is not (tick.outcome is Outcome.EXPIRED):
            yield f"made the tick {tick} and {self.execution}"
        if self.execution is None:
            return
        if (self.execution.sequence, self.execution.waits) != (self.after.sequence, None):
            yield f"gave {self.execution.id} the number {self.execution.sequence}, and it waits: {self.execution.waits}"
        if replace(self.execution.spec, due_at=None, backfill=None) != self.before.spec or self.execution.spec.due_at != tick.due:
            yield "runs other details than the job's, or for another due time"

    def _count(self) -> Iterator[str]:
        if self.ticks or self.execution is not None:
            yield f"counted the end of a tick and made the ticks {self.ticks}"

    def _halt(self) -> Iterator[str]:
        yield from self._count()
        yield from self._pause()

    def _begin_backfill(self) -> Iterator[str]:
        yield from ()

    def _stop_backfill(self) -> Iterator[str]:
        yield from ()

    def _by_hand(self) -> Iterator[str]:
        if self.execution is None or len(self.ticks) != 1:
            yield f"made the ticks {self.ticks}"
        elif self.kind == "run" and self.execution.spec != self.before.spec:
            yield "runs other details than the job's"

    # the ledger

    def _rows(self) -> Iterator[str]:
        """Each due time that passed has one row, no row has another, and what starts has the number that the job gave out."""
        if self.execution is not None and self.execution.sequence != self.after.sequence:
            yield f"gave {self.execution.id} the number {self.execution.sequence}"
        if self.kind == FOLLOW:
            return
        own = self.execution is not None and self.kind != FIRE
        rows = [tick for tick in self.ticks if not (own and tick.execution_id is not None)]
        yield from gaps(self.passed(), rows)
        if self.kind != FIRE and any(tick.outcome is Outcome.STARTED for tick in rows):
            yield "started what had passed"


def gaps(due: Sequence[int], rows: Sequence[Tick]) -> Iterator[str]:
    """Where rows do not cover due times, each as often as it was due, or have more than these."""
    for moment in sorted(set(due)):
        found = [tick for tick in rows if tick.due <= moment <= (tick.until or tick.due)]
        if len(found) != due.count(moment):
            yield f"was due at {moment}, of which its ledger says {found}"
    counted = sum(tick.count for tick in rows)
    if counted != len(due):
        yield f"was due {len(due)} times, its ledger counts {counted}: {rows}"
