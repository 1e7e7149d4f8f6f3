"""Reads chains: what a job follows and what follows it, each with its last status; what a job waits for by that; and what the end of an
execution made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models.access import may_see
from fastlane.models.job import Execution, Job, job_status
from fastlane.models.paging import Window
from fastlane.models.tick import Tick
from fastlane.models.upstream import AfterJobs, AfterOn
from fastlane.services.parts import Service
from fastlane.storage.base import find_execution, find_job

MOST = 100
"""Jobs that follow a job that are shown, and rows of their ledgers in which the tick that an execution made is looked for."""
ENDS = {AfterOn.SUCCEEDS: "success", AfterOn.FAILS: "failure", AfterOn.FINISHES: "end"}


@dataclass(frozen=True, slots=True)
class LinkedJob:
    """A job at the other end of a link. ``job``: None when it is gone, or when the caller may not see it (``is_hidden``). ``arrived``: the
    execution whose end a list has taken in, and that waits for the others."""

    id: str
    job: Job | None = None
    status: str | None = None
    latest: Execution | None = None
    is_hidden: bool = False
    arrived: str | None = None

    @property
    def is_gone(self) -> bool:
        """Whether there is no such job any more."""
        return self.job is None and not self.is_hidden


@dataclass(frozen=True, slots=True)
class ChainView:
    """What a job follows, and what follows it (the first ``MOST`` that the caller may see)."""

    job: Job
    follows: Sequence[LinkedJob]
    followed_by: Sequence[LinkedJob]


@dataclass(frozen=True, slots=True)
class MadeTick:
    """The tick that an end made of a job, and its last attempt so far; None: the tick made no execution."""

    job: Job
    tick: Tick
    execution: Execution | None


@dataclass(frozen=True, slots=True)
class MadeTicks:
    """What the end of an execution made. ``is_settled``: all that follows it is there."""

    execution: Execution
    is_settled: bool
    ticks: Sequence[MadeTick]


class ChainReader(Service):
    """Reads chains. ``visible``: the pattern of the tasks that the caller may see (None: all). Raises NotFound."""

    async def job(self, task_id: str, job_id: str, visible: str | None) -> ChainView:
        """What a job follows, and what follows it."""
        job = await find_job(self._store, task_id, job_id)
        after = job.schedule.after
        upstream = [await self._store.job(id) for id in after.jobs] if after is not None else []
        followers = [one for one in await self._store.followers(job_id, MOST) if may_see(visible, one.task_id)]
        latest = await self._store.latest([one.id for one in (*upstream, *followers) if one is not None])
        arrived = {end.job_id: end.execution_id for end in job.chain.arrived} if job.chain is not None else {}
        follows = []
        for id, one in zip(() if after is None else after.jobs, upstream, strict=True):
            if one is not None and not may_see(visible, one.task_id):
                follows.append(LinkedJob(id, is_hidden=True, arrived=arrived.get(id)))
            else:
                follows.append(LinkedJob(id) if one is None else self._linked(one, latest.get(id), arrived.get(id)))
        return ChainView(job, follows, [self._linked(one, latest.get(one.id)) for one in followers])

    async def execution(self, task_id: str, job_id: str, execution_id: str, visible: str | None) -> MadeTicks:
        """What the end of an execution made: the ticks of the jobs after its own whose keys have its id. The execution is read before
        them, so a settled one has them all."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        made = []
        for job in await self._store.followers(job_id, MOST):
            rows = (await self._store.list_ticks(job.id, Window(1, MOST))).rows if may_see(visible, job.task_id) else ()
            for tick in rows:
                if tick.key.startswith("e:") and execution_id in tick.key[2:].split(","):
                    made.append(MadeTick(job, tick, await self._last_attempt(job, tick)))
        return MadeTicks(execution, execution.settled, made)

    async def waits(self, job: Job, visible: str | None) -> Sequence[str]:
        """What a job waits for by its ``after``, in words. Of a job that the caller may not see, they say its id alone."""
        after = job.schedule.after
        if after is None:
            return []
        if job.stopped:
            return ["it was stopped, and follows no job until someone starts it"]
        arrived = {end.job_id: end.execution_id for end in job.chain.arrived} if job.chain is not None else {}
        found = []
        for id in after.jobs:
            one = await self._store.job(id)
            if one is None:
                found.append(f"the job {id}, which it follows, is gone; give it another one in after")
            elif id in arrived:
                found.append(f"{_named(one, job, visible)} has ended (execution {arrived[id]}), and waits for the others")
            else:
                found.append(await self._missing(one, job, after, visible))
        return found

    async def _missing(self, one: Job, job: Job, after: AfterJobs, visible: str | None) -> str:
        words = f"it waits for the next {ENDS[after.on]} of {_named(one, job, visible)}"
        if not may_see(visible, one.task_id):
            return words
        last = (await self._store.latest([one.id])).get(one.id)
        if last is None:
            return f"{words}, which has not run"
        return f"{words}, whose last execution {last.id} {'ended as' if last.status.final else 'is'} {last.status}"

    async def _last_attempt(self, job: Job, tick: Tick) -> Execution | None:
        if tick.execution_id is None:
            return None
        attempts = [one for one in await self._store.executions_of(job.id, MOST) if one.tick_id == tick.id]
        return attempts[0] if attempts else None

    def _linked(self, job: Job, latest: Execution | None, arrived: str | None = None) -> LinkedJob:
        status = job_status(job, latest.status if latest else None, self._clock.now())
        return LinkedJob(job.id, job, status, latest, arrived=arrived)


def _named(one: Job, job: Job, visible: str | None) -> str:
    name = one.spec.name or one.id
    if one.task_id == job.task_id:
        return f"the job {name}"
    return f"the job {one.task_id}/{name}" if may_see(visible, one.task_id) else f"the job {one.id} of a task that you may not see"
