"""Looks up the jobs that a job is to follow, and refuses circles.

Two requests can close a circle at the same time: each is checked before the other is written. ``models.chain`` ends that chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastlane.errors import Conflict, Fault, Invalid, quoted
from fastlane.models.access import may_see
from fastlane.models.job import Job
from fastlane.models.schedule import Schedule
from fastlane.models.upstream import MAX_LINKS, AfterJobs
from fastlane.services.jobs import Edit
from fastlane.services.parts import Service
from fastlane.storage.base import find_job

NAMED_TWICE = 3
"""Ids of jobs with the same name that an error shows."""


@dataclass(frozen=True, slots=True)
class ChainedJob:
    """The job that is to follow others: its task, its id (None: it is new), and the pattern of the tasks that the caller may see (None:
    all)."""

    task_id: str
    job_id: str | None
    visible: str | None

    def sees(self, task_id: str) -> bool:
        """Whether the caller may see this task."""
        return may_see(self.visible, task_id)


class Chains(Service):
    """Replaces the names of jobs by their ids.

    The methods raise Invalid for a job that does not exist or that the caller may not see, for a circle and for a chain that is too long,
    and Conflict for a name that several jobs have. A job that is followed already is kept, even when it is gone.
    """

    async def resolve(self, job: ChainedJob, schedule: Schedule) -> Schedule:
        """The schedule with the ids of the jobs that it names."""
        if schedule.after is None:
            return schedule
        seen = None if job.job_id is None else await self._store.job(job.job_id)
        own = seen is not None and seen.task_id == job.task_id  # what another task's job follows is none of the caller's business
        return await self._resolve(job, schedule, schedule.after, seen if own else None)

    async def resolve_edit(self, job: ChainedJob, job_id: str, edit: Edit) -> Schedule:
        """The schedule that a job has after an edit, likewise. Raises what the edit raises, and NotFound."""
        seen = await find_job(self._store, job.task_id, job_id)
        _, schedule = edit(seen, self._clock.now())
        return schedule if schedule.after is None else await self._resolve(job, schedule, schedule.after, seen)

    async def _resolve(self, job: ChainedJob, schedule: Schedule, after: AfterJobs, seen: Job | None) -> Schedule:
        followed = () if seen is None or seen.schedule.after is None else seen.schedule.after.jobs
        found: list[str] = []
        faults: list[Fault] = []
        for name in after.jobs:
            id = name if name in followed else await self._find(job, name)
            if id is None:
                where = "" if "/" in name else f" in task {quoted(job.task_id)}"
                words = f"names {quoted(name)}, and there is no such job{where} that you may see; give its name or id, or task/job"
                faults.append(Fault("after", words))
            elif id in found:
                faults.append(Fault("after", f"names the job {id} twice; leave it out once"))
            else:
                found.append(id)
        if faults:
            raise Invalid(faults)
        await self._check_circle(job.job_id, found)
        return replace(schedule, after=replace(after, jobs=tuple(found)))

    async def _find(self, job: ChainedJob, name: str) -> str | None:
        """The id of the job with this name or id. Raises Conflict for a name that several jobs have."""
        task_id, _, rest = name.partition("/")
        if not rest:
            task_id, rest = job.task_id, name
        if not job.sees(task_id):
            return None
        by_id = await self._store.job(rest)
        if by_id is not None and (by_id.task_id == task_id or ("/" not in name and job.sees(by_id.task_id))):
            return by_id.id
        ids = await self._store.jobs_named(task_id, rest)
        if len(ids) > 1:
            some = ", ".join(ids[:NAMED_TWICE])
            raise Conflict(f"{len(ids)} jobs of task {task_id!r} have the name {rest!r} ({some}); name the one to follow by its id")
        return ids[0] if ids else None

    async def _check_circle(self, job_id: str | None, upstream: Sequence[str]) -> None:
        """Raises Invalid when one of these jobs follows the job itself, over however many others, or when the chain is too long."""
        level, known, links = list(upstream), set[str](), 0
        while level:
            links += 1
            if job_id is not None and job_id in level:
                words = "names the job itself" if links == 1 else f"closes a circle of {links} jobs"
                raise Invalid([Fault("after", f"{words}; leave out one of the links")])
            if links > MAX_LINKS:
                raise Invalid([Fault("after", f"makes a chain of more than {MAX_LINKS} links, and no more are followed")])
            known |= set(level)
            above = (await self._store.followed_by(level)).values()
            level = [id for id in dict.fromkeys(id for ids in above for id in ids) if id not in known]
