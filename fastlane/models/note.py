"""A worker's notes about executions that it cannot go on with: values for its report, which answer why a job waits."""

from dataclasses import dataclass
from enum import StrEnum


class Obstacle(StrEnum):
    """What delays an execution. ``store``: its worker cannot use the store; ``fault``: its worker met an unexpected fault."""

    REGISTRY = "registry"
    NO_HOST = "no-host"
    HOST_AWAY = "host-away"
    REFUSED = "refused"
    NO_NODE = "no-node"
    IMAGE = "image"
    NODE_DOWN = "node-down"
    SERVICE_GONE = "service-gone"
    STORE = "store"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Note:
    """What delays this execution, since when, and until when its worker waits (milliseconds; None: for as long as it takes). ``words`` are
    those of the engine, the registry or the store, "" when there are none. The note is about the owner of this ``epoch``, or about any
    owner (None)."""

    execution_id: str
    epoch: int | None
    obstacle: Obstacle
    words: str
    since: int
    until: int | None = None
