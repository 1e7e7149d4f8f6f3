"""A circuit breaker: it keeps calls away from a host that fails, and lets one through now and then to see whether it still does.

Pure but for its own state: the moment is handed in. Only a host's own faults may be told to it (``faults.py`` says which those are).

======== ================================= ==================================================================
state    a call                            what changes it
======== ================================= ==================================================================
closed   goes through                      ``max_fails`` faults in a row: open
open     is refused                        ``reset`` later: half-open; a probe that recovered: closed
half     one at a time goes through        its success: closed; its fault: open again, for another ``reset``
======== ================================= ==================================================================

The regular probe (``probe.py``) goes around the breaker. When it finds a host well again that it had found ill, or that had only
refused connections, the breaker closes at once; calls that hang while the probe goes through keep it open for ``reset``.
"""

from enum import StrEnum


class Circuit(StrEnum):
    """The states of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """The breaker of one host. ``reset`` and every ``now`` in milliseconds."""

    def __init__(self, max_fails: int, reset: int) -> None:
        self._max_fails = max_fails
        self._reset = reset
        self._fails = 0
        self._opened_at: int | None = None
        self._trying = False
        self._visible = False

    @property
    def faults(self) -> int:
        """How many there were since it last went well."""
        return self._fails

    def retry_at(self, now: int) -> int | None:
        """When a call may go through again; None while they do."""
        return None if self.circuit(now) is not Circuit.OPEN or self._opened_at is None else self._opened_at + self._reset

    def circuit(self, now: int) -> Circuit:
        """The state at this moment."""
        if self._opened_at is None:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if now - self._opened_at >= self._reset else Circuit.OPEN

    def admit(self, now: int) -> bool:
        """Whether a call may go through; one that may must end in ``succeeded``, ``failed`` or ``abandoned``."""
        circuit = self.circuit(now)
        if circuit is Circuit.HALF_OPEN and not self._trying:
            self._trying = True
            return True
        return circuit is Circuit.CLOSED

    def succeeded(self) -> None:
        """A call was answered (be it with a refusal that is no fault of the host)."""
        self._fails = 0
        self._opened_at = None
        self._trying = self._visible = False

    def failed(self, now: int, *, visible: bool) -> None:
        """A call or a probe failed by the host's fault. ``visible``: a fault that a probe would see, too."""
        self._fails += 1
        self._visible = self._visible or visible
        if self._trying or self._fails >= self._max_fails:
            self._opened_at = now
        self._trying = False

    def abandoned(self) -> None:
        """A call was given up by its caller: it says nothing of the host."""
        self._trying = False

    def recovered(self) -> None:
        """The probe went through: closes a breaker whose faults the probe would have seen."""
        if self._visible:
            self.succeeded()
