"""The types of the settings of retention, and of a pool's ``retention``."""

from collections.abc import Callable

from fastlane.config.types import DURATION, KeyReaders, SettingType, read_number, read_table
from fastlane.models.container.options import read_size, show_size
from fastlane.models.retention import LEAST_AGE, MOST_EXECUTIONS, Retention, show_age

LEAST_TOTAL, DEFAULT_TOTAL = 1024**2, 10 * 1024**3
"""Bytes of all logs: the least that a setting may say, and what it says by default."""
NONE = "none"
"""In a setting: there is no such rule."""


def read_age(value: object) -> int:
    """An age in milliseconds. Raises ValueError."""
    milliseconds: int = round(DURATION.read(value) * 1000)
    if milliseconds < LEAST_AGE:
        raise ValueError(f"must be at least {show_age(LEAST_AGE)}")
    return milliseconds


def read_most(value: object) -> int:
    """How many executions of a job stay. Raises ValueError."""
    return read_number(value, 1, MOST_EXECUTIONS)


KEYS: KeyReaders = {
    "jobs": ("jobs", read_age),
    "executions": ("executions", read_age),
    "maxExecutions": ("max_executions", read_most),
    "logs": ("logs", read_age),
}


def read_retention(value: object) -> Retention:
    """The rules of a pool."""
    return Retention(**read_table(value, KEYS))


def show_retention(retention: Retention) -> dict[str, object]:
    """The rules as they are written."""
    ages = {"jobs": retention.jobs, "executions": retention.executions, "logs": retention.logs}
    row: dict[str, object] = {key: show_age(age) for key, age in ages.items() if age is not None}
    return row if retention.max_executions is None else {**row, "maxExecutions": retention.max_executions}


def _or_none(read: Callable[[object], int]) -> Callable[[object], int | None]:
    """A reader that also takes the word for no rule."""

    def read_it(value: object) -> int | None:
        return None if isinstance(value, str) and value.strip().lower() == NONE else read(value)

    return read_it


def _read_total(value: object) -> int:
    return read_size(value, LEAST_TOTAL)


TOTAL = SettingType(_or_none(_read_total), lambda size: NONE if size is None else show_size(size))
AGE = SettingType(_or_none(read_age), lambda age: NONE if age is None else show_age(age))
RATE = SettingType(_or_none(lambda value: read_number(value, 1, 1_000_000)), lambda rate: NONE if rate is None else str(rate))
MOST = SettingType(_or_none(read_most), lambda most: NONE if most is None else str(most))
