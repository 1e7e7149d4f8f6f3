"""What pieces of a forecast come to, for ``fastlane forecast``: a row for each day or hour, and what is remarkable in the whole range."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastlane.cli.client.output import counted, moment
from fastlane.cli.client.reference import short

HOURS_OF_ROWS = 72
"""A forecast of this many hours at most has a row for each; a longer one has a row for each day."""
MOST_COLLISIONS, MOST_NOTES, MOST_QUIET = 5, 20, 5
ONCE = ("overruns", "timeout", "unknown")
"""Kinds of notes that say the same in each piece."""


NOTHING = {"due": 0, "skipped": 0, "busiestMinute": None, "busiestDue": 0, "quietMinutes": 0, "hours": 0}


def minute(text: str) -> str:
    """A minute in the zone of this machine."""
    return f"{moment(text).astimezone():%Y-%m-%d %H:%M}"


class ForecastSum:
    """Takes the pieces of a forecast, in order. ``by_hour``: it has a row for each hour, and not for each day."""

    def __init__(self, *, by_hour: bool) -> None:
        self._by_hour = by_hour
        self._rows: dict[str, dict[str, Any]] = {}
        self._notes: dict[tuple[str, str, str], Any] = {}
        self._collisions: list[Any] = []
        self._minutes = [0] * 60
        self.pools: Mapping[str, Any] = {}
        self.jobs = 0
        self.at_least = False

    def add(self, piece: Mapping[str, Any]) -> None:
        """Takes the next piece."""
        self.pools, self.jobs, self.at_least = piece["pools"], piece["jobs"], self.at_least or piece.get("atLeast", False)
        for hour in piece["hours"]:
            self._add_hour(hour)
        self._minutes = [one + other for one, other in zip(self._minutes, piece["dueByMinute"], strict=True)]
        self._collisions = sorted([*self._collisions, *piece["collisions"]], key=lambda one: (-one["due"], one["minute"]))[:MOST_COLLISIONS]
        for note in piece["notes"]:
            words = "" if note["kind"] in ONCE else note["text"]
            self._notes.setdefault((note["kind"], note["jobId"], words), note)

    def _add_hour(self, hour: Mapping[str, Any]) -> None:
        begins: datetime = moment(hour["hour"]).astimezone()
        name = f"{begins:%Y-%m-%d %H:%M}" if self._by_hour else f"{begins:%Y-%m-%d}"
        row = self._rows.setdefault(name, {"begins": name, **NOTHING, "pools": {}})
        row["hours"] += 1
        for field in ("due", "skipped", "quietMinutes"):
            row[field] += hour[field]
        if hour["busiestDue"] > row["busiestDue"]:
            row["busiestMinute"], row["busiestDue"] = hour["busiestMinute"], hour["busiestDue"]
        for pool, found in hour["pools"].items():
            sum_ = row["pools"].setdefault(pool, {"due": 0, "load": 0, "peak": 0})
            sum_["due"] += found["due"]
            sum_["load"] += found["load"]
            sum_["peak"] = max(sum_["peak"], found["peak"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows, in order. The load of a pool is the average over the row's hours."""
        found = []
        for row in self._rows.values():
            pools = {name: {**pool, "load": round(pool["load"] / row["hours"], 3)} for name, pool in sorted(row["pools"].items())}
            found.append({**{name: value for name, value in row.items() if name != "hours"}, "pools": pools})
        return found

    def words(self) -> list[str]:
        """What is remarkable, a line each."""
        return [*self._full(), *self._in_one_minute(), *self._quiet(), *self._of_jobs()]

    def _full(self) -> list[str]:
        lines = []
        for name, pool in self.pools.items():
            over = [row for row in self._rows.values() if row["pools"].get(name, {"peak": 0})["peak"] > pool["maxRunning"]]
            if over:
                top = max(over, key=lambda row: row["pools"][name]["peak"])
                what = counted(len(over), "hour" if self._by_hour else "day")
                peak = top["pools"][name]["peak"]
                lines.append(f"pool {name}: full in {what}; up to {peak} at once ({top['begins']}), and {pool['maxRunning']} may run")
        return lines

    def _in_one_minute(self) -> list[str]:
        return [_collision(one) for one in self._collisions]

    def _quiet(self) -> list[str]:
        if not sum(self._minutes):
            return []
        quiet = sorted(range(60), key=lambda minute: (self._minutes[minute], minute))[:MOST_QUIET]
        busy = max(range(60), key=lambda minute: self._minutes[minute])
        named = ", ".join(f":{minute:02}" for minute in sorted(quiet))
        return [f"quiet minutes of the hour: {named}; the busiest is :{busy:02}, with {self._minutes[busy]} due"]

    def _of_jobs(self) -> list[str]:
        lines = [
            f"{note['kind']}: {note['name'] + ': ' if note['name'] else ''}{short(note['taskId'], note['jobId'])} {note['text']}"
            for note in self._notes.values()
        ]
        return lines[:MOST_NOTES] + ([f"{len(lines) - MOST_NOTES} more notes"] if len(lines) > MOST_NOTES else [])


def _collision(one: Mapping[str, Any]) -> str:
    names = ", ".join(short(job["taskId"], job["jobId"]) for job in one["jobs"])
    return f"{minute(one['minute'])}: {one['due']} due in one minute: {names}{' and others' if one['due'] > len(one['jobs']) else ''}"


def impact_lines(found: Mapping[str, Any] | None) -> list[str]:
    """What a job would do to its pool, a line each; none when that is not known."""
    if found is None:
        return []
    lines = [f"forecast: {found['due']} due until {minute(found['until'])}; at most {found['peakWith']} run at once in its pool"]
    lines[0] += f" ({found['peakBefore']} without it), and {found['maxRunning']} may"
    if found["fullHoursWith"]:
        lines.append(f"the pool is full in {counted(found['fullHoursWith'], 'hour')} ({found['fullHoursBefore']} without it)")
    if found["sharedMinutes"]:
        quiet = ", ".join(f":{number:02}" for number in found["quietMinutes"])
        lines.append(
            f"in {counted(found['sharedMinutes'], 'minute')} of these others are due, too: {found['othersThen']} at "
            f"{minute(found['fullestMinute'])}; quiet minutes of the hour: {quiet}"
        )
    return lines
