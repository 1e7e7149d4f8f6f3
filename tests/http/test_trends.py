"""What jobs took over their runs: ``GET …/stats``."""

import csv
from pathlib import Path
from typing import Any

import pytest

from fastlane.models.paging import Window
from fastlane.models.status import Status
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, intercept
from tests.support.past_runs import add_runs
from tests.support.redis import RealRedis

LONG_AGO = 1_700_000_000_000


async def test_stats_are_figures_over_a_page_of_runs_and_walks_go_on_with_older_ones(server: Fastlane) -> None:
    reply = await server.enqueue("grow", cron="0 0 1 1 *")
    runs = [{"seconds": at, "memory": at * 1_000, "cpu": at * 500, "stdout_bytes": at, "stderr_bytes": 1} for at in range(1, 121)]
    made = await add_runs(server.store, reply["jobId"], [*runs, {"status": Status.EXPIRED, "started_at": None}], LONG_AGO)
    found = (await server.get(reply["jobUrl"] + "stats")).json
    assert (found["executions"], found["runs"], found["total"], found["ended"]) == (100, 99, 121, {"done": 99})
    assert found["durationMs"] == {
        **{"runs": 99, "newest": 120_000, "least": 22_000, "median": 71_000, "p95": 116_000, "most": 120_000},
        **{"olderMedian": 46_000, "newerMedian": 96_000},
    }
    assert (found["memoryPeakBytes"]["most"], found["cpuSeconds"]["median"], found["outputBytes"]["newest"]) == (120_000, 35.5, 121)
    assert [run["executionId"] for run in found["items"]] == [one.id for one in reversed(made[21:120])]
    older = (await server.get(found["nextUrl"])).json
    assert (older["runs"], older["durationMs"]["most"], older["nextUrl"]) == (21, 21_000, None)
    assert older["job"] == {"id": reply["jobId"], "url": reply["jobUrl"]}


async def test_stats_are_of_the_runs_that_ended_as_wanted(server: Fastlane) -> None:
    reply = await server.enqueue("some", cron="0 0 1 1 *")
    none = (await server.get(reply["jobUrl"] + "stats")).json
    assert (none["runs"], none["items"], none["durationMs"]["median"], none["durationMs"]["runs"]) == (0, [], None, 0)
    await add_runs(server.store, reply["jobId"], [{"seconds": 50}, {"seconds": 1, "status": Status.FAILED}, {"seconds": 60}], LONG_AGO)
    every, done = [(await server.get(f"{reply['jobUrl']}stats{query}")).json for query in ("", "?status=done,timedout")]
    assert (every["ended"], done["ended"]) == ({"done": 2, "failed": 1}, {"done": 2})
    assert (every["durationMs"]["least"], done["durationMs"]["least"], done["executions"]) == (1_000, 50_000, 3)
    assert done["memoryPeakBytes"]["runs"] == 0


@pytest.mark.parametrize("query", ["status=running", "perPage=101", "page=0", "runs=5"])
async def test_a_bad_query_of_stats_is_refused_by_name(server: Fastlane, query: str) -> None:
    reply = await server.enqueue()
    answer = await server.get(f"{reply['jobUrl']}stats?{query}")
    assert answer.status == 400
    assert query.split("=")[0] in answer.json["detail"]


async def test_stats_of_another_teams_job_are_not_shown(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(
        tmp_path, shared_redis.url, tokens=(token("all", "fl_all", "admin"), token("some", "fl_some", "read", "one"))
    ) as server:
        reply = (await server.ask("POST", "/tasks/two", json={"image": "ubuntu"}, headers=bearer("fl_all"))).json
        answers = [(await server.get(reply["jobUrl"] + "stats", headers=bearer(secret))).status for secret in ("fl_all", "fl_some")]
        assert answers == [200, 403]


async def test_advice_names_the_field_what_was_seen_and_what_to_try(server: Fastlane) -> None:
    reply = await server.enqueue("big", cron="0 0 1 1 *", name="nightly", resources={"memory": "2g"})
    nothing = (await server.get(reply["jobUrl"] + "advice")).json
    assert (nothing["executions"], nothing["ticks"], nothing["advice"]) == (0, 0, [])
    await add_runs(server.store, reply["jobId"], [{"seconds": 60, "memory": 100 * 2**20, "cpu": 1_000}] * 12, LONG_AGO)
    found = (await server.get(reply["jobUrl"] + "advice")).json
    assert (found["taskId"], found["name"], found["executions"], found["ticks"]) == ("big", "nightly", 12, 12)
    (one,) = found["advice"]
    assert (one["code"], one["field"], one["current"], one["suggested"]) == ("memory-far-below-limit", "resources.memory", "2GiB", "160MiB")
    assert one["figures"] == {"runs": 12, "peakBytes": 100 * 2**20, "limitBytes": 2**31}
    assert "12 measured runs showed is 100 MiB, 5% of the limit of 2GiB" in one["message"]
    patched = await server.ask("PATCH", reply["jobUrl"], json={"resources": {"memory": one["suggested"]}})
    assert patched.status == 200
    assert (await server.get(reply["jobUrl"] + "advice")).json["advice"] == []


async def test_advice_on_all_jobs_comes_in_pages_of_few_jobs(server: Fastlane) -> None:
    big = []
    for task in ("one", "two"):
        big.append(await server.enqueue(task, cron="0 0 1 1 *", resources={"memory": "2g"}))
        await add_runs(server.store, big[-1]["jobId"], [{"memory": 2**20}] * 10, LONG_AGO)
        for _ in range(2):
            await server.enqueue("others", cron="0 0 1 1 *")
    first = (await server.get("/advice?perPage=3")).json
    assert (first["jobs"], [row["jobId"] for row in first["items"]], first["total"]) == (3, [big[1]["jobId"]], 6)
    second = (await server.get(first["nextUrl"])).json
    assert ([row["jobId"] for row in second["items"]], second["nextUrl"]) == ([big[0]["jobId"]], None)
    of_task = (await server.get("/advice?task=one")).json
    assert [row["taskId"] for row in of_task["items"]] == ["one"]
    assert (await server.get("/advice?perPage=21")).status == 400


async def test_advice_on_a_job_with_large_executions_is_from_fewer_of_them_and_keeps_no_other_job_back(
    server: Fastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastlane.storage.pages.MAX_TEXT", 100_000)
    made = []
    for size in (4_000, 40_000, 1):
        made.append(await server.enqueue("big", cron="0 0 1 1 *", resources={"memory": "2g"}, command=["x" * size]))
        await add_runs(server.store, made[-1]["jobId"], [{"memory": 2**20}] * 30, LONG_AGO)
    answers = [await server.get(reply["jobUrl"] + "advice") for reply in made]
    assert [(answer.status, answer.json["executions"], len(answer.json["advice"])) for answer in answers] == [
        (200, 20, 1),
        (200, 1, 0),
        (200, 30, 1),
    ]
    assert answers[1].json["ticks"] == 30
    found = (await server.get("/advice")).json
    assert (found["jobs"], [row["jobId"] for row in found["items"]]) == (3, [made[2]["jobId"], made[0]["jobId"]])


async def spend(server: Fastlane) -> None:
    """Runs of two teams and of none: 3 hours, 1 hour, and half an hour."""
    for team, seconds, memory in (("data", 3_600, 2**30), ("web", 3_600, None), (None, 1_800, None)):
        labels = {} if team is None else {"labels": {"team": team}}
        reply = await server.enqueue(team or "other", cron="0 0 1 1 *", resources={"memory": "2g"}, **labels)
        measured = {} if memory is None else {"memory": memory, "cpu": 60_000}
        runs = [{"seconds": seconds, **measured}] * (3 if team == "data" else 1)
        await add_runs(server.store, reply["jobId"], [*runs, {"status": Status.EXPIRED, "started_at": None}], LONG_AGO)


RANGE = "since=2023-11-14T00:00:00Z&until=2023-11-15T00:00:00Z"


async def test_usage_is_summed_by_label_task_and_pool_and_pieces_add_up(server: Fastlane) -> None:
    await spend(server)
    whole = (await server.get(f"/usage?by=team&{RANGE}")).json
    assert (whole["executions"], whole["nextUrl"], [row["value"] for row in whole["items"]]) == (8, None, ["data", "web", None])
    assert whole["items"][0] == {
        **{"value": "data", "executions": 4, "failures": 1, "runs": 3, "containerSeconds": 10_800, "measuredRuns": 3},
        **{"measuredSeconds": 10_800, "processorSeconds": 180, "memoryPeakGibHours": 3},
        **{"limitedRuns": 3, "limitedSeconds": 10_800, "memoryLimitGibHours": 6},
    }
    assert (whole["items"][1]["measuredRuns"], whole["items"][1]["memoryPeakGibHours"]) == (0, 0)
    assert [row["value"] for row in (await server.get(f"/usage?by=task&{RANGE}")).json["items"]] == ["data", "web", "other"]
    piece, seconds, pieces = (await server.get(f"/usage?by=team&{RANGE}&perPage=3")).json, 0.0, 0
    while True:
        pieces, seconds = pieces + 1, seconds + sum(row["containerSeconds"] for row in piece["items"])
        if piece["nextUrl"] is None:
            break
        piece = (await server.get(piece["nextUrl"])).json
    assert (pieces, seconds) == (3, 10_800 + 3_600 + 1_800)
    assert (await server.get("/usage?by=team")).json["items"] == []


async def test_a_range_of_usage_ends_before_its_second_moment(server: Fastlane) -> None:
    reply = await server.enqueue("edge", cron="0 0 1 1 *")
    await add_runs(server.store, reply["jobId"], [{}] * 3, 1_700_000_040_000)
    query = "since=1700000040&until=1700000160"
    assert (await server.get(f"/usage?by=task&{query}")).json["executions"] == 2
    assert '"2","0","2","2"' in (await server.get(f"/usage?by=task&{query}&format=csv")).body.decode()


async def test_usage_of_large_executions_is_read_in_small_steps_and_its_pieces_end_early(
    server: Fastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page has 10 of the first job, and two of the other."""
    monkeypatch.setattr("fastlane.storage.pages.MAX_TEXT", 12_000)
    monkeypatch.setattr("fastlane.services.reads.usage.STEPS_OF_PIECE", 4)
    for task, size in (("some", 1_000), ("large", 4_500)):
        reply = await server.enqueue(task, cron="0 0 1 1 *", command=["x" * size])
        await add_runs(server.store, reply["jobId"], [{"seconds": 1}] * 30, LONG_AGO)
    windows, whole = list[Window](), {}

    async def noted(call: Call) -> Any:
        windows.append(call.arguments[1])
        return await call.carry()

    intercept(server.store, "list_executions", noted)
    for task, step, refused in (("some", 5, 2), ("large", 1, 3)):
        url, pieces = f"/usage?by=task&task={task}&{RANGE}", list[int]()
        while url is not None:
            windows.clear()
            answer = await server.get(url)
            assert answer.status == 200, answer.json
            url, piece = answer.json["nextUrl"], answer.json["executions"]
            pieces.append(piece)
            sizes = [window.per_page for window in windows]
            assert sizes[refused:] == [step] * len(sizes[refused:]), "a step that is too large is tried once"
        whole[task] = pieces
    assert whole == {"some": [20, 10], "large": [*[4] * 7, 2]}
    table = await server.get(f"/usage?by=task&{RANGE}&format=csv")
    assert [row.split(",")[:2] for row in table.body.decode().splitlines()[1:]] == [['"large"', '"30"'], ['"some"', '"30"']]


async def test_usage_is_one_table_in_csv_without_formulas(server: Fastlane) -> None:
    await spend(server)
    reply = await server.enqueue("=cmd", cron="0 0 1 1 *", labels={"team": "=HYPERLINK(1)"})
    await add_runs(server.store, reply["jobId"], [{"seconds": 1}], LONG_AGO)
    for headers, query in (({"Accept": "text/csv"}, ""), ({}, "&format=csv")):
        answer = await server.get(f"/usage?by=team&{RANGE}{query}", headers=headers)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
        assert "Accept" in answer.headers["Vary"]
        rows = list(csv.reader(answer.body.decode().splitlines()))
        assert rows[0][:5] == ["team", "executions", "failures", "runs", "containerSeconds"]
        assert rows[1] == ["data", "4", "1", "3", "10800", "3", "10800", "180", "3", "3", "10800", "6"]
        assert [row[0] for row in rows[2:]] == ["web", "(none)", "'=HYPERLINK(1)"]
    assert (await server.get(f"/usage?by=team&{RANGE}", headers={"Accept": "text/csv, application/json"})).json["by"] == "team"


async def test_a_table_with_too_many_values_is_refused_and_a_piece_ends_before_one_more(server: Fastlane, monkeypatch) -> None:
    await spend(server)
    monkeypatch.setattr("fastlane.services.reads.usage.MOST_VALUES", 2)
    monkeypatch.setattr("fastlane.services.reads.usage.MOST_VALUES_IN_TABLE", 2)
    piece = (await server.get(f"/usage?by=task&{RANGE}")).json
    sums = [(len(piece["items"]), piece["executions"])]
    while piece["nextUrl"] is not None:
        piece = (await server.get(piece["nextUrl"])).json
        sums.append((len(piece["items"]), piece["executions"]))
    assert (max(values for values, _ in sums), len(sums) > 1, sum(count for _, count in sums)) == (2, True, 8)
    refused = await server.get(f"/usage?by=task&{RANGE}&format=csv")
    assert (refused.status, "more than 2 values" in refused.json["detail"]) == (400, True)
    monkeypatch.setattr("fastlane.services.reads.usage.MOST_IN_TABLE", 7)
    refused = await server.get(f"/usage?by=task&{RANGE}&format=csv")
    assert (refused.status, "more than 7 executions" in refused.json["detail"]) == (400, True)


@pytest.mark.parametrize(
    "query",
    ["task=a", "by=", "by=a%20b", "by=task&format=xml", "by=task&after=5", "by=task&since=1h&until=2h", "by=task&perPage=10001"],
)
async def test_a_bad_query_of_usage_is_refused_by_name(server: Fastlane, query: str) -> None:
    answer = await server.get(f"/usage?{query}")
    assert (answer.status, answer.json["errors"][0]["field"]) in [(400, name) for name in ("by", "format", "after", "since", "perPage")]


async def test_advice_and_usage_are_of_the_callers_tasks_only(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(
        tmp_path, shared_redis.url, tokens=(token("all", "fl_all", "admin"), token("some", "fl_some", "read", "one"))
    ) as server:
        for task in ("one", "two"):
            body = {"image": "ubuntu", "cron": "0 0 1 1 *", "resources": {"memory": "2g"}}
            reply = (await server.ask("POST", f"/tasks/{task}", json=body, headers=bearer("fl_all"))).json
            await add_runs(server.store, reply["jobId"], [{"memory": 2**20}] * 10, LONG_AGO)
        assert (await server.get(reply["jobUrl"] + "advice", headers=bearer("fl_some"))).status == 403
        seen = {}
        for secret in ("fl_all", "fl_some"):
            advice = (await server.get("/advice", headers=bearer(secret))).json
            usage = (await server.get(f"/usage?by=task&{RANGE}", headers=bearer(secret))).json
            table = (await server.get(f"/usage?by=task&{RANGE}&format=csv", headers=bearer(secret))).body.decode()
            seen[secret] = (
                sorted({row["taskId"] for row in advice["items"]}),
                sorted(row["value"] for row in usage["items"]),
                table.count("\n"),
            )
        assert seen == {"fl_all": (["one", "two"], ["one", "two"], 3), "fl_some": (["one"], ["one"], 2)}
        other = (await server.get(f"/usage?by=task&{RANGE}&task=two", headers=bearer("fl_some"))).json
        assert other["items"] == []
