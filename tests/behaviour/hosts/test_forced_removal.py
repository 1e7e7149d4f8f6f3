"""A host that is removed by force, because its machine is gone: nothing waits for it, and what comes back is cleared."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from fastlane.errors import HostDown
from fastlane.models.host import EngineIdentity
from fastlane.scheduler import cleaner
from tests.behaviour.hosts.conftest import NEW, OTHER, Administered
from tests.support.fastlane import HOST
from tests.support.intercept import Call, intercepted


@contextlib.asynccontextmanager
async def grown_server(folder: Path, redis_url: str, host_lost_after: float) -> AsyncIterator[Administered]:
    """A server with two registered hosts and a worker."""
    async with Administered(folder, redis_url, host_lost_after=host_lost_after) as server:
        for number, address in enumerate((NEW, OTHER)):
            assert (await server.register(address)).status == 200
            server.executor.engines[address] = EngineIdentity(f"engine-{number}", f"swarm-{number}")
        await server.hire()
        for address in (NEW, OTHER):
            await server.seen(address, available=True, engine=server.executor.engines[address].engine_id)
        yield server


@pytest.fixture
async def grown(shared_redis, tmp_path):
    """Its worker believes that a host may be away for an hour."""
    async with grown_server(tmp_path, shared_redis.url, 3600.0) as server:
        yield server


async def on_both(server: Administered, *command: str):
    """Executions that run on each of the two hosts, by host."""
    jobs = []
    for _ in range(2):
        jobs.append(await server.submit(*command, task="grown-task"))
        await server.reaches(jobs[-1], "running")
    found = {(await server.reaches(job, "running")).host: job for job in jobs}
    assert set(found) == {NEW, OTHER}
    return found


async def force(server: Administered, host: str = NEW):
    return await server.call("DELETE", f"/hosts/{host}?force=1")


@pytest.mark.parametrize("away", [True, False])
async def test_what_is_bound_to_a_removed_host_is_lost_at_once_and_counts_as_clean(grown: Administered, away: bool) -> None:
    jobs = await on_both(grown, "hold")
    if away:
        grown.executor.down(NEW)
    refused = await grown.call("DELETE", f"/hosts/{NEW}")
    assert refused.status == 409
    assert "ends what is bound there as host-lost" in refused.json["detail"]
    answer = await force(grown)
    assert (answer.status, answer.json["lost"]) == (200, 1)
    lost = await grown.cleaned(jobs[NEW])
    assert (lost.status.value, lost.failure.reason.value) == ("failed", "host-lost")
    assert "was removed by force" in lost.failure.message
    assert (await grown.latest_execution(jobs[OTHER])).status.value == "running"
    assert (await grown.call("DELETE", f"/tasks/grown-task/jobs/{jobs[NEW].job_id}")).status == 200


async def test_an_execution_with_retries_runs_again_elsewhere(grown: Administered) -> None:
    first = await grown.submit("hold", task="grown-task", retries=1, retry_delay=0)
    host = (await grown.reaches(first, "running")).host
    await force(grown, host)

    async def again() -> bool:
        attempts = await grown.attempts(first)
        return [row.status.value for row in attempts] == ["failed", "running"] and attempts[1].host != host

    await grown.until(again, "the second attempt, on the other host")


async def test_an_ended_execution_whose_service_cannot_be_removed_counts_as_clean(grown: Administered) -> None:
    job = (await on_both(grown, "hold"))[NEW]
    running = await grown.latest_execution(job)
    grown.executor.remove = unremovable(grown.executor.remove)
    grown.executor.release(running.id)
    await grown.reaches(job, "done")
    await force(grown)
    assert (await grown.cleaned(job)).status.value == "done"


def unremovable(remove):
    async def refuse(host: str, service_id: str) -> None:
        if host == NEW:
            raise HostDown(f"{host} is away")
        await remove(host, service_id)

    return refuse


async def test_the_worker_that_comes_after_a_crash_ends_what_was_lost(grown: Administered) -> None:
    """The removal is one write. Whoever has the executions then ends them: here a worker that begins after it."""
    jobs = await on_both(grown, "hold")
    await grown.dismiss()
    assert (await force(grown)).status == 200
    await grown.hire()
    lost = await grown.cleaned(jobs[NEW])
    assert lost.failure.reason.value == "host-lost"
    assert (await grown.latest_execution(jobs[OTHER])).status.value == "running"


async def test_a_host_that_returns_is_cleared_before_it_gets_work(grown: Administered) -> None:
    jobs = await on_both(grown, "hold")
    grown.executor.down(NEW)
    await force(grown)
    lost = await grown.cleaned(jobs[NEW])
    assert left_on(grown) == [lost.id]  # its container goes on
    parked = note_leftovers(grown)
    grown.executor.up(NEW)
    assert (await grown.register(NEW)).status == 200
    await check_next_one_finds_nothing(grown, parked)


@pytest.mark.sqlite
async def test_a_host_that_returns_two_days_after_its_jobs_were_deleted_is_cleared_of_what_runs_there(grown: Administered) -> None:
    jobs = await on_both(grown, "hold")
    grown.executor.down(NEW)
    await force(grown)
    lost = await grown.cleaned(jobs[NEW])
    assert (await grown.call("DELETE", f"/tasks/grown-task/jobs/{jobs[NEW].job_id}")).status == 200
    with closing(sqlite3.connect(grown.settings.data_dir / "fastlane.db")) as db:
        db.execute("UPDATE deleted_executions SET deleted_at = deleted_at - 2 * 86400")
        db.commit()
    another = await grown.submit("exit", "0", task="grown-task")
    await grown.cleaned(another)  # the deletion of a job forgets what was deleted too long ago
    assert (await grown.call("DELETE", f"/tasks/grown-task/jobs/{another.job_id}")).status == 200
    assert left_on(grown) == [lost.id]
    grown.executor.up(NEW)
    assert (await grown.register(NEW)).status == 200

    async def is_clear() -> bool:
        return left_on(grown) == []

    await grown.until(is_clear, "the service of the deleted execution to be removed")


async def test_a_host_that_was_away_for_a_moment_is_cleared_too_of_what_was_lost_meanwhile(shared_redis, tmp_path) -> None:
    async with grown_server(tmp_path, shared_redis.url, host_lost_after=0.2) as grown:
        jobs = await on_both(grown, "hold")
        grown.executor.down(NEW)
        lost = await grown.reaches(jobs[NEW], "failed")
        assert lost.failure.reason.value == "host-lost"
        assert left_on(grown) == [lost.id]
        parked = note_leftovers(grown)
        grown.executor.up(NEW)
        await check_next_one_finds_nothing(grown, parked)


async def test_a_host_that_came_back_while_no_worker_ran_is_cleared_by_the_next_one_before_it_gets_work(shared_redis, tmp_path) -> None:
    async with grown_server(tmp_path, shared_redis.url, host_lost_after=0.2) as grown:
        jobs = await on_both(grown, "hold")
        grown.executor.down(NEW)
        lost = await grown.reaches(jobs[NEW], "failed")
        await grown.dismiss()
        grown.executor.up(NEW)
        assert left_on(grown) == [lost.id]
        parked = note_leftovers(grown)
        grown.executor.down(OTHER)  # or the job could start there while NEW is being cleared
        waiting = await grown.submit("hold", task="grown-task")
        await grown.hire()
        assert (await grown.reaches(waiting, "running")).host == NEW
        assert parked == [[]]


async def test_a_host_that_takes_long_to_clear_keeps_no_other_one_waiting(grown: Administered) -> None:
    await on_both(grown, "hold")
    services, clearing = grown.executor.services, asyncio.Event()

    async def hang(host):
        if host == NEW:
            clearing.set()
            await asyncio.Event().wait()
        return await services(host)

    grown.executor.services = hang
    grown.executor.down(NEW)
    await grown.seen(NEW, available=False)
    grown.executor.up(NEW)
    await asyncio.wait_for(clearing.wait(), 20)
    grown.executor.down(OTHER)
    await grown.seen(OTHER, available=False)
    grown.executor.up(OTHER)
    assert (await grown.reaches(await grown.submit("hold", task="grown-task"), "running")).host == OTHER
    assert (await grown.seen(NEW, available=False))["error"] == "is being cleared of what was left there"


async def test_a_host_with_more_services_than_can_be_looked_at_in_time_is_cleared_nevertheless(named: Administered, monkeypatch) -> None:
    """Each part of the work has its own time. Clearing as a whole had one, began anew when that was over, and never ended."""
    for _ in range(8):
        await named.reaches(await named.submit("hold"), "running")
    monkeypatch.setattr(cleaner, "AT_ONCE", 2)
    monkeypatch.setattr(cleaner, "WITHIN", 0.5)

    async def slowly(call: Call) -> object:
        await asyncio.sleep(0.2)  # as a store that is busy
        return await call.carry()

    with intercepted(named.store, "execution", slowly):
        named.executor.down(HOST)
        await named.seen(HOST, available=False)
        named.executor.up(HOST)
        await named.seen(HOST, available=True)


@pytest.fixture
async def named(shared_redis, tmp_path):
    """A server whose settings name its host, with a worker that makes no rounds of cleaning while a test lasts."""
    async with Administered(tmp_path, shared_redis.url, reconcile=3600.0) as server:
        server.executor.engines[HOST] = EngineIdentity("engine", "swarm")
        await server.hire()
        await server.seen(HOST, available=True, engine="engine")
        yield server


async def test_a_host_that_the_settings_still_name_is_cleared_after_its_removal_before_it_gets_work(named: Administered) -> None:
    """Its engine is well, so it is used again at once."""
    first = await named.submit("hold")
    await named.reaches(first, "running")
    parked = note_leftovers(named, HOST)
    assert (await force(named, HOST)).json["lost"] == 1
    lost = await named.cleaned(first)
    assert (lost.status.value, lost.failure.reason.value) == ("failed", "host-lost")
    again = await named.reaches(await named.submit("hold"), "running")
    assert left_on(named, HOST) == [again.id]
    assert parked == [[]]


@pytest.mark.parametrize("step", ["end", "settle"])
async def test_a_removed_host_gets_no_work_before_what_was_lost_there_has_ended(named: Administered, step: str) -> None:
    """Another worker may have it, and be slow: its container would go on beside the new ones."""
    lost = await named.reaches(await named.submit("hold", retries=1, retry_delay=3_600_000), "running")
    parked, slow, clearings = note_leftovers(named, HOST), asyncio.Event(), 0
    services = named.executor.services

    async def hold(call: Call) -> object:
        if call.name == step:
            await slow.wait()
        return await call.carry()

    async def count(host):
        nonlocal clearings
        clearings += 1
        return await services(host)

    named.executor.services = count
    with intercepted(named.store, "change", hold):
        await force(named, HOST)

        async def tried(times: int) -> bool:
            return clearings >= times

        await named.until(partial(tried, 1), "the host to be cleared")
        waiting = await named.submit("hold")
        await named.until(partial(tried, 2), "the host to be cleared again")
        assert left_on(named, HOST) == [lost.id]
        assert (await named.seen(HOST, available=False))["error"] == "is being cleared of what was left there"
        slow.set()
        await named.reaches(waiting, "running")
    assert parked == [[]]


async def test_a_host_on_which_a_removal_fails_by_its_own_fault_gets_no_work_until_it_succeeds(named: Administered) -> None:
    lost = await named.reaches(await named.submit("hold"), "running")
    parked, remove, refused = note_leftovers(named, HOST), named.executor.remove, list[str]()

    async def fail(host: str, service_id: str) -> None:
        refused.append(service_id)
        if len(refused) < 3:
            raise HostDown(f"{host} is away")
        await remove(host, service_id)

    named.executor.remove = fail
    await force(named, HOST)

    async def failed() -> bool:
        return bool(refused)

    await named.until(failed, "a removal to fail")
    again = await named.reaches(await named.submit("hold"), "running")
    assert left_on(named, HOST) == [again.id] != [lost.id]
    assert parked == [[]]


def left_on(server: Administered, host: str = NEW) -> list[str]:
    """The executions that have a service there."""
    return [run.order.execution_id for run in server.executor.world[host].values()]


def note_leftovers(server: Administered, on: str = NEW) -> list[list[str]]:
    """What each service that is parked on the host from now on finds there."""
    found: list[list[str]] = []
    park = server.executor.park

    async def note(host, order, image):
        if host == on:
            found.append(left_on(server, on))
        return await park(host, order, image)

    server.executor.park = note
    return found


async def check_next_one_finds_nothing(server: Administered, parked: list[list[str]]) -> None:
    await server.seen(NEW, available=True)
    again = await server.reaches(await server.submit("hold", task="grown-task"), "running")
    assert again.host == NEW
    assert parked == [[]]


async def test_a_new_execution_on_a_host_that_was_registered_again_is_not_lost(grown: Administered) -> None:
    await force(grown)
    await grown.register(NEW)
    await grown.seen(NEW, available=True)
    jobs = await on_both(grown, "hold", "exit", "0")
    await grown.drain(OTHER)
    assert (await grown.latest_execution(jobs[NEW])).status.value == "running"
    grown.executor.release((await grown.latest_execution(jobs[NEW])).id)
    assert (await grown.reaches(jobs[NEW], "done", "failed")).status.value == "done"


async def test_what_another_manager_of_the_swarm_still_sees_goes_on(grown: Administered) -> None:
    grown.executor.engines[OTHER] = EngineIdentity("engine-1", "swarm-0")
    await force(grown, OTHER)
    await grown.register(OTHER)
    await grown.seen(OTHER, available=True, swarm="swarm-0")
    grown.executor.world[OTHER] = grown.executor.world[NEW]  # both show the swarm's services
    job = await grown.submit("hold", "exit", "0", task="grown-task")
    running = await grown.reaches(job, "running")
    await force(grown, running.host)
    await grown.gone(running.host)
    grown.executor.release(running.id)
    assert (await grown.reaches(job, "done", "failed")).status.value == "done"


async def test_of_two_who_remove_by_force_at_once_one_does(grown: Administered) -> None:
    answers = await asyncio.gather(*(force(grown) for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [200, *[404] * 5]
