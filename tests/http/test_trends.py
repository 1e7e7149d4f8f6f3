"""What jobs took over their runs: ``GET …/stats``."""

from pathlib import Path

import pytest

from fastlane.models.status import Status
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
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
