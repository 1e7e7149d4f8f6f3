"""The exceptions of fastlane: what a caller may have to handle, and nothing of any driver.

A driver's own exceptions end in its adapter, which raises one of these. ``TransientError`` means that the same call may
succeed later; everything else means that it will not until somebody changes something.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class FastlaneError(Exception):
    """The base of all exceptions that fastlane raises on purpose."""


class TransientError(FastlaneError):
    """Trying again may help: something that we need did not answer, or not in time."""


class StoreDown(TransientError):
    """The store (SQLite, MongoDB) cannot be read or written now: locked, full, unreachable."""


class QueueDown(TransientError):
    """The queue (Redis) cannot be reached, hangs, or refuses to write now."""


class HostDown(TransientError):
    """A Docker host failed in a way that is its own fault (see ``executors/faults.py``); its breaker has counted it."""


class NoHost(HostDown):
    """No host of a pool can be used now; the message says why for each."""


class RegistryDown(TransientError):
    """A registry could not be asked for an image; ``nameless`` when not even its host name could be looked up."""

    def __init__(self, message: str, *, nameless: bool = False) -> None:
        super().__init__(message)
        self.nameless = nameless


class ImageRefused(FastlaneError):
    """The registry, or the engine, answered that this image cannot be had: not found, denied, not a reference."""


class OrderRefused(FastlaneError):
    """The engine answered that it will not create this service: a fault of the order, not of the host."""


class ServiceGone(FastlaneError):
    """The engine says that it has no such service. It may be wrong for a while: see SWARM notes in docs/design.md."""


class LogLost(FastlaneError):
    """The engine has not got a log, or the part of it that comes next, any more: it was rotated, or went with its container."""


class NotFound(FastlaneError):
    """What was asked for does not exist (an HTTP 404)."""


class Conflict(FastlaneError):
    """What was asked for contradicts what is there (an HTTP 409)."""


class Repeated(FastlaneError):
    """A request with this key had its effect already; the store has its record."""


class KeyReused(FastlaneError):
    """A key of an earlier request stands on another one (an HTTP 422)."""


MAX_QUOTE = 60


def quoted(value: object) -> str:
    """A wrong value as a fault quotes it: cut when it is long."""
    text = repr(value)
    return text if len(text) <= MAX_QUOTE else text[:MAX_QUOTE] + "…"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: the field it is in (dotted path, empty for the whole) and what to do about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Invalid(FastlaneError):
    """An input (a request body, a query, the settings) is wrong; names every fault at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class Forbidden(FastlaneError):
    """An input asks for what may be had elsewhere, but not here (an HTTP 403); names every fault at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
