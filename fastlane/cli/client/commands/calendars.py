"""The commands ``fastlane calendars``: dates that jobs skip by a name."""

from typing import IO, Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, ForgivingGroup, connect
from fastlane.cli.client.output import Column, ListLayout, OutputForm, echo, form_options, show

CALENDARS = ListLayout(
    (
        Column("CALENDAR", lambda row: row["name"], name=True),
        Column("DATES", lambda row: row["count"], yields=1),
        Column("JOBS", lambda row: row["usedBy"], yields=2),
        Column("KNOWN UNTIL", lambda row: row["knownUntil"] or "", yields=4),
        Column("FROM", lambda row: "settings" if row["inSettings"] else "requests", yields=5),
    ),
    lambda row: str(row["name"]),
)
NAME = click.argument("name", metavar="NAME")


@click.group(cls=ForgivingGroup)
def calendars() -> None:
    """Calendars of dates that jobs skip: `skipDates` of a job may have a calendar's name.

    \b
    Examples:
      fastlane calendars list
      fastlane calendars put holidays holidays.ics
      fastlane calendars put freeze --date 2026-12-18..2027-01-04
    """


@calendars.command("list", cls=ClientCommand)
@form_options
@CONTEXT
def list_calendars(context: str | None, **form: Any) -> None:
    """Lists the calendars, and how many jobs name each.

    \b
    Example:
      fastlane calendars list
    """
    with connect(context) as client:
        show(CALENDARS, client.server.calendars(), OutputForm(**form))


@calendars.command("show", cls=ClientCommand)
@NAME
@CONTEXT
def show_calendar(name: str, context: str | None) -> None:
    """Shows the dates of a calendar, one a line.

    \b
    Example:
      fastlane calendars show holidays
    """
    with connect(context) as client:
        for line in client.server.calendar(name)["dates"]:
            echo(line)


@calendars.command(cls=ClientCommand)
@NAME
@click.argument("file", metavar="[FILE]", required=False, type=click.File(encoding="utf-8-sig"))
@click.option("--date", "dates", multiple=True, metavar="DATE", help="A date, or a range FIRST..LAST; may be repeated.")
@CONTEXT
def put(name: str, file: IO[str] | None, dates: tuple[str, ...], context: str | None) -> None:
    """Makes a calendar, or replaces its dates. FILE is an iCalendar file, or has a date or range a line; - is the standard input.

    \b
    Examples:
      fastlane calendars put holidays holidays.ics
      fastlane calendars put freeze --date 2026-12-18..2027-01-04
    """
    if (file is None) is not bool(dates):
        raise click.UsageError("give either a FILE or dates with --date")
    text = "" if file is None else file.read()
    is_icalendar = text.lstrip().upper().startswith("BEGIN:")
    lines = list(dates) or [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    with connect(context) as client:
        made = client.server.put_calendar(name, None if is_icalendar else lines, icalendar=text if is_icalendar else None)
        until = f", known until {made['knownUntil']}" if made["knownUntil"] else ""
        echo(f"{made['name']}: {made['count']} dates and ranges{until}; {made['usedBy']} jobs name it")


@calendars.command(cls=ClientCommand)
@NAME
@click.option("--force", is_flag=True, help="Although jobs name it: their ticks are skipped until it exists again.")
@CONTEXT
def delete(name: str, force: bool, context: str | None) -> None:
    """Deletes a calendar that no job names.

    \b
    Example:
      fastlane calendars delete holidays
    """
    with connect(context) as client:
        deleted = client.server.delete_calendar(name, force=force)
        left = f"; {deleted['usedBy']} jobs name it still" if deleted["usedBy"] else ""
        echo(f"{deleted['name']}: deleted{left}")
