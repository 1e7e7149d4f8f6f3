"""What clients ask for, how they send it, and what they make of an answer: each call of theirs goes on beside the program."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastlane.errors import FastlaneError, TransientError
from fastlane.models.cron import Cron
from fastlane.models.ids import IdempotencyKey
from fastlane.models.job import Job, Spec
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.skip_dates import read_range
from fastlane.models.upstream import AfterJobs, AfterOn
from fastlane.services.assembly import Services
from fastlane.services.backfills import BackfillWish
from fastlane.services.jobs import RunWish
from fastlane.services.results import Enqueued
from tests.model.places import POOLS, TASKS
from tests.model.requests import REQUEST, Request

if TYPE_CHECKING:
    from tests.model.world import World

When = float | tuple[str, Overlap, CatchUp] | Overlap | Schedule | None
Call = Callable[[Services, IdempotencyKey | None], Awaitable[Any]]

PLAIN, KEYED, TWICE, FORGETFUL, REUSED = "plain", "keyed", "twice", "forgetful", "reused"
"""How a request is sent: once and without a key; with one, again until it is answered; the same by two at a time; the same, and once more
after the answer; with a key that another body had."""
MOST_TRIES = 8
SLOTS = tuple(f"00000000-0000-7000-8000-00000000000{number}" for number in range(3))
"""Ids under which jobs are PUT, deleted, and PUT again."""


class Clients:
    """All of them. ``known``: the jobs that they name, as task and id."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._keys = 0
        self.known: list[tuple[str, str]] = []

    # jobs

    async def post(self, task: str, spec: Spec, when: When, manner: str) -> None:
        """A POST, to run now (None), in so many seconds, by a cron, or by hand alone (an overlap)."""
        schedule = self._schedule(when)
        request = Request("enqueue", task, "", spec, schedule)
        await self._send(request, manner, lambda its, once: its.submissions.enqueue(task, spec, schedule, key=once))

    async def post_and_stop(self, after: float, *values: Any) -> None:
        """A client that thinks better of it."""
        await self.post(*values)
        await self._world.clock.sleep(after)
        if self.known:
            await self.stop(*self.known[-1])

    async def post_and_run(self, after: float, times: int, *values: Any) -> None:
        """A client that runs its job by hand, again and again."""
        await self.post(*values)
        for _ in range(times if self.known else 0):
            await self._world.clock.sleep(after)
            await self.run(*self.known[-1], PLAIN)

    async def post_chain(self, task: str, first: Spec, second: Spec, on: AfterOn, overlap: Overlap, times: int) -> None:
        """A client that has a job follow another one, and runs that one."""
        upstream = await self._posted(task, first, Overlap.ALLOW)
        if upstream is None:
            return
        await self._posted(task, second, Schedule(ScheduleKind.MANUAL, overlap=overlap, after=AfterJobs((upstream[1],), on)))
        for _ in range(times):
            await self.run(*upstream, PLAIN)

    async def post_failing(self, after: float, times: int, task: str, spec: Spec, when: When) -> None:
        """A client that runs its job by hand again and again, however it ends."""
        job = await self._posted(task, spec, when)
        for _ in range(times if job is not None else 0):
            if job is not None:
                await self.run(*job, PLAIN)
                await self._world.clock.sleep(after)

    async def post_and_fill(self, after: float, minutes: int, most: int, then: str | None, task: str, spec: Spec, when: When) -> None:
        """A client that has the last due times of its new job run, and does something to the job soon after."""
        job = await self._posted(task, spec, when)
        await self._world.clock.sleep(after)
        if job is not None:
            await self.begin_backfill(*job, minutes, most)
            await self._world.clock.sleep(3.0)
        if job is not None and then is not None:
            await getattr(self, then)(*job)

    async def _posted(self, task: str, spec: Spec, when: When) -> tuple[str, str] | None:
        """The job of a POST, once that is answered; None when it is refused, or lost."""
        schedule = self._schedule(when)
        request = Request("enqueue", task, "", spec, schedule)
        answer = await self._try(request, lambda its, once: its.submissions.enqueue(task, spec, schedule, key=once))
        return (answer.task_id, answer.job_id) if isinstance(answer, Enqueued) else None

    async def put(self, task: str, job_id: str, spec: Spec, when: "When | Schedule", manner: str) -> None:
        """A PUT, of new details or of the same ones."""
        schedule = when if isinstance(when, Schedule) else self._schedule(when)
        self._learn(task, job_id)
        request = Request("put", task, job_id, spec, schedule)
        await self._send(request, manner, lambda its, once: its.submissions.put(task, job_id, spec, schedule, key=once))

    async def run(self, task: str, job_id: str, manner: str, *, force: bool = False, reschedule: bool = False) -> None:
        wish = RunWish(force, reschedule=reschedule)
        request = Request("run", task, job_id, force=force, reschedule=reschedule)
        await self._send(request, manner, lambda its, once: its.manual_runs.run(task, job_id, key=once, wish=wish))

    async def retry(self, task: str, job_id: str, manner: str) -> None:
        await self._send(Request("retry", task, job_id), manner, lambda its, once: its.manual_runs.retry(task, job_id, key=once))

    async def pause(self, task: str, job_id: str) -> None:
        await self._try(Request("pause", task, job_id), lambda its, _: its.pauses.pause(task, job_id))

    async def resume(self, task: str, job_id: str) -> None:
        await self._try(Request("resume", task, job_id), lambda its, _: its.pauses.resume(task, job_id))

    async def stop(self, task: str, job_id: str) -> None:
        await self._try(Request("stop_job", task, job_id), lambda its, _: its.stops.stop_job(task, job_id))

    async def stop_execution(self, task: str, job_id: str, execution_id: str) -> None:
        await self._try(Request("stop_execution", task, job_id), lambda its, _: its.stops.stop_execution(task, job_id, execution_id))

    async def begin_backfill(self, task: str, job_id: str, minutes: int, most: int) -> None:
        """A backfill of the last minutes."""
        since = self._world.clock.now() - minutes * 60_000

        def call(its: Services, _once: IdempotencyKey | None) -> Awaitable[Any]:
            return its.backfills.begin(task, job_id, BackfillWish(since, most=most))

        await self._try(Request("begin_backfill", task, job_id), call)

    async def stop_backfill(self, task: str, job_id: str) -> None:
        await self._try(Request("stop_backfill", task, job_id), lambda its, _: its.backfills.stop(task, job_id))

    async def delete(self, task: str, job_id: str, *, stop: bool) -> Any:
        return await self._try(Request("delete_job", task, job_id), lambda its, _: its.deletions.delete_job(task, job_id, stop=stop))

    # tasks and pools

    async def stop_task(self, task: str) -> None:
        await self._try(Request("stop_task", task), lambda its, _: its.stops.stop_task(task))

    async def delete_task(self, task: str, *, stop: bool) -> Any:
        return await self._try(Request("delete_task", task), lambda its, _: its.deletions.delete_task(task, stop=stop))

    async def pause_pool(self, name: str) -> None:
        await self._try(Request("pause_pool"), lambda its, _: its.pools.pause(name))

    async def resume_pool(self, name: str) -> None:
        await self._try(Request("resume_pool"), lambda its, _: its.pools.resume(name))

    # what the world has done by them

    async def meddle(self, what: str, job: Job) -> None:
        """Something is done to a job just now."""
        draw, pool = self._world.random, self._world.random.choice(POOLS).name
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "stop": lambda: self.stop(job.task_id, job.id),
            "put": lambda: self.put(job.task_id, job.id, job.spec, draw.choice((None, 0.5, 20.0, job.schedule, job.schedule)), PLAIN),
            "run": lambda: self.run(job.task_id, job.id, PLAIN),
            "retry": lambda: self.retry(job.task_id, job.id, PLAIN),
            "pause": lambda: self.pause(job.task_id, job.id),
            "resume": lambda: self.resume(job.task_id, job.id),
            "delete": lambda: self.delete(job.task_id, job.id, stop=draw.random() < 0.8),
            "pause_pool": lambda: self.pause_pool(pool),
            "resume_pool": lambda: self.resume_pool(pool),
        }
        await calls[what]()

    def let_go(self) -> None:
        """Pools go on, and half of the jobs that are held."""
        for name in self._world.witness.pauses.names:
            self._world.begin(self.resume_pool(name))
        for job in list(self._world.witness.jobs.values()):
            if job.paused and hashlib.sha1(job.id.encode()).digest()[0] % 2:
                self._world.begin(self.resume(job.task_id, job.id))

    async def clear(self) -> None:
        """Everything of one task is deleted, where nothing stands in the way: that succeeds."""
        task = self._world.random.choice(TASKS)
        there = [job.id for job in self._world.witness.jobs.values() if job.task_id == task]
        answer = await self.delete_task(task, stop=True)
        if there and isinstance(answer, FastlaneError):
            self._world.witness.complain(f"task {task} could not be deleted when all was quiet: {answer!r}")

    # how they send

    def _learn(self, task: str, job_id: str) -> None:
        if (task, job_id) in self.known:
            self.known.remove((task, job_id))
        self.known.append((task, job_id))

    def _schedule(self, when: When) -> Schedule:
        if when is None:
            return Schedule()
        if isinstance(when, Schedule):
            return when
        if isinstance(when, tuple):
            text, overlap, catch_up = when
            text, _, dates = text.partition("!")
            texts, _, spread = text.partition("~")
            first, *others = map(Cron, texts.split(";"))
            cron = replace(first, also=tuple(others)).spread_over(int(spread or 0) * 60_000)
            return Schedule(ScheduleKind.CRON, None, cron, overlap, catch_up, skip=(read_range(dates),) if dates else ())
        if isinstance(when, Overlap):
            return Schedule(ScheduleKind.MANUAL, overlap=when)
        return Schedule(ScheduleKind.AT, self._world.clock.now() + round(when * 1000))

    async def _send(self, request: Request, manner: str, call: Call) -> None:
        if manner == PLAIN:
            await self._try(request, call)
            return
        if manner != REUSED or not self._keys:
            self._keys += 1
        once = IdempotencyKey(
            f"key-{self._keys}",
            f"{request.verb} {request.task_id} {request.job_id} {request.spec} {request.schedule} {request.force} {request.reschedule}",
        )
        if manner == TWICE:
            await asyncio.gather(*(self._until_answered(request, once, call) for _ in range(2)))
            return
        await self._until_answered(request, once, call)
        if manner == FORGETFUL:
            await self._until_answered(request, once, call)

    async def _until_answered(self, request: Request, once: IdempotencyKey, call: Call) -> None:
        for _ in range(MOST_TRIES):
            again = replace(request, once=once, stops={}, effects=[])
            if not isinstance(await self._try(again, call), TransientError | None):
                return
            await self._world.clock.sleep(self._world.random.choice((0.0, 0.05, 0.5, 3.0)))

    async def _try(self, request: Request, call: Call) -> Any:
        """One try: the answer, or the error that was answered; None when there was no answer."""
        replica, witness = self._world.replica(), self._world.witness
        witness.promises.asked(replica.node, request)
        REQUEST.set(request)
        try:
            answer = await call(replica.services, request.once)
        except FastlaneError as error:
            if not replica.node.alive:
                return None
            witness.promises.refused(request, error)
            return error
        finally:
            REQUEST.set(None)
        if not replica.node.alive or (request.once is not None and self._world.loses()):
            return None
        witness.promises.answered(request, answer)
        if hasattr(answer, "tick_id"):
            self._learn(answer.task_id, answer.job_id)
        return answer
