"""Calendars: the body that gives their dates, and their forms in answers."""

from collections.abc import Sequence

from fastlane.icalendar_file import MOST_BYTES
from fastlane.models.calendar import DATES_EXAMPLE, MOST_DATES, MOST_WORDS, read_text
from fastlane.models.skip_dates import PATTERN
from fastlane.services.calendars import MOST_SHOWN, CalendarDeleted, CalendarView
from fastlane.web.api import serializer as show
from fastlane.web.api.actions import JOB_LINK
from fastlane.web.api.body import BodyField, BodyObject, array, list_of
from fastlane.web.api.executions import REQUESTER
from fastlane.web.api.serializer import Serializer


def _file(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is not the text of an iCalendar file")
    return value


CALENDAR_BODY = BodyObject(
    "a calendar",
    "CalendarDates",
    False,
    dates=BodyField(
        list_of(read_text, MOST_DATES, "2026-12-24..2026-12-26"),
        {
            **array(
                {"type": "string", "pattern": rf"^{PATTERN}(?:\.\.{PATTERN})?(?: [^\u0000-\u001f\u007f-\u009f]{{0,{MOST_WORDS}}})?$"},
                MOST_DATES,
            ),
            "examples": [["2026-12-24..2026-12-26", "2027-01-01 New Year's Day"]],
        },
        "Dates and ranges of dates, each with words for people behind it if you like.",
    ),
    icalendar=BodyField(
        _file,
        {"type": "string", "minLength": 1, "maxLength": MOST_BYTES},
        "The text of an iCalendar file, instead of the dates: its events of whole days count.",
    ),
)
"""The body of ``PUT /calendars/NAME``; a file may be the whole body as well."""
NEITHER_OR_BOTH = f'needs either dates or icalendar; write {{"dates": {DATES_EXAMPLE}}}, or send an iCalendar file as the body'

CALENDAR_SUMMARY = Serializer[CalendarView](
    "CalendarSummary",
    "A calendar in short.",
    name=show.string(lambda view: view.calendar.id, "Its name, which skipDates of jobs name."),
    calendarUrl=show.url(lambda view, render: render.calendar_url(view.calendar.id), "The calendar."),
    count=show.integer(lambda view: len(view.calendar.dates), "How many dates and ranges it has."),
    knownUntil=show.string(
        lambda view: view.calendar.known_until,
        "The last date up to which the rules of its iCalendar file were followed; null: it has no rule without end.",
        null=True,
        format="date",
    ),
    inSettings=show.boolean(lambda view: view.calendar.is_of_settings, "Whether the settings have it, so that it is changed there."),
    usedBy=show.integer(lambda view: view.used_by, "How many jobs name it."),
    changedAt=show.timestamp(lambda view: view.calendar.changed_at or None, "When it changed last; null: in the settings.", null=True),
)

CALENDARS = Serializer[Sequence[CalendarView]](
    "Calendars",
    "All calendars, by name.",
    items=show.array(CALENDAR_SUMMARY, lambda views: views),
)

CALENDAR = Serializer[CalendarView](
    "Calendar",
    "A calendar: dates on which ticks of the jobs that name it are skipped.",
    calendar=show.flattened(CALENDAR_SUMMARY, lambda view: view),
    dates=show.strings(lambda view: view.calendar.dates, "Its dates and ranges of dates, each with words for people behind it."),
    changedBy=show.nested(REQUESTER, lambda view: view.calendar.changed_by, null=True),
    jobs=show.array(JOB_LINK, lambda view: view.jobs, f"The first {MOST_SHOWN} jobs that name it and that you may see."),
)

CALENDAR_DELETED = Serializer[CalendarDeleted](
    "CalendarDeleted",
    "A calendar that was deleted.",
    name=show.string(lambda one: one.name, "Its name."),
    usedBy=show.integer(lambda one: one.used_by, "How many jobs name it still: their ticks are skipped until it exists again."),
)
