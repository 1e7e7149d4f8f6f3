"""The time of day by which each tick of a job must have succeeded (``doneBy``). Pure.

When the clocks change, a time of day is due as in a cron with fixed times: one that does not exist when the clocks change, one that
occurs twice the first time.
"""

import re

from fastlane.models.cron import Cron, last_tick, next_tick
from fastlane.models.schedule import Schedule

DAY = 86_400_000
TIME = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]"


def read_time(value: object) -> str:
    """Reads a time of day, in the form ``06:00``. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(TIME, value, re.ASCII):
        raise ValueError('is not a time of day; write one such as "06:00" or "23:30", in the time zone of the job')
    return value.zfill(5)


def deadline_of(schedule: Schedule, done_by: str, due: int) -> int | None:
    """By when the tick that is due at ``due`` must have succeeded (milliseconds): the first such time of day after it, in the job's zone;
    None without a cron."""
    return None if schedule.own_zone is None else next_tick(_daily(schedule.own_zone, done_by), due)


def _daily(timezone: str, done_by: str) -> Cron:
    hour, minute = map(int, done_by.split(":"))
    return Cron(f"{minute} {hour} * * *", timezone)


def is_deadline(schedule: Schedule, done_by: str, moment: int) -> bool:
    """Whether a tick that is not skipped is to have succeeded by this moment: a calendar may have changed since that was computed."""
    if schedule.cron is None or schedule.own_zone is None:
        return False
    before = last_tick(_daily(schedule.own_zone, done_by), moment - 3 * DAY, moment - 1)
    first = schedule.unskipped_from(next_tick(schedule.cron, (moment - DAY if before is None else before) - 1))
    return first is not None and first < moment


def deadline_from(schedule: Schedule, done_by: str, due: int | None) -> int | None:
    """By when the first tick from ``due`` on must have succeeded. Ticks on skipped dates are passed over; None when no other comes."""
    expected = schedule.unskipped_from(due)
    return None if expected is None else deadline_of(schedule, done_by, expected)
