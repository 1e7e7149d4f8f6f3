"""``GET /history``: how executions ended, by the hour."""

from pathlib import Path

import pytest

from fastlane.clock import iso
from fastlane.models.retention import HOUR, hour_of
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

NOTHING = {"done": 0, "failed": 0, "timedout": 0, "stopped": 0, "expired": 0}


async def hours(server: Fastlane, query: str = "") -> list[dict[str, object]]:
    await server.count_ends()
    answer = await server.get(f"/history{query}")
    assert answer.status == 200, answer.body
    found: list[dict[str, object]] = answer.json["hours"]
    return found


async def test_a_day_of_hours_is_shown_with_what_ended_in_each(server: Fastlane) -> None:
    await server.run_to_end("one")
    await server.run_to_end("one", code=1)
    await server.run_to_end("two")
    found = await hours(server)
    assert len(found) == 24
    now = hour_of(server.clock.now())
    assert [row["hour"] for row in found[-2:]] in ([iso(now - HOUR), iso(now)], [iso(now - 2 * HOUR), iso(now - HOUR)])
    ended = {name: sum(row[name] for row in found) for name in NOTHING}  # type: ignore[misc]
    assert ended == {**NOTHING, "done": 2, "failed": 1}
    late = [row["lateness"] for row in found if row["done"]]
    assert all(one["meanMs"] is not None and one["maxMs"] >= one["meanMs"] >= 0 for one in late)  # type: ignore[index]
    assert found[0]["lateness"] == {"started": 0, "meanMs": None, "maxMs": 0}


async def test_history_is_of_a_task_or_of_a_pool_and_of_any_hours(server: Fastlane) -> None:
    await server.run_to_end("one")
    pool = (await server.execution(await server.run_to_end("two"))).pool
    for query, count in (("?task=one", 1), (f"?pool={pool}", 2), ("?pool=none", 0), ("?hours=2", 2), ("?since=30m&hours=744", 2)):
        assert sum(row["done"] for row in await hours(server, query)) == count, query  # type: ignore[misc]
    assert len(await hours(server, "?since=2020-01-01T00:30:00Z&hours=3")) == 3
    assert (await hours(server, "?since=2020-01-01T00:30:00Z"))[0]["hour"] == "2020-01-01T00:00:00.000Z"
    assert await hours(server, "?since=2090-01-01T00:00:00Z") == []


async def test_a_caller_with_a_pattern_sees_the_counts_of_its_tasks_only(shared_redis: RealRedis, tmp_path: Path) -> None:
    tokens = (token("all", "fl_all", "admin"), token("some", "fl_some", "read", "one"))
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens) as server:
        for task in ("one", "two", "two"):
            reply = (await server.ask("POST", f"/tasks/{task}", json={"image": "ubuntu"}, headers=bearer("fl_all"))).json
            await server.end(await server.run(reply))
        await server.count_ends()
        for query, secret, count in (("", "all", 3), ("", "some", 1), ("?task=one", "some", 1), ("?task=two", "some", 0)):
            answer = await server.get(f"/history{query}", headers=bearer(f"fl_{secret}"))
            assert sum(row["done"] for row in answer.json["hours"]) == count, (query, secret)


@pytest.mark.parametrize("query", ["hours=0", "hours=745", "hours=x", "since=never", "pool=", f"pool={'x' * 65}", "task=a/b", "days=3"])
async def test_a_bad_query_is_refused_by_name(server: Fastlane, query: str) -> None:
    answer = await server.get(f"/history?{query}")
    assert answer.status == 400
    assert query.split("=")[0] in answer.json["detail"]
