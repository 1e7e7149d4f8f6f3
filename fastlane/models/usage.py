"""What executions used of the hosts, summed by a label's value, by task or by pool, and written as CSV. Pure.

Sums are whole numbers (milliseconds, and bytes times milliseconds), so they do not depend on the order or on the pieces in which rows come.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fastlane.models.job import Execution
from fastlane.models.notify import FAILURES
from fastlane.models.pool import Pool
from fastlane.models.run_figures import run_time

GIB_HOUR = 2**30 * 3_600_000
"""Byte milliseconds."""
PREFIX = "label:"


@dataclass(slots=True)
class Used:
    """What the executions of one value came to. ``ended``: all that ended; ``failed``: those that failed, timed out or expired; ``runs``:
    those that had started. Times are in milliseconds: ``time`` of all runs; ``processor`` of the ``measured`` ones, which took
    ``measured_time``. ``peak``: their memory peaks, each times its duration; ``limit``: the limits of the ``limited`` runs in the same way
    (bytes times milliseconds)."""

    ended: int = 0
    failed: int = 0
    runs: int = 0
    time: int = 0
    measured: int = 0
    measured_time: int = 0
    processor: int = 0
    peak: int = 0
    limited: int = 0
    limited_time: int = 0
    limit: int = 0

    def add(self, one: Execution, limit: int | None) -> None:
        """Adds an execution that has ended. ``limit``: of its memory, in bytes; None: it had none."""
        self.ended += 1
        self.failed += one.status in FAILURES
        time = run_time(one)
        if time is None:
            return
        self.runs += 1
        self.time += time
        if one.usage is not None:
            self.measured += 1
            self.measured_time += time
            self.processor += one.usage.cpu_ms
            self.peak += one.usage.memory_peak * time
        if limit is not None:
            self.limited += 1
            self.limited_time += time
            self.limit += limit * time


@dataclass(frozen=True, slots=True)
class UsedBy:
    """A value, and what its executions used. None stands for those without such a label, or without a pool."""

    value: str | None
    used: Used


def read_grouping(by: str) -> tuple[str, str]:
    """What ``by`` of a query sums by: ``task``, ``pool``, or ``label`` with its name, which ``label:`` may come before."""
    if by in ("task", "pool"):
        return by, ""
    return "label", by.removeprefix(PREFIX)


def value_of(kind: str, label: str) -> Callable[[Execution], str | None]:
    """Reads the value by which an execution is summed."""
    if kind == "task":
        return lambda one: one.task_id
    if kind == "pool":
        return lambda one: one.pool
    return lambda one: one.spec.labels.get(label)


@dataclass(slots=True)
class UsageSum:
    """Sums executions by the value that ``value`` reads, of at most ``most`` values. ``pools``: in force now."""

    value: Callable[[Execution], str | None]
    pools: Sequence[Pool]
    most: int
    by_value: dict[str | None, Used] = field(default_factory=dict)

    def add(self, one: Execution) -> bool:
        """Adds an execution that has ended; False, and nothing added, when its value would be one too many."""
        value = self.value(one)
        used = self.by_value.get(value)
        if used is None:
            if len(self.by_value) >= self.most:
                return False
            used = self.by_value[value] = Used()
        limits = next((pool.limits for pool in self.pools if pool.name == one.pool), None)
        resources = one.spec.resources if limits is None else one.spec.resources.within(limits)
        used.add(one, resources.memory)
        return True

    @property
    def rows(self) -> Sequence[UsedBy]:
        """All values, the one with most container time first."""
        found = [UsedBy(value, used) for value, used in self.by_value.items()]
        return sorted(found, key=lambda row: (-row.used.time, -row.used.ended, row.value is None, row.value or ""))


def _seconds(time: int) -> float:
    return time / 1000


def _gib_hours(amount: int) -> float:
    return round(amount / GIB_HOUR, 6)


FIGURES: Mapping[str, Callable[[Used], float]] = {
    "executions": lambda used: used.ended,
    "failures": lambda used: used.failed,
    "runs": lambda used: used.runs,
    "containerSeconds": lambda used: _seconds(used.time),
    "measuredRuns": lambda used: used.measured,
    "measuredSeconds": lambda used: _seconds(used.measured_time),
    "processorSeconds": lambda used: _seconds(used.processor),
    "memoryPeakGibHours": lambda used: _gib_hours(used.peak),
    "limitedRuns": lambda used: used.limited,
    "limitedSeconds": lambda used: _seconds(used.limited_time),
    "memoryLimitGibHours": lambda used: _gib_hours(used.limit),
}
"""Each figure by its name in answers, which is its column's in CSV, too."""

NO_VALUE = "(none)"
"""In CSV, what stands for executions without such a label, or without a pool."""
FORMULA = re.compile(r"[\s\x00-\x1f]*[=+\-@＝＋－＠]")
"""How a cell begins that a spreadsheet would take for a formula."""


def csv_cell(text: str) -> str:
    """A text as a spreadsheet shows it, and does not run it: with an apostrophe before what would begin a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def usage_csv(by: str, rows: Iterable[UsedBy]) -> str:
    """A table by RFC 4180, with a heading. The first column is named after what it is by; it says ``NO_VALUE`` where there is none. All
    cells have quotes: a spreadsheet that separates cells by another character finds none inside a value."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow([csv_cell(by), *FIGURES])
    for row in rows:
        writer.writerow([csv_cell(NO_VALUE if row.value is None else row.value), *(f"{read(row.used):.10g}" for read in FIGURES.values())])
    return text.getvalue()
