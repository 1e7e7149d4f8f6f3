"""A manager whose engine filter does not run: its service has no task, so Docker's name service does not know its name."""

from contextlib import AsyncExitStack
from pathlib import Path

from fastlane.clock import SystemClock
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.host import Endpoint
from fastlane.models.pool import Pool
from tests.support.defaults import default_rules
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

MANAGER = "engine-nowhere:2375"
IS_NOT_RUNNING = "has no engine filter that runs: the service engine-nowhere has no running task; "
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
