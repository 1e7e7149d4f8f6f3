"""``fastlane stats``: what jobs took over their runs."""

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
