"""Follows the labels of the swarms' services: lists the services every few seconds, and has the jobs that they declare written.

A list is only compared by ids and versions, unless something changed. It may be old (a manager that is cut off answers from what it last
knew), so labels older than those in force change nothing, until two managers have shown them for a minute: the swarm was restored. A
service counts as gone only when its id and its name are missing for a minute and a look-up by its id, at another manager where there is
one, finds nothing.

Of the workers that read labels, that can use a host of a swarm and could list its services lately, the one with the least id looks at
that swarm. Two that do it at once do no harm.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from fastlane.clock import Clock, end_if_cancelled, first_of
from fastlane.directory import CurrentPools
from fastlane.errors import FastlaneError, Fault, Forbidden, Invalid, OrderRefused, TransientError
from fastlane.executors.port import Executor
from fastlane.models.host import HostView
from fastlane.models.job import Job, JobSource
from fastlane.models.job_source import DeclaredJob, LabelledService, declared_id, is_old, redeclared, source_of
from fastlane.models.pool import pool_for
from fastlane.queue.port import Report, WorkerReports
from fastlane.services.declared_jobs import DeclaredJobs
from fastlane.storage.base import Store

log = structlog.get_logger()

LOOK_EVERY = 5.0
"""Seconds between two looks at the services."""
PAUSE = 0.5
"""Seconds between two looks at least: a stack that is deployed changes many services at once."""
LONGEST_PAUSE, FOLLOWED = 60.0, 30_000
"""Seconds between two tries to follow a manager's events at most, doubled after each fault; and milliseconds after which a stream that
ends was no fault of that kind."""
COMPARE_EVERY = 60_000
"""Milliseconds after which the services are compared with the store even when no list changed: a job may have been lost there, or a pool
may allow now what it refused."""
GONE_AFTER = 60_000
"""Milliseconds for which a service must be missing before it counts as gone."""
UNREAD_AFTER = 15_000
"""Milliseconds for which a worker tries to list the services of a swarm until it reports that it cannot, so that another one does."""
WENT_BACK = (
    "these labels are older than those that the job follows: the swarm was restored from a backup, or this manager is cut off; "
    "register a second manager of the swarm, and they count when both show them"
)
PAGE = 500
OF_VALUES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a text of a label can raise that no reader has thought of."""
UNREADABLE = Fault("", "its labels cannot be read; the log of the workers says why (labels.unreadable)")

ReadLabels = Callable[[LabelledService, int], Sequence[DeclaredJob]]
"""Reads what a service declares, at a moment (milliseconds)."""


@dataclass(slots=True)
class SeenSwarm:
    """What this worker remembers of a swarm: the version of each service in the last list that has or had labels of jobs, when it last
    compared the services with the store (milliseconds), the read labels of each service, by id, with their version, and since when the
    services of jobs are missing, by job."""

    versions: dict[str, int] = field(default_factory=dict)
    compared_at: int | None = None
    failing_since: int | None = None
    """Since when this worker could not list its services (milliseconds)."""
    older: dict[str, int] = field(default_factory=dict)
    """Since when each job's service has been listed with a lower version than the job's (milliseconds), by job."""
    elsewhere: dict[str, int] | None = None
    """The versions of its services, by id, as another manager lists them; None: not asked in this comparison."""
    reported: dict[tuple[str, bool], tuple[int, Sequence[Fault]]] = field(default_factory=dict)
    """What was last reported of each job's labels, with their version, by its id and whether they were refused."""
    read: dict[str, tuple[int, Sequence[DeclaredJob]]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    latest: int = 0
    """The highest version in any list: the number is one for the whole swarm."""


@dataclass(frozen=True, slots=True)
class SourcePorts:
    """The ports of a source. ``owner``: the id of its worker. ``pools``: those in force, which may change."""

    store: Store
    executor: Executor
    pools: CurrentPools
    reports: WorkerReports
    clock: Clock
    owner: str


class LabelSource:
    """The source of one worker."""

    def __init__(self, ports: SourcePorts, declared: DeclaredJobs, read: ReadLabels) -> None:
        self._store = ports.store
        self._executor = ports.executor
        self._pools = ports.pools
        self._reports = ports.reports
        self._clock = ports.clock
        self._owner = ports.owner
        self._declared = declared
        self._read = read
        self._swarms: dict[str, SeenSwarm] = {}
        self._compared: dict[str, int] = {}
        self._chosen: frozenset[str] = frozenset()
        self._wake = asyncio.Event()
        ports.executor.subscribe(self._wake.set)

    async def run(self) -> None:
        """Looks again and again. A fault is logged, and the next look goes on."""
        async with asyncio.TaskGroup() as streams:
            followed: dict[str, asyncio.Task[None]] = {}
            while True:
                self._wake.clear()
                try:
                    await self.look()
                except TransientError as error:
                    log.warning("labels.waiting", error=str(error))
                except Exception:
                    log.exception("labels.failed")
                end_if_cancelled()  # also after a fault of one swarm, which ``look`` logs
                for swarm_id in followed.keys() - self._chosen:
                    followed.pop(swarm_id).cancel()
                for swarm_id in self._chosen - followed.keys():
                    followed[swarm_id] = streams.create_task(self._follow(swarm_id))
                await self._clock.sleep(PAUSE)
                await first_of(self._clock, LOOK_EVERY, self._wake)

    async def _follow(self, swarm_id: str) -> None:
        """Hastens the next look when a manager of this swarm tells that a service has changed. Pauses longer after each fault in a row."""
        pause = PAUSE
        while True:
            began = self._clock.now()
            host = next((view.name for view in self._executor.hosts() if view.usable and view.swarm_id == swarm_id), None)
            try:
                if host is not None:
                    await self._executor.watch_services(host, self._wake.set)
                    pause = PAUSE
                    continue
            except (TransientError, OrderRefused) as error:
                pause = PAUSE if self._clock.now() - began >= FOLLOWED else pause
                if pause == PAUSE:  # the first of several
                    log.warning("labels.not_followed", swarm=swarm_id, host=host, error=str(error))
            except Exception:
                log.exception("labels.follow_failed", swarm=swarm_id, host=host)
            end_if_cancelled()
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def unread(self) -> tuple[str, ...]:
        """The swarms whose services this worker cannot list, though it can use a host."""
        now, swarms = self._clock.now(), self._swarms.items()
        return tuple(id for id, seen in swarms if seen.failing_since is not None and now - seen.failing_since >= UNREAD_AFTER)

    def compared(self) -> Mapping[str, int]:
        """When this worker last compared the services of each swarm with its jobs (milliseconds), or began to try, by the swarm's id.
        Swarms that it never had to look at are not there."""
        return self._compared

    def _is_chosen(self, swarm_id: str, reports: Sequence[Report]) -> bool:
        others = [report.worker for report in reports if report.worker != self._owner and _can_look(report, swarm_id)]
        return not others or (swarm_id not in self.unread() and self._owner < min(others))

    async def look(self) -> None:
        """Looks once at the services of each swarm for which this worker is chosen, or whose services it could not list before. Raises
        StoreDown and QueueDown."""
        managers: dict[str, list[HostView]] = {}
        for view in self._executor.hosts():
            if view.usable and view.swarm_id is not None:
                managers.setdefault(view.swarm_id, []).append(view)
        self._swarms = {id: self._swarms.get(id) or SeenSwarm() for id in managers}
        known = {view.swarm_id for view in self._executor.hosts()}
        self._compared = {id: at for id, at in self._compared.items() if id in known}
        reports = await self._reports.current()
        self._chosen = frozenset(swarm_id for swarm_id in managers if self._is_chosen(swarm_id, reports))
        for swarm_id, views in managers.items():
            if swarm_id not in self._chosen and self._swarms[swarm_id].failing_since is None:
                continue
            try:
                await self._look_at(swarm_id, [view.name for view in views])
            except (TransientError, OrderRefused) as error:  # the services of the other swarms are looked at all the same
                log.warning("labels.swarm_waits", swarm=swarm_id, error=str(error))

    async def _look_at(self, swarm_id: str, hosts: Sequence[str]) -> None:
        seen, now = self._swarms[swarm_id], self._clock.now()
        seen.failing_since = now if seen.failing_since is None else seen.failing_since
        self._compared.setdefault(swarm_id, now)
        services = await self._executor.labelled(hosts[0])
        seen.failing_since = None
        versions = {one.id: one.version for one in services if one.declares or one.id in seen.versions}
        overdue = seen.compared_at is None or not 0 <= now - seen.compared_at < COMPARE_EVERY
        overdue = overdue or any(map(self._is_overdue, seen.missing.values()))
        if versions == seen.versions and not overdue:
            return
        await self._compare(swarm_id, hosts, services)
        seen.versions, seen.compared_at, self._compared[swarm_id] = versions, now, now

    async def _compare(self, swarm_id: str, hosts: Sequence[str], services: Sequence[LabelledService]) -> None:
        """Has each job written that is not as its service declares it, and gives up those that no service declares."""
        seen, known = self._swarms[swarm_id], await self._jobs(swarm_id)
        seen.elsewhere, seen.older = None, {id: since for id, since in seen.older.items() if id in known}
        seen.read = {service.id: found for service in services if (found := seen.read.get(service.id)) is not None}
        declared: set[str] = set()
        for service in services:
            await asyncio.sleep(0)  # a thousand services are read one by one, and other work goes on
            try:
                for one in self._declared_by(service, seen):
                    job_id = declared_id(swarm_id, service.name, one.suffix)
                    declared.add(job_id)
                    await self._take(swarm_id, hosts, service, one, known.get(job_id))
            except OF_VALUES:  # the other services are read all the same
                log.exception("labels.unreadable", service=service.name, swarm=swarm_id)
                declared |= await self._leave(swarm_id, service, known)
        seen.latest = max(seen.latest, *(service.version for service in services), 0)
        names = {service.name: service for service in services}
        ids = {service.id: service for service in services}
        seen.reported = {key: own for key, own in seen.reported.items() if key[0] in declared}
        orphans = [job for job in known.values() if job.id not in declared and job.is_declared]
        seen.missing = {job.id: seen.missing[job.id] for job in orphans if job.id in seen.missing}
        for job in orphans:
            if job.source is None:
                continue
            own = names.get(job.source.service) or ids.get(job.source.service_id)
            if own is None:
                await self._miss(job, hosts, seen)
            elif own.version > job.source.version or await self._went_back(swarm_id, hosts, own, job):
                why = f"the service {own.name} has no labels of this job any more"
                await self._declared.give_up(job, why, max(own.version, job.source.version + 1))

    async def _leave(self, swarm_id: str, service: LabelledService, known: Mapping[str, Job]) -> set[str]:
        """Leaves the jobs of a service as they are, with the fault that its labels cannot be read. Returns their ids, or
        the id of the job that it would have."""
        own = {job.id for job in known.values() if job.source is not None and job.source.service == service.name}
        ids = own or {declared_id(swarm_id, service.name, "")}
        for job_id in ids:
            await self._report(swarm_id, service, job_id, known.get(job_id), [UNREADABLE], refused=True)
        return ids

    async def _jobs(self, swarm_id: str) -> dict[str, Job]:
        """The jobs of this swarm's services that the store has, by id."""
        found: dict[str, Job] = {}
        after = ""
        while page := await self._store.jobs_of_services(PAGE, after):
            found |= {job.id: job for job in page if job.source is not None and job.source.swarm_id == swarm_id}
            after = page[-1].id
        return found

    def _declared_by(self, service: LabelledService, seen: SeenSwarm) -> Sequence[DeclaredJob]:
        known = seen.read.get(service.id)
        if known is None or known[0] != service.version:
            known = (service.version, self._read(service, self._clock.now()))
            if not any(one.faults for one in known[1]):  # a fault may be over without a change of the labels
                seen.read[service.id] = known
        return known[1]

    async def _take(self, swarm_id: str, hosts: Sequence[str], service: LabelledService, one: DeclaredJob, job: Job | None) -> None:
        """Lets one job follow its service, unless these labels are older than those that it follows."""
        source, job_id = source_of(service, swarm_id, one.suffix), declared_id(swarm_id, service.name, one.suffix)
        if job is not None and job.source is not None and is_old(job, service.version):
            source = replace(source, version=job.source.version)  # in a swarm that was restored the labels count, not their number
            is_back = await self._went_back(swarm_id, hosts, service, job)
            if self._follows(job, service, one, source):
                return
            if not is_back:
                if self._is_overdue(self._swarms[swarm_id].older[job_id]) and len(hosts) == 1:
                    await self._report(swarm_id, service, job_id, job, [Fault("", WENT_BACK)], refused=True)
                return
        elif job is not None:
            self._swarms[swarm_id].older.pop(job_id, None)
            if self._follows(job, service, one, source):
                return
        faults = one.faults or self._pool_faults(service, swarm_id)
        if one.remarks:
            await self._report(swarm_id, service, job_id, job, one.remarks, refused=False)
        try:
            if not faults:
                await self._declared.declare(service, one, job_id, source)
                return
        except TransientError:
            raise
        except (Invalid, Forbidden) as error:
            faults = [Fault(one.label_at(fault.field) if fault.field else "", fault.message) for fault in error.faults]
        except FastlaneError as error:
            faults = [Fault("", str(error))]
        await self._report(swarm_id, service, job_id, job, faults, refused=True)

    async def _report(
        self, swarm_id: str, service: LabelledService, job_id: str, job: Job | None, faults: Sequence[Fault], *, refused: bool
    ) -> None:
        """Has the faults of a job's labels recorded, unless they were, and stand in the job."""
        reported, own = self._swarms[swarm_id].reported, (service.version, tuple(faults))
        is_shown = not refused or job is None or job.source is None or job.source.fault is not None
        if is_shown and reported.get((job_id, refused)) == own:
            return
        await self._declared.report(service, job_id, faults, refused=refused)
        reported[job_id, refused] = own

    def _is_overdue(self, since: int) -> bool:
        """Whether something has been so for as long as a service must be missing."""
        return self._clock.now() - since >= GONE_AFTER

    async def _went_back(self, swarm_id: str, hosts: Sequence[str], service: LabelledService, job: Job) -> bool:
        """Whether a swarm was restored from a backup: a service has had a lower version than its job for as long as one must be missing,
        and another manager lists that version, too. (A manager that is cut off lists old ones.)"""
        seen = self._swarms[swarm_id]
        if not is_old(job, service.version):
            return False
        if not self._is_overdue(seen.older.setdefault(job.id, self._clock.now())) or len(hosts) == 1:
            return False
        if seen.elsewhere is None:
            seen.elsewhere = {one.id: one.version for one in await self._executor.labelled(hosts[-1])}
        return seen.elsewhere.get(service.id) == service.version

    def _follows(self, job: Job, service: LabelledService, one: DeclaredJob, source: JobSource) -> bool:
        """Whether the job is as its service declares it."""
        if job.task_id != service.task_id or one.spec is None or one.schedule is None:
            return False
        return redeclared(job, one.spec, one.schedule, source, now=self._clock.now()) is None

    def _pool_faults(self, service: LabelledService, swarm_id: str) -> Sequence[Fault]:
        """The fault of a service in whose swarm its pool has no host: its jobs would look for it elsewhere."""
        pool = pool_for(self._pools, service.task_id)
        views = [view for view in self._executor.hosts() if view.swarm_id == swarm_id]
        if pool is None or any(view.name in pool.hosts for view in views):
            return ()
        words = f"the pool {pool.name!r} of the task {service.task_id!r} has no host in this service's swarm; add one, or another pool"
        return [Fault("", words)]

    async def _miss(self, job: Job, hosts: Sequence[str], seen: SeenSwarm) -> None:
        """Gives up a job whose service is missing, once that is certain."""
        source, since = job.source, seen.missing.setdefault(job.id, self._clock.now())
        if source is None or not self._is_overdue(since) or not await self._executor.lacks(hosts[-1], source.service_id):
            return
        await self._declared.give_up(job, f"the service {source.service} is gone", max(source.version, seen.latest) + 1)
        del seen.missing[job.id]


def _can_look(report: Report, swarm_id: str) -> bool:
    """Whether a worker says that it can look at the services of a swarm."""
    if not report.reads_labels or swarm_id in report.labels_unread:
        return False
    return any(view.usable and view.swarm_id == swarm_id for view in report.hosts)
