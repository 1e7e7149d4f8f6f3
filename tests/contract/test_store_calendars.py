"""What every store promises of calendars: each version is written once, and the jobs that name any are found."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from fastlane.calendars import CalendarBook
from fastlane.clock import SystemClock
from fastlane.errors import NotFound
from fastlane.models.access import Requester
from fastlane.models.calendar import MOST_CALENDARS, Calendar, CalendarDates
from fastlane.models.cron import Cron
from fastlane.models.event import EventKind, Position, Source, Span, at
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.skip_dates import CalendarName, read_skipped
from tests.contract.moving import exported, imported
from tests.contract.stored import types_in
from tests.support.factories import new_job
from tests.support.intercept import Died, intercepted
from tests.support.services import services_of

ANNA = Requester("anna", "::1")
ONE = Calendar("holidays", ()).changed(CalendarDates(("2026-12-24..2026-12-26 Fête", "2027-01-01"), "2036-12-31"), ANNA, 5)


async def test_a_calendar_is_kept_whole_and_each_version_is_written_and_deleted_once(store, open_store):
    assert await store.calendars.named(["holidays"]) == {}
    assert await store.calendars.write(ONE)
    assert not await store.calendars.write(ONE)
    other = await open_store()
    found = (await other.calendars.named(["holidays", "none"]))["holidays"]
    assert (found, types_in(found)) == (ONE, types_in(ONE))
    after = ONE.changed(CalendarDates(("2027-01-01",)), None, 9)
    assert await other.calendars.write(after)
    assert not await store.calendars.write(after)
    assert not await store.calendars.delete(ONE)
    assert await store.calendars.write(replace(ONE, id="a"))
    assert [one.id for one in await store.calendars.all(9)] == ["a", "holidays"]
    assert await store.calendars.all(9, "a") == [after]
    assert [await store.calendars.names(limit) for limit in (9, 1)] == [["a", "holidays"], ["a"]]
    assert await store.calendars.delete(after)
    assert not await store.calendars.delete(after)
    assert list(await store.calendars.named(["holidays", "a"])) == ["a"]


async def test_jobs_that_name_calendars_are_found_until_they_name_none(store, open_store):
    cron = Cron("0 8 * * *", "Europe/Berlin")
    named = Schedule(ScheduleKind.CRON, None, cron, skip=(read_skipped("2026-12-24"), CalendarName("holidays")))
    jobs = [replace(new_job(at=5), schedule=replace(named, skip=skip)) for skip in (named.skip, named.skip, named.skip[:1], ())]
    for job in jobs:
        await store.create(job, None, None)
    both = sorted((jobs[0], jobs[1]), key=lambda job: job.id)
    found = await store.calendars.jobs_naming(9)
    assert [one.id for one in found] == [one.id for one in both]
    assert found[0].schedule == named
    assert [one.id for one in await store.calendars.jobs_naming(9, both[0].id)] == [both[1].id]
    other = await open_store()
    seen = await other.job(both[0].id)
    assert await other.advance(seen, replace(seen, sequence=1, schedule=replace(named, skip=())), [], None)
    assert [one.id for one in await store.calendars.jobs_naming(9)] == [both[1].id]


async def test_an_export_carries_calendars_and_a_job_whose_calendar_is_not_there_waits_for_one_of_its_name(store, other):
    """Whichever of the two stores exports. Of a calendar only its number of changes begins anew."""
    changed = ONE.changed(CalendarDates(("2027-01-01", "2027-05-01 Labour Day")), None, 9)
    assert await store.calendars.write(ONE)
    assert await store.calendars.write(changed)
    cron = Cron("0 8 * * *", "Europe/Berlin")
    jobs = []
    for name in ("holidays", "gone"):
        jobs.append(replace(new_job(at=5), schedule=Schedule(ScheduleKind.CRON, None, cron, skip=(CalendarName(name),))))
        await store.create(jobs[-1], None, None)
    await imported(other, await exported(store))
    assert await other.calendars.all(9) == [replace(changed, version=1)]
    assert await other.calendars.write(replace(changed, version=2))
    assert {one.id for one in await other.calendars.jobs_naming(9)} == {one.id for one in jobs}
    book = CalendarBook(other.calendars)
    known, gone = [await book.job(await other.job(one.id)) for one in jobs]
    assert (known.schedule, gone.schedule) == (jobs[0].schedule, jobs[1].schedule)
    assert known.schedule.unknown_at(5) is None
    assert "which does not exist" in str(gone.schedule.unknown_at(5))
    assert await other.calendars.write(replace(changed, id="gone", version=1))
    assert (await book.job(gone)).schedule.unknown_at(5) is None


async def test_an_export_carries_more_calendars_than_there_may_be(store, other):
    """Two that are put at once may be one too many."""
    names = [f"c{number:04}" for number in range(MOST_CALENDARS + 1)]
    assert all(await asyncio.gather(*(store.calendars.write(Calendar(name, ("2027-01-01",), version=1)) for name in names)))
    await imported(other, await exported(store))
    assert [one.id for one in await other.calendars.all(len(names) + 1)] == names


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["write", "delete"])
async def test_the_same_request_makes_a_change_whose_process_died_between_its_event_and_row(store, open_store, queue, verb, when):
    """``before`` or ``after`` the row is written, and so after the event in either case."""

    def calendars_of(opened):
        return services_of(opened, queue, SystemClock(), ()).calendars

    async def change(service):
        if verb == "write":
            return await service.put("holidays", CalendarDates(("2027-01-02",)), None, ANNA)
        return await service.delete("holidays", None, by=ANNA)

    async def dies(call):
        if when == "after":
            await call.carry()
        raise Died

    assert await store.calendars.write(ONE)
    with intercepted(store.calendars, verb, dies), pytest.raises(Died):
        await change(calendars_of(store))
    rows = [one.dates for one in await store.calendars.all(9)]
    done = [("2027-01-02",)] if verb == "write" else []
    assert rows == (done if when == "after" else [ONE.dates])
    other = await open_store()
    with contextlib.suppress(NotFound):
        await change(calendars_of(other))
    assert [one.dates for one in await store.calendars.all(9)] == done
    wanted = EventKind.CALENDAR_WRITTEN if verb == "write" else EventKind.CALENDAR_DELETED
    events = [one for one in await store.events(Source.RECORDED, Span(at(0), Position(10**14, "~")), 9) if one.kind is wanted]
    assert len(events) == (1 if when == "after" else 2)
    assert {one.actor for one in events} == {ANNA}
