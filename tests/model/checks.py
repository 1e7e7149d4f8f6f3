"""What must hold whatever happens. The witness sees every call that was carried out, in order, and every start of a command.

It keeps what the store must hold by the store's own answers; ``accounts`` compares at the end. What it finds wrong is a complaint, in
words.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from fastlane.models.job import Execution, Job
from fastlane.models.pool import Pauses, pool_for
from fastlane.models.status import STARTING, Status
from fastlane.models.tick import Tick
from fastlane.queue.port import TICKS, Renewal
from fastlane.storage.base import Claimed
from tests.model.jobbook import LATEST, JobBook
from tests.model.places import POOLS
from tests.model.promises import Promises

if TYPE_CHECKING:
    from tests.model.wire import Node
    from tests.model.world import World

RANK = {Status.ENQUEUED: 0, Status.PULLING: 1, Status.RUNNING: 2}
"""How far a status is; every final one is at 3."""
ONCE = (
    "service_id",
    "swarm_id",
    "bound_at",
    "engine_task_id",
    "container_id",
    "stop_requested_at",
    "started_at",
    "finished_at",
    "exit_code",
)
"""Fields that never change once they have a value."""
AFTER_THE_END = frozenset({"settled", "cleaned", "op"})
"""Fields of a final row that may still change."""


@dataclass(frozen=True)
class Allowed:
    """When a change may be made, as docs/design.md's table says (and not as the code does): the status before; whether only by the owner;
    whether a service must be bound or must not; whether nobody may have asked for its stop."""

    sources: frozenset[Status]
    owner: bool = False
    bound: bool | None = None
    unstopped: bool = False


PULLING = frozenset({Status.PULLING})
FINAL = frozenset(Status) - frozenset(RANK)
ALLOWED = {
    "store.claim": Allowed(frozenset({Status.ENQUEUED}), unstopped=True),
    "store.release": Allowed(frozenset({Status.ENQUEUED})),
    "store.cancel": Allowed(frozenset({Status.ENQUEUED})),
    "store.expire": Allowed(frozenset({Status.ENQUEUED})),
    "store.take-over": Allowed(STARTING),
    "store.re-place": Allowed(PULLING, owner=True, bound=False),
    "store.bind": Allowed(PULLING, owner=True, bound=False, unstopped=True),
    "store.give-up": Allowed(PULLING, owner=True, bound=False),
    "store.flag-stop": Allowed(STARTING),
    "store.run": Allowed(PULLING, owner=True, bound=True),
    "store.end": Allowed(STARTING, owner=True, bound=True),
    "store.settle": Allowed(FINAL),
    "store.clean": Allowed(FINAL),
}
TAKES = frozenset({"store.claim", "store.take-over"})
"""The changes that make a node the owner; each must raise the epoch."""


@dataclass
class Start:
    """A command that started, and whether it counts among those that a pool takes at once."""

    event: int
    run: Any
    limited: bool = True


class Witness:
    """Sees what happens, and complains."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.complaints: list[str] = []
        self.book = JobBook(world, self.complain)
        self.promises = Promises(world, self.book, self.complain)
        self.starts: dict[str, Start] = {}
        self.pauses = Pauses()
        self._ended_at: dict[str, int] = {}
        self._leased_at: dict[str, int] = {}
        self._turns: dict[str, int] = {}
        self._holders: dict[str, str] = {}
        self._lost_at = 0
        self._repaired_at = 0
        self._unlimited: set[str] = set()
        self._owners: dict[str, str] = {}
        self._watched: dict[str, Callable[[Node, tuple[Any, ...], Any], None]] = {
            **self.book.watched,
            "store.pause_pool": self._pool_paused,
            "queue.claim": self._claimed,
            "queue.confirm": self._confirmed,
            "queue.requeue": self._requeued,
            "queue.wipe": self._wiped,
            "queue.set_generation": self._rebuilt,
        }

    @property
    def events(self) -> int:
        """The number of the last thing that happened."""
        return self._world.wire.events

    @property
    def jobs(self) -> dict[str, Job]:
        """The jobs that there are."""
        return self.book.jobs

    @property
    def rows(self) -> dict[str, Execution]:
        """The executions that there are."""
        return self.book.rows

    @property
    def ticks(self) -> dict[str, Tick]:
        """The ledgers' rows that there are, but for those that only the store has seen."""
        return self.book.ticks

    def complain(self, words: str) -> None:
        """Something is wrong."""
        self._world.wire.trace.append((self._world.clock.now(), "WITNESS", words, None))
        self.complaints.append(words)

    # what it is told

    def observe(self, node: "Node", point: str, arguments: tuple[Any, ...], answer: Any) -> None:
        """A call that was carried out."""
        self._world.wire.events += 1
        if isinstance(answer, Claimed):
            if answer.changed:
                self._changed(node, point, answer.execution)
        elif point in self._watched:
            self._watched[point](node, arguments, answer)
        elif isinstance(answer, Execution) and point.startswith("store.") and point != "store.execution":
            self._changed(node, point, answer)

    def append(self, execution_id: str) -> None:
        """A command started: what the executor tells the list of its starts."""
        self._world.wire.events += 1
        run = next(
            run
            for services in self._world.engines.values()
            for run in services.values()
            if run.order.execution_id == execution_id and run.activated and run.task is None
        )
        row = self.rows.get(execution_id)
        launch = self._world.wire.launch
        start = Start(self.events, run)
        if execution_id in self.starts:
            self.complain(f"{execution_id} started twice")
        if execution_id in self.book.late:
            self.complain(f"{execution_id} started, and was inserted after its job was deleted")
        self.starts[execution_id] = start
        self._world.started(run)
        if row is None or row.service_id != run.id:
            return self.complain(f"{execution_id} started in {run.id}, but {row and row.service_id} is bound to it")
        if row.expires_at is not None and launch.moment >= row.expires_at:
            self.complain(f"{execution_id} started after its time to start")
        if self._ended_at.get(execution_id, self.events) < launch.looked:
            self.complain(f"{execution_id} started after it was {row.status}")
        if self.promises.stop_answered(row) < launch.looked:
            self.complain(f"{execution_id} started after its stop was answered")
        if launch.confirmed is None and self._holders.get(execution_id) != launch.node:
            self.complain(f"{execution_id} was started by {launch.node}, which has lost its lease")
        start.limited = self._repaired_at > self._lost_at and (launch.confirmed or self.events) > self._repaired_at
        late = self._world.wire.queue_now() - max(row.scheduled_for, row.created_at, self.book.released_at.get(execution_id, 0))
        if self._world.wire.brisk and late > LATEST:
            self.complain(f"{execution_id} started {late} ms late, and nothing was wrong")
        self._check_limit(row)
        return None

    def queue_lost(self) -> None:
        """The queue's data are gone, or of an earlier moment."""
        self._world.wire.events += 1
        self._lost_at = self.events
        self._holders.clear()
        self._unlimited |= {row.id for row in self.rows.values() if row.status in STARTING and row.service_id is None}

    # what it sees of calls

    def _pool_paused(self, node: "Node", arguments: tuple[Any, ...], answer: Pauses) -> None:
        self.pauses = answer
        self.promises.shut &= answer.names

    def _claimed(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        for lease in answer.leases:
            fresh = not (lease.resume or lease.expired)
            if fresh and lease.lane in self.promises.shut and self._repaired_at > self._lost_at:
                self.complain(f"{lease.id} was claimed, and the pause of {lease.lane} had been answered")
            self._leased_at[lease.id] = self.events
            self._holders[lease.id] = node.name
            if not lease.resume:
                if lease.lane != TICKS and not lease.expired:
                    self._unlimited.discard(lease.id)
                self._turns[lease.id] = len(self._turns) + self.events
            if self._repaired_at < self._lost_at:
                self._unlimited.add(lease.id)

    def _confirmed(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        for id, word in answer.items():
            if word is not Renewal.LOST:
                node.confirmed[id] = (arguments[3], self.events)
                self._holders[id] = node.name

    def _requeued(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        self.book.entered(arguments[1])
        if self._holders.get(arguments[1]) == node.name:
            del self._holders[arguments[1]]
        self._unlimited.add(arguments[1])

    def _wiped(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        self.queue_lost()

    def _rebuilt(self, node: "Node", arguments: tuple[Any, ...], answer: Any) -> None:
        if answer:
            self._repaired_at = self.events

    def _changed(self, node: "Node", point: str, row: Execution) -> None:
        before = self.rows.get(row.id)
        if before is None:
            return self.complain(f"{row.id} changed before it was made")
        if before == row:
            return None
        self._check_allowed(node, point, before, row)
        self.rows[row.id] = row
        if RANK.get(row.status, 3) < RANK.get(before.status, 3):
            self.complain(f"{row.id} went back from {before.status} to {row.status}")
        if row.epoch < before.epoch:
            self.complain(f"the epoch of {row.id} went back")
        for name in ONCE:
            if getattr(before, name) is not None and getattr(before, name) != getattr(row, name):
                self.complain(f"{name} of {row.id} changed from {getattr(before, name)} to {getattr(row, name)}")
        if before.status.final:
            changed = [f.name for f in fields(row) if getattr(row, f.name) != getattr(before, f.name) and f.name not in AFTER_THE_END]
            if changed:
                self.complain(f"{row.id} was {before.status}, and {changed} changed")
        elif row.status.final:
            self._ended_at[row.id] = self.events
            self.book.ended_at[row.job_id] = self._world.wire.queue_now()
        if row.settled and not before.settled:
            self.book.settled(row)
        if before.waits is not None and row.waits is None:
            self.book.released(row)
        if before.status is Status.ENQUEUED and row.status is Status.PULLING:
            self._taken(node, row)
            if row.waits is not None:
                self.complain(f"{row.id} was taken, and waits for others")
        return None

    def _check_allowed(self, node: "Node", point: str, before: Execution, row: Execution) -> None:
        """A change that was made must have been allowed: by whom, and to which row."""
        allowed = ALLOWED.get(point)
        if allowed is None:
            return self.complain(f"{point} is a change that this test does not know")
        if before.status not in allowed.sources:
            self.complain(f"{point} was made to {row.id}, which was {before.status}")
        if allowed.owner and self._owners.get(row.id) != node.name:
            self.complain(f"{point} was made to {row.id} by {node.name}, its owner is {self._owners.get(row.id)}")
        if allowed.bound is not None and (before.service_id is not None) is not allowed.bound:
            self.complain(f"{point} was made to {row.id}, to which {before.service_id} is bound")
        if allowed.unstopped and before.stop_requested_at is not None:
            self.complain(f"{point} was made to {row.id}, which is to be stopped")
        if point in TAKES:
            self._owners[row.id] = node.name
            if row.epoch <= before.epoch:
                self.complain(f"{point} left {row.id} at the epoch {row.epoch}")
        return None

    # limits

    def _taken(self, node: "Node", row: Execution) -> None:
        """A row takes a place of its pool: at most ``max_running`` may have one. Not counted are those that were leased before the queue
        was lost, those that were given back and not claimed since, and those taken by a worker that has lost its lease without knowing: it
        will be told so before it starts anything."""
        if self._leased_at.get(row.id, 0) < self._lost_at or self._holders.get(row.id) != node.name:
            self._unlimited.add(row.id)
        pool = self._pool(row)
        taken = [other for other in self.rows.values() if other.status in STARTING and self._pool(other) == pool]
        counted = [other.id for other in taken if other.id not in self._unlimited]
        if pool is not None and len(counted) > pool.max_running:
            self.complain(f"{len(counted)} executions have a place in {pool.name}, which has {pool.max_running}: {counted}")
        turn = self._turns.get(row.id, 0)
        before = [id for id in counted if self._turns.get(id, 0) < turn]
        key = row.spec.concurrency_key  # shared by the tasks of its pool
        alike = [other for other in taken if other.spec.concurrency_key == key and (key is not None or other.task_id == row.task_id)]
        group = [other.id for other in alike if other.id in before]
        if row.id in counted and 0 < row.spec.concurrency <= len(group):
            self.complain(f"{row.id} was to wait for {group}")

    def _check_limit(self, row: Execution) -> None:
        pool = self._pool(row)
        running = [self.rows[run.order.execution_id] for run in self._world.running() if run.order.execution_id in self.rows]
        live = {other.id for other in (*running, row) if not other.status.final and self._pool(other) == pool}
        counted = [id for id in live if id in self.starts and self.starts[id].limited]
        if pool is not None and len(counted) > pool.max_running:
            self.complain(f"{len(counted)} run in {pool.name}, which takes {pool.max_running}: {counted}")

    def _pool(self, row: Execution) -> Any:
        return pool_for(POOLS, row.task_id)
