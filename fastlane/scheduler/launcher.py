"""Brings an execution from ``enqueued`` to an activated service: claim, park, bind, activate.

Each step is one write. The process may end after any of them: the worker that takes over reads the row and goes on from there. A step
returns the row after it, from which the caller knows the next step; None means that this worker has nothing more to do with the execution.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog

from fastlane.clock import iso
from fastlane.errors import (
    FastlaneError,
    HostDown,
    ImageRefused,
    NoHost,
    NoPool,
    NoService,
    OrderRefused,
    RefusedForNow,
    RegistryDown,
    TransientError,
    Unreadable,
)
from fastlane.executors.port import Activation, Image, Order, ServiceTemplate
from fastlane.models import transitions
from fastlane.models.container import NO_RESOURCES, Container
from fastlane.models.everywhere import is_unplanned
from fastlane.models.host import HostView, reachable_manager, view_of
from fastlane.models.job import Ending, Execution, Failure
from fastlane.models.log_commands import environment_of_outputs
from fastlane.models.placement import Ranking, place
from fastlane.models.pool import Pool, Pull, pool_for, refusals
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.trace import ENV, container_context
from fastlane.models.transitions import ExecutionChange
from fastlane.models.upstream import Upstream, upstream_variables
from fastlane.queue.port import TICKS, Lease
from fastlane.redaction import redaction_of
from fastlane.scheduler.cleaner import ImageKeeper
from fastlane.scheduler.everywhere import TickPlanner
from fastlane.scheduler.known_workers import KnownPools, WorkerHosts
from fastlane.scheduler.leases import Assignment, Leases
from fastlane.scheduler.ports import Ports
from fastlane.scheduler.service_search import ServiceSearch
from fastlane.scheduler.settler import LOOK_AGAIN, Overlaps
from fastlane.scheduler.verdict import Limits, registry_deadline

log = structlog.get_logger()

MIN_BACK_OFF, MAX_BACK_OFF = 250, 60_000
"""Bounds, in milliseconds, of the wait before a start that failed is tried again: a quarter of the time that it has been tried."""
FRESH = 20
"""Milliseconds for which a row counts as unchanged after it was read, just before its start."""
HELD_FOR = 10_000
"""Milliseconds after its placing for which an execution keeps its slot although its host fails."""


class Declined(StrEnum):
    """Why an execution is not claimed. The first reason counts."""

    STARTED = "it was claimed before, or has ended"
    EXPIRED = "its time to start has passed"
    UNPLANNED = "the other executions of its tick are not there yet"
    WAITS = "it waits for other executions of its job"
    NO_POOL = "no pool of this worker takes its task"
    OTHER_LANE = "another pool takes its task than the one in whose lane it was"
    NO_HOST = "no host of its pool can be used"


@dataclass(frozen=True, slots=True)
class ClaimSituation:
    """The inputs of a claim in addition to the row. ``pools``: all pools of this worker. ``host``: the best host of the pool whose lane the
    entry is in; None when there is none. ``without_pool``: no worker has a pool for the task, so the execution is claimed without a host,
    in order to end it. ``ranking`` and ``placed``: by which another host is chosen for an attempt that avoids this one."""

    lease: Lease
    pools: Sequence[Pool]
    host: str | None
    now: int
    without_pool: bool = False
    ranking: Ranking | None = None
    placed: Mapping[str, int] = field(default_factory=dict)

    def host_for(self, execution: Execution) -> str | None:
        """The best host for this execution: another one than it avoids, if there is one."""
        avoid, target = avoided_by(execution), execution.spec.target
        if target is not None:
            return None if self.ranking is None else self.ranking.best(self.placed, avoid, target.swarm)
        if avoid is None or avoid != self.host or self.ranking is None:
            return self.host
        return self.ranking.best(self.placed, avoid)

    def has_lost(self, execution: Execution) -> bool:
        """Whether it runs on one target only, and no host there gets new work. It is claimed without a host, in order to end it if that
        lasts."""
        target = execution.spec.target
        return target is not None and self.ranking is not None and not self.ranking.is_open(target.swarm)


@dataclass(frozen=True, slots=True)
class ClaimDecision:
    """The claim, or the reason why there is none."""

    change: ExecutionChange | None = None
    declined: Declined | None = None


def decide(execution: Execution, situation: ClaimSituation) -> ClaimDecision:
    """Whether a worker in this situation claims the execution: enqueued → pulling."""
    if execution.status is not Status.ENQUEUED:
        return ClaimDecision(declined=Declined.STARTED)
    if situation.lease.expired or is_over(execution, situation.now):
        return ClaimDecision(declined=Declined.EXPIRED)
    if execution.waits is not None:
        return ClaimDecision(declined=Declined.WAITS)
    pool = pool_for(situation.pools, execution.task_id)
    if pool is None:
        if not situation.without_pool:
            return ClaimDecision(declined=Declined.NO_POOL)
        return ClaimDecision(transitions.claim(execution, host=None, pool=None, now=situation.now))
    if pool.name != situation.lease.lane:
        return ClaimDecision(declined=Declined.OTHER_LANE)
    if is_unplanned(execution):
        return ClaimDecision(declined=Declined.UNPLANNED)
    host = situation.host_for(execution)
    if host is None and not situation.has_lost(execution):
        return ClaimDecision(declined=Declined.NO_HOST)
    return ClaimDecision(transitions.claim(execution, host=host, pool=pool.name, now=situation.now))


def avoided_by(execution: Execution) -> str | None:
    """The host that an attempt takes only when no other may have it; None without one."""
    return None if execution.spec.remedy is None else execution.spec.remedy.avoid


def is_over(execution: Execution, now: int) -> bool:
    """Whether its time to start has passed."""
    return execution.expires_at is not None and now >= execution.expires_at


class Launcher:
    """The steps before an execution's service is watched. Any of them may raise a TransientError: the caller then tries it again."""

    def __init__(
        self,
        ports: Ports,
        limits: Limits,
        hosts: WorkerHosts,
        leases: Leases,
        known_pools: KnownPools,
        overlaps: Overlaps,
        images: ImageKeeper,
    ) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._executor = ports.executor
        self._clock = ports.clock
        self._pools = ports.pools
        self._metrics = ports.metrics
        self._stopper = ports.stopper()
        self._is_recorded = ports.recorder is not None
        self.limits = limits
        self._known_hosts = hosts
        self._leases = leases
        self._known_pools = known_pools
        self._overlaps = overlaps
        self._images = images
        self._planner = TickPlanner(ports)
        self._rankings: dict[str, tuple[Pool, Sequence[HostView], Ranking]] = {}

    async def claim(self, assignment: Assignment, *, without_pool: bool = False, anew: bool = False) -> Execution | None:
        """The execution, claimed if ``decide`` says so. ``anew``: even if this worker has claimed it before, because its row has come back
        as it was before that. Raises Unreadable."""
        if assignment.epoch is not None and not anew:  # this worker has it
            return await self._store.execution(assignment.id)
        situation = self._situation(assignment.lease, without_pool=without_pool)
        self._leases.place(assignment, situation.host)
        claimed = await self._store.claim(assignment.id, lambda row: decide(row, situation).change)
        if claimed is None or not claimed.changed:
            self._leases.place(assignment, None)
            return None if claimed is None else claimed.execution
        execution = claimed.execution
        if execution.host != situation.host:  # claimed without a pool, or for another host than the best one
            self._leases.place(assignment, execution.host)
        assignment.take_over(execution.epoch)
        assignment.keep_bounds(claimed.bounds)
        self._metrics.claimed(execution.pool, (situation.now - execution.scheduled_for) / 1000)
        return execution

    def _situation(self, lease: Lease, *, without_pool: bool = False) -> ClaimSituation:
        pools = tuple(self._pools)
        pool = next((pool for pool in pools if pool.name == lease.lane), None)
        now = self._clock.now()
        if pool is None or lease.expired:
            return ClaimSituation(lease, pools, None, now, without_pool)
        ranking, placed = self._ranking(pool), dict(self._leases.placed)
        return ClaimSituation(lease, pools, ranking.best(placed), now, without_pool, ranking, placed)

    async def decline(self, assignment: Assignment, execution: Execution) -> Execution | None:
        """Acts on the reason for which an enqueued execution is not claimed, and returns the row after that. None when it was put back into
        the queue, or removed. Raises NoPool."""
        situation = self._situation(assignment.lease)
        now, pool = situation.now, pool_for(situation.pools, execution.task_id)
        match decide(execution, situation).declined:
            case Declined.EXPIRED:
                return await self._expire(assignment, execution, now)
            case Declined.WAITS:
                await self._overlaps.release_or_replace(execution.job_id)
                await self._queue.requeue(self._leases.owner, execution.id, now + LOOK_AGAIN)
                return None
            case Declined.NO_POOL:
                job = await self._store.job_bounds(execution.job_id)
                may_start = job is not None and execution.belongs_to(job) and not job.stops(execution.sequence)
                if may_start and await self._is_left_to_others(assignment, execution):
                    return None
                return await self.claim(assignment, without_pool=True, anew=True)
            case Declined.OTHER_LANE if pool is not None:
                await self._queue.requeue(self._leases.owner, execution.id, min(now, execution.scheduled_for), lane=pool.name)
                return None
            case Declined.UNPLANNED if pool is not None:
                return await self._plan(assignment, execution, pool)
            case Declined.NO_HOST if pool is not None:
                passed_over = dict(place(pool, self._hosts()).passed_over)
                log.warning("execution.not_placed", **execution.names, pool=pool.name, hosts=passed_over)
                full = bool(pool.rules)  # its hosts may have become full since the claim: do not claim it again at once
                await self._queue.requeue(self._leases.owner, execution.id, now + MIN_BACK_OFF if full else now)
                return None
        return await self.claim(assignment, anew=True)  # by now there is a host, or another process has changed the row

    async def _plan(self, assignment: Assignment, execution: Execution, pool: Pool) -> Execution | None:
        """Makes the other executions of a tick that runs everywhere, and claims this one; or ends it, or puts it back, while its pool has
        no target."""
        job = await self._store.job_bounds(execution.job_id)
        if job is None or not execution.belongs_to(job):
            return await self._discard(assignment, execution)
        if job.stops(execution.sequence):
            return await self._stopper.mark(execution) or await self._store.execution(execution.id)
        targets = self._planner.targets(execution, pool, self._hosts())
        if targets is not None and (targets.unknown or not targets.chosen):
            log.warning("execution.not_placed", **execution.names, pool=pool.name, hosts=dict(targets.left_out))
            await self._queue.requeue(self._leases.owner, execution.id, self._clock.now() + MIN_BACK_OFF)
            return None
        await self._planner.plan(execution, targets)
        return await self.claim(assignment, anew=True)

    async def bind(self, assignment: Assignment, execution: Execution) -> Execution | None:
        """pulling without a service → bound to one parked service, or ended because it can never have one."""
        if assignment.take_stop_request():
            fresh = await self._store.execution(execution.id)
            if fresh is None or fresh.stop_requested_at is not None:
                return fresh
        # Read after the claim or take-over: a stop that this does not see finds the execution pulling, and flags it.
        job = assignment.take_bounds() or await self._store.job_bounds(execution.job_id)
        if job is None or not execution.belongs_to(job):
            return await self._discard(assignment, execution)
        if job.stops(execution.sequence) and execution.stop_requested_at is None:
            return await self._stopper.mark(execution) or await self._store.execution(execution.id)
        if execution.stop_requested_at is not None:
            return await self.give_up(execution, Status.STOPPED, None)
        if assignment.lease.expired or is_over(execution, self._clock.now()):
            return await self.give_up(execution, Status.EXPIRED, None)
        pool = pool_for(self._pools, execution.task_id)
        if await self._is_in_wrong_lane(assignment, execution, pool):
            return None
        if pool is None and (words := self._no_place(execution)):
            return await self.give_up(execution, Status.FAILED, Failure(FailureReason.UNSCHEDULABLE, words))
        # The pool may have changed since the job was accepted; without a pool nothing is allowed.
        if faults := refusals(pool or Pool(execution.pool or "", "", ()), execution.spec):
            return await self.give_up(execution, Status.FAILED, Failure(FailureReason.REJECTED, "; ".join(map(str, faults))))
        if pool is not None and (words := self._lost_target(execution, pool)):
            return await self.give_up(execution, Status.FAILED, Failure(FailureReason.UNSCHEDULABLE, words))
        return await self._bind_on_host(assignment, execution, pool)

    async def _bind_on_host(self, assignment: Assignment, execution: Execution, pool: Pool | None) -> Execution | None:
        host, like = await self._host_for(execution), None
        try:
            if execution.spec.service is not None and pool is not None:
                host, like = await self._find_service(execution, execution.spec.service, host, pool)
            self._leases.place(assignment, host)
            if host != execution.host:
                return await self._store.change(transitions.re_place(execution, host=host)) or await self._store.execution(execution.id)
            image, service_id = await self._park(execution, host, pool, like)
        except ImageRefused as error:
            return await self.give_up(execution, Status.FAILED, Failure(FailureReason.IMAGE, str(error)))
        except OrderRefused as error:
            now = self._clock.now()
            patience = self.limits.refused_after * 1000 if isinstance(error, RefusedForNow) else 0
            if now - assignment.refused_since(now) < patience:
                raise
            return await self.give_up(execution, Status.FAILED, Failure(FailureReason.REJECTED, str(error)))
        self._leases.place(assignment, None)
        bind = transitions.bind(
            execution,
            service_id=service_id,
            swarm_id=self._swarm_of(host),
            image_digest=image.digest,
            image_reference=image.reference,
            service_version=None if like is None else like.version,
            now=self._clock.now(),
        )
        bound = await self._store.change(bind)
        return bound if bound is not None else await self._unbound(execution.id, host, service_id)

    def backs_off(self, execution: Execution, error: TransientError) -> bool:
        """Whether an execution whose step failed gives up its slot: immediately when its registry is away or it has no pool, and after a
        while when a host does not make its service. An execution with a service keeps its slot."""
        if isinstance(error, RegistryDown | NoPool):
            return True
        unbound = execution.status is Status.PULLING and execution.service_id is None
        return unbound and isinstance(error, HostDown | NoService) and self._clock.now() - (execution.placed_at or 0) >= HELD_FOR

    async def put_back(self, assignment: Assignment, execution: Execution, error: TransientError) -> None:
        """Puts the execution back into the queue until its start is tried again, so that it does not hold a slot until then."""
        now = self._clock.now()
        waited = now - (execution.placed_at or execution.scheduled_for)
        due = now + max(MIN_BACK_OFF, min(MAX_BACK_OFF, waited // 4))
        if isinstance(error, RegistryDown):
            due = min(due, registry_deadline(execution, error, self.limits))
        await self._queue.requeue(self._leases.owner, execution.id, due)
        if isinstance(error, RegistryDown) and execution.epoch == 1:  # its first try only, or an outage of an hour fills a disk
            log.warning("execution.registry_down", **execution.names, error=str(error))
        self._leases.keep_note(assignment, due)

    async def activate(self, assignment: Assignment, execution: Execution) -> bool:
        """Starts the bound service of a pulling execution, unless a stop came first; False when another worker has taken the execution.

        Raises HostDown, OrderRefused, ServiceGone. The service may have started nevertheless: the watcher inspects it, and calls this again
        if it is still parked.
        """
        if execution.service_id is None or execution.host is None or execution.status is not Status.PULLING:
            return True
        host = reachable_manager(self._executor.hosts(), execution.host, execution.swarm_id)
        if (fresh := await self._confirmed(assignment)) is None or fresh.epoch != execution.epoch:
            return False
        if assignment.stop_requested or fresh.stop_requested_at is not None or is_over(fresh, self._clock.now()):
            return True
        if await self._executor.activate(host, execution.service_id) is Activation.STARTED:
            log.debug("execution.activated", **execution.names, host=host)
        return True

    async def _confirmed(self, assignment: Assignment) -> Execution | None:
        """The row, which shows every accepted stop, even if the queue was away; None when the lease is another worker's. Both are asked at
        once: when the queue takes its time, the row is read again."""
        asked, held = self._clock.now(), self._leases.confirm(assignment)
        try:
            fresh = await self._store.execution(assignment.id)
            if not await held:
                return None
        finally:
            held.cancel()
        return fresh if 0 <= self._clock.now() - asked <= FRESH else await self._store.execution(assignment.id)

    async def give_up(self, execution: Execution, final: Status, failure: Failure | None) -> Execution | None:
        """pulling without a service → stopped, expired or failed; the row as it is when that is refused."""
        ending = Ending(final, self._clock.now(), failure=failure)
        ended = await self._store.change(transitions.give_up(execution, ending))
        return ended if ended is not None else await self._store.execution(execution.id)

    async def _is_in_wrong_lane(self, assignment: Assignment, execution: Execution, pool: Pool | None) -> bool:
        """Whether an execution that is to start was put into another lane, because its own belongs to another worker's pool, or because it
        was in the lane without slots. Raises NoPool."""
        if pool is None:
            return await self._is_left_to_others(assignment, execution)
        if assignment.lease.lane != TICKS:
            return False
        await self._queue.requeue(self._leases.owner, execution.id, min(self._clock.now(), execution.scheduled_for), lane=pool.name)
        return True

    async def _is_left_to_others(self, assignment: Assignment, execution: Execution) -> bool:
        """Whether an execution that no pool of this worker takes was put into the pool in which another live worker takes it. Raises NoPool
        while a worker with a pool for it may still come."""
        now = self._clock.now()
        lane = await self._known_pools.taker(execution.task_id)
        if lane is not None:
            # In the same lane this worker could be the first to claim it again.
            due = now + MIN_BACK_OFF if lane == assignment.lease.lane else min(now, execution.scheduled_for)
            await self._queue.requeue(self._leases.owner, execution.id, due, lane=lane)
            return True
        until = self._known_pools.awaited_until(execution)
        if now < until:
            raise NoPool(f"no live worker has a pool for the task {execution.task_id!r}; it is waited for until {iso(until)}")
        return False

    async def _expire(self, assignment: Assignment, execution: Execution, now: int) -> Execution | None:
        """enqueued → expired, unless it was inserted after its job was deleted."""
        job = await self._store.job_bounds(execution.job_id)
        if job is None or not execution.belongs_to(job):
            return await self._discard(assignment, execution)
        return await self._store.change(transitions.expire(execution, now=now)) or await self._store.execution(execution.id)

    async def _discard(self, assignment: Assignment, execution: Execution) -> Execution | None:
        """Removes an execution whose job was deleted: it was inserted late, and must not run. Returns the row if the store refuses."""
        if not await self._store.discard(execution):
            return await self._store.execution(execution.id)
        log.info("execution.discarded", **execution.names)
        await self._queue.finish({execution.id: assignment.lease.revision})
        return None

    async def _unbound(self, id: str, host: str, service_id: str) -> Execution | None:
        """Returns the row that refused to be bound to this parked service. Removes the service, which can never be bound: the row is final,
        bound to another, stopped, or of a later epoch, whose owner parks its own. A deletion waits, since the row ends after this."""
        row = await self._store.execution(id)
        if row is None or row.service_id != service_id:
            with suppress(FastlaneError):  # the reconciler will remove it
                await self._executor.remove(host, service_id)
        return row

    def _hosts(self) -> Sequence[HostView]:
        """The hosts. Executions that this worker is about to start count as running, or many at once would all go to one host."""
        placed = self._leases.placed
        return [replace(view, running=view.running + placed.get(view.name, 0)) for view in self._known_hosts.views()]

    def _ranking(self, pool: Pool) -> Ranking:
        """The ranking of a pool's hosts, which is computed again when the pool or the views change."""
        views = self._known_hosts.views()
        known = self._rankings.get(pool.name)
        if known is None or known[0] is not pool or known[1] is not views:
            known = self._rankings[pool.name] = (pool, views, Ranking(pool, views))
        return known[2]

    def _no_place(self, execution: Execution) -> str | None:
        """The reason for which an execution without a pool cannot start; None when its host can be used."""
        if execution.host is None:
            return f"no pool matches the task {execution.task_id!r}: add one to the settings"
        if (view := view_of(self._known_hosts.views(), execution.host)) is not None and view.usable:
            return None
        return (
            f"no pool matches the task {execution.task_id!r} any longer, and its host {execution.host} cannot be used "
            f"(waited for {self.limits.pending_deadline:g} s)"
        )

    def _lost_target(self, execution: Execution, pool: Pool) -> str | None:
        """Why its target gets no execution any more; None when it may."""
        target = execution.spec.target
        if target is None or self._ranking(pool).is_open(target.swarm):
            return None
        if self._clock.now() - (execution.placed_at or 0) < self.limits.pending_deadline * 1000:
            return None
        waited = f"(waited for {self.limits.pending_deadline:g} s)"
        return f"no host of the swarm of its target {target.name!r} gets new work any longer {waited}: {self._passed_over(pool)}"

    def _passed_over(self, pool: Pool) -> str:
        return "; ".join(f"{name} {reason}" for name, reason in place(pool, self._hosts()).passed_over.items()) or "it has no other host"

    async def _host_for(self, execution: Execution) -> str:
        """Its host while that gets new work, else another host of its pool. Raises NoHost."""
        if (view := view_of(self._known_hosts.views(), execution.host)) is not None and view.is_open:
            return view.name
        pool = pool_for(self._pools, execution.task_id)
        if pool is None:
            raise NoHost(f"{execution.host} cannot be used, and no pool matches the task {execution.task_id!r} any longer")
        target = execution.spec.target
        swarm = None if target is None else target.swarm
        if (host := self._ranking(pool).best(self._leases.placed, avoided_by(execution), swarm)) is not None:
            return host
        which = f"pool {pool.name!r}" if target is None else f"the swarm of its target {target.name!r}"
        raise NoHost(f"no host of {which} can be used: {self._passed_over(pool)}")

    async def _find_service(self, execution: Execution, name: str, host: str, pool: Pool) -> tuple[str, ServiceTemplate]:
        """The host, or the best one of another swarm of its pool, whose swarm has the service, and the service as it is there. A job that a
        service declares runs in that service's swarm only: another one may have a service of the same name. Raises NoService while a swarm
        cannot be asked or the hosts of the one that has it are full or drained, OrderRefused once none has it. (A manager that is cut off
        from its swarm says so falsely, for a while.)"""
        job = await self._store.job(execution.job_id)
        own = None if job is None or job.source is None else job.source.swarm_id
        own = own if execution.spec.target is None else execution.spec.target.swarm
        search = ServiceSearch(self._executor, self._hosts(), pool, name, own)
        if (found := await search.find(host)) is not None:
            return found
        if (where := await search.find_closed()) is not None:
            raise NoService(f"the service {name!r} is in the swarm of a host that takes no new work now: {where}")
        waits = search.unasked and self._clock.now() - (execution.placed_at or 0) < self.limits.pending_deadline * 1000
        refusal = OrderRefused if search.is_certain else RefusedForNow
        raise (NoService if waits else refusal)(search.words)

    async def _park(self, execution: Execution, host: str, pool: Pool | None, like: ServiceTemplate | None) -> tuple[Image, str]:
        """The resolved image, and the id of the parked service."""
        try:
            image = await self._resolve(execution, host, pool.pull if pool else Pull.MISSING, like)
            await self._images.note_use(host, image)
            order = order_of(execution, pool, recorded=self._is_recorded, like=like)
            if execution.upstream:
                order = replace(order, upstream={**await self._outputs_of(execution.upstream), **order.upstream})
            return image, await self._executor.park(host, order, image)
        except RegistryDown as error:
            deadline = registry_deadline(execution, error, self.limits)
            if self._clock.now() < deadline:
                raise
            waited = (deadline - (execution.placed_at or 0)) / 1000
            raise ImageRefused(f"{execution.subject} could not be looked up in its registry for {waited:g} s: {error}") from error

    async def _outputs_of(self, upstream: Upstream) -> Mapping[str, str]:
        """The outputs of these executions as variables, as far as they are stored: of the same output, the last one's counts. Their secrets
        are masked, as in answers: the job may be another team's."""
        found, redaction = dict[str, str](), redaction_of(self.limits.redact_words)
        for end in upstream:
            with suppress(Unreadable):
                one = await self._store.execution(end.execution_id)
                if one is not None and one.outputs is not None:
                    found |= environment_of_outputs(redaction.outputs(one.outputs.values, one.spec.variables))
        return found

    async def _resolve(self, execution: Execution, host: str, pull: Pull, like: ServiceTemplate | None) -> Image:
        """The service's image; the image of the attempt before it, or else the one that its image's name means now."""
        if like is not None:
            return await self._executor.resolve(host, like.image, pull)
        if execution.image_reference is not None:
            with suppress(ImageRefused):  # it may be the id of an image that this host does not have
                return await self._executor.resolve(host, execution.image_reference, Pull.MISSING)
        return await self._executor.resolve(host, execution.spec.image, pull)

    def _swarm_of(self, host: str) -> str:
        view = view_of(self._executor.hosts(), host)
        return "" if view is None else view.swarm_id or ""


def on_node(container: Container, node: str) -> Container:
    """The container, on the node with this id only."""
    return replace(container, constraints=(*container.constraints, f"node.id=={node}"))


def order_of(execution: Execution, pool: Pool | None, *, recorded: bool = False, like: ServiceTemplate | None = None) -> Order:
    """The executor's order for an execution of this pool. ``recorded``: its spans are recorded, so its container gets the context.
    ``like``: the service as whose container it runs."""
    trace = container_context(execution, recorded=recorded)
    limits = pool.limits if pool else NO_RESOURCES
    target = execution.spec.target
    return Order(
        execution_id=execution.id,
        task_id=execution.task_id,
        job_id=execution.job_id,
        attempt=execution.attempt,
        epoch=execution.epoch,
        scheduled_for=execution.scheduled_for if execution.spec.due_at is None else execution.spec.due_at,
        command=execution.spec.command,
        envs=execution.spec.variables if trace is None else {ENV: trace.text, **execution.spec.variables},
        resources=execution.spec.resources.within(limits) if like is None else execution.spec.resources,
        container=execution.spec.container if target is None or target.node is None else on_node(execution.spec.container, target.node),
        like=like,
        defaults=NO_RESOURCES if like is None else limits,
        upstream=upstream_variables(execution.upstream),
    )
