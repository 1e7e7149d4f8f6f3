"""The port of an executor: it parks, activates, watches, stops and removes one service an execution, on hosts.

Starting exactly once takes three steps, so that no crash between any two of them can start a thing twice or lose it: ``park`` makes a
service that runs nothing (late, twice or on a hung host, it does no harm); the store binds its id to the execution by a
compare-and-set; ``activate`` starts a bound one, at most once.

Methods that talk to a host raise ``HostDown`` for what is the host's own fault (its breaker counts it), ``OrderRefused`` for what the
engine will never accept, ``ServiceGone`` for a service that it says it does not have. Each ends within a deadline.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from fastlane.models.container.container import NO_CONTAINER, NO_RESOURCES, Container, Resources
from fastlane.models.logs.chunk import Mark, Portion
from fastlane.models.placement.host import HostView
from fastlane.models.placement.pool import Pull


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, for whom; ``scheduled_for`` in milliseconds. ``resources`` are what it gets: the pool's limits are in them."""

    execution_id: str
    task_id: str
    job_id: str
    attempt: int
    epoch: int
    scheduled_for: int
    command: tuple[str, ...] | None
    envs: Mapping[str, str]
    resources: Resources = NO_RESOURCES
    container: Container = NO_CONTAINER


@dataclass(frozen=True, slots=True)
class Image:
    """What to submit for an image reference: ``name@sha256:…``, or the id of a local image; and the digest or id itself."""

    reference: str
    digest: str


class Activation(StrEnum):
    """What an activation found: it started the service, it had been done before, or a stop was there first."""

    STARTED = "started"
    ALREADY = "already"
    STOPPED = "stopped"


class Phase(StrEnum):
    """How far an engine's task is, as much as fastlane needs to know. ``unknown``: its node is down or just changed hands."""

    WAITING = "waiting"
    PREPARING = "preparing"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"


class TaskEnd(StrEnum):
    """How an engine's task ended: its command by itself, out of memory, killed or refused before it started, shut down (by our stop, a
    drained node, a changed service), or lost: nobody knows what its container does."""

    EXITED = "exited"
    OOM = "oom"
    KILLED = "killed"
    IMAGE = "image"
    REJECTED = "rejected"
    SHUTDOWN = "shutdown"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class EngineTask:
    """One engine task of a service. Moments in milliseconds; ``message`` in the engine's words; ``exit_code`` only where a container gave
    one; ``end`` only when ``phase`` is ENDED; ``started_at`` only when its container has started. ``lingering``: the engine calls it ended,
    and its container may still go on, in its grace. ``drained``: its node is to have no tasks."""

    id: str
    service_id: str
    phase: Phase
    state: str
    message: str = ""
    end: TaskEnd | None = None
    exit_code: int | None = None
    container_id: str | None = None
    node_id: str | None = None
    changed_at: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    lingering: bool = False
    drained: bool = False


@dataclass(frozen=True, slots=True)
class EngineService:
    """One service of ours, and its tasks in order of creation. ``stopping``: our stop is on it, for the reason ``stop_why``.
    ``scaled_away``: it was activated, and somebody took its replica."""

    id: str
    execution_id: str
    activated: bool
    stopping: bool
    created_at: int
    tasks: tuple[EngineTask, ...] = ()
    stop_why: str = ""
    scaled_away: bool = False


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """What one look at all hosts saw: per host that answered, the tasks of our services by service id."""

    tasks: Mapping[str, Mapping[str, Sequence[EngineTask]]] = field(default_factory=dict)


class Executor(Protocol):
    """What runs executions, as the scheduler uses it."""

    async def open(self) -> None:
        """Starts probing the hosts; does not fail when some are away. The first probe of each has ended when it returns."""

    async def close(self) -> None:
        """Ends every thread, connection and task of it. Containers go on."""

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Calls ``on_change`` whenever a host becomes usable or stops being so."""

    def hosts(self) -> Sequence[HostView]:
        """What is known of each host now; asks nobody."""

    async def resolve(self, host: str, image: str, pull: Pull) -> Image:
        """What to submit for this reference; for one that was submitted before, the same again, and no registry is asked. Raises
        ImageRefused, RegistryDown, HostDown."""

    async def park(self, host: str, order: Order, image: Image) -> str:
        """Makes a service that runs nothing yet; its id. One's own, made before under the same execution and epoch, is found again. Raises
        RegistryDown, too, when the credentials that go with it cannot be had now."""

    async def activate(self, host: str, service_id: str) -> Activation:
        """Starts a parked service, at most once, whatever was lost or repeated."""

    async def stop(self, host: str, service_id: str, why: str = "") -> None:
        """Makes a service's task end by its signal and grace; one not started never starts. State, exit code and log stay. ``why`` is kept
        with the service."""

    async def inspect(self, host: str, service_id: str) -> EngineService:
        """One service with its tasks, read afresh."""

    async def snapshot(self) -> ClusterSnapshot:
        """The tasks of all our services on all usable hosts. A host that does not answer is missing from it."""

    async def services(self, host: str) -> Sequence[EngineService]:
        """All our services on a host, without their tasks: for cleaning."""

    async def remove(self, host: str, service_id: str) -> None:
        """Removes a service and returns when the host has confirmed that it is gone."""

    def logs(self, host: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool) -> AsyncGenerator[Portion, None]:
        """The log of an engine task after these marks, through this host or from whichever other one has it. Following never ends by
        itself; else it ends at the log's present end. Raises HostDown for what may pass, LogLost when the engine has not got any more
        what comes next."""
