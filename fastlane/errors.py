"""The exceptions of fastlane.

A driver's own exceptions end in its adapter, which raises one of these instead. After a ``TransientError`` the same call may succeed
later; after any other error it fails until something changes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


class FastlaneError(Exception):
    """The base class of all exceptions that fastlane raises deliberately."""


class TransientError(FastlaneError):
    """A dependency did not answer in time; trying again may help."""


class StoreDown(TransientError):
    """The store cannot be read or written now: it is locked, full or unreachable."""


class StoreRefused(StoreDown):
    """The store refuses the login."""


class ReadTooLong(StoreDown):
    """A read was given up because it took too long; the message says how to ask for less."""


class Unreadable(FastlaneError):
    """A stored row cannot be read: a newer fastlane wrote it, or it is damaged. For an execution that has a service, it names the service,
    its host and its swarm."""

    def __init__(self, message: str, *, service_id: str | None = None, host: str | None = None, swarm_id: str | None = None) -> None:
        super().__init__(message)
        self.service_id = service_id
        self.host = host
        self.swarm_id = swarm_id


class ArchiveDown(TransientError):
    """The archive of old logs cannot be read or written now; the message says why."""


class ArchiveDamaged(Unreadable):
    """The archive of old logs answers, and an object there is missing, or not as it was written."""


class QueueDown(TransientError):
    """The queue (Redis) is unreachable, hangs, or refuses writes now."""


class QueueRefused(QueueDown):
    """The queue (Redis) refuses the login."""


class QueueUnfit(QueueDown):
    """The queue would lose entries because of how Redis is set up; the message says what to set."""


class HostDown(TransientError):
    """A Docker host failed through its own fault (see ``executors/swarm/faults.py``); its circuit breaker has counted that."""


class NoHost(HostDown):
    """No host of a pool is usable now; the message gives the reason for each."""


class NoPool(NoHost):
    """No pool of this worker takes the task; a worker that has one may still come."""


class NoService(NoHost):
    """No swarm of a pool that can be asked has the service that a job names; another one may have it."""


class RegistryDown(TransientError):
    """A registry could not be reached; ``nameless``: its host name could not be resolved."""

    def __init__(self, message: str, *, nameless: bool = False) -> None:
        super().__init__(message)
        self.nameless = nameless


class ImageRefused(FastlaneError):
    """The registry or the engine refused the image: not found, access denied, or not a valid reference."""


class OrderRefused(FastlaneError):
    """The engine refused a request: the request is at fault, not the host."""


class RefusedForNow(OrderRefused, TransientError):
    """The engine answered with an error that fastlane does not know. It may pass, but anything that waits for that needs a deadline."""


class ServiceGone(FastlaneError):
    """The engine says that the service does not exist. That can be wrong for a while: see docs/swarm.md."""


class LogLost(FastlaneError):
    """The engine no longer has a log, or its next part: it was rotated, or removed with its container."""


class NotFound(FastlaneError):
    """The requested thing does not exist (HTTP 404)."""


class NotStarted(NotFound):
    """There is no log, because nothing has started. ``status``: the status of the job or the execution; ``execution_id``: the execution
    that has not started, None if there is none yet; ``exit_code``: the engine's exit code for a container that could not start."""

    def __init__(self, message: str, status: str, execution_id: str | None = None, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.execution_id = execution_id
        self.exit_code = exit_code


class Conflict(FastlaneError):
    """The request contradicts the current state (HTTP 409)."""


class NotUnique(Conflict):
    """A job that is to be unique equals one that waits. ``task_id`` and ``job_id``: the other's; None where the store only knows that there
    is one."""

    def __init__(self, message: str, *, task_id: str | None = None, job_id: str | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.job_id = job_id


class TooMany(FastlaneError):
    """The caller has as many of something as one caller may have (HTTP 429)."""


class Repeated(FastlaneError):
    """A request with this key had its effect already; the store has its record."""


class Changed(FastlaneError):
    """The subject of the request has changed since the client read it (HTTP 412)."""


class KeyReused(FastlaneError):
    """An idempotency key was used before with another request (HTTP 422)."""


MAX_QUOTE = 60
MOST_NAMED = 20
"""Known names that an error names."""
NEAR = 0.6
"""How similar a known name must be (0 to 1, by difflib) for someone to have meant it."""


def quoted(value: object) -> str:
    """A wrong value as a fault quotes it; a long value is cut."""
    text = repr(value)
    return text if len(text) <= MAX_QUOTE else text[:MAX_QUOTE] + "…"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant by this one; None when none is near."""

    def similarity(candidate: str) -> float:
        return SequenceMatcher(None, candidate.lower(), name[:80].lower()).ratio()

    best = max(known, key=similarity, default=None)
    return None if best is None or similarity(best) < NEAR else best


def known_names(name: str, noun: str, known: Iterable[str]) -> str:
    """The words, after a semicolon, for a name that is not among the ``known`` ones: the nearest of them, if one is near or has the name in
    it, and the first of all. ``noun``: what they name, in the singular."""
    names = list(known)
    near = nearest(name, names) or next((one for one in names if name and name.lower() in one.lower()), None)
    some = f"the {noun}s are: {', '.join(names[:MOST_NAMED]) or 'none'}{', …' if len(names) > MOST_NAMED else ''}"
    return some if near is None else f"the nearest is {near!r} ({some})"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an input: the field (a dotted path; empty for the whole input) and what to do about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Invalid(FastlaneError):
    """An input (a request body, a query, the settings) is wrong. Has every fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class Forbidden(FastlaneError):
    """An input sets something that is not allowed here (HTTP 403). Has every fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
