"""Jobs that the labels of a swarm's services declare: what a service says, which service a job comes from, and the rules by which a job
follows its service. Pure: reading labels is for ``web.api.service_labels``, listing services for ``sources.labels``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid5

from fastlane.errors import Fault, quoted
from fastlane.models.delivery import watched
from fastlane.models.job import Job, JobSource, Spec, task_id_fault
from fastlane.models.job_change import STOPPED, JobChange, edit, pause, put, resettled, unfired
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.tick import Outcome, once_key, unstarted_tick

STACK = "com.docker.stack.namespace"
"""The label with the name of a service's stack."""
NO_STACK = "services"
"""The task of the jobs of services that belong to no stack."""
PREFIX, CRONJOB = "fastlane.", "swarm.cronjob."
"""The beginnings of labels of jobs: ours, and the ones that swarm-cronjob reads."""
OWN = f"{PREFIX}installation"
"""The label of the services that are executions."""
AWAY = "its service was gone at this moment"
"""Why a moment was missed."""
_IDS = UUID("6d1fba62-7f0e-4b39-9a52-3c1f0c0a7e55")


@dataclass(frozen=True, slots=True)
class LabelledService:
    """A service as a manager lists it. ``version`` grows with each change of anything in its swarm. ``mode``: as ``deploy.mode`` names
    it; ``completions``: how many containers a start of a service of jobs means; ``restarts``: the condition of its restart policy."""

    id: str
    name: str
    version: int
    labels: Mapping[str, str] = field(default_factory=dict)
    mode: str = "replicated"
    completions: int = 1
    restarts: str = ""

    @property
    def task_id(self) -> str:
        """The task of its jobs."""
        return self.labels.get(STACK) or NO_STACK

    @property
    def stack_fault(self) -> str | None:
        """Why the label of its stack does not give its task; None when it does, or there is none."""
        stack = self.labels.get(STACK)
        if not stack:
            return None
        if fault := task_id_fault(stack):
            return f"cannot name the task of its jobs: {fault}"
        if not self.name.startswith(f"{stack}_"):
            words = f"its name would begin with {quoted(stack + '_')}; correct the label, or leave it out"
            return f"gives no task: the service {quoted(self.name)} is not of this stack, because {words}"
        return None

    @property
    def declares(self) -> bool:
        """Whether it has labels of jobs, right or wrong. (An execution's service has none.)"""
        return OWN not in self.labels and any(name.startswith((PREFIX, CRONJOB)) for name in self.labels)

    @property
    def short_name(self) -> str:
        """Its name within its stack."""
        return self.name.removeprefix(f"{self.labels.get(STACK, '')}_")


@dataclass(frozen=True, slots=True)
class DeclaredJob:
    """One job that a service declares. ``suffix``: NAME of its labels ``fastlane.job.NAME.…``, else empty. With ``faults``, named by
    label, it has neither spec nor schedule. ``remarks``: what is not done as a label says, though the job is made. ``label_at``: the label
    that gives a part of the job, by its dotted path."""

    suffix: str
    spec: Spec | None = None
    schedule: Schedule | None = None
    faults: Sequence[Fault] = ()
    remarks: Sequence[Fault] = ()
    label_at: Callable[[str], str] = str


def declared_id(swarm_id: str, service: str, suffix: str) -> str:
    """The id of a declared job: the same for each service of that name in the swarm, so that a stack that is deployed again keeps its
    history."""
    return str(uuid5(_IDS, f"{swarm_id}/{service}/{suffix}"))


def source_of(service: LabelledService, swarm_id: str, suffix: str) -> JobSource:
    """The source of a job that this service declares now."""
    return JobSource(service.name, swarm_id, service.id, suffix, service.version)


def is_old(job: Job, version: int) -> bool:
    """Whether labels of this version of a service are older than those that the job follows."""
    return job.source is not None and version < job.source.version


def redeclared(job: Job, spec: Spec, schedule: Schedule, source: JobSource, *, now: int) -> JobChange | None:
    """How a job follows its service; None: it is as the service says, or these labels are older than those that it follows. What a person
    stopped or paused stays so. What only its source stopped is active again, or paused if it was; a moment that passed meanwhile is a row
    of the ledger, and runs nothing."""
    before = job.source or source
    if is_old(job, source.version):
        return None
    if before.gone is not None and job.stopped and job.stop_sequence == before.stop_sequence:
        change = put(job, spec, schedule, now=now, by=None)
        moment = schedule.at if schedule.kind is ScheduleKind.AT and schedule.starts_as(job.schedule) else None
        had_it = moment is not None and job.last_tick is not None and job.last_tick >= moment
        if moment is not None and (moment <= now or had_it):
            key = once_key(job.schedule_revision)
            rows = [] if had_it else [unstarted_tick(job, key, Outcome.MISSED, due=moment, now=now, reason=AWAY)]
            after = replace(change.job, next_tick=None, last_tick=job.last_tick if had_it else moment)
            change = replace(change, job=after, ticks=(*change.ticks, *rows))
        return _from(_held(change, now) if before.paused else change, source)
    if (job.spec, job.schedule) == (spec, schedule):
        is_same = job.source is not None and replace(source, version=before.version) == before
        return None if is_same else JobChange(replace(job, source=source, revision=job.revision + 1))
    if job.stopped:
        starts = 0 if schedule.starts_as(job.schedule) else 1
        schedule = resettled(job, spec, schedule, now)
        after = replace(job, spec=spec, schedule=schedule, schedule_revision=job.schedule_revision + starts)
        after = replace(after, modified_at=now, revision=job.revision + 1)
        return _from(JobChange(watched(job, after, now)), source)
    change = edit(job, spec, schedule, now=now, by=None)
    if job.paused and not change.job.paused:
        change = _held(replace(change, job=replace(change.job, failing=job.failing)), now)
    return _from(change, source)


def _held(change: JobChange, now: int) -> JobChange:
    """The change, with the next tick held."""
    return change if change.job.next_tick is None else replace(change, job=pause(change.job, now=now))


def _from(change: JobChange, source: JobSource) -> JobChange:
    return replace(change, job=replace(change.job, source=source, requested_by=None))


def faulty(job: Job, words: str, *, now: int) -> JobChange | None:
    """The job as it was, with the fault of its service's newer labels; None: it is known."""
    source = job.source
    if source is None or source.fault == words:
        return None
    return JobChange(replace(job, source=replace(source, fault=words), revision=job.revision + 1, modified_at=now))


def given_up(job: Job, why: str, version: int, *, now: int) -> JobChange | None:
    """The job stopped by its source, in one write that says so: a service that is back starts again only what no person stopped.
    ``version``: labels of the service before that one are too old to count. None: it was given up before, has no source, or follows newer
    labels."""
    source = job.source
    if source is None or source.gone is not None or version <= source.version:
        return None
    source = replace(source, gone=why, fault=None, version=version)
    if job.stopped:
        return JobChange(replace(job, source=source, revision=job.revision + 1, modified_at=now))
    ticks, last = unfired(job, Outcome.STOPPED, STOPPED, now=now)
    sequence = job.sequence + 1
    own = replace(source, stop_sequence=sequence, paused=job.paused)
    after = replace(job, source=own, sequence=sequence, stop_sequence=sequence, next_tick=None, held_tick=None, last_tick=last)
    return JobChange(replace(after, revision=job.revision + 1, modified_at=now), ticks)
