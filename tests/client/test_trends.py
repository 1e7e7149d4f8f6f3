"""``fastlane stats``: what jobs took over their runs."""

import csv

from tests.support.past_runs import add_runs

LONG_AGO = 1_700_000_000_000
MIB = 2**20


async def test_stats_say_over_which_runs_they_are_and_plot_them(server, command_line):
    reply = await server.enqueue("backup", cron="0 3 * * *", name="nightly")
    empty = await command_line("stats", "backup")
    assert (empty.code, empty.lines) == (0, ["no such run has ended among the newest 0 executions"])
    runs = [{"seconds": at, "memory": at * MIB, "cpu": 2_000, "stdout_bytes": 2_048} for at in range(10, 90, 10)]
    await add_runs(server.store, reply["jobId"], [*runs, *[{"seconds": 80}] * 2], LONG_AGO)
    found = await command_line("stats", "backup/nightly")
    assert found.lines[0].startswith("over 10 runs (10 done) of the newest 10 executions, since ")
    rows = {row[0]: row[1:] for row in (line.split("\t") for line in found.lines[1:])}
    assert rows["MEASURE"][0] == "RUNS"
    assert rows["duration"] == ["10", "1m 20s", "50s", "1m 20s", "1m 20s", "30s to 1m 20s", "▂▃▄▅▆▇████"]
    assert rows["memory peak"] == ["8", "80 MiB", "40 MiB", "80 MiB", "80 MiB", "", "▂▃▄▅▆▇██  "]
    assert rows["output"][1] == "0 B"
    few = await command_line("stats", "backup", "-n", "3", "--status", "done", "--json")
    assert (few.json["runs"], few.json["total"], len(few.json["items"])) == (3, 10, 3)


async def test_advise_names_what_to_change_in_one_job_a_task_or_all(server, command_line):
    reply = await server.enqueue("report", cron="0 3 * * *", name="nightly", resources={"memory": "2g"})
    nothing = await command_line("advise", "report/nightly")
    assert (nothing.code, nothing.lines) == (0, ["nothing to advise, by 0 executions and 0 due times"])
    await add_runs(server.store, reply["jobId"], [{"memory": 100 * MIB}] * 10, LONG_AGO)
    for what in ([], ["report"], ["report/nightly"], [reply["jobId"]]):
        found = await command_line("advise", *what)
        assert found.code == 0, found.err
        cells = found.lines[1].split("\t")
        assert cells[1:6] == ["nightly", "memory-far-below-limit", "resources.memory", "2GiB", "160MiB"]
        assert "set resources.memory to 160MiB" in cells[6]
    lines = await command_line("advise", "--format", "{taskId} {field} {suggested} {executions}")
    assert lines.lines == ["report resources.memory 160MiB 10"]
    assert (await command_line("advise", "report", "--json")).json[0]["code"] == "memory-far-below-limit"
    wrong = await command_line("advise", "reprot")
    assert (wrong.code, "did you mean 'report'" in wrong.err) == (2, True)


async def test_usage_is_a_table_of_all_pieces_or_csv(server, command_line, monkeypatch):
    for team in ("data", "web"):
        reply = await server.enqueue(team, cron="0 3 * * *", labels={"team": team}, resources={"memory": "1g"})
        runs = [{"seconds": 3_600, "memory": 512 * MIB, "cpu": 1_000}, {"seconds": 3_600}]
        await add_runs(server.store, reply["jobId"], runs * (2 if team == "web" else 1), LONG_AGO)
    monkeypatch.setattr("fastlane.web.routes.trends.MOST_LOOKED_AT", 4)
    since = ("--since", "2023-11-14T00:00:00Z")
    found = await command_line("usage", "--by", "team", *since)
    rows = [line.split("\t") for line in found.lines]
    assert rows[1:] == [
        ["web", "4", "0", "4h", "2.0s", "1 (of 2 runs)", "4"],
        ["data", "2", "0", "2h", "1.0s", "0.5 (of 1 runs)", "2"],
    ]
    table = await command_line("usage", "--by", "team", *since, "--csv")
    assert [row[:5] for row in csv.reader(table.lines)][1:] == [["web", "4", "0", "4", "14400"], ["data", "2", "0", "2", "7200"]]
    none = await command_line("usage", "--by", "team")
    assert none.lines == ["no execution that was due in this time has ended"]
    assert (await command_line("usage", "--by", "team", "--csv", "--json")).code == 2
