"""What a worker notes about an execution that it owns and that cannot go on: values for its report, and for the answer of ``/why``."""

from dataclasses import dataclass
from enum import StrEnum


class Obstacle(StrEnum):
    """What prevents an execution from going on. ``store``: its worker cannot write. ``fault``: its worker had an internal error."""

    REGISTRY = "registry"
    NO_HOST = "no-host"
    HOST_AWAY = "host-away"
    NO_NODE = "no-node"
    IMAGE = "image"
    NODE_DOWN = "node-down"
    SERVICE_GONE = "service-gone"
    STORE = "store"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Note:
    """What prevents this execution from going on, since when, and until when that is waited out (milliseconds; None: without limit).
    ``words`` are those of an engine, a registry or the store; "" when none of them said anything. The note is about the owner of this
    ``epoch``; None: about any owner."""

    execution_id: str
    epoch: int | None
    obstacle: Obstacle
    words: str
    since: int
    until: int | None = None
