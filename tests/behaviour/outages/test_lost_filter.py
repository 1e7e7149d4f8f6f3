"""A manager whose engine filter does not run: its service has no task, so Docker's name service does not know its name."""

from contextlib import AsyncExitStack
from pathlib import Path

from fastlane.clock import SystemClock
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.host import Endpoint
from fastlane.models.pool import HostRule, Pool
from tests.support.defaults import default_rules
from tests.support.fastlane import HOST, Fastlane
from tests.support.redis import RealRedis

MANAGER = "engine-nowhere:2375"
OTHER = "unix:///other"
IS_NOT_RUNNING = (
    "has a host name that is not known: if engine-nowhere is a machine, correct its address, or the name service of the worker; "
    "if it is the engine filter of a stack, the service engine-nowhere has no running task: "
)
LOOK_AT = "`docker service ps --no-trunc STACK_engine-nowhere` says on which node one should run, and why it does not"


def says_it(text: str) -> bool:
    return IS_NOT_RUNNING + LOOK_AT in text


async def test_the_status_says_that_the_engine_filter_does_not_run_and_what_shows_its_node(shared_redis: RealRedis, tmp_path: Path) -> None:
    pools = (Pool("default", "", (MANAGER,), insecure=True),)
    executor = SwarmExecutor([Endpoint(MANAGER, insecure=True)], "filters", SystemClock(), default_rules())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(executor.close)
        await executor.open()
        server = await stack.enter_async_context(Fastlane(tmp_path, shared_redis.url, pools=pools))
        server.executor = executor
        await server.hire()

        async def in_status() -> bool:
            (host,) = (await server.get("/status")).json["hosts"]
            return not host["available"] and says_it(host["error"] or "")

        async def in_health() -> bool:
            errors = (await server.get("/healthcheck")).json["errors"]
            return any(error["source"] == "docker" and MANAGER in error["message"] and says_it(error["message"]) for error in errors)

        await server.until(in_status, "the status to name the filter")
        await server.until(in_health, "health to name it, too")


async def test_the_runs_that_hang_on_a_host_that_is_away_are_named_at_once(shared_redis: RealRedis, tmp_path: Path) -> None:
    """They count as lost five minutes later. Another host can be used, so nothing else is said."""
    pools = (Pool("default", "", (HOST, OTHER), rules={HOST: HostRule(1, 1), OTHER: HostRule(1, 1)}),)
    async with Fastlane(tmp_path, shared_redis.url, pools=pools, workers=1) as server:
        jobs = [await server.submit("hold") for _ in range(2)]
        hosts = {(await server.reaches(job, "running")).host: str(job.execution_id) for job in jobs}
        assert set(hosts) == {HOST, OTHER}
        server.executor.down(OTHER, "cannot be looked up")

        async def in_status() -> bool:
            rows = (await server.get("/status")).json["containers"]["running"]
            said = {row["execution"]: row["error"] for row in rows}
            words = said[hosts[OTHER]] or ""
            return said[hosts[HOST]] is None and "cannot be looked up" in words and "it counts as lost at" in words

        async def in_health() -> bool:
            answer = await server.get("/healthcheck")
            messages = [error["message"] for error in answer.json["errors"]]
            return answer.status == 200 and len(messages) == 1 and hosts[OTHER] in messages[0] and hosts[HOST] not in messages[0]

        await server.until(in_status, "the status to say which execution hangs")
        await server.until(in_health, "health to name it, too")
        server.executor.up(OTHER)

        async def is_over() -> bool:
            rows = (await server.get("/status")).json["containers"]["running"]
            return all(row["error"] is None for row in rows)

        await server.until(is_over, "nothing to hang")
