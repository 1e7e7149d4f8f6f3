"""Reads and changes calendars, and checks that those which a job names exist.

Each change is one write to the calendar's row, before which its event is recorded. So a process that ends between the two leaves an event
of a change that was not made, and no change is without one. The same request again makes the change.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from fastlane.errors import Changed, Conflict, Fault, Invalid, NotFound, known_names
from fastlane.icalendar_file import read_icalendar
from fastlane.models.access import Requester, may_see
from fastlane.models.calendar import MOST_CALENDARS, Calendar, CalendarDates
from fastlane.models.event import Event, EventKind
from fastlane.models.ids import new_id
from fastlane.models.job import ANY, ExpectedVersions, Job
from fastlane.models.schedule import Schedule
from fastlane.models.skip_dates import MAX_CALENDARS
from fastlane.services.jobs import Edit
from fastlane.services.parts import Service, ServiceParts
from fastlane.storage.base import find_job

log = structlog.get_logger()

FIELD = "skipDates"
PAGE = 200
MOST_SHOWN = 20
"""Jobs of a calendar that an answer names."""
TRIES = 8


@dataclass(frozen=True, slots=True)
class CalendarView:
    """A calendar, and the jobs that name it: how many, and the first that the caller may see, as (task, job)."""

    calendar: Calendar
    used_by: int = 0
    jobs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CalendarDeleted:
    """A calendar that was deleted, and how many jobs name it still."""

    name: str
    used_by: int


class Calendars(Service):
    """The calendars of the settings and of the store. ``visible``: the pattern of the tasks whose jobs may be named; None: all. Each
    method raises StoreDown."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._reading = asyncio.Lock()

    async def all(self) -> list[CalendarView]:
        """All calendars, by name, with how many jobs name each."""
        calendars, counts = await self._calendars.all(), dict[str, int]()
        for job in await self._naming():
            for one in job.schedule.calendars:
                counts[one.name] = counts.get(one.name, 0) + 1
        return [CalendarView(one, counts.get(one.id, 0)) for one in calendars]

    async def get(self, name: str, visible: str | None = None) -> CalendarView:
        """One calendar. Raises NotFound."""
        found = await self._find(name)
        users = await self._users(name)
        return CalendarView(found, len(users), tuple((job.task_id, job.id) for job in _shown(users, visible)))

    async def read_icalendar(self, text: str) -> CalendarDates:
        """The dates of an iCalendar file. One file is read at a time. Raises Invalid."""
        async with self._reading:
            return await read_icalendar(text, self._clock.now())

    async def put(
        self, name: str, dates: CalendarDates, expected: ExpectedVersions | None, by: Requester | None = None, visible: str | None = None
    ) -> CalendarView:
        """Makes a calendar, or replaces its dates. Raises Conflict for one of the settings, and when there are too many; Changed."""
        self._check_writable(name)
        id = new_id(self._clock.now())
        for _ in range(TRIES):
            seen = await self._stored(name)
            _check_version(name, seen, expected)
            if seen is None and len(await self._store.calendars.names(MOST_CALENDARS)) >= MOST_CALENDARS:
                raise Conflict(f"there are {MOST_CALENDARS:,} calendars, and there may be no more; delete some that no job names")
            if seen is not None and (seen.dates, seen.known_until) == (dates.texts, dates.known_until):
                return await self.get(name, visible)
            after = (seen or Calendar(name, ())).changed(dates, by, self._clock.now())
            await self._record(EventKind.CALENDAR_WRITTEN, id, by, calendar=name, count=len(dates.texts))
            if await self._store.calendars.write(after):
                log.info("calendar.written", calendar=name, count=len(dates.texts))
                return await self.get(name, visible)
        raise _changed_meanwhile(name)

    async def delete(
        self,
        name: str,
        expected: ExpectedVersions | None,
        *,
        force: bool = False,
        by: Requester | None = None,
        visible: str | None = None,
    ) -> CalendarDeleted:
        """Deletes a calendar. Raises NotFound, Changed, and Conflict for one of the settings; without ``force`` also while jobs name it."""
        self._check_writable(name)
        id = new_id(self._clock.now())
        for _ in range(TRIES):
            seen = await self._stored(name)
            if seen is None:
                await self._find(name)
                continue
            _check_version(name, seen, expected)
            users = await self._users(name)
            if users and not force:
                raise Conflict(_still_used(name, users, visible))
            await self._record(EventKind.CALENDAR_DELETED, id, by, calendar=name, forced=force, used=len(users))
            if await self._store.calendars.delete(seen):
                log.info("calendar.deleted", calendar=name, forced=force, used=len(users))
                return CalendarDeleted(name, len(users))
        raise _changed_meanwhile(name)

    async def known(self, schedule: Schedule, before: Schedule | None = None) -> Schedule:
        """The schedule, which knows the dates of the calendars that it names. Raises Invalid for one that does not exist, unless the
        schedule ``before`` named it already."""
        names = [one.name for one in schedule.calendars]
        if not names:
            return schedule
        found = await self._calendars.named(names)
        kept = () if before is None else before.calendars
        faults = []
        if len(names) > MAX_CALENDARS:
            faults.append(Fault(FIELD, f"names {len(names)} calendars, and {MAX_CALENDARS} are the most; join some in one calendar"))
        for place, one in enumerate(schedule.skip):
            if one in schedule.calendars and str(one) not in found and one not in kept:
                known = await self._calendars.names()
                words = f"is not the name of a calendar; {known_names(str(one), 'calendar', known)}; PUT /calendars/{one} makes it"
                faults.append(Fault(f"{FIELD}.{place}", words))
        if faults:
            raise Invalid(faults)
        return await self._calendars.schedule(schedule)

    async def known_edit(self, task_id: str, job_id: str, edit: Edit) -> Schedule:
        """The schedule that a job has after an edit, likewise. Raises what the edit raises, and NotFound."""
        seen = await find_job(self._store, task_id, job_id)
        return await self.known(edit(seen, self._clock.now())[1], seen.schedule)

    async def _find(self, name: str) -> Calendar:
        found = (await self._calendars.named([name])).get(name)
        if found is None:
            known = await self._calendars.names()
            raise NotFound(f"there is no calendar {name[:200]!r}; {known_names(name, 'calendar', known)}")
        return found

    async def _stored(self, name: str) -> Calendar | None:
        """The calendar in the store. Raises Conflict for one that cannot be read."""
        found = await self._store.calendars.named([name])
        if name in found and found[name] is None:
            raise Conflict(f"the stored calendar {name} cannot be read; the server's log says why (store.row_unreadable)")
        return found.get(name)

    def _check_writable(self, name: str) -> None:
        if name in self._calendars.settings:
            raise Conflict(f"the settings have the calendar {name}; change it there, and restart the servers and workers")

    async def _naming(self) -> list[Job]:
        """The jobs that name any calendar."""
        found: list[Job] = []
        while True:
            page = await self._store.calendars.jobs_naming(PAGE, found[-1].id if found else "")
            found += page
            if len(page) < PAGE:
                return found

    async def _users(self, name: str) -> list[Job]:
        return [job for job in await self._naming() if any(one.name == name for one in job.schedule.calendars)]

    async def _record(self, kind: EventKind, id: str, by: Requester | None, **detail: Any) -> None:
        await self._store.add_events([Event.now(kind, self._clock.now(), by, id=id, **detail)])


def _check_version(name: str, seen: Calendar | None, expected: ExpectedVersions | None) -> None:
    if expected is None:
        return
    if seen is None:
        raise Changed(f"there is no calendar {name} yet, so it has none of the versions in If-Match; leave If-Match out to create it")
    if ANY not in expected.versions and seen.tag not in expected.versions:
        raise Changed(f"calendar {name} has changed since you read it; GET it again, and make your change to what it is now")


def _shown(users: Sequence[Job], visible: str | None) -> Sequence[Job]:
    return [job for job in users if may_see(visible, job.task_id)][:MOST_SHOWN]


def _still_used(name: str, users: Sequence[Job], visible: str | None) -> str:
    shown = _shown(users, visible)
    some = ", ".join([*(f"{job.task_id}/{job.id}" for job in shown), *(["…"] if len(users) > len(shown) else [])])
    many = f"{len(users):,} jobs name" if len(users) > 1 else "1 job names"
    return (
        f"{many} the calendar {name} in skipDates: {some}; take it out there, or add ?force=1, with which ticks are skipped "
        "until a calendar of that name exists"
    )


def _changed_meanwhile(name: str) -> Conflict:
    return Conflict(f"the calendar {name} was changed by others again and again meanwhile; look at it, and try again")
