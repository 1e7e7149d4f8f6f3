"""What the ended runs of a job took: time, memory, processor time and output, as figures over some of them. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fastlane.models.job import Execution

LEAST_FOR_HALVES = 10
"""Measured runs below which an older and a newer half say nothing."""


class Measure(StrEnum):
    """What is measured of a run: its time from start to end (milliseconds), the most memory that a sample showed (bytes), its processor
    time until the last sample (milliseconds), and what it wrote to stdout and stderr (bytes)."""

    DURATION = "duration"
    MEMORY = "memory"
    PROCESSOR = "processor"
    OUTPUT = "output"


def run_time(execution: Execution) -> int | None:
    """How long an execution ran (milliseconds); None for one that did not start, or has not ended."""
    if execution.started_at is None or execution.finished_at is None:
        return None
    return max(0, execution.finished_at - execution.started_at)


def output_size(execution: Execution) -> int:
    """How many bytes an execution wrote that has ended."""
    return execution.stdout_bytes + execution.stderr_bytes


MEASURES: Mapping[Measure, Callable[[Execution], int | None]] = {
    Measure.DURATION: run_time,
    Measure.MEMORY: lambda one: None if one.usage is None else one.usage.memory_peak,
    Measure.PROCESSOR: lambda one: None if one.usage is None else one.usage.cpu_ms,
    Measure.OUTPUT: output_size,
}
"""The value of each measure for a run; None where it was not measured."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A measure over ``runs`` runs: the newest, least, middle and largest values, and the one that 95 % do not exceed. ``older`` and
    ``newer`` are the middle values of the older and the newer half. Each is None where too few runs have one."""

    runs: int = 0
    newest: int | None = None
    least: int | None = None
    median: int | None = None
    p95: int | None = None
    most: int | None = None
    older: int | None = None
    newer: int | None = None


def ended_runs(executions: Sequence[Execution]) -> list[Execution]:
    """Those that started and have ended, in the same order."""
    return [one for one in executions if one.status.final and run_time(one) is not None]


def figures(runs: Sequence[Execution], measure: Measure) -> Figures:
    """A measure over runs that come newest first."""
    read = MEASURES[measure]
    values = [value for one in runs if (value := read(one)) is not None]
    if not values:
        return Figures()
    ordered, half = sorted(values), len(values) // 2
    split = len(values) >= LEAST_FOR_HALVES
    return Figures(
        len(values),
        values[0],
        ordered[0],
        _rank(ordered, 50),
        _rank(ordered, 95),
        ordered[-1],
        _rank(sorted(values[half:]), 50) if split else None,
        _rank(sorted(values[:half]), 50) if split else None,
    )


def middle(values: Sequence[int]) -> int | None:
    """The value that half of these do not exceed; None without any."""
    return _rank(sorted(values), 50) if values else None


def _rank(ordered: Sequence[int], percent: int) -> int:
    """The least value that this share of the values does not exceed (the nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
