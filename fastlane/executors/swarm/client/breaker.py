"""A circuit breaker: it keeps calls away from a host that fails, and admits one now and then to find out whether the host works again.

It has no clock: callers pass the time. Only a host's own faults may be reported to it (``faults.py`` says which those are).

======== ================================= ==================================================================
state    a call                            what changes it
======== ================================= ==================================================================
closed   goes through                      ``max_fails`` faults in a row: open
open     is refused                        ``reset`` later: half-open; a probe that recovered: closed
half     one at a time goes through        its success: closed; its fault: open again, for another ``reset``
======== ================================= ==================================================================

The regular probe (``probe.py``) bypasses the breaker. When it succeeds on a host whose faults it would have seen, the breaker closes at
once; when calls hang although the probe succeeds, the breaker stays open for ``reset``.
"""

from collections.abc import Callable
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
        self._on_change: Callable[[Circuit], None] = lambda _circuit: None

    def subscribe(self, on_change: Callable[[Circuit], None]) -> None:
        """Calls ``on_change`` with OPEN when it opens, HALF_OPEN when it tries a call, and CLOSED when it has closed."""
        self._on_change = on_change

    @property
    def faults(self) -> int:
        """How many faults there were since the last success."""
        return self._fails

    def retry_at(self, now: int) -> int | None:
        """When a call may go through again; None unless the breaker is open."""
        return None if self.circuit(now) is not Circuit.OPEN or self._opened_at is None else self._opened_at + self._reset

    def circuit(self, now: int) -> Circuit:
        """The state at this moment."""
        if self._opened_at is None:
            return Circuit.CLOSED
        return Circuit.OPEN if 0 <= now - self._opened_at < self._reset else Circuit.HALF_OPEN  # less than 0, once the clock was set back

    def admit(self, now: int) -> bool:
        """Whether a call may go through; one that may must end in ``succeeded``, ``failed`` or ``abandoned``."""
        circuit = self.circuit(now)
        if circuit is Circuit.HALF_OPEN and not self._trying:
            self._trying = True
            self._on_change(circuit)
            return True
        return circuit is Circuit.CLOSED

    def succeeded(self) -> None:
        """Records a call that the host answered, even with a refusal."""
        was_closed = self._opened_at is None
        self._fails = 0
        self._opened_at = None
        self._trying = self._visible = False
        if not was_closed:
            self._on_change(Circuit.CLOSED)

    def failed(self, now: int, *, visible: bool) -> None:
        """Records a call or probe that failed by the host's fault. ``visible``: a probe would see this fault too."""
        before = self.circuit(now)
        self._fails += 1
        self._visible = self._visible or visible
        if self._trying or self._fails >= self._max_fails:
            self._opened_at = now
        self._trying = False
        if self._opened_at == now and before is not Circuit.OPEN:
            self._on_change(Circuit.OPEN)

    def abandoned(self) -> None:
        """Records a call that its caller gave up: it says nothing about the host."""
        self._trying = False

    def recovered(self) -> None:
        """Records a successful probe: closes the breaker if the probe would have seen its faults."""
        if self._visible:
            self.succeeded()
