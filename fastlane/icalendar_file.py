"""Reads iCalendar files, in a process of its own.

A file comes from a person, or from anyone whose calendar that person trusts. A rule in it may have no end, or need years of computing for
nothing. So it is read by a child process with a limit of time and memory, and the servers never load the library. The child gets the file
on its standard input, and answers in JSON. It has none of the server's variables, which may be secrets.

Counts whole days: events with dates, and events that begin and end at midnight by their own clock. Events with times of day and cancelled
ones are left out.
"""

import asyncio
import json
import re
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from fastlane.errors import Fault, Invalid
from fastlane.models.calendar import MOST_DATES, MOST_WORDS, CalendarDates, entry_text, in_order
from fastlane.models.skip_dates import DateRange

BEGIN = "BEGIN:VCALENDAR"
MOST_BYTES, MOST_EVENTS = 256 * 1024, 2_000
"""Of a file."""
YEARS_BACK, YEARS_AHEAD = 1, 10
"""The years before and after this one in which the dates of rules are computed."""
DEADLINE, PROCESSOR_SECONDS, MEMORY = 60.0, 3, 512 * 1024**2
"""Limits of the child: seconds, seconds of a processor, bytes."""
WITHIN_A_DAY = ("SECONDLY", "MINUTELY", "HOURLY")
FIELD = "icalendar"
BROKEN = r"Cannot access '\w+' on broken property '([\w-]+)' \(expected '\w+'\): "
"""How the library begins what it says of a value that it cannot read."""
TOO_MUCH = "takes too long or too much memory to read; give the dates themselves, or rules that occur at most once a day"


def is_icalendar(body: bytes) -> bool:
    """Whether a body is an iCalendar file, whatever its Content-Type says."""
    return body[:64].decode(errors="ignore").lstrip("\ufeff \t\r\n").upper().startswith(BEGIN)


async def read_icalendar(text: str, now: int) -> CalendarDates:
    """The dates of a file. ``now`` in milliseconds. Raises Invalid, which says what is wrong with the file."""
    data = text.encode("utf-8", "surrogateescape")
    if len(data) > MOST_BYTES:
        raise Invalid([Fault(FIELD, f"is larger than {MOST_BYTES // 1024} KiB; leave out old events")])
    today = datetime.fromtimestamp(now / 1000, UTC).date()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "fastlane.icalendar_file", str(today.year)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        async with asyncio.timeout(DEADLINE):
            answer, _ = await child.communicate(data)
    except TimeoutError:
        answer = b""
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    found = json.loads(answer) if child.returncode == 0 and answer else {"fault": TOO_MUCH}
    if "fault" in found:
        raise Invalid([Fault(FIELD, found["fault"])])
    return CalendarDates(tuple(found["dates"]), found["knownUntil"])


class UnreadableFile(ValueError):
    """What is wrong with a file, in words that follow its name."""


@dataclass(frozen=True, slots=True)
class _WholeDays:
    """An event of whole days: its first date, how many it has, and its words."""

    first: date
    days: int
    words: str


def dates_of(text: str, year: int) -> CalendarDates:
    """The dates of a file, as they are known in this year. Raises UnreadableFile. It may take any time."""
    from dateutil.rrule import rruleset, rrulestr
    from icalendar import Calendar

    try:
        calendars = Calendar.from_ical(text, multiple=True)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UnreadableFile(f"is not an iCalendar file: {str(error)[:200] or type(error).__name__}") from None
    events: list[Any] = [event for calendar in calendars for event in calendar.walk("VEVENT")]
    if len(events) > MOST_EVENTS:
        raise UnreadableFile(f"has {len(events):,} events, and {MOST_EVENTS:,} are read; leave out old ones")
    first, last = date(year - YEARS_BACK, 1, 1), date(year + YEARS_AHEAD, 12, 31)
    replaced = {(str(event.get("UID")), _day(event["RECURRENCE-ID"].dt)) for event in events if "RECURRENCE-ID" in event}
    texts, ends = set[str](), True
    for event in events:
        own = _whole_days(event)
        if own is None:
            continue
        starts: Iterator[date] = iter([own.first])
        if "RRULE" in event or "RDATE" in event:
            rules = rruleset()
            for rule in _listed(event, "RRULE"):
                if str(rule["FREQ"][0]).upper() in WITHIN_A_DAY:
                    raise UnreadableFile(f"has a rule with FREQ={rule['FREQ'][0]}; give a rule for whole days, such as YEARLY")
                until = rule.pop("UNTIL", None)
                ends = ends and until is not None and _day(until[0]) <= last
                stop = min(_day(until[0]), last) if until is not None else last
                made = rrulestr(rule.to_ical().decode(), dtstart=_midnight(own.first))
                rules.rrule(made.replace(until=None if "COUNT" in rule else _midnight(stop)))  # both together are deprecated
            for day in _dates(event, "RDATE"):
                rules.rdate(_midnight(day))
            rules.rdate(_midnight(own.first))
            for day in _dates(event, "EXDATE"):
                rules.exdate(_midnight(day))
            starts = (moment.date() for moment in rules)
        for start in starts:
            if start > last:
                break
            end = start + timedelta(days=own.days - 1)
            if end < first or ("RECURRENCE-ID" not in event and (str(event.get("UID")), start) in replaced):
                continue
            texts.add(entry_text(DateRange(start, end), own.words))
            if len(texts) > MOST_DATES:
                raise UnreadableFile(f"has more than {MOST_DATES:,} dates from {first} to {last}; leave out some")
    if not texts:
        raise UnreadableFile(f"has no event of whole days from {first} to {last}")
    return CalendarDates(in_order(texts), None if ends else str(last))


def _whole_days(event: Any) -> _WholeDays | None:
    """An event of whole days; None for another one. Raises UnreadableFile."""
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        return None
    if "DTSTART" not in event:
        raise UnreadableFile("has an event without DTSTART")
    start = event["DTSTART"].dt
    end = event["DTEND"].dt if "DTEND" in event else start + event["DURATION"].dt if "DURATION" in event else None
    is_midnight = isinstance(start, datetime) and isinstance(end, datetime) and end > start and start.time() == end.time() == time()
    if isinstance(start, datetime) and not is_midnight:
        return None
    if end is not None and isinstance(start, datetime) != isinstance(end, datetime):
        raise UnreadableFile("has an event that begins with a date and ends with a time, or the other way round")
    if end is not None and _day(end) < _day(start):
        raise UnreadableFile("has an event that ends before it begins")
    days = 1 if end is None else max(1, (_day(end) - _day(start)).days)
    words = " ".join("".join(one if one.isprintable() else " " for one in str(event.get("SUMMARY", ""))).split())
    return _WholeDays(_day(start), days, words[:MOST_WORDS].strip())


def _day(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _listed(event: Any, name: str) -> list[Any]:
    found = event.get(name, [])
    return [dict_like.copy() for dict_like in (found if isinstance(found, list) else [found])]


def _dates(event: Any, name: str) -> list[date]:
    found = event.get(name, [])
    rows = found if isinstance(found, list) else [found]
    return [_day(one.dt[0] if isinstance(one.dt, tuple) else one.dt) for row in rows for one in row.dts]


def main() -> None:
    """Reads a file from the standard input, with limits, and writes its dates or its fault."""
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS + 1))
    if sys.platform == "linux":  # elsewhere the limit counts what a process maps and never uses
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        found = dates_of(sys.stdin.buffer.read(MOST_BYTES + 1).decode("utf-8-sig", "replace"), int(sys.argv[1]))
        answer: dict[str, Any] = {"dates": found.texts, "knownUntil": found.known_until}
    except UnreadableFile as error:
        answer = {"fault": str(error)}
    except (LookupError, TypeError, AttributeError):  # the library's, whose words are about its own parts
        answer = {"fault": "cannot be read: an event lacks what it needs, has it twice, or has a value of another kind; see RFC 5545"}
    except (ValueError, ArithmeticError, RuntimeError) as error:
        words = re.sub(BROKEN, r"\1: ", str(error))
        answer = {"fault": f"cannot be read: {words[:200] or type(error).__name__}"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
