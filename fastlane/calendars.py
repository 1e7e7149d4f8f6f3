"""Calendars as they are now, from the settings and the store as one, and the jobs that know their dates.

A calendar is read from the store whenever it is needed, so a change of it counts for each tick that has not been decided. Nothing is read
for a job that names none.
"""

from collections.abc import Iterable, Mapping, Sequence

from fastlane.models.calendar import MOST_CALENDARS, Calendar, with_dates
from fastlane.models.job import Job
from fastlane.models.schedule import Schedule
from fastlane.storage.base import CalendarStore

PAGE = 100
"""Calendars that are read together."""
MOST_NAMES = 2 * MOST_CALENDARS
"""Names that are read: writes at once may make more calendars than there may be."""


class CalendarBook:
    """The calendars of one process. ``settings``: those that its settings have; one of the same name in the store does not count."""

    def __init__(self, store: CalendarStore, settings: Sequence[Calendar] = ()) -> None:
        self._store = store
        self.settings: Mapping[str, Calendar] = {one.id: one for one in settings}

    async def named(self, names: Iterable[str]) -> Mapping[str, Calendar | None]:
        """The calendars with these names that exist; None: its row cannot be read. Raises StoreDown."""
        wanted = list(dict.fromkeys(names))
        stored = await self._store.named([name for name in wanted if name not in self.settings])
        return {**stored, **{name: self.settings[name] for name in wanted if name in self.settings}}

    async def all(self) -> list[Calendar]:
        """All calendars whose rows can be read, by name. Raises StoreDown."""
        found, after = dict(self.settings), ""
        while True:
            page = await self._store.all(PAGE, after)
            found = {**{one.id: one for one in page}, **found}
            if len(page) < PAGE:
                return sorted(found.values(), key=lambda one: one.id)
            after = page[-1].id

    async def names(self) -> list[str]:
        """The names of all calendars, in order. Raises StoreDown."""
        return sorted({*self.settings, *await self._store.names(MOST_NAMES)})

    async def job(self, job: Job) -> Job:
        """The job, which knows the dates of the calendars that it names. Raises StoreDown."""
        return (await self.jobs([job]))[0]

    async def jobs(self, jobs: Sequence[Job]) -> list[Job]:
        """These jobs likewise."""
        names = [one.name for job in jobs if job.schedule.skip for one in job.schedule.calendars]
        if not names:
            return list(jobs)
        calendars = await self.named(names)
        return [with_dates(job, calendars) for job in jobs]

    async def schedule(self, schedule: Schedule) -> Schedule:
        """A schedule likewise."""
        names = [one.name for one in schedule.calendars]
        return with_dates(schedule, await self.named(names)) if names else schedule
