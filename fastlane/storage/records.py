"""The tables of the store, and the verbs over them. Each table is declared once: its value, its stored form, its key, and the indexes along
which it is read.

Both databases take their columns, documents and conditions of partial indexes from here. A row is flat: it has the value's fields under
their own names, each a scalar that every database has, or a list of texts.

Each database implements the verbs over records. The store's common methods (``logic``) use only these.

Every write is a compare-and-set on one row, or an insert under an id that other processes derive, too. The verbs keep their promises
without transactions over several rows.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from types import UnionType
from typing import Any, Generic, Protocol, TypeVar, get_args, get_type_hints

import orjson
import structlog

from fastlane.errors import Unreadable
from fastlane.models.access import Requester
from fastlane.models.backfill import Backfill
from fastlane.models.calendar import Calendar
from fastlane.models.delivery import Attempt, Delivery, MailQuota, Receiver, Target
from fastlane.models.event import Event
from fastlane.models.failing import Failing
from fastlane.models.host import HostRecord
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import Execution, Failure, Job, JobSource, ServiceVersion, Spec, Task, Usage
from fastlane.models.log_archive import ArchivedLog, ArchiveState
from fastlane.models.log_commands import Outputs
from fastlane.models.notify import FAILURES
from fastlane.models.pool import HostsRevision, Pauses, PoolsRevision
from fastlane.models.receipt import ChainHead, Seal, SealKind, SealPlace
from fastlane.models.schedule import Schedule
from fastlane.models.status import FINAL, UNDER_WAY as UNDER_WAY_STATUSES, Status
from fastlane.models.tick import Tick
from fastlane.models.upstream import ChainState, Upstream
from fastlane.storage import values
from fastlane.storage.base import Generation

Value = TypeVar("Value")
Convert = Callable[[Any], Any]
Row = Mapping[str, Any]

LAST = 2**63 - 1
"""No moment is later."""
MAX_UNDER_WAY = 100
"""Executions under way that are read for one job. More can only come about through ``force``."""
NEVER_AGAIN = tuple(sorted(FINAL - {Status.FAILED}))
"""Final statuses after which no attempt follows. One that this version does not know may belong to a container that runs."""


def _texts(value: str | list[str]) -> list[str]:
    """A list of texts, which a database without lists has as JSON."""
    return orjson.loads(value) if isinstance(value, str) else value


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


CODECS: Mapping[Any, tuple[Convert, Convert]] = {
    Spec: (values.spec_to_json, values.spec_from_json),
    Schedule: (values.schedule_to_json, values.schedule_from_json),
    Requester: (values.requester_to_json, values.requester_from_json),
    Failure: (values.failure_to_json, values.failure_from_json),
    Usage: (values.usage_to_json, values.usage_from_json),
    ServiceVersion: (values.service_version_to_json, values.service_version_from_json),
    Outputs: (values.outputs_to_json, values.outputs_from_json),
    JobSource: (values.source_to_json, values.source_from_json),
    Failing: (values.failing_to_json, values.failing_from_json),
    Target: (values.target_to_json, values.target_from_json),
    ChainState: (values.chain_to_json, values.chain_from_json),
    Upstream: (values.upstream_to_json, values.upstream_from_json),
    tuple[Attempt, ...]: (values.attempts_to_json, values.attempts_from_json),
    tuple[int, ...]: (_json, lambda text: tuple(orjson.loads(text))),
    tuple[str, ...]: (_json, lambda text: tuple(orjson.loads(text))),
    frozenset[str]: (sorted, lambda texts: frozenset(_texts(texts))),
    Mapping[str, Any]: (lambda detail: _json(dict(detail)), orjson.loads),
}
"""How a field of each type is stored and read. The functions of types that may be None pass it on."""


def _codec(hint: Any) -> tuple[Convert | None, Convert | None]:
    """How a field of this type is stored, and read; None: as it is."""
    if hint in CODECS:
        return CODECS[hint]
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] if isinstance(hint, UnionType) else [hint]
    (kind,) = kinds if len(kinds) == 1 else (None,)
    if kind in CODECS:
        return CODECS[kind]
    if kind is bool:
        return None, bool
    if not (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return None, None
    members: Mapping[Any, Any] = (
        {None: None, **{member.value: member for member in kind}} if kind is not hint else {one.value: one for one in kind}
    )
    return (str if kind is hint else lambda member: None if member is None else member.value), members.__getitem__


@dataclass(frozen=True, slots=True)
class Among:
    """One of these values."""

    values: Collection[Any]


@dataclass(frozen=True, slots=True)
class Without:
    """None of these values."""

    values: Collection[Any]


@dataclass(frozen=True, slots=True)
class Between:
    """A number between these bounds, which are included."""

    low: int = -LAST - 1
    high: int = LAST


@dataclass(frozen=True, slots=True)
class Beyond:
    """A text behind this one."""

    text: str


Where = Mapping[str, Any]
"""The condition on a field of a row: a value, or one of the above."""


@dataclass(frozen=True, slots=True)
class Condition(Generic[Value]):
    """The condition of a partial index: in SQL, word for word as a query must repeat it, and for a value. MongoDB, which cannot make an
    index from a condition over several fields, has it as a field of this name (``flag``), which is true or missing, or instead of that says
    this of the fields (``where``)."""

    sql: str
    flag: str | None = None
    holds: Callable[[Value], bool] = lambda _: False
    where: Where = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Index(Generic[Value]):
    """An index along which rows are read: those with the same ``equal`` fields, in the order of ``order``. It may hold other fields behind
    these (``also``). ``is_key``: SQLite has it as the table's key, under no name of its own. ``is_unique``: no two rows have the same
    values."""

    record: "Record[Value]"
    name: str
    equal: tuple[str, ...]
    order: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    where: Condition[Value] | None = None
    is_key: bool = False
    is_unique: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """All its fields."""
        return (*self.equal, *self.order, *self.also)


@dataclass(frozen=True, slots=True)
class RowFormat(Generic[Value]):
    """What a row differs in from the fields of its value. ``names``: fields that are stored under another one. ``added``: what is stored
    beside the fields. ``later``: fields that older versions of fastlane did not write, which have their defaults then."""

    names: Mapping[str, str] = field(default_factory=dict)
    added: Mapping[str, Callable[[Value], Any]] = field(default_factory=dict)
    later: Collection[str] = ()


class Record(Generic[Value]):
    """A table of the values of one class. Its columns are the fields that are compared. ``what`` they are called in an error. ``key``: the
    fields that name a row; () for a table of one row, which is ``first`` at the beginning. ``flags``: its conditions that are fields.
    ``hints``: the types of its fields."""

    def __init__(
        self,
        name: str,
        value: Callable[..., Value],
        what: str,
        *,
        key: tuple[str, ...] = ("id",),
        first: Value | None = None,
        format: RowFormat[Value] | None = None,
        flags: Sequence[Condition[Value]] = (),
    ) -> None:
        own = tuple(one for one in fields(value) if one.compare)  # type: ignore[arg-type]
        format = format or RowFormat()
        hints, names, added = get_type_hints(value), format.names, format.added
        self.name, self.key, self.first, self.flags = name, key, first, flags
        self.fields = tuple(names.get(one.name, one.name) for one in own)
        self.columns = (*self.fields, *added)
        self._what, self._value, self._added = what, value, added
        self.hints = {names.get(one.name, one.name): hints[one.name] for one in own}
        self.defaults = {one.name: one.default for one in own if one.default is not MISSING}
        self._later = {name: default for name, default in self.defaults.items() if name in format.later}
        self._values: Callable[[Value], tuple[Any, ...]] = attrgetter(*(one.name for one in own))
        codecs = [(name, *_codec(hints[one.name])) for name, one in zip(self.fields, own, strict=True)]
        self._writes = {name: write for name, write, _ in codecs if write is not None}
        self._reads = tuple((place, read) for place, (_, _, read) in enumerate(codecs) if read is not None)
        self._named = self.fields.index(key[-1] if key else self.fields[0])
        where_it_runs = ("service_id", "host", "swarm_id") if "service_id" in self.fields else ()
        self._where = tuple(map(self.fields.index, where_it_runs))

    def row(self, value: Value, given: Row | None = None) -> dict[str, Any]:
        """A value as it is stored, in the order of ``columns``. ``given``: some of it, which need not be converted again."""
        row = dict(zip(self.fields, self._values(value), strict=True))
        for name, write in self._writes.items():
            if row[name] is not None:
                row[name] = write(row[name]) if given is None or name not in given else given[name]
        for name, make in self._added.items():
            row[name] = make(value)
        return row

    def changes(self, changed: Row) -> dict[str, Any]:
        """Some fields as they are stored. Raises ValueError for a name that is not a field."""
        if not changed.keys() <= self.hints.keys():
            raise ValueError(f"an {self._what} has no {', '.join(sorted(changed.keys() - self.hints.keys()))}")
        row = dict(changed)
        for name, write in self._writes.items():
            if name in row:
                row[name] = write(row[name])
        return row

    def of(self, stored: list[Any]) -> Value:
        """The value of these stored ones, which are in the order of ``fields``. Changes the list. Raises Unreadable."""
        try:
            for place, read in self._reads:
                stored[place] = read(stored[place])
            return self._value(*stored)
        except values.FAULTS as error:
            raise values.unreadable(f"{self._what} {stored[self._named]}", error, *(stored[place] for place in self._where)) from error

    def read(self, row: Row) -> Value:
        """The value of a row; its other fields are ignored. Raises Unreadable."""
        if self._later:
            row = {**self._later, **row}
        try:
            stored = [row[name] for name in self.fields]
        except LookupError as error:
            raise values.unreadable(f"{self._what} {row.get(self.fields[self._named])}", error) from error
        return self.of(stored)


@dataclass(frozen=True, slots=True)
class DeletedExecution:
    """When an execution that a worker had claimed was deleted, in the database's own form."""

    id: str
    deleted_at: Any


@dataclass(frozen=True, slots=True)
class TaskHours:
    """``TaskHour`` as it is stored: how many executions of a task and a pool ended in an hour in each of ``retention.ENDS``, how many had
    started, and how late they started in total and at most."""

    task_id: str
    pool: str
    hour: int
    done: int
    expired: int
    failed: int
    stopped: int
    timedout: int
    started: int
    late: int
    latest: int


def label_text(name: str, value: str) -> str:
    """A label as it is stored and found."""
    return f"{name}={value}"


def _labels(job: Job) -> str:
    labels = job.spec.labels
    return _json([label_text(*label) for label in sorted(labels.items())]) if labels else "[]"


def _one_of(statuses: Collection[Status]) -> str:
    return f"status IN ({', '.join(repr(status.value) for status in Status if status in statuses)})"


# Annotated, since Python 3.11 cannot make a frozen dataclass with slots as ``Condition[Job](…)``.
TO_COME: Condition[Job] = Condition(
    "(next_tick IS NOT NULL OR held_tick IS NOT NULL)", "is_to_come", lambda job: job.next_tick is not None or job.held_tick is not None
)
DUE: Condition[Job] = Condition("next_tick IS NOT NULL")
TO_CHECK: Condition[Job] = Condition("check_at IS NOT NULL", "is_to_check", lambda job: job.check_at is not None)
LATE: Condition[Job] = Condition("late_since IS NOT NULL AND stop_sequence <= armed", "is_late", lambda job: job.is_late)
SOURCED: Condition[Job] = Condition("source IS NOT NULL", "is_sourced", lambda job: job.source is not None)
FOLLOWS: Condition[Job] = Condition(
    f"substr(schedule, 1, {len(values.FOLLOWS)}) = '{values.FOLLOWS}'", "is_follower", lambda job: job.schedule.after is not None
)
NAMES_CALENDARS: Condition[Job] = Condition(
    f"substr(schedule, 1, {len(values.CALENDARS)}) = '{values.CALENDARS}'", "names_calendars", lambda job: bool(job.schedule.calendars)
)
RESERVING: Condition[Job] = Condition("unique_key IS NOT NULL", where={"unique_key": Beyond("")})
AT_REST: Condition[Job] = Condition(" AND ".join(f"job_status <> '{status}'" for status in sorted(UNDER_WAY_STATUSES)))
"""Nothing of the job is under way. So an index of this does not change while an execution is."""
UNDER_WAY: Condition[Execution] = Condition(_one_of(UNDER_WAY_STATUSES), "is_under_way", lambda one: one.status in UNDER_WAY_STATUSES)
ENDED: Condition[Execution] = Condition(_one_of(FINAL))
FAILED: Condition[Execution] = Condition(f"({' OR '.join(f'status = {status.value!r}' for status in sorted(FAILURES))})")
"""Without a list: SQLite makes a table of a list of more than two values for each row that is written. The conditions above have lists,
since 0.1.0 asks with them."""
UNSETTLED: Condition[Execution] = Condition(
    f"settled = 0 AND {ENDED.sql}", "is_unsettled", lambda one: one.status in FINAL and not one.settled
)
UNCLEANED: Condition[Execution] = Condition("settled = 1 AND cleaned = 0", "is_uncleaned", lambda one: one.settled and not one.cleaned)
UNFINISHED: Condition[Execution] = Condition(
    "(settled = 0 OR cleaned = 0)", "is_unfinished", lambda one: not one.settled or not one.cleaned
)
ON_HOST: Condition[Execution] = Condition(
    "host IS NOT NULL AND cleaned = 0", "is_on_host", lambda one: one.host is not None and not one.cleaned
)
WAITING: Condition[Execution] = Condition(
    "waits IS NOT NULL AND status = 'enqueued'", "is_waiting", lambda one: one.waits is not None and one.status is Status.ENQUEUED
)
START_NOTED: Condition[Execution] = Condition("start_noted_at IS NOT NULL", where={"start_noted_at": Between(low=1)})
END_NOTED: Condition[Execution] = Condition("end_noted_at IS NOT NULL", where={"end_noted_at": Between(low=1)})
TO_SEND: Condition[Delivery] = Condition("due IS NOT NULL", "is_to_send", lambda delivery: delivery.due is not None)
OVER: Condition[Delivery] = Condition("due IS NULL", where={"due": None})
OF_JOB: Condition[Event] = Condition("job_id IS NOT NULL")
OF_EXECUTION: Condition[Event] = Condition("execution_id IS NOT NULL")
RUNNING: Condition[Backfill] = Condition("ended_at IS NULL", "is_running", lambda backfill: backfill.ended_at is None)
OVER_SINCE: Condition[Backfill] = Condition("ended_at IS NOT NULL", where={"ended_at": Between(low=1)})
REMOVAL: Condition[Seal] = Condition("kind = 'removal'", "is_removal", lambda seal: seal.kind is SealKind.REMOVAL)
UNMOVED: Condition[ArchivedLog] = Condition("state <> 'moved'", "is_unmoved", lambda log: log.state is not ArchiveState.MOVED)
REMOVED: Condition[HostRecord] = Condition("removed_at IS NOT NULL", where={"removed_at": Between(low=1)})

TASKS = Record("tasks", Task, "task")
JOBS = Record(
    "jobs",
    Job,
    "job",
    format=RowFormat(added={"labels": _labels}, later=("check_at", "late_since", "source", "chain", "failing", "unique_key")),
    flags=(TO_COME, TO_CHECK, LATE, SOURCED, FOLLOWS, NAMES_CALENDARS),
)
"""What is stored of a job beside its fields: the labels of its spec as a list, by which it is found."""
TICKS = Record("ticks", Tick, "tick", format=RowFormat(later=("entries",)))
EXECUTIONS = Record(
    "executions",
    Execution,
    "execution",
    format=RowFormat(later=("usage", "node", "service_version", "outputs", "upstream")),
    flags=(UNDER_WAY, UNSETTLED, UNCLEANED, UNFINISHED, ON_HOST, WAITING),
)
HOSTS = Record("hosts", HostRecord, "the host", format=RowFormat(later=[one.name for one in fields(HostRecord)]))
RECEIPTS = Record("receipts", IdempotencyRecord, "the record of key", key=("key",))
IMAGES = Record("images", PulledImage, "the image", key=("engine_id", "reference"))
DELIVERIES = Record(
    "deliveries",
    Delivery,
    "delivery",
    # the name is from when there were only webhooks
    format=RowFormat(names={"target": "webhook"}, added={"origin": lambda delivery: delivery.target.origin}),
    flags=(TO_SEND,),
)
"""Stored for a delivery in addition to its fields: the origin of its receiver, by which deliveries to a slow receiver are left out."""
RECEIVERS = Record("receivers", Receiver, "receiver")
QUOTAS = Record("mail_quotas", MailQuota, "the quota of mails")
EVENTS = Record("events", Event, "an event of")
BACKFILLS = Record("backfills", Backfill, "the backfill of job", flags=(RUNNING,))
CALENDARS = Record("calendars", Calendar, "the calendar")
SEALS = Record("seals", Seal, "the seal", flags=(REMOVAL,))
CHAIN_HEADS = Record("chain_heads", ChainHead, "the end of the chain of job")
SEAL_PLACE = Record("seal_place", SealPlace, "how far rows are sealed")
ARCHIVED_LOGS = Record("archived_logs", ArchivedLog, "the archived log of execution", flags=(UNMOVED,))
GENERATION = Record("generation", Generation, "the generation of the queue", key=(), first=Generation(0, "", None, 0))
PAUSES = Record("pauses", Pauses, "the paused pools", key=(), first=Pauses())
HOSTS_REVISION = Record("hosts_revision", HostsRevision, "the revision of the hosts", key=(), first=HostsRevision())
POOLS_REVISION = Record("pools_revision", PoolsRevision, "the revision of the pools", key=(), first=PoolsRevision())

# Each database makes the next two in its own way.
DELETED = Record("deleted_executions", DeletedExecution, "a deletion of")
HOURS = Record("hours", TaskHours, "the counts of", key=("task_id", "hour", "pool"))

RECORDS: Sequence[Record[Any]] = (
    *(TASKS, JOBS, TICKS, EXECUTIONS, HOSTS, RECEIPTS, IMAGES, DELIVERIES, RECEIVERS, QUOTAS, EVENTS, BACKFILLS),
    *(CALENDARS, SEALS, CHAIN_HEADS, SEAL_PLACE, ARCHIVED_LOGS),
)

TASKS_BY_CHANGE = Index(TASKS, "tasks_by_change", (), ("modified_at", "id"))
JOBS_OF_TASK = Index(JOBS, "jobs_of_task", ("task_id",), ("created_at", "id"))
JOBS_BY_CREATION = Index(JOBS, "jobs_by_creation", (), ("created_at", "id"), ("task_id",))
JOBS_BY_STATUS = Index(JOBS, "jobs_by_status", ("job_status",), ("created_at", "id"), ("task_id",))
JOBS_OF_TASK_BY_STATUS = Index(JOBS, "jobs_of_task_by_status", ("task_id", "job_status"), ("created_at", "id"), where=AT_REST)
JOBS_DUE = Index(JOBS, "jobs_due", (), ("next_tick", "id"), where=DUE)
JOBS_TO_COME = Index(JOBS, "jobs_to_come", ("task_id",), ("id",), where=TO_COME)
JOBS_TO_CHECK = Index(JOBS, "jobs_to_check", (), ("check_at", "id"), where=TO_CHECK)
JOBS_LATE = Index(JOBS, "jobs_late", (), ("late_since", "id"), ("task_id",), LATE)
JOBS_LATE_BY_CREATION = Index(JOBS, "jobs_late_by_creation", (), ("created_at", "id"), ("task_id", "late_since"), LATE)
JOBS_OF_SERVICES = Index(JOBS, "jobs_of_services", (), ("id",), ("task_id",), SOURCED)
"""With a second field, since MongoDB takes no condition for an index of the id alone."""
JOBS_OF_CALENDARS = Index(JOBS, "jobs_of_calendars", (), ("id",), ("created_at",), NAMES_CALENDARS)
"""With another second field, since servers of MongoDB's protocol may take no two indexes of the same fields."""
JOBS_UNIQUE = Index(JOBS, "jobs_unique", ("unique_key",), where=RESERVING, is_unique=True)
TICKS_OF_JOB = Index(TICKS, "ticks_of_job", ("job_id",), ("due", "id"))
EXECUTIONS_OF_JOB = Index(EXECUTIONS, "executions_of_job", ("job_id",), ("sequence", "attempt"), ("status",))
EXECUTIONS_OF_TASK = Index(EXECUTIONS, "executions_of_task", ("task_id",), ("scheduled_for", "id"))
EXECUTIONS_BY_STATUS = Index(EXECUTIONS, "executions_by_status", ("status",), ("scheduled_for", "id"), ("task_id",))
EXECUTIONS_UNDER_WAY = Index(EXECUTIONS, "executions_under_way", ("job_id",), ("sequence", "attempt"), where=UNDER_WAY)
EXECUTIONS_WAITING = Index(EXECUTIONS, "executions_waiting", ("job_id",), ("sequence",), where=WAITING)
EXECUTIONS_UNSETTLED = Index(EXECUTIONS, "executions_unsettled", (), ("finished_at", "id"), where=UNSETTLED)
EXECUTIONS_UNCLEANED = Index(EXECUTIONS, "executions_uncleaned", (), ("finished_at", "id"), ("host",), where=UNCLEANED)
EXECUTIONS_ON_HOST = Index(EXECUTIONS, "executions_on_host", ("host",), where=ON_HOST)
EXECUTIONS_BY_CREATION = Index(EXECUTIONS, "executions_by_creation", (), ("created_at", "id"), ("task_id",))
EXECUTIONS_BY_START = Index(EXECUTIONS, "executions_by_start", (), ("start_noted_at", "id"), ("task_id",), START_NOTED)
EXECUTIONS_BY_END = Index(EXECUTIONS, "executions_by_end", (), ("end_noted_at", "id"), ("task_id",), END_NOTED)
EXECUTIONS_UNFINISHED = Index(EXECUTIONS, "executions_unfinished", ("task_id", "job_id"), ("sequence", "attempt"), where=UNFINISHED)
DELIVERIES_OF_EXECUTION = Index(DELIVERIES, "deliveries_of_execution", ("execution_id",), ("id",))
DELIVERIES_DUE = Index(DELIVERIES, "deliveries_due", (), ("due", "id"), ("origin",), TO_SEND)
DELIVERIES_BY_AGE = Index(DELIVERIES, "deliveries_by_age", (), ("created_at", "id"), where=OVER)
HOSTS_BY_REMOVAL = Index(HOSTS, "hosts_by_removal", (), ("removed_at", "id"), where=REMOVED)
IMAGES_BY_AGE = Index(IMAGES, "images_by_age", (), ("keep_until",))
RECEIVERS_BY_AGE = Index(RECEIVERS, "receivers_by_age", (), ("failing_since", "id"))
RECEIVERS_BY_FAILURE = Index(RECEIVERS, "receivers_by_failure", (), ("failed_at",))
QUOTAS_BY_AGE = Index(QUOTAS, "mail_quotas_by_age", (), ("told_at",))
EVENTS_BY_TIME = Index(EVENTS, "events_by_time", (), ("time", "id"), ("task_id",))
EVENTS_OF_JOB = Index(EVENTS, "events_of_job", ("job_id",), ("time", "id"), where=OF_JOB)
BACKFILLS_RUNNING = Index(BACKFILLS, "backfills_running", (), ("created_at", "id"), where=RUNNING)
BACKFILLS_BY_AGE = Index(BACKFILLS, "backfills_by_age", (), ("ended_at", "id"), where=OVER_SINCE)
SEALS_OF_JOB = Index(SEALS, "seals_of_job", ("job_id",), ("number",))
SEALS_OF_ROW = Index(SEALS, "seals_of_row", ("row",))
SEALS_OF_REMOVALS = Index(SEALS, "seals_of_removals", ("job_id",), ("number",), ("kind",), REMOVAL)
"""With a third field, since servers of MongoDB's protocol may take no two indexes of the same fields."""
CHAIN_HEADS_OF_TASK = Index(CHAIN_HEADS, "chain_heads_of_task", ("task_id",), ("id",))
ARCHIVED_LOGS_UNMOVED = Index(ARCHIVED_LOGS, "archived_logs_unmoved", (), ("id",), ("state",), UNMOVED)
"""With a second field, since MongoDB takes no condition for an index of the id alone."""
EVENTS_OF_EXECUTION = Index(EVENTS, "events_of_execution", ("execution_id",), ("time", "id"), where=OF_EXECUTION)

INDEXES: Sequence[Index[Any]] = tuple(one for one in list(globals().values()) if isinstance(one, Index))
HOURS_OF_TASK = Index(HOURS, "hours_of_task", ("task_id",), ("hour", "pool"))
HOURS_BY_AGE = Index(HOURS, "hours_by_age", (), ("hour",))
EXECUTIONS_ENDED = Index(EXECUTIONS, "executions_ended", ("task_id", "status"), ("scheduled_for", "id"), where=ENDED)
EXECUTIONS_FAILED = Index(EXECUTIONS, "executions_failed", (), ("finished_at", "id"), ("status", "job_id", "task_id"), FAILED)
JOBS_NEXT_OF_TASK = Index(JOBS, "jobs_next_of_task", ("task_id",), ("next_tick", "id"), where=DUE)
OF_SQLITE: Sequence[Index[Any]] = (EXECUTIONS_ENDED, EXECUTIONS_FAILED, JOBS_NEXT_OF_TASK)
"""In SQLite alone. MongoDB has them with other fields and conditions, the first one as ``executions_of_task_by_status``."""


def by_key(record: Record[Value]) -> Index[Value]:
    """The order of a record's only or last key."""
    return Index(record, "", record.key[:-1], record.key[-1:])


OF_SPEC = ("spec.name", "spec.expect_every", "spec.done_by")
"""The parts of a job's spec that ``Rows.select`` reads alone."""

log = structlog.get_logger()

Stored = TypeVar("Stored")
Read = TypeVar("Read")
Place = tuple[Any, ...]
"""The place of a row in the order of an index: its values of that order."""

REPORTED = 1024
"""How many different unreadable rows are reported only once. Each is met again and again, and would fill the log."""


@dataclass(frozen=True, slots=True)
class Part:
    """The wanted part of the rows, in the index's order, or from its end (``newest``): after one place, or from one to another, both
    included; behind ``skip`` others; at most ``limit`` of them (None: all)."""

    limit: int | None = None
    after: Place | None = None
    first: Place | None = None
    last: Place | None = None
    newest: bool = False
    skip: int = 0


ALL = Part()


COMPARED = ("incarnation", "revision", "sequence", "next_tick", "floor", "check_at", "late_since", "failing", "unique_key")
"""The fields of a job that must not have changed since it was read, before a commit replaces or deletes it."""


@dataclass(frozen=True, slots=True)
class Effects:
    """The parts of a commit in addition to the job: rows of its ledger, the execution of one of them, the record of its request, and its
    events."""

    ticks: Sequence[Tick] = ()
    execution: Execution | None = None
    record: IdempotencyRecord | None = None
    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """The next state of a job (None: it is deleted), and everything that is written with it. ``seen``: the fields of the stored job that
    must not have changed, ``COMPARED``; None for a new job. ``task_modified_at``: when its task changed; None when it did not."""

    job_id: str
    task_id: str
    seen: Where | None
    job: Job | None
    task_modified_at: int | None
    effects: Effects = Effects()


class Rows(Protocol):
    """The verbs. They raise the same exceptions as the port's methods. ``listed``: the read is a list, which has a deadline of its own and
    never delays the others."""

    async def catch_up(self, job_id: str | None = None) -> None:
        """Makes what was committed of a job, or of any (None), visible to the reads that follow, where a commit is not whole at once."""

    async def get(self, record: Record[Value], *key: str) -> Value | None:
        """The row with this key. Raises Unreadable. A record of one row always has it."""

    async def find(self, index: Index[Value], where: Where, part: Part = ALL, *, listed: bool = False) -> list[Value]:
        """The rows that can be read; the next ones take the place of others. The index's own condition is among theirs."""

    async def select(
        self, index: Index[Any], where: Where, fields: Sequence[str], part: Part = ALL, *, listed: bool = False
    ) -> list[dict[str, Any]]:
        """These fields of rows, as they are stored; of jobs, the parts ``OF_SPEC``, too."""

    async def select_keys(self, record: Record[Any], keys: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """These fields of the rows with these keys, by key."""

    async def count(self, index: Index[Any], where: Where, most: int | None = None) -> int:
        """How many rows there are; ``most`` when there are more."""

    async def sums(self, index: Index[Any], where: Where, by: str, added: Sequence[str], highest: Sequence[str]) -> list[dict[str, int]]:
        """For each value of ``by``, in order: it, the sums of these fields, and the highest values of others."""

    async def visible_tasks(self, pattern: str) -> Sequence[str]:
        """The ids of the tasks that a regular expression matches. Tasks whose ids begin differently are not read."""

    async def insert_missing(self, record: Record[Value], values: Sequence[Value]) -> int:
        """Inserts those whose keys no row has; how many. Safe to repeat, but for a repeat's number."""

    async def insert(self, record: Record[Value], value: Value) -> bool:
        """Inserts a row; False, and nothing written, when another has its key."""

    async def replace(self, record: Record[Value], value: Value, seen: Where) -> bool:
        """Replaces the row with the value's key where its fields are as they were seen; whether they were."""

    async def update(self, record: Record[Any], key: str, changes: Where, seen: Where | None = None) -> bool:
        """Changes fields of a row, where others are as they were seen; whether it is there and they were. Safe to repeat."""

    async def delete(self, record: Record[Any], keys: Sequence[Place], seen: Where | None = None) -> int:
        """Deletes the rows with these keys, where their fields are as they were seen; how many. An execution goes with its deliveries, is
        counted before, and is noted as deleted when a worker had claimed it."""

    async def delete_some(self, index: Index[Any], where: Where, part: Part = ALL) -> int:
        """Deletes the rows of a part, but for those that have changed meanwhile; how many."""

    async def commit(self, commit: Commit) -> bool:
        """Writes or deletes a job with all that goes with it; a new job's task is made if necessary, and a deleted job is no longer counted
        there. False, and nothing written, when the stored job is not as it was seen. Raises Repeated when a record with the key of this one
        is at most a day old, and Conflict when there is a job, a tick or an execution with the id of a new one."""


async def write_version(rows: Rows, record: Record[Value], value: Value, version: int) -> bool:
    """Writes a version of a row after the one before it: the first is inserted. False, and nothing written, when another is stored."""
    return await (rows.insert(record, value) if version == 1 else rows.replace(record, value, {"version": version - 1}))


def readable(rows: Sequence[Stored], read: Callable[[Stored], Read]) -> list[Read]:
    """The values of the rows that can be read. The other rows are only reported."""
    values = []
    for row in rows:
        try:
            values.append(read(row))
        except Unreadable as error:
            report(str(error))
    return values


async def filled(fetch: Callable[[int], Awaitable[Sequence[Stored]]], limit: int, read: Callable[[Stored], Read]) -> list[Read]:
    """``limit`` values, or all that there are. ``fetch`` gets the first rows, as many as it is asked for. Unreadable rows take no place in
    the page: a walk that ends at a short page, and goes on after the last value, misses nothing."""
    asked = limit
    while True:
        rows = await fetch(asked)
        values = readable(rows, read)
        if len(values) >= limit or len(rows) < asked:
            return values[:limit]
        asked += max(limit, len(rows) - len(values))


@lru_cache(maxsize=REPORTED)
def report(words: str) -> None:
    """Reports an unreadable row, once."""
    log.error("store.row_unreadable", error=words)
