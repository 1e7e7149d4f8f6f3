"""Draining a host by the route of fastlane 2.x, and removing it."""

import asyncio
from urllib.parse import quote

import pytest

from tests.behaviour.hosts.conftest import NEW, OTHER, Administered
from tests.support.fastlane import HOST


@pytest.fixture
async def grown(server: Administered) -> Administered:
    """The server with two registered hosts and a worker that uses both."""
    for address in (NEW, OTHER):
        assert (await server.register(address)).status == 200
    await server.hire()
    for address in (NEW, OTHER):
        await server.seen(address, available=True)
    return server


async def hosts_used(server: Administered, count: int) -> set[str | None]:
    """Where so many jobs run that are started one after another."""
    started = [await server.reaches(await server.submit("hold", task="grown-task"), "running") for _ in range(count)]
    return {execution.host for execution in started}


async def ended(server: Administered, execution_id: str) -> bool:
    row = await server.store.execution(execution_id)
    return row is not None and row.status.value == "done"


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_drained_host_gets_no_new_work_and_what_runs_there_goes_on(grown: Administered, method: str) -> None:
    running = [await grown.reaches(await grown.submit("hold", task="grown-task"), "running") for _ in range(2)]
    assert {execution.host for execution in running} == {NEW, OTHER}
    answer = await grown.drain(NEW, method)
    assert (answer.status, answer.json) == (200, {"host": NEW, "blacklisted": True})
    await grown.seen(NEW, available=False, blacklisted=True, error="is drained")
    assert await hosts_used(grown, 3) == {OTHER}
    for execution in running:
        grown.executor.release(execution.id)
        await grown.until(lambda id=execution.id: ended(grown, id), "the end of what ran there")
    shown = {row["id"]: row for row in (await grown.call("GET", "/status")).json["hosts"] if row["pool"] == "grown"}
    assert [row["blacklisted"] for row in shown.values()] == [True, False]


async def test_a_host_that_is_no_longer_drained_gets_work_again(grown: Administered) -> None:
    for method, drained in (("POST", True), ("POST", True), ("DELETE", False), ("DELETE", False)):
        answer = await grown.drain(NEW, method)
        assert (answer.status, answer.json) == (200, {"host": NEW, "blacklisted": drained})
    await grown.seen(NEW, available=True, error=None)
    assert await hosts_used(grown, 2) == {NEW, OTHER}


async def test_a_host_of_the_settings_is_drained_before_any_worker_has_reached_it_and_stays_so(
    server: Administered, shared_redis, tmp_path
) -> None:
    assert (await server.drain(HOST)).status == 200
    async with Administered(tmp_path, shared_redis.url, installation=server.installation) as another:
        await another.hire()
        await another.seen(HOST, blacklisted=True, available=False)
        job = await another.submit(task="task")
        await another.drain(HOST, "DELETE")
        assert (await another.reaches(job, "done")).host == HOST


async def test_a_job_waits_for_a_drained_host_and_says_so(server: Administered) -> None:
    await server.hire()
    await server.drain(HOST)
    await server.seen(HOST, available=False, error="is drained")
    job = await server.submit(task="task")
    why = (await server.call("GET", f"/tasks/task/jobs/{job.job_id}/why")).json
    assert "is drained" in why["waitingFor"][0]["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_an_unknown_host_is_not_drained(server: Administered, method: str) -> None:
    answer = await server.drain("10.9.9.9:2375", method)
    assert answer.status == 404
    assert HOST in answer.json["detail"]
    missing = await server.call(method, "/docker-executor/blacklist", {})
    assert missing.status == 400
    assert missing.json["errors"][0]["field"] == "host"


async def test_a_host_is_removed_once_it_is_drained_and_empty(grown: Administered) -> None:
    path = f"/hosts/{quote(NEW, safe='')}"
    assert "is not drained" in (await grown.call("DELETE", path)).json["detail"]
    running = [await grown.reaches(await grown.submit("hold", task="grown-task"), "running") for _ in range(2)]
    await grown.drain(NEW)
    refused = await grown.call("DELETE", path)
    assert refused.status == 409
    assert "1 run there" in refused.json["detail"]
    grown.executor.release(next(execution.id for execution in running if execution.host == NEW))

    async def removed() -> bool:
        return (await grown.call("DELETE", path)).status == 200

    await grown.until(removed, "the removal of the drained host")
    assert set(await grown.known()) == {HOST, OTHER}
    await grown.gone(NEW)
    assert (await grown.call("DELETE", path)).status == 404
    assert await hosts_used(grown, 2) == {OTHER}


async def test_a_host_is_removed_by_its_id_too(grown: Administered) -> None:
    await grown.drain(NEW)
    id = (await grown.known())[NEW]["id"]
    answer = await grown.call("DELETE", f"/hosts/{id}")
    assert (answer.status, answer.json) == (200, {"id": id, "address": NEW, "removed": True, "lost": 0})


async def test_a_host_of_the_settings_is_not_removed_without_force(server: Administered) -> None:
    answer = await server.call("DELETE", f"/hosts/{HOST}")
    assert answer.status == 409
    assert "the settings name" in answer.json["detail"]


async def test_of_two_who_remove_a_host_at_once_one_does(grown: Administered) -> None:
    await grown.drain(NEW)
    answers = await asyncio.gather(*(grown.call("DELETE", f"/hosts/{NEW}") for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [200, *[404] * 5]


async def test_a_removed_host_can_be_registered_again(grown: Administered) -> None:
    await grown.drain(NEW)
    assert (await grown.call("DELETE", f"/hosts/{NEW}")).status == 200
    assert (await grown.register(weight=5)).status == 200
    row = await grown.seen(NEW, available=True)
    assert (row["weight"], row["blacklisted"]) == (5, False)


async def test_nothing_is_placed_on_a_host_while_it_is_being_removed(grown: Administered) -> None:
    """Jobs keep coming while the host is drained and removed: whatever was placed there ended there, before its removal."""
    jobs = []

    async def submit() -> None:
        for _ in range(60):
            jobs.append(await grown.submit(task="grown-task"))
            await asyncio.sleep(0)

    async def remove() -> None:
        await grown.drain(NEW)

        async def removed() -> bool:
            return (await grown.call("DELETE", f"/hosts/{NEW}")).status == 200

        await grown.until(removed, "the removal")

    await asyncio.gather(submit(), remove())
    ended = [await grown.reaches(job, "done", "failed") for job in jobs]
    assert {execution.status.value for execution in ended} == {"done"}
    assert len(grown.executor.starts) == len(set(grown.executor.starts)) == len(jobs)
