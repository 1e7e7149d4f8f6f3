"""What a job used, as a user reads it: of its execution, in lists, in the figures of its task, and where memory ran out."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlane.config.access import Token, make_token, token_digest
from fastlane.models.access import Principal, Role
from fastlane.models.container import Resources
from fastlane.models.job import Execution, Usage
from fastlane.models.pool import Pool
from tests.http.test_metrics import Figures, figures, of_worker
from tests.support.credentials import bearer
from tests.support.fastlane import HOST, Fastlane
from tests.support.redis import RealRedis

USED = Usage(40_000_000, 1500, 4096, 0)
SHOWN = {"memoryPeakBytes": 40_000_000, "cpuSeconds": 1.5, "readBytes": 4096, "writtenBytes": 0}
MIB = 2**20


@pytest.fixture
async def server(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    pools = (Pool("small", "small-", (HOST,), limits=Resources(memory=64 * MIB)), Pool("default", "", (HOST,)))
    async with Fastlane(tmp_path, shared_redis.url, workers=1, pools=pools, metrics_port=0, metrics_tasks=2) as server:
        yield server


async def ran(server: Fastlane, usage: Usage | None, *, task: str = "task", words: tuple[str, ...] = ()) -> tuple[Any, Execution]:
    """A job that was measured, if there is anything to measure, and has ended in this way."""
    job = await server.submit("hold", *words, task=task)
    running = await server.reaches(job, "running")
    if usage is not None:
        server.executor.used[running.id] = [usage]
        measured = server.executor.usage

        async def seen() -> bool:
            return len(asked) > 0

        asked: list[str] = []

        async def usage_of(host: str, of: Any) -> Usage | None:
            found: Usage | None = await measured(host, of)
            asked.append(of.id)
            return found

        server.executor.usage = usage_of
        await server.until(seen, "a sample")
        server.executor.usage = measured
    server.executor.release(running.id)
    return job, await server.cleaned(job)


async def test_an_execution_shows_what_its_container_used_and_null_where_it_was_not_measured(server: Fastlane) -> None:
    job, ended = await ran(server, USED)
    path = f"/tasks/task/jobs/{job.job_id}"
    assert (await server.get(f"{path}/executions/{ended.id}")).json["execution"]["usage"] == SHOWN
    assert (await server.get(f"{path}/executions")).json["items"][0]["usage"] == SHOWN
    assert (await server.get("/executions")).json["items"][0]["usage"] == SHOWN
    assert (await server.get(path)).json["job"]["executions"][0]["usage"] == SHOWN
    short, _ = await ran(server, None)
    assert (await server.get(f"/tasks/task/jobs/{short.job_id}/executions")).json["items"][0]["usage"] is None


async def test_the_figures_of_tasks_are_bounded_and_the_others_count_together(server: Fastlane) -> None:
    for task in ("one", "two", "three", "four", "one"):
        await ran(server, USED, task=task)

    async def counted() -> Figures | None:
        found = await of_worker(server)
        return found if found.value("fastlane_task_measured_total") == 5 else None

    found = await server.until(counted, "five measured executions")
    assert found is not None
    assert [found.value("fastlane_task_measured_total", task=task) for task in ("one", "two", "three", "")] == [2, 1, 0, 2]
    assert found.value("fastlane_task_cpu_seconds_total", task="one") == 3
    assert found.value("fastlane_task_read_bytes_total", task="two") == 4096
    assert found.value("fastlane_task_memory_peak_bytes", task="two") == 40_000_000
    assert "fastlane_task_measured_total" not in (await figures(server)).samples  # nothing has run in that process


async def test_a_reader_sees_the_figures_of_the_tasks_that_it_may_see(shared_redis: RealRedis, tmp_path: Path) -> None:
    narrow, wide = make_token(), make_token()
    tokens = (
        Token(Principal("narrow", Role.READ, "mine-"), token_digest(narrow)),
        Token(Principal("wide", Role.READ), token_digest(wide)),
    )
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens, metrics_port=0) as server:
        for task in ("mine-1", "others-1"):
            server.api.metrics.tasks.measured(task, cpu_seconds=1, memory_peak=2, read_bytes=3, written_bytes=4)
        for path in ("/metrics", f"http://127.0.0.1:{server.api.metrics_port}/metrics"):
            shown = {token: Figures((await server.get(path, headers=bearer(token))).body) for token in (narrow, wide)}
            assert shown[wide].value("fastlane_task_measured_total") == 2
            assert shown[narrow].value("fastlane_task_measured_total") == 1
            assert b"others-1" not in (await server.get(path, headers=bearer(narrow))).body


async def test_why_says_how_much_memory_there_was_where_it_ran_out(server: Fastlane) -> None:
    job, ended = await ran(server, Usage(60 * MIB, 10), task="small-one", words=("end", "oom"))
    for path in (f"/tasks/small-one/jobs/{job.job_id}/why", f"/tasks/small-one/jobs/{job.job_id}/executions/{ended.id}/why"):
        shown = (await server.get(path)).json
        assert (shown["status"], shown["waitingFor"]) == ("failed", [])
        assert (shown["outOfMemory"]["limitBytes"], shown["outOfMemory"]["peakBytes"]) == (64 * MIB, 60 * MIB)
        words = "its limit was 64 MiB of memory; the most that a sample showed before was 60 MiB"
        assert shown["outOfMemory"]["message"].startswith(words)
    unlimited, _ = await ran(server, None, words=("end", "oom"))
    shown = (await server.get(f"/tasks/task/jobs/{unlimited.job_id}/why")).json["outOfMemory"]
    assert (shown["limitBytes"], shown["peakBytes"]) == (None, None)
    assert "resources.reserve.memory" in shown["message"]
    fine, _ = await ran(server, None)
    assert "outOfMemory" not in (await server.get(f"/tasks/task/jobs/{fine.job_id}/why")).json
