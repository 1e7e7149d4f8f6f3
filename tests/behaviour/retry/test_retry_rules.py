"""Which failures are tried again, with how much memory, and where, seen from outside."""

from pathlib import Path
from typing import Any

import pytest

from fastlane.models.container import Resources
from fastlane.models.pool import Pool
from tests.support.fastlane import HOST, Fastlane
from tests.support.redis import RealRedis

MIB = 2**20
OTHER = "unix:///other"


@pytest.mark.parametrize(
    ("command", "attempts"),
    [(["end", "oom"], 2), (["exit", "75"], 2), (["exit", "3"], 1), (["end", "killed"], 1)],
)
async def test_a_job_is_tried_again_after_what_it_names_alone(crew: Fastlane, command: list[str], attempts: int) -> None:
    reply = await crew.enqueue(command=command, retries=1, retryDelay=0, retryOn=["oom", {"exitCodes": [75]}])
    await crew.hire()

    async def is_over() -> bool:
        rows = (await crew.get(f"{reply['jobUrl']}/executions")).json["items"]
        return len(rows) == attempts and rows[0]["status"] == "failed" and rows[0]["attempt"] == attempts

    await crew.until(is_over, "the last attempt")
    await crew.idle()
    assert len(crew.executor.starts) == attempts
    shown = (await crew.get(reply["jobUrl"])).json["job"]
    assert shown["spec"]["retryOn"] == shown["definition"]["retryOn"] == ["oom", {"exitCodes": [75]}]


async def test_the_next_attempt_after_memory_ran_out_has_more_within_the_limit_of_its_pool(shared_redis: RealRedis, tmp_path: Path) -> None:
    pools = (Pool("default", "", (HOST,), limits=Resources(memory=384 * MIB)),)
    rules = {"command": ["end", "oom"], "resources": {"memory": "256m"}, "onOom": {"memory": "x2", "max": "8g"}}
    async with Fastlane(tmp_path, shared_redis.url, pools=pools) as crew:
        await crew.hire()
        soon, later = await crew.enqueue(retries=2, retryDelay=0, **rules), await crew.enqueue(retries=2, retryDelay="1h", **rules)

        async def attempts(reply: dict[str, Any], count: int) -> list[dict[str, Any]] | None:
            rows = (await crew.get(f"{reply['jobUrl']}/executions")).json["items"]
            return rows if len(rows) == count and (reply is later or rows[0]["finishedAt"]) else None

        rows = await crew.until(lambda: attempts(soon, 3), "the last attempt")
        assert [row["memoryLimitBytes"] for row in rows] == [384 * MIB, 384 * MIB, 256 * MIB]
        assert [row["status"] for row in rows] == ["failed"] * 3
        second, first = await crew.until(lambda: attempts(later, 2), "the attempt that follows")
        (wait,) = (await crew.get(f"{later['jobUrl']}/why")).json["waitingFor"]
        assert wait["message"].endswith(", with 384 MiB of memory instead of 256 MiB (onOom)")
        assert (first["memoryLimitBytes"], second["memoryLimitBytes"]) == (256 * MIB, 384 * MIB)
        ended = (await crew.get(f"{first['url']}/why")).json["outOfMemory"]
        assert ended["message"].endswith("; the next attempt gets more, if onOom and its pool allow more")


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"retryOn": ["oom"]}, "retryOn", 'give retries, such as "retries": 3'),
        ({"retries": 1, "retryOn": []}, "retryOn", 'name reasons such as "oom"'),
        ({"retries": 1, "retryOn": "oom"}, "retryOn", "is not a list"),
        ({"retries": 1, "retryOn": ["oom", "lost"]}, "retryOn.1", "'host-lost'"),
        ({"retries": 1, "retryOn": [{"exitCodes": [0]}]}, "retryOn.0.exitCodes.0", "from 1 to 255"),
        ({"retries": 1, "retryOn": [{"exitCodes": []}]}, "retryOn.0", '{"exitCodes": [75, 137]}'),
        ({"onOom": {"memory": "x2"}, "resources": {"memory": "64m"}}, "onOom", "give retries"),
        ({"retries": 1, "onOom": {"memory": "x2"}}, "onOom", "give it"),
        ({"retries": 1, "onOom": {"memory": 2}, "resources": {"memory": "64m"}}, "onOom.memory", 'write "x2"'),
        ({"retries": 1, "onOom": {"memory": "x1"}, "resources": {"memory": "64m"}}, "onOom.memory", 'write "x2"'),
        ({"retries": 1, "onOom": {"memory": "x2", "max": "64m"}, "resources": {"memory": "64m"}}, "onOom.max", "choose a higher one"),
        ({"retries": 1, "onOom": {"memory": "x2"}, "retryOn": ["exit"], "resources": {"memory": "64m"}}, "onOom", 'does not have "oom"'),
    ],
)
async def test_a_rule_that_cannot_be_is_refused_with_what_to_write(crew: Fastlane, fields: dict[str, Any], field: str, says: str) -> None:
    faults = (await crew.post("/tasks/task", {"image": "ubuntu", **fields})).json["errors"]
    assert [one["field"] for one in faults] == [field]
    assert says in faults[0]["message"]


async def test_a_retry_after_a_lost_host_goes_to_another_one_and_says_so(shared_redis: RealRedis, tmp_path: Path) -> None:
    pools = (Pool("default", "", (HOST, OTHER)),)
    async with Fastlane(tmp_path, shared_redis.url, pools=pools) as crew:
        await crew.hire()
        reply = await crew.enqueue(command=["end", "lost"], retries=1, retryDelay=0)

        async def attempts() -> list[dict[str, Any]] | None:
            rows = (await crew.get(f"{reply['jobUrl']}/executions")).json["items"]
            return rows if len(rows) == 2 and rows[0]["finishedAt"] else None

        second, first = await crew.until(attempts, "the attempt on another host")
        assert (first["failure"]["reason"], first["host"], second["host"]) == ("host-lost", HOST, OTHER)
