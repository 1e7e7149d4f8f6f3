"""What a worker notes of an execution of its own that cannot go on: values for its report, and so for whoever asks why."""

from dataclasses import dataclass
from enum import StrEnum


class Obstacle(StrEnum):
    """What stands in an execution's way. ``store`` and ``fault``: its worker cannot write, or met a fault of its own."""

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
    """Something stands in this execution's way, since when, and until when it is waited out (milliseconds; None: for as long as it takes).
    ``words`` are those of whoever said so (an engine, a registry, a store), "" where nobody did. It is about the owner of this ``epoch``;
    None: whoever has it."""

    execution_id: str
    epoch: int | None
    obstacle: Obstacle
    words: str
    since: int
    until: int | None = None
