"""What the store must hold of jobs, ledgers and executions, by its own answers; and what their changes must be."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastlane.models.backfill import Backfill
from fastlane.models.chain import counts, has_taken_in
from fastlane.models.job import Execution, Job
from fastlane.models.schedule import Overlap
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick, tick_id
from fastlane.models.unique import first_start
from fastlane.models.upstream import AfterOn
from fastlane.storage.base import Deletion
from tests.model.changes import COUNT, FILL, FIRE, FOLLOW, HALT, INSTEAD, STOP, Change
from tests.model.failures import FailureBook, has_last_word, wrong_remedy
from tests.model.reached import is_on, rules_of_cron
from tests.model.requests import LOOKED, REQUEST, Request

if TYPE_CHECKING:
    from tests.model.wire import Node
    from tests.model.world import World

LATEST = 1500
"""Milliseconds after its due time by which a tick has fired, or a command has started, where nothing goes wrong and there is room: less
than the 2 s after which a worker looks without having been woken."""
WAITING = frozenset({Overlap.QUEUE, Overlap.REPLACE})
OPENING = frozenset({"enqueue", "put", "run", "retry"})
"""The requests that have an effect of their own, which a key lets them have once."""


class JobBook:
    """Jobs, ticks and executions as they are; ``gone`` has the names of what was deleted, ``partly`` the jobs of which a part was."""

    def __init__(self, world: "World", complain: Any) -> None:
        self._world = world
        self._complain = complain
        self.jobs: dict[str, Job] = {}
        self.rows: dict[str, Execution] = {}
        self.ticks: dict[str, Tick] = {}
        self.tasks: set[str] = set()
        self.gone: set[str] = set()
        self.partly: set[str] = set()
        self.late: set[str] = set()
        """Executions that were inserted after a part of their job was deleted, or all of it: they must never start, and go."""
        self.owed: dict[str, list[int]] = defaultdict(list)
        """The due times that a stop took from a job: rows that only the store has seen."""
        self.made: dict[str, int] = {}
        self.changed: dict[str, int] = {}
        self.put_at: dict[str, int] = {}
        self.released_at: dict[str, int] = {}
        self.ended_at: dict[str, int] = {}
        """When an execution that waited was let go on, and when the last of a job ended, by the queue's time."""
        self._freed: dict[str, int] = {}
        """The events of the last change of a job, of an execution's making, and of the last put of an entry."""
        self._changed_at: dict[str, int] = {}
        self._effects: dict[str, Request] = {}
        self.backfills: dict[str, Backfill] = {}
        self.filled: set[str] = set()
        """Backfills as they were written last; and those whose stop was answered."""
        self._followed: set[tuple[str, str]] = set()
        self._linked_at: dict[str, int] = {}
        """Which ends each job has followed, and the event with which it began to follow those that it does."""
        self.failures = FailureBook()
        self.reached: set[str] = set()
        """The rules that have decided something (see ``tests.model.reached``)."""
        self._skips: dict[str, list[Any]] = defaultdict(list)
        """The dates that each job was ever to skip."""
        self.watched: dict[str, Any] = {
            "store.create": self._created,
            "store.advance": self._advanced,
            "store.insert": self._inserted,
            "store.discard": self._discarded,
            "store.take_unique_key": self._key_taken,
            "store.stop_job": self._stopped,
            "store.delete_job": self._deleted,
            "store.write": self._backfill_written,
            "store.delete_task": self._task_deleted,
            "store.close_tick": self._tick_closed,
            "store.insert_deliveries": self._told,
            "queue.put": self._put,
        }

    def rows_of(self, job_id: str) -> list[Execution]:
        """A job's executions."""
        return [row for row in self.rows.values() if row.job_id == job_id]

    def under_way(self, job_id: str) -> list[str]:
        """Those that have not ended, but for what was inserted late."""
        return [row.id for row in self.rows_of(job_id) if not row.status.final and row.id not in self.late]

    def _counted(self, job_id: str) -> list[str]:
        """Those of them that count for the job's overlap: not those of its backfill."""
        return [id for id in self.under_way(job_id) if self.rows[id].spec.backfill is None]

    def unfilled(self) -> list[str]:
        """Backfills that go on, in words; but for those that a pause of their job holds."""
        jobs = {one.request: self.jobs.get(one.id) for one in self.backfills.values() if one.ended_at is None}
        return [f"backfill {request} is under way" for request, job in jobs.items() if job is None or not job.paused]

    # what the store was told

    def _backfill_written(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        """Each due time that is not left any more has its tick, and no more are under way than was asked for."""
        one = arguments[0]
        if not answer or not isinstance(one, Backfill):
            return
        before = self.backfills.get(one.request, one)
        is_new = one.request not in self.backfills
        skips = self._skips.get(one.id, ())  # none: the job was deleted meanwhile
        dated = [due for due in one.remaining if is_new and skips and all(is_on(ranges, due) for ranges in skips)]
        if dated:
            self._complain(f"backfill {one.request} has due times on dates that its job skips: {dated}")
        for other in [other for other in self.backfills.values() if is_new and other.id == one.id and other.ended_at is None]:
            job = self.jobs.get(other.id)
            if other.remaining and job is not None and job.incarnation == other.incarnation and not job.stops(other.sequence):
                self._complain(f"{one} took the place of {other}, which was under way")
            del self.backfills[other.request]
        if one.ended_at is not None:
            self.reached.add(f"backfill {one.state}")
        moved = before.remaining[: len(before.remaining) - len(one.remaining)]
        if before.ended_at is not None or (*moved, *one.remaining) != before.remaining or len(one.open) > one.most:
            self._complain(f"{before} was written as {one}")
        ids = {due: tick_id(one.incarnation, one.key_of(due)) for due in moved}
        if lost := [due for due, id in ids.items() if id not in self.ticks and id not in self.gone and one.id not in self.partly]:
            self._complain(f"the due times {lost} of backfill {one.request} have no tick")
        self.backfills[one.request] = one

    def _created(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        job, tick, execution = arguments[:3]
        if job.id in self.jobs:
            self._complain(f"job {job.id} was made while it is there")
        if job.incarnation in self.gone:
            self._complain(f"job {job.id} has the incarnation of one that was deleted")
        self.gone.add(job.incarnation)
        self.tasks.add(job.task_id)
        self._keep(job)
        self._effect(job, execution)
        self._fired(() if tick is None else (tick,), execution)

    def _advanced(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        if not answer:
            return
        _, job, ticks, execution = arguments[:4]
        request, before = REQUEST.get(), self.jobs[job.id]
        own = FIRE if before.schedule.after is None else FOLLOW
        kind = own if request is None else INSTEAD if request.reschedule else request.verb
        if request is None and not ticks and job.failing != before.failing:
            kind = HALT if job.paused and not before.paused else COUNT
            self._count(before, job)
        if any(tick.key.startswith("b:") for tick in ticks):
            kind = FILL
            self.reached.add("backfill")
            if ticks[0].key.split(":")[1] in self.filled:
                self._complain(f"tick {ticks[0]} was made after the stop of its backfill was answered")
        wish = (None, None) if request is None else (request.spec, request.schedule)
        self._examine(Change(kind, before, job, ticks, execution, wish))
        if kind == FIRE:
            self._check_firing(before, job)
            self._check_dates(before, ticks)
        if kind == FOLLOW:
            self._check_following(job, ticks)
            self.reached.add("chain" if execution is not None else "chain: a row, or one of a list")
        if kind in (FIRE, FOLLOW, "run", INSTEAD):
            self._check_overlap(job, execution, forced=request is not None and request.force)
        if kind == "retry" and request is not None:
            self._check_retry(job, execution, request)
        self._keep(job)
        if kind in (*OPENING, INSTEAD):
            self._effect(job, execution)
        self._fired(ticks, execution)

    def _examine(self, change: Change) -> None:
        for words in change.faults():
            self._complain(f"{change.kind} of job {change.before.id} {words}")

    def _count(self, before: Job, job: Job) -> None:
        """One more tick of a job is counted, by its last attempt; perhaps one too many has failed."""
        seen = set(map(abs, before.failing.ends if before.failing else ()))
        new = set(map(abs, job.failing.ends if job.failing else ())) - seen
        if len(new) != 1:
            return self._complain(f"job {job.id} counts {job.failing} after {before.failing}")
        (sequence,) = new
        rows = [row for row in self.rows_of(job.id) if row.sequence == sequence]
        for words in self.failures.faults(before, job, max(rows, key=lambda row: row.attempt, default=None), sequence):
            self._complain(f"job {job.id} {words}")
        self.reached |= {"failures counted", *(("pauseAfter",) if job.paused and not before.paused else ())}
        return None

    def _check_dates(self, job: Job, ticks: Sequence[Tick]) -> None:
        """A due time on a date of ``skipDates`` makes no execution, and its row says so; no other row does."""
        self.reached |= set(rules_of_cron(job.schedule.cron)) if any(tick.execution_id for tick in ticks) else set()
        for tick in ticks:
            says = tick.outcome is Outcome.SKIPPED and (tick.reason or "").startswith("calendar")
            is_over = job.spec.expiration is not None and tick.due >= job.spec.expiration
            is_skipped = job.schedule.cron is not None and not is_over and is_on(job.schedule.skip, tick.due)
            if tick.outcome is not Outcome.MISSED and is_skipped is not says:
                self._complain(f"the dates {job.schedule.skip} of job {job.id} made {tick}")
            self.reached |= {"skipDates"} if says else set()

    def _told(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        """Somebody is to hear of an end, or of the pause after it."""
        for one in arguments[0]:
            row = self.rows.get(one.execution_id)
            self.failures.told.add(one.execution_id)
            self.reached.add("fails: told" if row is not None else "fails: told of the pause")
            if row is not None and self.failures.told_too_soon(row):
                self._complain(f"somebody hears of {row}, and too few ticks have failed")

    def _check_firing(self, before: Job, job: Job) -> None:
        due = before.next_tick or 0
        if due > max(self._world.wire.queue_now(), *(node.clock.now() for node in self._world.nodes)):
            self._complain(f"job {job.id} fired before its tick was due")
        late = self._world.wire.queue_now() - max(due, self._changed_at[job.id])
        if self._world.wire.brisk and late > LATEST:
            self._complain(f"job {job.id} fired {late} ms late, and nothing was wrong")

    def _check_following(self, job: Job, ticks: Sequence[Tick]) -> None:
        """Each end of another job makes at most one tick, or row."""
        for id in (id for tick in ticks for id in tick.key.removeprefix("e:").split(",")):
            if (job.incarnation, id) in self._followed:
                self._complain(f"job {job.id} followed {id} twice")
            self._followed.add((job.incarnation, id))

    def settled(self, row: Execution) -> None:
        """All that follows the end of an execution is there: each job that followed its job when it was made has taken the end in; its own
        job has counted it, and who is to hear of it will."""
        is_last = not any(one.tick_id == row.tick_id and one.attempt > row.attempt for one in self.rows.values())
        own = self.jobs.get(row.job_id)
        if is_last and own is not None and own.incarnation == row.incarnation and row.id not in self.late and row.sequence > own.floor:
            self._check_counted(own, row)
        for job in self.jobs.values() if is_last and row.id not in self.late else ():
            after, linked = job.schedule.after, self._linked_at.get(job.id, 0)
            if after is None or row.job_id not in after.jobs or self.made.get(row.id, 0) <= linked:
                continue
            if not has_taken_in(job, row) and (counts(after, row.status) or after.on is not AfterOn.FAILS):
                self._complain(f"{row.id} is settled, and job {job.id}, which follows it, does not know its end")

    def _check_counted(self, job: Job, row: Execution) -> None:
        if self.failures.uncounted(job, row):
            self._complain(f"{row.id} is settled as {row.status}, and job {job.id} has not counted it: {job.failing}")
        if self.failures.untold(job, row):
            self._complain(f"{row.id} is settled as {row.status}, and nobody hears of it: {job.failing}")
        if row.status is Status.FAILED and row.spec.retry_on is not None and row.spec.retries and has_last_word(row):
            self.reached.add("retryOn: not again")
        if row.status is Status.FAILED and row.spec.notify and row.spec.notify_after and row.id not in self.failures.told:
            self.reached.add("notifyAfter: held back")

    def _check_overlap(self, job: Job, execution: Execution | None, *, forced: bool) -> None:
        """What is made beside others is as the job says: it waits for them, and one at most waits if it is to queue."""
        others, rule = self._counted(job.id), Overlap.ALLOW if forced else job.schedule.overlap
        if execution is None:
            return
        if others and (rule is Overlap.SKIP or (rule in WAITING and execution.waits is not rule)):
            self._complain(f"job {job.id} started {execution.id} beside {others} (overlap: {rule})")
        if execution.waits is not None and (execution.waits is not rule or rule not in WAITING):
            self._complain(f"{execution.id} waits by {execution.waits}, its job says {rule}")
        also = [id for id in others if self.rows[id].waits is not None]
        if also and rule is Overlap.QUEUE:
            self._complain(f"{execution.id} waits beside {also}")

    def released(self, row: Execution) -> None:
        """One that waited is let go on: nothing that it had to wait for was under way when that was looked at."""
        now, looked, job = self._world.wire.queue_now(), LOOKED.get(), self.jobs.get(row.job_id)
        self.released_at[row.id] = now
        if job is None or not row.belongs_to(job) or job.stops(row.sequence) or self._freed.get(job.id, 0) >= looked:
            return
        others = [self.rows[id] for id in self._counted(row.job_id) if id != row.id and self.made[id] < looked]
        first = [other.id for other in others if other.waits is None or other.sequence < row.sequence]
        if first and job.schedule.overlap is not Overlap.ALLOW:
            self._complain(f"{row.id} was released beside {first}")
        late = now - max(self.ended_at.get(row.job_id, 0), row.created_at, self._changed_at[row.job_id])
        if self._world.wire.brisk and late > LATEST:
            self._complain(f"{row.id} was released {late} ms late, and nothing was wrong")

    def _check_retry(self, job: Job, execution: Execution | None, request: Request) -> None:
        """It runs what some execution of the job ran, and none was under way all the while."""
        rows = self.rows_of(job.id)
        if execution is not None and job.id not in self.partly and execution.spec not in [row.spec for row in rows]:
            self._complain(f"retry of job {job.id} runs details that no execution of it had")
        still = [id for id in self.under_way(job.id) if self.made[id] < request.asked]
        if still:
            self._complain(f"retry of job {job.id} beside {still}")

    def _inserted(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        execution = arguments[0]
        if not answer:
            return
        self._check_attempt(execution)
        if execution.tick_id in self.ticks and not (execution.job_id in self.partly and execution.id in self.rows):
            return self._fired((), execution)
        if execution.tick_id not in self.gone and execution.job_id not in self.partly:
            self._complain(f"{execution} was made at a tick that was never there")
        self.late.add(execution.id)
        self.rows[execution.id] = execution

    def _check_attempt(self, execution: Execution) -> None:
        """What an attempt does otherwise than the one before it."""
        others = [row for row in self.rows_of(execution.job_id) if row.tick_id == execution.tick_id]
        for before in (row for row in others if row.attempt == execution.attempt - 1):
            for words in wrong_remedy(before, execution):
                self._complain(words)
        remedy = execution.spec.remedy
        self.reached |= {
            *(("retryOn: again",) if execution.spec.retry_on is not None else ()),
            *(("onOom",) if remedy is not None and remedy.memory is not None else ()),
            *(("another host",) if remedy is not None and remedy.avoid is not None else ()),
        }

    def _discarded(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        if not answer:
            return
        row = self.rows.pop(arguments[0].id)
        if row.id not in self.late:
            self._complain(f"{row} was discarded, and its job is there")
        if row.service_id is not None:
            self._complain(f"{row} was discarded, and has a service")

    def _fired(self, ticks: Sequence[Tick], execution: Execution | None) -> None:
        for tick in ticks:
            if tick.id in self.ticks or tick.id in self.gone:
                self._complain(f"tick {tick.id} was fired twice")
            self.ticks[tick.id] = tick
        if execution is not None:
            if execution.id in self.rows or execution.id in self.gone:
                self._complain(f"execution {execution.id} was made twice")
            self.rows[execution.id] = execution
            self.made[execution.id] = self._world.wire.events

    def _stopped(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        if answer is None:
            return
        change, request = Change(STOP, self.jobs[answer.id], answer), REQUEST.get()
        self._examine(change)
        self.owed[answer.incarnation] += change.passed()
        self._keep(answer)
        if request is not None:
            request.stops[answer.id] = (answer.incarnation, answer.stop_sequence)

    def _tick_closed(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        id, outcome, reason = arguments
        if id in self.ticks:
            self.ticks[id] = replace(self.ticks[id], outcome=outcome, reason=reason)

    def _key_taken(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        """The key of a unique job is free again: the job has neither a tick to come nor an execution of its schedule that may yet start."""
        if not answer:
            return
        self.reached.add("unique: key taken")
        job = self.jobs[arguments[0].id]
        to_come = job.next_tick is not None or job.paused
        latest = max((row for row in self.rows_of(job.id) if row.id == first_start(job)), key=lambda row: row.sequence, default=None)
        starts = latest is not None and latest.status is Status.ENQUEUED and latest.stop_requested_at is None
        if job.spec.expiration is None and (to_come or (starts and latest.expires_at is None and not job.stops(latest.sequence))):
            self._complain(f"the key of job {job.id} was taken, and it waits")
        self.jobs[job.id] = replace(job, unique_key=None)

    def _check_unique(self, job: Job) -> None:
        others = [other.id for other in self.jobs.values() if other.id != job.id and other.unique_key == job.unique_key]
        if job.unique_key is not None and others:
            self._complain(f"job {job.id} is to be unique, and equals {others}")
        if job.spec.unique and job.next_tick is not None and job.unique_key is None:
            self._complain(f"job {job.id} is to be unique, and has no key")

    def _keep(self, job: Job) -> None:
        self._check_unique(job)
        before = self.jobs.get(job.id, job)
        if job.schedule.skip not in (skips := self._skips[job.id]):
            skips.append(job.schedule.skip)
        if job.armed != before.armed or (before.paused and not job.paused and not job.stopped):
            self.failures.begin_anew(job)
        if Overlap.ALLOW in (before.schedule.overlap, job.schedule.overlap):
            self._freed[job.id] = self._world.wire.events
        if before is job or before.schedule.after != job.schedule.after or before.incarnation != job.incarnation:
            self._linked_at[job.id] = self._world.wire.events
        self.jobs[job.id] = job
        self._changed_at[job.id] = self._world.wire.queue_now()
        self.changed[job.id] = self._world.wire.events

    # deletions

    def _deleted(self, node: "Node", arguments: tuple[Any, ...], answer: Deletion) -> None:
        job = self.jobs.get(arguments[0])
        if job is None or job.incarnation != arguments[1]:
            if answer is not Deletion.DONE:
                self._complain(f"the deletion of job {arguments[0]}, which is gone, was {answer}")
            return
        rows = self.rows_of(job.id)
        unfinished = [row.id for row in rows if not (row.status.final and row.settled and row.cleaned) and row.id not in self.late]
        to_come = job.next_tick is not None or job.paused
        if (answer is Deletion.KEPT) is not (bool(unfinished) or to_come):
            self._complain(f"the deletion of job {job.id} was {answer}, to come: {to_come}, unfinished: {unfinished}")
        if answer is Deletion.MORE:
            self.partly.add(job.id)
            self.jobs[job.id] = replace(job, floor=job.sequence)
        elif answer is Deletion.DONE:
            self._forget(job, rows)

    def _forget(self, job: Job, rows: Sequence[Execution]) -> None:
        ticks = [tick.id for tick in self.ticks.values() if tick.job_id == job.id]
        self.gone.update([job.incarnation, *ticks, *(row.id for row in rows)])
        for id in ticks:
            del self.ticks[id]
        for row in rows:
            del self.rows[row.id]
        del self.jobs[job.id]
        self._skips.pop(job.id, None)
        self.owed.pop(job.incarnation, None)
        self.partly.discard(job.id)
        self.changed[job.id] = self._world.wire.events
        self._world.witness.promises.job_gone(job.id)

    def _task_deleted(self, node: "Node", arguments: tuple[Any, ...], answer: bool) -> None:
        jobs = [job.id for job in self.jobs.values() if job.task_id == arguments[0]]
        if answer is bool(jobs):
            self._complain(f"the deletion of task {arguments[0]} with the jobs {jobs} was {answer}")
        if answer:
            self.tasks.discard(arguments[0])

    # requests

    def _effect(self, job: Job, execution: Execution | None) -> None:
        request = REQUEST.get()
        if request is None:
            return
        first = self.first_of(request)
        if first.effects:
            self._complain(f"{request} had its effect twice: {first.effects}, and now {job.id} with {execution and execution.id}")
        first.effects.append((job.id, execution.tick_id if execution else "", execution and execution.id))
        first.done_at, first.once = self._world.wire.events, request.once

    def first_of(self, request: Request) -> Request:
        """The first try of a request that reached the store: it has the effects of all tries."""
        return self._effects.setdefault(str(id(request)) if request.once is None else request.once.key, request)

    # the queue

    def _put(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        for entry in arguments[0]:
            self.entered(entry.id)

    def entered(self, id: str) -> None:
        """An entry was put into the queue, or back."""
        self.put_at[id] = self._world.wire.events
