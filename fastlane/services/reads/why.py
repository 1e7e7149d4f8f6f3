"""Explains why a job or an execution does not run yet. ``job_waits`` and ``execution_waits`` are pure rules on ``WaitFacts``;
``WaitExplainer`` gathers the facts from the store, the queue and the workers."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from fastlane.clock import iso
from fastlane.errors import QueueDown, Unreadable
from fastlane.models.access import may_see
from fastlane.models.backfill import in_words
from fastlane.models.delivery import DeliveryState, Target, deadline_after_success, webhooks_of
from fastlane.models.event import Note, Obstacle
from fastlane.models.host import HostView
from fastlane.models.job import Execution, Job, job_status, retry_due
from fastlane.models.notify import NotificationTrigger
from fastlane.models.paging import Window
from fastlane.models.placement import has_place, place, slots_of
from fastlane.models.pool import RESTORED, Pool, pool_for
from fastlane.models.schedule import Overlap, show_duration
from fastlane.models.status import Status
from fastlane.models.tick import Tick, awaited
from fastlane.queue.port import TICKS, LaneCounts, Report, Turns
from fastlane.services.deliveries import Deliveries, DeliveryView
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.reads.chain import ChainReader
from fastlane.services.reads.concurrency import ALONE, FullKey, FullTask, Sharing, find_sharing, full
from fastlane.services.reads.failing import FailureRow, OutOfMemory, by_failures, failure_row, otherwise, out_of_memory
from fastlane.services.reads.pools import distinct_views
from fastlane.storage.base import find_execution, find_job


class Cause(StrEnum):
    """What a job or an execution waits for. Every ``Obstacle`` that a worker can note is one of these."""

    DUE = "due"
    MANUAL = "manual"
    AFTER = "after"
    RETRY = "retry"
    PAUSED = "paused"
    NO_POOL = "no-pool"
    NO_QUEUE = "no-queue"
    NO_WORKER = "no-worker"
    DISPATCH_PAUSED = "dispatch-paused"
    POOL_PAUSED = "pool-paused"
    OTHER_LANE = "other-lane"
    NO_HOST = "no-host"
    POOL_FULL = "pool-full"
    WORKERS_FULL = "workers-full"
    CONCURRENCY = "concurrency"
    OVERLAP = "overlap"
    REGISTRY = "registry"
    NO_NODE = "no-node"
    IMAGE = "image"
    HOST_AWAY = "host-away"
    REFUSED = "refused"
    BREAKER = "breaker"
    NODE_DOWN = "node-down"
    SERVICE_GONE = "service-gone"
    STORE = "store"
    FAULT = "fault"
    STOP = "stop"
    LABELS = "labels"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class UnusableHost:
    """A host that cannot be used, and why. ``circuit``, ``faults`` (in a row) and ``retry_at`` are set while its breaker is open. Moments
    in milliseconds."""

    name: str
    reason: str
    since: int | None = None
    circuit: str | None = None
    faults: int | None = None
    retry_at: int | None = None


@dataclass(frozen=True, slots=True)
class HeldTick:
    """The tick that a job's pause holds, by its due time in milliseconds."""

    due: int
    task_id: str
    job_id: str


@dataclass(frozen=True, slots=True)
class PausedDispatch:
    """All dispatch is paused."""


@dataclass(frozen=True, slots=True)
class PausedPool:
    """A pool that is paused."""

    pool: str


@dataclass(frozen=True, slots=True)
class FormerPool:
    """A pool in whose lane an entry was left."""

    pool: str


@dataclass(frozen=True, slots=True)
class FullPool:
    """A pool that has no free slot: ``ready`` executions wait for one. ``turns``: what comes before this one, if the pool's tasks take
    turns and its place is known."""

    pool: str
    running: int
    max_running: int
    ready: int
    turns: Turns | None = None


@dataclass(frozen=True, slots=True)
class UnusableHosts:
    """Hosts that cannot be used, of a pool: of the execution's own pool, once it has one."""

    pool: str | None
    hosts: tuple[UnusableHost, ...]


@dataclass(frozen=True, slots=True)
class EarlierExecution:
    """An execution of the same job that has to end first; None when a worker is about to look whether there is one."""

    execution_id: str | None


@dataclass(frozen=True, slots=True)
class ImagePull:
    """An image that a host looks for, or that one of its nodes pulls."""

    image: str | None
    host: str | None
    service: str | None = None


@dataclass(frozen=True, slots=True)
class NotedObstacle:
    """The subject of an owner's note: always a host, and the image or the host's state where the note concerns them."""

    host: str | None
    image: str | None = None
    hosts: tuple[UnusableHost, ...] | None = None


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """The number of the attempt to come."""

    attempt: int


Details = (
    HeldTick
    | PausedDispatch
    | PausedPool
    | FormerPool
    | FullPool
    | UnusableHosts
    | FullTask
    | FullKey
    | EarlierExecution
    | ImagePull
    | NotedObstacle
    | NextAttempt
)


@dataclass(frozen=True, slots=True)
class WaitReason:
    """One thing that a job or an execution waits for. ``since`` and ``until`` (at the latest) in milliseconds; None when unknown."""

    reason: Cause
    message: str
    since: int | None = None
    until: int | None = None
    details: Details | None = None


MAX_TRY = 90_000
"""Milliseconds within which a worker finds an execution's image, or notes what prevents it."""


@dataclass(frozen=True, slots=True)
class WaitFacts:
    """The state of things at ``now`` (milliseconds) for the executions of one task.

    ``pool``: the task's pool; None when no pool takes it. ``paused``: whether the pool is. ``running``: the pool's executions that hold a
    slot. ``ready``: its executions that wait for one. ``hosts``: the pool's hosts that a worker sees. ``workers``: how many are alive, and
    ``full`` whether all of them are full. ``queue_fault``: why the queue does not answer; ``running``, ``ready``, ``hosts`` and ``workers``
    are then unknown. ``sharing``: the executions that count for the ``concurrency`` of the one in question. ``note``: its owner's note.
    ``lane``: the lane in which its entry is; None when it has none. ``awaited``: what it waits for by its ``waits``. ``hold``: why all
    dispatch is paused, one of ``HOLDS``; None while it is not.
    """

    now: int
    pool: Pool | None
    paused: bool = False
    queue_fault: str | None = None
    workers: int = 0
    full: bool = False
    hosts: tuple[HostView, ...] = ()
    running: int = 0
    ready: int = 0
    sharing: Sharing = ALONE
    note: Note | None = None
    lane: str | None = None
    awaited: Execution | None = None
    hold: str | None = None
    turns: Turns | None = None


def job_waits(job: Job, latest: Execution | None, facts: WaitFacts) -> list[WaitReason]:
    """What a job waits for. ``latest``: its execution under way, or else its last one."""
    return [*_schedule_waits(job, latest, facts), *_of_labels(job)]


def _of_labels(job: Job) -> list[WaitReason]:
    """Why a job that a service declares is not as the service's labels say now, or declares it no more."""
    source = job.source
    if source is None or (source.fault is None and source.gone is None):
        return []
    if source.gone is not None:
        return [WaitReason(Cause.LABELS, f"{source.gone}; the job goes on when that is back", job.modified_at)]
    message = f"the labels of the service {source.service} have faults, and the job stays as it was: {source.fault}"
    return [WaitReason(Cause.LABELS, message, job.modified_at)]


def _schedule_waits(job: Job, latest: Execution | None, facts: WaitFacts) -> list[WaitReason]:
    waits = execution_waits(latest, facts) if latest is not None else []
    if job.held_tick is not None:
        message = f"its schedule is paused{by_failures(job)}, and the tick of {iso(job.held_tick)} is held until someone resumes the job"
        return [*waits, WaitReason(Cause.PAUSED, message, job.modified_at, details=HeldTick(job.held_tick, job.task_id, job.id))]
    if job.schedule.is_manual and job.schedule.after is None and latest is None:
        return [WaitReason(Cause.MANUAL, "it runs only when somebody runs it", job.modified_at)]
    due = job.next_run(facts.now)
    if waits or due is None or (latest is not None and not latest.status.final):
        return waits
    if due > facts.now:
        return [WaitReason(Cause.DUE, f"its next tick is due at {iso(due)}{job.skipping}", until=due)]
    return _at_the_latest(job.spec.expires_at(due), _nothing_takes_it(facts))


def execution_waits(execution: Execution, facts: WaitFacts) -> list[WaitReason]:
    """What an execution waits for: nothing once it runs normally, and nothing when a worker is about to take it."""
    if execution.status.final:
        due = None if execution.settled else retry_due(execution)
        return [] if due is None else [_retry(execution.attempt, execution.finished_at, due)]
    if execution.stop_requested_at is not None:
        stop = WaitReason(Cause.STOP, "it was asked to stop and may use its grace period", execution.stop_requested_at)
        return [stop, *_unexpected(execution, facts)]
    if execution.status is Status.RUNNING:
        return _unexpected(execution, facts)
    waits = _pulling(execution, facts) if execution.status is Status.PULLING else _enqueued(execution, facts)
    return _at_the_latest(execution.expires_at, waits)


def _at_the_latest(end: int | None, waits: list[WaitReason]) -> list[WaitReason]:
    """Limits the waits to ``end``, the moment from which on nothing may start any more."""
    if end is None:
        return waits
    return [wait if wait.until is not None and wait.until <= end else replace(wait, until=end) for wait in waits]


def _enqueued(execution: Execution, facts: WaitFacts) -> list[WaitReason]:
    due = execution.scheduled_for
    if due > facts.now:
        if execution.attempt > 1:
            return [_retry(execution.attempt - 1, execution.created_at, due, otherwise(execution.spec.remedy, execution.spec))]
        return [WaitReason(Cause.DUE, f"it is due at {iso(due)}", execution.created_at, due)]
    if execution.waits is not None:
        return [*_nothing_takes_it(facts), _overlap(execution, execution.waits, facts.awaited)]
    if facts.pool is None:
        return [
            WaitReason(Cause.NO_POOL, f"no pool takes the task {execution.task_id!r}; add one whose match fits it to the settings", due)
        ]
    return [*_nothing_takes_it(facts), *_no_slot(facts.pool, execution, facts), *_unexpected(execution, facts)]


def _overlap(execution: Execution, rule: Overlap, earlier: Execution | None) -> WaitReason:
    message, id = "a worker is about to look whether others of its job have ended", None
    if earlier is not None:
        id = earlier.id
        message = f"execution {id} of its job has to {'stop' if rule is Overlap.REPLACE else 'end'} first (overlap: {rule})"
    return WaitReason(Cause.OVERLAP, message, execution.created_at, details=EarlierExecution(id))


def _no_slot(pool: Pool, execution: Execution, facts: WaitFacts) -> list[WaitReason]:
    """What keeps the execution from a slot."""
    waits = _held(facts)
    if facts.lane not in (None, TICKS, pool.name):
        return [*waits, _other_lane(str(facts.lane), pool)]
    if facts.paused:
        message = f"pool {pool.name!r} is paused until someone resumes it"
        waits.append(WaitReason(Cause.POOL_PAUSED, message, details=PausedPool(pool.name)))
    if facts.queue_fault is None:
        waits += _pool_lacks(pool, facts, execution.scheduled_for)
    return waits + _concurrency(execution, facts)


def _held(facts: WaitFacts) -> list[WaitReason]:
    if facts.hold is None:
        return []
    message = "all dispatch is paused until someone resumes it"
    if facts.hold == RESTORED:
        message = (
            "all dispatch is paused, because the store went back to an earlier state, as after a backup was restored, and what waits may "
            "have run already; look at what waits, stop what must not run again, and resume dispatch"
        )
    return [WaitReason(Cause.DISPATCH_PAUSED, message, details=PausedDispatch())]


def _other_lane(lane: str, pool: Pool) -> WaitReason:
    message = (
        f"it waits in the queue of pool {lane!r}, to which it belonged under other settings; "
        f"a worker moves it to pool {pool.name!r} once no worker has the pool {lane!r}"
    )
    return WaitReason(Cause.OTHER_LANE, message, details=FormerPool(lane))


def _nothing_takes_it(facts: WaitFacts) -> list[WaitReason]:
    """Why nothing that is due starts at all."""
    if facts.queue_fault is not None:
        return [WaitReason(Cause.NO_QUEUE, f"the queue does not answer: {facts.queue_fault}; nothing starts until it does")]
    return [] if facts.workers else [WaitReason(Cause.NO_WORKER, "no worker is alive; start one with `fastlane worker`")]


def _pool_lacks(pool: Pool, facts: WaitFacts, due: int) -> list[WaitReason]:
    """What the pool lacks: a usable host, or a free slot."""
    waits = []
    if facts.workers and not has_place(pool, facts.hosts):
        waits.append(_no_host(pool, facts.hosts))
    slots = slots_of(pool, facts.hosts)
    if facts.running >= slots:
        message = f"pool {pool.name!r} is full: {facts.running} of {slots} run, and {facts.ready} wait for a slot{_in_turns(facts.turns)}"
        details = FullPool(pool.name, facts.running, slots, facts.ready, facts.turns)
        waits.append(WaitReason(Cause.POOL_FULL, message, due, details=details))
    elif facts.full:
        message = "the workers hold as many executions as they can; start one more with `fastlane worker`, or wait until some have ended"
        waits.append(WaitReason(Cause.WORKERS_FULL, message))
    return waits


def _in_turns(turns: Turns | None) -> str:
    """What comes before an execution of a pool whose tasks take turns."""
    if turns is None:
        return ""
    named = f" ({', '.join(turns.names)}{', …' if len(turns.names) < turns.others else ''})" if turns.names else ""
    return f"; tasks take turns (fairShare): executions of its own task before it: {turns.own}; other tasks in line: {turns.others}{named}"


def _no_host(pool: Pool, hosts: Sequence[HostView]) -> WaitReason:
    seen = {host.name: host for host in hosts}
    passed_over = place(pool, hosts).passed_over
    rows = tuple(replace(_unusable(name, seen.get(name)), reason=reason) for name, reason in passed_over.items())
    reasons = "; ".join(f"{row.name} {row.reason}{_breaker(seen.get(row.name))}" for row in rows)
    since = max((host.closed_since for host in hosts if host.closed_since is not None), default=None)
    message = f"no host of pool {pool.name!r} can be used: {reasons or 'it has none yet; register one with POST /hosts'}"
    return WaitReason(Cause.NO_HOST, message, since, details=UnusableHosts(pool.name, rows))


def _unusable(name: str, view: HostView | None) -> UnusableHost:
    if view is None:
        return UnusableHost(name, "is not known yet")
    row = UnusableHost(name, view.reason or view.closed or "is not known yet", view.closed_since)
    return row if view.retry_at is None else replace(row, circuit=view.circuit, faults=view.faults, retry_at=view.retry_at)


def _breaker(view: HostView | None) -> str:
    if view is None or view.retry_at is None:
        return ""
    return f" ({view.faults} faults in a row: it is left alone until {iso(view.retry_at)}, or until a probe finds it well)"


def _concurrency(execution: Execution, facts: WaitFacts) -> list[WaitReason]:
    if (found := full(execution, facts.sharing)) is None:
        return []
    message, details = found
    return [WaitReason(Cause.CONCURRENCY, message, execution.scheduled_for, details=details)]


def _pulling(execution: Execution, facts: WaitFacts) -> list[WaitReason]:
    view = next((host for host in facts.hosts if host.name == execution.host), None)
    waits = _nothing_takes_it(facts)
    if facts.note is not None:
        return [*waits, _noted(execution, facts.note, facts)]
    if _is_given_back(execution, facts) and facts.pool is not None:
        others = replace(facts, sharing=replace(facts.sharing, running=facts.sharing.running - 1))  # it is among them
        if no_slot := _no_slot(facts.pool, execution, others):
            return [*waits, *no_slot]
    if view is not None and not view.usable:
        row = _unusable(view.name, view)
        message = f"its host {view.name} cannot be used: {row.reason}"
        waits.append(WaitReason(Cause.NO_HOST, message, view.since, details=UnusableHosts(execution.pool, (row,))))
    host, image = execution.host, execution.subject
    if execution.bound_at is None:
        message, since = f"its host {host} looks for {image}, in its registry if necessary", execution.placed_at
    else:
        message = f"its host {host} assigns it to a node, which pulls {image} if necessary and starts it"
        since = execution.bound_at
    return [*waits, WaitReason(Cause.IMAGE, message, since, details=ImagePull(execution.shown_image, host, execution.spec.service))]


def _is_given_back(execution: Execution, facts: WaitFacts) -> bool:
    """Whether the execution probably waits in the queue again: finding an image never takes this long without a note."""
    return execution.bound_at is None and execution.placed_at is not None and facts.now > execution.placed_at + MAX_TRY


DEADLINES = {
    Obstacle.HOST_AWAY: "it counts as lost at",
    Obstacle.NODE_DOWN: "it counts as lost at",
    Obstacle.SERVICE_GONE: "that is believed at",
}
BEFORE_START = frozenset({Obstacle.REGISTRY, Obstacle.NO_NODE, Obstacle.IMAGE})


def _unexpected(execution: Execution, facts: WaitFacts) -> list[WaitReason]:
    """What its owner noted, unless it is about the start."""
    return [] if facts.note is None or facts.note.obstacle in BEFORE_START else [_noted(execution, facts.note, facts)]


def _noted(execution: Execution, note: Note, facts: WaitFacts) -> WaitReason:
    """What its owner noted, as a reason."""
    if note.obstacle is Obstacle.NO_HOST and facts.pool is not None and not has_place(facts.pool, facts.hosts):
        return replace(_no_host(facts.pool, facts.hosts), until=note.until)
    cause, message = Cause(note.obstacle.value), _sentence(execution, note)
    view = next((host for host in facts.hosts if host.name == execution.host), None)
    if cause is Cause.HOST_AWAY and view is not None and view.retry_at is not None:
        cause, message = Cause.BREAKER, f"its host {view.name} {view.reason}{_breaker(view)}"
    if execution.node is not None and note.obstacle is not Obstacle.NODE_DOWN:
        message += f"; it was last seen to run on its node {execution.node}"
    if note.until is not None:
        message += f"; {DEADLINES.get(note.obstacle, 'it is given up at')} {iso(note.until)}"
    image = execution.shown_image if note.obstacle in {Obstacle.REGISTRY, Obstacle.IMAGE} else None
    is_away = note.obstacle is Obstacle.HOST_AWAY and view is not None and not view.usable
    hosts = (_unusable(view.name, view),) if view is not None and is_away else None
    return WaitReason(cause, message, note.since, note.until, NotedObstacle(execution.host, image, hosts))


def why_it_hangs(note: Note) -> str:
    """What keeps its worker from following an execution, whose host or node is away."""
    if note.obstacle is Obstacle.NODE_DOWN:
        return f"its node {note.words} is down, and may come back"
    return f"its host does not answer: {note.words}"


def _sentence(execution: Execution, note: Note) -> str:
    host, image = execution.host, execution.subject
    match note.obstacle:
        case Obstacle.REGISTRY:
            return f"its host {host} cannot get {image} from its registry: {note.words}"
        case Obstacle.NO_NODE:
            return f"no node of the swarm of {host} takes it: {note.words}; `docker node ls` there shows the nodes"
        case Obstacle.IMAGE:
            return f"its node pulls {image} if necessary and creates its container; the engine says: {note.words}"
        case Obstacle.HOST_AWAY | Obstacle.NODE_DOWN:
            return why_it_hangs(note)
        case Obstacle.REFUSED:
            return f"its host {host} refuses what it is asked: {note.words}"
        case Obstacle.SERVICE_GONE:
            return f"{note.words}, says its host {host}, which is asked again because it may be wrong"
        case Obstacle.STORE:
            return f"its worker cannot use the store: {note.words}"
        case Obstacle.FAULT:
            return "its worker had an internal error, logged it, and tries again"
        case Obstacle.NO_HOST:
            return note.words


def _retry(failed: int, since: int | None, due: int, more: str = "") -> WaitReason:
    message = f"attempt {failed} failed, and attempt {failed + 1} is due at {iso(due)}{more}"
    return WaitReason(Cause.RETRY, message, since, due, NextAttempt(failed + 1))


ONE = Window(1, 1)


@dataclass(frozen=True, slots=True)
class Expectation:
    """How a job with an ``expect_every`` or a ``done_by`` stands. ``late_since``: since when it is late (milliseconds; None: it is not).
    ``late_at``: when it will be without a success until then (None: it is late, paused or over, or expires before that).
    ``last_success``: when its last stored success ended (None: none is known). ``receivers``: how many webhooks and addresses its lists
    ``late`` have now. ``deliveries``: the stored messages which say that it is late; while it is not, all that are about the job itself.
    ``zone``: whose clocks ``done_by`` means."""

    every: int | None
    late_since: int | None
    late_at: int | None
    last_success: int | None
    receivers: int
    deliveries: tuple[DeliveryView, ...]
    done_by: str | None = None
    zone: str | None = None

    @property
    def message(self) -> str:
        """What is known of it, for people."""
        last = "no success of it is known" if self.last_success is None else f"its last success ended at {iso(self.last_success)}"
        expected = f"each of its ticks must succeed by {self.done_by} in {self.zone}"
        if self.every is not None:
            expected = f"it must succeed every {show_duration(self.every / 1000)}"
        if self.late_since is not None:
            return f"{expected}, and has been late since {iso(self.late_since)}: {last}; {self._sent}"
        late = "it will not be late, since it is paused, over, or expires before that"
        if self.late_at is not None:
            late = f"without another it is late at {iso(self.late_at)}"
        return f"{expected}: {last}; {late}; {self._to_send}"

    @property
    def _sent(self) -> str:
        delivered = sum(view.delivery.state is DeliveryState.DELIVERED for view in self.deliveries)
        if self.deliveries:
            return f"{delivered} of the {len(self.deliveries)} messages about that were delivered"
        if self.receivers:
            return f"no message about that is stored; its lists for late have {self.receivers} now"
        return f"nobody was notified, since {NO_RECEIVER}"

    @property
    def _to_send(self) -> str:
        if not self.receivers:
            return f"nobody would be notified, since {NO_RECEIVER}"
        return f"its lists for late have {self.receivers} {'receiver' if self.receivers == 1 else 'receivers'}"


NO_RECEIVER = "neither webhooks.late nor notify.late has a receiver"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The status of a job or an execution, what it waits for, whether memory ran out at its end, a job's last tick if that made no
    execution, and how a job with an ``expect_every`` stands. ``failures``: how many of a job's ticks failed in a row, where a rule counts
    them. ``envs``: its environment, whose secret values may occur in the messages.
    ``node``: the name of the node on which the execution, or a job's last one, runs or ran; None when it has not started or that is not
    known."""

    status: str
    waits: tuple[WaitReason, ...]
    envs: Mapping[str, str] = field(default_factory=dict)
    out_of_memory: OutOfMemory | None = None
    last_tick: tuple[Job, Tick] | None = None
    expectation: Expectation | None = None
    node: str | None = None
    failures: FailureRow | None = None


class WaitExplainer(Service):
    """Raises NotFound and StoreDown. A queue that is down is an explanation, not an error."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._deliveries = Deliveries(parts)
        self._chains = ChainReader(parts)

    async def job(self, task_id: str, job_id: str, *, visible: str | None = None) -> Explanation:
        """What a job waits for. ``visible``: a regular expression for the ids of the tasks that the caller may see (None: all)."""
        job = await self._calendars.job(await find_job(self._store, task_id, job_id))
        latest = (await self._store.latest([job_id])).get(job_id)
        ticks = (await self._store.list_ticks(job_id, ONE)).rows
        facts = await self._facts(task_id, latest, visible)
        status = job_status(job, latest.status if latest else None, facts.now)
        waits, memory = tuple(job_waits(job, latest, facts)), out_of_memory(latest, self._pools)
        if not waits and (latest is None or latest.status.final):
            waits = tuple(WaitReason(Cause.AFTER, words) for words in await self._chains.waits(job, visible))
        if (backfill := await self._store.backfills.current(job, facts.now)) is not None and backfill.ended_at is None:
            waits = (*waits, WaitReason(Cause.BACKFILL, in_words(backfill, job, iso), backfill.created_at))
        last_tick = (job, ticks[0]) if ticks and ticks[0].execution_id is None else None
        expectation = await self._expectation(job, is_limited=visible is not None)
        node = latest.node if latest else None
        return Explanation(status, waits, (latest or job).spec.variables, memory, last_tick, expectation, node, failure_row(job))

    async def execution(self, task_id: str, job_id: str, execution_id: str, *, visible: str | None = None) -> Explanation:
        """What an execution waits for. ``visible``: as for ``job``."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        waits = execution_waits(execution, await self._facts(task_id, execution, visible))
        memory = out_of_memory(execution, self._pools)
        return Explanation(execution.status.value, tuple(waits), execution.spec.variables, memory, node=execution.node)

    async def _expectation(self, job: Job, *, is_limited: bool) -> Expectation | None:
        if not job.spec.is_expected or job.stopped:
            return None
        done = await self._store.executions_of(job.id, 1, statuses=frozenset({Status.DONE}))
        newest = next((one for one in done if one.finished_at is not None and one.belongs_to(job)), None)
        last = None if newest is None else newest.finished_at
        since = job.late_since if job.is_late else None
        at = None if since is not None else job.check_at
        if at is not None and newest is not None and last is not None:
            due = newest.scheduled_for if newest.spec.due_at is None else newest.spec.due_at
            at = max(at, deadline_after_success(job, last, due) or 0)
        if at is not None and job.spec.is_over(at):
            at = None
        trigger = NotificationTrigger.LATE
        sent = (await self._deliveries.of_job(job.task_id, job.id, is_limited=is_limited)).deliveries
        if since is not None:
            sent = tuple(view for view in sent if view.delivery.event == f"job.{trigger}" and view.delivery.created_at == since)
        targets: tuple[Target, ...] = (*webhooks_of(job.spec, job.task_id, self._pools), *job.spec.notify)
        receivers = sum(target.trigger is trigger for target in targets)
        return Expectation(job.spec.expect_every, since, at, last, receivers, sent, job.spec.done_by, job.schedule.own_zone)

    async def _facts(self, task_id: str, execution: Execution | None, visible: str | None) -> WaitFacts:
        pool = pool_for(self._pools, task_id)
        name = pool.name if pool is not None else ""
        pauses, (fault, reports, lanes, own, turns), sharing, earlier = await asyncio.gather(
            self._store.paused_pools(),
            self._ask_queue(pool, execution),
            find_sharing(self._store, self._pools, execution, visible),
            self._awaited(execution),
        )
        lane = lanes.get(name, LaneCounts(0, 0, 0))
        views = distinct_views(reports)
        return WaitFacts(
            now=self._clock.now(),
            pool=pool,
            paused=name in pauses.names,
            queue_fault=fault,
            workers=len(reports),
            full=bool(reports) and all(report.room == 0 for report in reports),
            hosts=tuple(view for host in _hosts(pool, execution) for view in views if view.name == host),
            running=lane.running,
            ready=lane.ready,
            sharing=sharing,
            note=_note(execution, reports),
            lane=own,
            awaited=earlier,
            hold=pauses.hold,
            turns=turns and replace(turns, names=tuple(task for task in turns.names if _may_see(task, visible))),
        )

    async def _ask_queue(
        self, pool: Pool | None, execution: Execution | None
    ) -> tuple[str | None, Sequence[Report], Mapping[str, LaneCounts], str | None, Turns | None]:
        """Why the queue does not answer, or else the live workers' reports, the pool's entry counts, the execution's lane, and what comes
        before it there if tasks take turns."""
        try:
            counts = await self._queue.counts([pool.name] if pool else [])
            lane = None if execution is None or execution.status.final else await self._queue.lane_of(execution.id)
            reports = await self._reports.current()
            if not reports:
                await self._queue.check()  # a full Redis is read, and takes no reports
            turns = None
            if execution is not None and pool is not None and pool.fair_share and lane == pool.name:
                turns = await self._queue.turns(pool.name, execution.id)
            return None, reports, counts, lane, turns
        except QueueDown as error:
            return str(error), (), {}, None, None

    async def _awaited(self, execution: Execution | None) -> Execution | None:
        """The first execution that this one waits for."""
        if execution is None or execution.waits is None:
            return None
        try:
            job = await self._store.job(execution.job_id)
            others = await self._store.under_way_of(execution.task_id, execution.job_id)
        except Unreadable:
            return None
        return next(iter(awaited(job, execution, others)), None)


def _may_see(task: str, visible: str | None) -> bool:
    """Whether a task, not a key, is one that the caller may see."""
    return not task.startswith("/") and may_see(visible, task)


def _note(execution: Execution | None, reports: Sequence[Report]) -> Note | None:
    """What the execution's current owner notes about it; the notes of earlier owners do not count."""
    if execution is None:
        return None
    owners = {None, execution.epoch}
    notes = [note for report in reports for note in report.notes if note.execution_id == execution.id and note.epoch in owners]
    return max(notes, key=lambda note: note.since, default=None)


def _hosts(pool: Pool | None, execution: Execution | None) -> list[str]:
    """The pool's hosts, and the execution's host if it is not one of them."""
    names = [*(pool.hosts if pool is not None else ()), *([execution.host] if execution is not None and execution.host else [])]
    return list(dict.fromkeys(names))
