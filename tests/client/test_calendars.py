"""``fastlane calendars``: from a file of dates or iCalendar, and from options, on to its end."""

FILE = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:{year}1225\r\nSUMMARY:Christmas\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"


async def test_a_calendar_is_put_listed_shown_and_deleted(server, command_at, tmp_path):
    line, year = command_at(server.base), 2027
    put = await line("calendars", "put", "freeze", "--date", "2026-12-18..2027-01-04", "--date", "2027-05-01")
    assert put.text.strip() == "freeze: 2 dates and ranges; 0 jobs name it", put.err
    file = tmp_path / "holidays.ics"
    file.write_bytes(FILE.format(year=year).encode())
    assert (await line("calendars", "put", "holidays", str(file))).text.startswith("holidays: 1 dates and ranges")
    file.write_text("# a list\n2027-01-01 New Year\n\n2027-05-01\n", "utf-8")
    assert (await line("calendars", "put", "others", str(file))).code == 0
    assert (await line("calendars", "show", "others")).lines == ["2027-01-01 New Year", "2027-05-01"]
    assert (await line("calendars", "show", "holidays")).lines == ["2027-12-25 Christmas"]
    reply = await server.enqueue(cron="@daily", skipDates=["freeze"])
    table = (await line("calendars", "list")).lines
    assert [row.split()[:3] for row in table] == [
        ["CALENDAR", "DATES", "JOBS"],
        ["freeze", "2", "1"],
        ["holidays", "1", "0"],
        ["others", "2", "0"],
    ]
    refused = await line("calendars", "delete", "freeze")
    assert (refused.code != 0, "--force" in refused.err, reply["jobId"] in refused.err) == (True, True, True)
    assert (await line("calendars", "delete", "freeze", "--force")).text.strip() == "freeze: deleted; 1 jobs name it still"
    wrong = await line("calendars", "put", "freeze")
    assert "give either a FILE or dates with --date" in wrong.err
