"""The methods of ``CalendarStore``, on top of the verbs over records."""

from collections.abc import Mapping, Sequence

from fastlane.errors import Unreadable
from fastlane.models.calendar import Calendar
from fastlane.models.job import Job
from fastlane.storage import records
from fastlane.storage.records import Part, Rows, by_key, write_version


class CalendarLogic:
    """The methods of ``CalendarStore``, with the verbs alone."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def named(self, names: Sequence[str]) -> Mapping[str, Calendar | None]:
        found: dict[str, Calendar | None] = {}
        for name in names:
            try:
                calendar = await self._rows.get(records.CALENDARS, name)
            except Unreadable as error:
                records.report(str(error))
                found[name] = None
            else:
                if calendar is not None:
                    found[name] = calendar
        return found

    async def all(self, limit: int, after: str = "") -> Sequence[Calendar]:
        return await self._rows.find(by_key(records.CALENDARS), {}, Part(limit, (after,)))

    async def names(self, limit: int) -> Sequence[str]:
        rows = await self._rows.select(by_key(records.CALENDARS), {}, ("id",), Part(limit, ("",)))
        return [row["id"] for row in rows]

    async def write(self, calendar: Calendar) -> bool:
        return await write_version(self._rows, records.CALENDARS, calendar, calendar.version)

    async def delete(self, calendar: Calendar) -> bool:
        seen = {"version": calendar.version, "changed_at": calendar.changed_at}
        return await self._rows.delete(records.CALENDARS, [(calendar.id,)], seen) == 1

    async def jobs_naming(self, limit: int, after: str = "") -> Sequence[Job]:
        return await self._rows.find(records.JOBS_OF_CALENDARS, {}, Part(limit, (after,)))
