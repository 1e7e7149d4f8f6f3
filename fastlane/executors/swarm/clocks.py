"""The clocks of a swarm's nodes: converts times that a node or a manager wrote to this process's time. Pure.

A container's start and end, and a node's reports about a task, have times of the node's clock. A manager's decisions (that a task waits for
a node, say) have times of the leader's clock. The clock of a registered host is measured by its probe. Another node's clock shows in its
reports: the leader records when it received each.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Raw = Mapping[str, Any]

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def nanoseconds(text: str) -> int:
    """Nanoseconds of ``2026-11-25T12:57:39.852824433Z``; 0 for Go's zero time. Raises ValueError for text that is not a time."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not an engine's time")
    whole, fraction, offset = found.groups()
    seconds = int(datetime.fromisoformat(whole + offset).timestamp())
    return max(0, seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0")))


def rfc3339(moment: int) -> str:
    """A moment (nanoseconds) as the engine writes it, with nine digits after the second."""
    seconds, rest = divmod(moment, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def milliseconds(text: str | None) -> int | None:
    """Milliseconds of an engine's time; None for Go's zero time and for text that is not a time."""
    try:
        return nanoseconds(text or "") // 1_000_000 or None
    except ValueError:
        return None


REPORTED_WITHIN = 1_000
"""Milliseconds that a report may take to the leader. A time that differs by less says nothing about the node's clock."""
LEAST_STEP = 1_000
"""Milliseconds by which a host's clock must go back between two probes to count as set back."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """How far clocks are ahead of this process's, in milliseconds: each that was measured, by node, and the leader's."""

    nodes: Mapping[str, int] = field(default_factory=dict)
    leader: int = 0

    def at_node(self, task: Raw) -> int:
        """How far the clock of this task's node is ahead."""
        node = str(task.get("NodeID") or "")
        return self.nodes[node] if node in self.nodes else self.leader - self._delay(task)

    def of_leader(self, moment: int) -> int:
        """A time of the leader's clock as this process's."""
        return moment - self.leader if moment else 0

    def _delay(self, task: Raw) -> int:
        """How much later than its own time the leader heard of the node's last report, if that is more than its way explains."""
        reported, heard = milliseconds((task.get("Status") or {}).get("Timestamp")), milliseconds(task.get("UpdatedAt"))
        if reported is None or heard is None or abs(heard - reported) <= REPORTED_WITHIN:
            return 0
        return heard - reported


NO_SKEW = Clocks()


@dataclass(frozen=True, slots=True)
class SetBack:
    """The times that a node's clock may have shown twice, because it was set back; in milliseconds of that clock."""

    earliest: int
    latest: int

    def joined(self, other: "SetBack | None") -> "SetBack":
        """These times together with another step's."""
        return self if other is None else SetBack(min(self.earliest, other.earliest), max(self.latest, other.latest))


def set_back(last: int, now: int, elapsed: int) -> SetBack | None:
    """The times that a clock may have shown twice: it showed ``last``, and shows ``now`` after ``elapsed`` milliseconds of a steady clock.
    None when it was not set back."""
    return SetBack(max(0, now - elapsed), last + elapsed) if last + elapsed - now >= LEAST_STEP else None


def leader_of(nodes: Iterable[Raw]) -> str | None:
    """The id of the swarm's leader, by a list of its nodes."""
    return next((str(raw["ID"]) for raw in nodes if (raw.get("ManagerStatus") or {}).get("Leader")), None)
