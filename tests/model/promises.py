"""What clients were told, and what holds from then on: nothing may follow that an answer excluded, or be missing that it said."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from fastlane.errors import FastlaneError, KeyReused, NotUnique, TransientError
from fastlane.models.job import Execution
from fastlane.services.results import Enqueued
from fastlane.services.stops import CLOCK_SKEW
from tests.model.jobbook import OPENING, JobBook
from tests.model.requests import Request

if TYPE_CHECKING:
    from tests.model.wire import Node
    from tests.model.world import World

EMPTYING = frozenset({"pause", "stop_job", "delete_job"})
"""The requests after whose answer the queue has no entry of the job, where nothing goes wrong."""


class Promises:
    """The answers. ``shut``: the pools whose pause was answered, and whose resume is not in the store."""

    def __init__(self, world: "World", book: JobBook, complain: Any) -> None:
        self._world = world
        self._book = book
        self._complain = complain
        self.shut: set[str] = set()
        self.accepted: list[Enqueued] = []
        self._stops: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._execution_stops: dict[str, int] = {}
        self._there: dict[Request, dict[str, tuple[str, int]]] = {}

    def asked(self, node: "Node", request: Request) -> None:
        """A client's request reaches this replica."""
        request.asked = self._world.wire.events
        latest = node.clock.now() + CLOCK_SKEW
        self._there[request] = {
            job.id: (job.incarnation, job.sequence)
            for job in self._book.jobs.values()
            if request.job_id in ("", job.id) and request.task_id == job.task_id and job.created_at <= latest
        }

    def answered(self, request: Request, answer: Any) -> None:
        """It was answered with 200, and its client has the answer."""
        self._world.wire.events += 1
        there = self._there.pop(request)
        for job_id, (incarnation, sequence) in request.stops.items():
            if self._is_there(job_id, incarnation):
                self._stops[job_id].append((sequence, self._world.wire.events))
        if request.verb in OPENING:
            self._accepted(request, answer)
        elif request.verb == "stop_execution":
            self._execution_stops.setdefault(answer.execution_id, self._world.wire.events)
        elif request.verb == "stop_task":
            for job_id, (incarnation, sequence) in there.items():
                if self._is_there(job_id, incarnation):
                    self._stops[job_id].append((sequence + 1, self._world.wire.events))
        elif request.verb in ("delete_job", "delete_task"):
            for job_id, (incarnation, _) in there.items():
                if self._is_there(job_id, incarnation):
                    self._complain(f"the {request} was answered, and job {job_id} is there")
        elif request.verb == "stop_backfill":
            self._book.filled.add(answer.request)
        elif request.verb == "pause_pool" and answer.pool in self._world.witness.pauses.names:
            self.shut.add(answer.pool)
        if request.verb in EMPTYING:
            self._check_entry(request)

    def refused(self, request: Request, error: FastlaneError) -> None:
        """It was answered with an error: never, where its effect was there before it was asked for."""
        there = self._there.pop(request)
        self._book.reached |= {"unique: refused"} if isinstance(error, NotUnique) else set()
        first = self._book.first_of(request)
        done = bool(first.effects) and first.done_at < request.asked
        if request.once is None or not done or isinstance(error, TransientError):
            return
        another = first.once is not None and first.once.body != request.once.body
        if another is not isinstance(error, KeyReused):
            self._complain(f"the {request} had its effect, and its repeat is refused: {error!r} ({there})")

    def stop_answered(self, row: Execution) -> float:
        """The event with which a stop of this execution was answered first; infinity when none was."""
        covering = [event for sequence, event in self._stops[row.job_id] if sequence > row.sequence]
        return min([*covering, self._execution_stops.get(row.id, float("inf"))], default=float("inf"))

    def job_gone(self, job_id: str) -> None:
        """What was promised of a job ends with it: another may have its id."""
        self._stops.pop(job_id, None)

    def _is_there(self, job_id: str, incarnation: str) -> bool:
        job = self._book.jobs.get(job_id)
        return job is not None and job.incarnation == incarnation

    def _accepted(self, request: Request, answer: Enqueued) -> None:
        self.accepted.append(answer)
        first = self._book.first_of(request)
        if not first.effects:
            self._complain(f"the {request} was answered, and nothing was done")
            return
        job_id, tick_id, execution_id = first.effects[0]
        if (answer.job_id, answer.execution_id) != (job_id, execution_id) or (execution_id and answer.tick_id != tick_id):
            self._complain(f"the {request} was answered with {answer}, its effect was {first.effects[0]}")
        if first.done_at < request.asked and not answer.replayed:
            self._complain(f"the {request} was repeated, and its answer does not say so")
        if request.once is not None and first.once is not None and request.once.body != first.once.body:
            self._complain(f"the {request} got the answer of another request with its key")

    def _check_entry(self, request: Request) -> None:
        """Where nothing goes wrong, the queue heard before the client did."""
        job = self._book.jobs.get(request.job_id)
        if not self._world.wire.brisk or (job is not None and job.next_tick is not None):
            return
        put_since = self._book.put_at.get(request.job_id, 0) > self._book.changed[request.job_id]
        if self._world.keys.waits(request.job_id) and not put_since:
            self._complain(f"the {request} was answered, and its entry is in the queue")
