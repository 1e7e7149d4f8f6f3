"""What a job or an execution can wait for: the causes, and what belongs to each."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """What is waited for. Every ``Obstacle`` that a worker can note is one of these."""

    DUE = "due"
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
    """A pool that has no free slot: ``ready`` executions wait for one."""

    pool: str
    running: int
    max_running: int
    ready: int


@dataclass(frozen=True, slots=True)
class UnusableHosts:
    """Hosts that cannot be used, of a pool: of the execution's own pool, once it has one."""

    pool: str | None
    hosts: tuple[UnusableHost, ...]


@dataclass(frozen=True, slots=True)
class FullTask:
    """A task of which as many executions run as one of them allows."""

    running: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class EarlierExecution:
    """An execution of the same job that has to end first; None when a worker is about to look whether there is one."""

    execution_id: str | None


@dataclass(frozen=True, slots=True)
class ImagePull:
    """An image that a host looks for, or that one of its nodes pulls."""

    image: str
    host: str | None


@dataclass(frozen=True, slots=True)
class Noted:
    """What a note of the owner is about: always a host; the image, or the host's state, if it has to do with them."""

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
    | EarlierExecution
    | ImagePull
    | Noted
    | NextAttempt
)


@dataclass(frozen=True, slots=True)
class WaitReason:
    """One thing that is waited for. ``since`` and ``until`` (at the latest) in milliseconds; None when unknown."""

    reason: Cause
    message: str
    since: int | None = None
    until: int | None = None
    details: Details | None = None
