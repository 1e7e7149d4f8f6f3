"""Figures: what was measured on both sides, round by round, and how the two compare. Pure: values in, values out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any


class Comparison(StrEnum):
    """How ours is held against the peer's: by division, or by subtraction."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Target:
    """What the comparison must come to: at least, or at most, this much."""

    value: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Whether it does."""
        return value >= self.value if self.at_least else value <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. ``ours`` and ``peer`` have a value a round, in ``unit``, in the order in which they were measured; ``peer``
    is empty where there is none. A figure without a target is there to be read beside the others."""

    name: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    peer_name: str = ""
    comparison: Comparison = Comparison.RATIO
    target: Target | None = None

    @property
    def compared(self) -> list[float]:
        """The comparison of each round."""
        pairs = zip(self.ours, self.peer, strict=False)
        if self.comparison is Comparison.RATIO:
            return [ours / peer for ours, peer in pairs]
        return [ours - peer for ours, peer in pairs]

    @property
    def verdict(self) -> bool | None:
        """Whether the median comparison meets the target; None when there is none, or nothing to compare."""
        if self.target is None or not self.compared:
            return None
        return self.target.met(median(self.compared))

    def as_json(self) -> dict[str, Any]:
        """All of it, for the result file."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": [round(value, 3) for value in self.ours],
            "peer": [round(value, 3) for value in self.peer],
            "peerName": self.peer_name or None,
            "comparison": self.comparison.value if self.compared else None,
            "compared": spread_of(self.compared),
            "target": {"value": self.target.value, "atLeast": self.target.at_least} if self.target else None,
            "met": self.verdict,
        }


def spread_of(values: Sequence[float]) -> dict[str, float] | None:
    """Median, least and most."""
    if not values:
        return None
    return {"median": round(median(values), 3), "least": round(min(values), 3), "most": round(max(values), 3)}


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not below ``percent`` of all (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]
