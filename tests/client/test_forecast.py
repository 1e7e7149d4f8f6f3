"""``fastlane forecast``: what comes, by days or hours, and what to look at."""

import json

from fastlane.cli.client.forecast_days import minute

RANGE = ("--from", "2027-03-27T00:00:00Z", "--until", "2027-03-29T00:00:00Z")


async def test_a_forecast_has_rows_collisions_quiet_minutes_and_notes(server, command_at):
    line = command_at(server.base)
    await server.enqueue("night", cron="30 2 * * *", timezone="Europe/Berlin", name="backup")
    for task in ("day", "noon"):
        await server.enqueue(task, cron="0 12 * * *", skipDates=["2027-03-27"] if task == "day" else None)
    done = await line("forecast", *RANGE)
    assert done.code == 0, done.err
    table = [row.split("\t") for row in done.lines]
    assert table[0] == ["FROM", "DUE", "SKIPPED", "BUSIEST MINUTE", "QUIET MINUTES", "POOL default"]
    rows = {row[0]: row[1:] for row in table[1:49]}
    noon = minute("2027-03-28T12:00:00Z")
    assert rows[noon] == ["2", "", f"{noon}: 2", "59", "0.0, up to 2/10"]
    assert rows[minute("2027-03-27T12:00:00Z")][:2] == ["1", "1"]
    said = done.lines[49:]
    assert said[0] == "3 jobs with a time to come"
    assert said[1].startswith(f"{noon}: 2 due in one minute: ")
    assert said[2] == "quiet minutes of the hour: :01, :02, :03, :04, :05; the busiest is :00, with 4 due"
    assert said[3].startswith("clocks: backup: night/")
    assert "2027-03-28 02:30 in Europe/Berlin" in said[3]
    assert said[4].endswith("a due time is skipped (2027-03-27)")


async def test_a_year_is_shown_by_days_from_all_its_pieces(server, command_at):
    line = command_at(server.base)
    await server.enqueue("hourly", cron="0 * * * *")
    rows = json.loads((await line("forecast", "--from", "2027-01-01T00:00:00Z", "--days", "365", "--json")).text)
    assert (len(rows) in (365, 366), sum(row["due"] for row in rows)) == (True, 8760)
    assert rows[1]["pools"] == {"default": {"due": rows[1]["due"], "load": 0, "peak": 1}}


async def test_the_due_times_are_listed_for_a_task(server, command_at):
    line = command_at(server.base)
    await server.enqueue("other", cron="0 8 * * *")
    job = await server.enqueue("daily", cron="0 8 * * *")
    done = await line("forecast", "daily", "--runs", *RANGE, "--format", "{due} {jobId}")
    assert done.lines == [f"2027-03-27T08:00:00.000Z {job['jobId']}", f"2027-03-28T08:00:00.000Z {job['jobId']}"]
    wrong = await line("forecast", "dialy")
    assert (wrong.code, "dialy" in wrong.err) == (2, True)
    both = await line("forecast", "--days", "3", "--until", "2027-03-29T00:00:00Z")
    assert "give either --days or --until" in both.err


async def test_apply_says_what_each_job_of_a_file_does_to_its_pool(server, command_at, tmp_path):
    line = command_at(server.base)
    await server.enqueue("crowd", cron="0 3 * * *")
    file = tmp_path / "jobs.yaml"
    file.write_text("set: data\njobs: {nightly: {image: ubuntu, cron: '0 3 * * *'}, quiet: {image: ubuntu, cron: '30 4 * * *'}}\n", "utf-8")
    done = await line("apply", "-f", str(file), "--dry-run", "--forecast")
    assert done.code == 0, done.err
    nightly, first, second, quiet, third, last = done.lines
    assert (nightly, quiet, last) == ("+ nightly/nightly", "+ quiet/quiet", "2 to create, 0 to change, 0 to remove, 0 unchanged")
    assert first.strip().startswith("forecast: 7 due until ")
    assert first.endswith("; at most 2 run at once in its pool (1 without it), and 10 may")
    assert second.strip().startswith("in 7 minutes of these others are due, too: 1 at ")
    assert second.endswith("quiet minutes of the hour: :01, :02, :03, :04, :05")
    assert third.endswith("; at most 1 run at once in its pool (1 without it), and 10 may")
