"""Calendars: dates that jobs skip by one name."""

from fastlane.errors import Fault, Invalid
from fastlane.icalendar_file import is_icalendar
from fastlane.models.calendar import CalendarDates, in_order, read_name
from fastlane.services.calendars import CalendarView
from fastlane.web.api.calendars import CALENDAR, CALENDAR_BODY, CALENDAR_DELETED, CALENDARS, NEITHER_OR_BOTH
from fastlane.web.api.contract import ETAG, flag, read_if_match
from fastlane.web.handler import Handler
from fastlane.web.http.query import read_flag
from fastlane.web.routing import ADMIN, route

NAMED = "/calendars/{calendar}"


@route("GET", "/calendars", "listCalendars", CALENDARS)
async def list_calendars(handler: Handler) -> object:
    """All calendars: of the settings, and put by requests."""
    return await handler.services.calendars.all()


@route("GET", NAMED, "getCalendar", CALENDAR, etag=True, refusals=(404,))
async def get_calendar(handler: Handler, calendar: str) -> object:
    """The calendar: its dates, and the jobs that name it."""
    return _tagged(handler, await handler.services.calendars.get(calendar, handler.visible_tasks))


@route(
    "PUT",
    NAMED,
    "putCalendar",
    CALENDAR,
    body=CALENDAR_BODY,
    etag=True,
    conditional=True,
    refusals=(409,),
    access=ADMIN,
    more="The body has the dates, or is an iCalendar file. A change counts for each tick that has not been decided.",
)
async def put_calendar(handler: Handler, calendar: str) -> object:
    """Makes the calendar, or replaces its dates."""
    expected = read_if_match(handler.request.headers)
    try:
        name = read_name(calendar)
    except ValueError as error:
        raise Invalid([Fault("calendar", str(error))]) from None
    dates = await _dates(handler)
    return _tagged(handler, await handler.services.calendars.put(name, dates, expected, handler.requester, handler.visible_tasks))


@route(
    "DELETE",
    NAMED,
    "deleteCalendar",
    CALENDAR_DELETED,
    query={"force": flag("Deletes it although jobs name it: their ticks are skipped until a calendar of that name exists.")},
    conditional=True,
    refusals=(404, 409),
    access=ADMIN,
)
async def delete_calendar(handler: Handler, calendar: str) -> object:
    """Deletes the calendar, unless a job names it."""
    force, expected = read_flag(handler.query, "force"), read_if_match(handler.request.headers)
    return await handler.services.calendars.delete(calendar, expected, force=force, by=handler.requester, visible=handler.visible_tasks)


async def _dates(handler: Handler) -> CalendarDates:
    """The dates in the request's body. Raises Invalid."""
    body = bytes(handler.body)
    if is_icalendar(body):
        return await handler.services.calendars.read_icalendar(body.decode("utf-8", "replace"))
    given = handler.read_body()
    if ("dates" in given) == ("icalendar" in given):
        raise Invalid([Fault("dates", NEITHER_OR_BOTH)])
    if "dates" in given:
        return CalendarDates(in_order(given["dates"]))
    return await handler.services.calendars.read_icalendar(given["icalendar"])


def _tagged(handler: Handler, view: CalendarView) -> CalendarView:
    """The calendar, whose version the answer's head has, unless it is one of the settings."""
    if not view.calendar.is_of_settings:
        handler.set_header(ETAG, f'"{view.calendar.tag}"')
    return view
