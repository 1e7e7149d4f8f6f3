"""The statuses of an execution. Which may follow which is the table in ``models.transitions``."""

from enum import StrEnum


class Status(StrEnum):
    """An execution's status. ``enqueued``, ``pulling`` and ``running`` are under way; the others are final."""

    ENQUEUED = "enqueued"
    PULLING = "pulling"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    TIMEDOUT = "timedout"
    STOPPED = "stopped"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Whether the status never changes again."""
        return self in FINAL


UNDER_WAY = frozenset({Status.ENQUEUED, Status.PULLING, Status.RUNNING})
FINAL = frozenset(Status) - UNDER_WAY
STARTING = frozenset({Status.PULLING, Status.RUNNING})
