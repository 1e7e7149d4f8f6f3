"""The port of an executor: it parks, activates, watches, stops and removes one service for each execution, on hosts.

Starting exactly once takes three steps, so that a crash between any two of them neither starts a command twice nor loses it: ``park``
makes a service that runs nothing (late, twice or on a hung host, that does no harm); the store binds its id to the execution by a
compare-and-set; ``activate`` starts a bound service, at most once.

Methods that talk to a host raise ``HostDown`` for the host's own faults (its breaker counts them), ``OrderRefused`` for what the engine
refuses (``RefusedForNow`` when that may pass), and ``ServiceGone`` when the engine says that it does not have the service. Any method may
be refused at any time: an engine has its limits, and a proxy may stand before it. Each method ends within a deadline.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from fastlane.models.container import NO_CONTAINER, NO_RESOURCES, Container, Resources
from fastlane.models.host import HostView
from fastlane.models.image import ImageRemoval
from fastlane.models.job import ServiceVersion, Usage
from fastlane.models.job_source import LabelledService
from fastlane.models.log import Mark, Portion
from fastlane.models.pool import KnownHost, Pull


@dataclass(frozen=True, slots=True)
class ServiceTemplate:
    """The container that a service of the swarm would have now. ``image``: the reference that it names. ``parts``: the rest, in the
    executor's own form. It may have secrets: nothing stores or shows it."""

    version: ServiceVersion
    image: str
    parts: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """An order to run an execution; ``scheduled_for`` in milliseconds. ``resources`` include the pool's limits, but for an order that runs
    as a service's container (``like``), whose own limits come before the pool's: these are its ``defaults``. ``upstream``: variables about
    the executions that it follows."""

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
    like: ServiceTemplate | None = None
    defaults: Resources = NO_RESOURCES
    upstream: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """The text to submit for an image reference: ``name@sha256:…``, or the id of a local image; and the digest or id itself."""

    reference: str
    digest: str


class Activation(StrEnum):
    """The outcome of an activation: it started the service, the service was activated before, or a stop came first."""

    STARTED = "started"
    ALREADY = "already"
    STOPPED = "stopped"


class Phase(StrEnum):
    """How far an engine's task has come. ``unknown``: its node is down or does not report."""

    WAITING = "waiting"
    PREPARING = "preparing"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"


class TaskEnd(StrEnum):
    """How an engine's task ended: its command exited, memory ran out, it was killed, its image or container was refused, its node's disk
    had no space for its start, its engine failed to start it, it was shut down (by our stop, a drained node or a changed service), or it is
    lost: the state of its container is unknown."""

    EXITED = "exited"
    OOM = "oom"
    KILLED = "killed"
    IMAGE = "image"
    REJECTED = "rejected"
    NO_SPACE = "no-space"
    ENGINE = "engine"
    SHUTDOWN = "shutdown"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class EngineTask:
    """One engine task of a service. Times in milliseconds; ``message`` in the engine's words; ``exit_code`` only if a container returned
    one; ``end`` only when ``phase`` is ENDED; ``started_at`` only when its container has started. ``lingering``: the engine calls it ended,
    but its container may still run, in its grace, or its exit code is in doubt until its node's engine answers. ``drained``: its node is
    drained. ``node``: its node's name, if it is known."""

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
    node: str | None = None


@dataclass(frozen=True, slots=True)
class EngineService:
    """One service of this installation, and its tasks in order of creation. ``stopping``: fastlane stopped it, for the reason ``stop_why``.
    ``scaled_away``: it was activated, and someone scaled it to 0."""

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
    """All tasks of this installation's services, by host that answered and by service id."""

    tasks: Mapping[str, Mapping[str, Sequence[EngineTask]]] = field(default_factory=dict)


class Executor(Protocol):
    """Runs executions on hosts."""

    async def open(self) -> None:
        """Starts probing the hosts, and returns soon: after the first probe of each that answers at once. A host whose probe takes longer
        becomes usable later; ``subscribe`` reports it."""

    async def close(self) -> None:
        """Ends its connections and tasks. Containers go on."""

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Calls ``on_change`` whenever a host becomes usable or unusable."""

    def hosts(self) -> Sequence[HostView]:
        """The views of all hosts as they are known now; makes no call."""

    async def use_hosts(self, hosts: Sequence[KnownHost]) -> None:
        """Runs executions on these hosts from now on: connects to new hosts, and leaves hosts that are not named any longer. A host where
        another engine answers than the expected one is unusable, and is not asked anything."""

    async def resolve(self, host: str, image: str, pull: Pull) -> Image:
        """The image to submit for this reference. A reference that was submitted before stays the same, without asking a registry. Raises
        ImageRefused, RegistryDown, HostDown."""

    async def service_template(self, host: str, name: str) -> ServiceTemplate:
        """The container that the service of exactly this name, in the host's swarm, would have now. Also raises OrderRefused for a service
        as whose container no job may run."""

    async def park(self, host: str, order: Order, image: Image) -> str:
        """Makes a service that runs nothing yet, or finds the one that was made before for the same execution and epoch. Returns its id.
        Also raises RegistryDown, when the credentials for its image cannot be read now."""

    async def activate(self, host: str, service_id: str) -> Activation:
        """Starts a parked service, at most once, even if calls are lost or repeated."""

    async def stop(self, host: str, service_id: str, why: str = "") -> None:
        """Ends a service's task with its stop signal and grace; a service that has not started never will. State, exit code and log stay.
        ``why`` is kept with the service."""

    def just_activated(self, host: str, service_id: str) -> EngineService | None:
        """The known state of a service that this executor has activated, without a call: once after each activation that started it, and
        None otherwise. A newer task may be missing."""

    async def inspect(self, host: str, service_id: str) -> EngineService:
        """One service with its tasks, read afresh."""

    async def detail(self, host: str, task: EngineTask) -> EngineTask | None:
        """A running or completed task of a snapshot with the details that ``inspect`` would add: its container's start and end to the
        millisecond. None when only ``inspect`` knows them."""

    async def snapshot(self, watched: Collection[str] | None = None) -> ClusterSnapshot:
        """The tasks of this installation's services on all hosts, as last seen. ``watched``: the swarms on which the caller watches
        something, by id or by one of their hosts: others may be looked at rarely (None: all are watched). A host that does not answer is
        missing."""

    async def services(self, host: str) -> Sequence[EngineService]:
        """This installation's services on a host, without their tasks: for cleaning."""

    async def labelled(self, host: str) -> Sequence[LabelledService]:
        """All services of a host's swarm with their labels. A manager that is cut off may answer with old ones."""

    async def watch_services(self, host: str, on_change: Callable[[], None]) -> None:
        """Calls ``on_change`` when the host tells of a change of a service in its swarm, the services of executions left out. Returns after
        a minute."""

    async def lacks(self, host: str, service_id: str) -> bool:
        """Whether a host's swarm says that it has no service with this id. A manager that is cut off may say so of one that is there."""

    async def remove(self, host: str, service_id: str) -> None:
        """Removes a service and returns when the host has confirmed that it is gone."""

    async def has_image(self, host: str, reference: str) -> bool:
        """Whether the host's own engine has this image."""

    async def remove_image(self, host: str, reference: str) -> ImageRemoval:
        """Removes an image (``NAME@sha256:…``) from the host's own engine, unless someone uses it or gave it a name there."""

    async def usage(self, host: str, task: EngineTask) -> Usage | None:
        """The usage of a running task's container so far, as measured by its node's own engine; None when that engine is not one of the
        hosts, or has no sample. A host that does not answer is not blamed, and nothing else waits for it."""

    def logs(self, host: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool) -> AsyncGenerator[Portion, None]:
        """The log of an engine task after these marks, from this host or another one that has it. With ``follow`` it never ends by itself,
        without it at the log's present end. Raises HostDown for faults that may pass, LogLost when the engine no longer has what comes
        next."""
