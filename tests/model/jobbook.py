"""What the store must hold of jobs, ledgers and executions, by its own answers; and what their changes must be."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastlane.models.job import Execution, Job
from fastlane.models.schedule import Overlap
from fastlane.models.tick import Tick
from fastlane.storage.base import Deletion
from tests.model.changes import FIRE, INSTEAD, STOP, Change
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
        self.watched: dict[str, Any] = {
            "store.create": self._created,
            "store.advance": self._advanced,
            "store.insert": self._inserted,
            "store.discard": self._discarded,
            "store.stop_job": self._stopped,
            "store.delete_job": self._deleted,
            "store.delete_task": self._task_deleted,
            "store.close_tick": self._tick_closed,
            "queue.put": self._put,
        }

    def rows_of(self, job_id: str) -> list[Execution]:
        """A job's executions."""
        return [row for row in self.rows.values() if row.job_id == job_id]

    def under_way(self, job_id: str) -> list[str]:
        """Those that have not ended, but for what was inserted late."""
        return [row.id for row in self.rows_of(job_id) if not row.status.final and row.id not in self.late]

    # what the store was told

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
        kind = FIRE if request is None else INSTEAD if request.reschedule else request.verb
        wish = (None, None) if request is None else (request.spec, request.schedule)
        self._examine(Change(kind, before, job, ticks, execution, wish))
        if kind == FIRE:
            self._check_firing(before, job)
        if kind in (FIRE, "run", INSTEAD):
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

    def _check_firing(self, before: Job, job: Job) -> None:
        due = before.next_tick or 0
        if due > max(self._world.wire.queue_now(), *(node.clock.now() for node in self._world.nodes)):
            self._complain(f"job {job.id} fired before its tick was due")
        late = self._world.wire.queue_now() - max(due, self._changed_at[job.id])
        if self._world.wire.brisk and late > LATEST:
            self._complain(f"job {job.id} fired {late} ms late, and nothing was wrong")

    def _check_overlap(self, job: Job, execution: Execution | None, *, forced: bool) -> None:
        """What is made beside others is as the job says: it waits for them, and one at most waits if it is to queue."""
        others, rule = self.under_way(job.id), Overlap.ALLOW if forced else job.schedule.overlap
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
        others = [self.rows[id] for id in self.under_way(row.job_id) if id != row.id and self.made[id] < looked]
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
        if execution.tick_id in self.ticks and not (execution.job_id in self.partly and execution.id in self.rows):
            return self._fired((), execution)
        if execution.tick_id not in self.gone and execution.job_id not in self.partly:
            self._complain(f"{execution} was made at a tick that was never there")
        self.late.add(execution.id)
        self.rows[execution.id] = execution

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

    def _keep(self, job: Job) -> None:
        before = self.jobs.get(job.id, job)
        if Overlap.ALLOW in (before.schedule.overlap, job.schedule.overlap):
            self._freed[job.id] = self._world.wire.events
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
