"""Figures: the measurements of both sides, round by round, and their comparison. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any


class Comparison(StrEnum):
    """How a figure compares to the peer's: by division, by subtraction, or not at all, with a target for the figure itself."""

    RATIO = "ratio"
    DIFFERENCE = "difference"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class Target:
    """The least or the greatest value that the comparison may have."""

    value: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Whether a value meets the target."""
        return value >= self.value if self.at_least else value <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. ``ours`` and ``peer`` have a value a round, in ``unit``, in the order in which they were measured; ``peer``
    is empty where there is none. A figure without a target is there to be read beside the others. ``pairs``: the comparison of each round,
    where both sides were measured in turn many times in it: the median of those of the pairs."""

    name: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    peer_name: str = ""
    comparison: Comparison = Comparison.RATIO
    target: Target | None = None
    pairs: Sequence[float] = ()

    @property
    def compared(self) -> list[float]:
        """The comparison of each round."""
        if self.pairs:
            return list(self.pairs)
        if self.comparison is Comparison.ALONE:
            return list(self.ours)
        pairs = zip(self.ours, self.peer, strict=False)
        if self.comparison is Comparison.RATIO:
            return [ours / peer for ours, peer in pairs]
        return [ours - peer for ours, peer in pairs]

    @property
    def verdict(self) -> bool | None:
        """Whether the median comparison meets the target; None without a target or a comparison."""
        if self.target is None or not self.compared:
            return None
        return self.target.met(median(self.compared))

    def as_json(self) -> dict[str, Any]:
        """The figure for the result file."""
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
    """The median, the least and the greatest value."""
    if not values:
        return None
    return {"median": round(median(values), 3), "least": round(min(values), 3), "most": round(max(values), 3)}


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile by nearest rank: the smallest value that is not below ``percent`` of all."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late jobs started, of which ``asked`` were due: ``late`` has the milliseconds of each that did start, in no order; one that
    started before its time has a negative one. ``again``: how many started a second time."""

    asked: int
    late: Sequence[float]
    again: int = 0

    @classmethod
    def of(cls, due: Mapping[str, float], started: Iterable[tuple[str, float]]) -> "Lateness":
        """From each job's due time (milliseconds) and the starts (seconds); those of other jobs do not count."""
        late: dict[str, float] = {}
        again = 0
        for token, moment in started:
            if token in late:
                again += 1
            elif token in due:
                late[token] = moment * 1000 - due[token]
        return cls(len(due), tuple(late.values()), again)

    @property
    def missing(self) -> int:
        """How many did not start."""
        return self.asked - len(self.late)

    @property
    def early(self) -> int:
        """How many started before their time."""
        return sum(late < 0 for late in self.late)

    def percentile(self, percent: float) -> float:
        """A percentile in milliseconds; infinite where too few have started to tell."""
        return percentile([*self.late, *[float("inf")] * self.missing], percent)

    def as_json(self) -> dict[str, Any]:
        """All of it, in milliseconds, for the result file; a percentile is None where too few have started to tell."""
        percentiles = {f"p{percent:g}": self.percentile(percent) for percent in (50.0, 90.0, 99.0, 100.0)}
        told = {name: round(value, 3) if math.isfinite(value) else None for name, value in percentiles.items()}
        first = round(min(self.late), 3) if self.late else None
        return {**told, "least": first, "asked": self.asked, "missing": self.missing, "early": self.early, "again": self.again}

    @property
    def most(self) -> float:
        """The latest, in milliseconds."""
        return self.percentile(100)
