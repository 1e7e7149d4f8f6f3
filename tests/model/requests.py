"""What a client asks for, known by everything that is done for it: the calls of a service carry the request that they belong to."""

from contextvars import ContextVar
from dataclasses import dataclass, field

from fastlane.models.ids import IdempotencyKey
from fastlane.models.job import Spec
from fastlane.models.schedule import Schedule


@dataclass(eq=False)
class Request:
    """One try of a request: ``verb`` is the service's method. ``asked`` is the event with which it began. ``once``: its key and body;
    every try of what is sent again has the same. ``stops``: the incarnation of each job that it stopped, and the sequence that it took.
    ``effects``: what was begun for it, as ids of job, tick and execution; ``done_at`` is the event."""

    verb: str
    task_id: str = ""
    job_id: str = ""
    spec: Spec | None = None
    schedule: Schedule | None = None
    once: IdempotencyKey | None = None
    asked: int = 0
    stops: dict[str, tuple[str, int]] = field(default_factory=dict)
    done_at: int = 0
    effects: list[tuple[str, str, str | None]] = field(default_factory=list)
    force: bool = False
    reschedule: bool = False

    def __str__(self) -> str:
        return f"{self.verb} of {self.job_id or self.task_id}{f' under the key {self.once.key}' if self.once else ''}"


LOOKED: ContextVar[int] = ContextVar("looked", default=0)
"""The event at which a worker began to look what an execution waits for."""

REQUEST: ContextVar[Request | None] = ContextVar("request", default=None)
"""The request for which a call is made; None for what workers do by themselves."""
