"""Jobs of any task of a pool that share a limit: ``concurrencyKey``."""

from fastlane.models.pool import Pool
from fastlane.queue.port import Lane, execution_entry
from fastlane.services.reads.concurrency import Sharing, find_sharing

DB = {"concurrency": 1, "concurrencyKey": "db"}
LANES = [Lane("default", 10), Lane("@ticks", None)]


async def claimed(server, generation=""):
    if generation:
        await server.queue.generation.set_generation(generation)
    return [lease.id for lease in (await server.queue.claim("1", "worker", LANES, 10, lease=60_000)).leases]


async def test_jobs_of_any_task_with_a_key_share_a_limit_and_hold_up_nothing_else(server):
    first = await server.enqueue("one", **DB)
    waiting = await server.enqueue("two", **DB)
    wider = await server.enqueue("three", **{**DB, "concurrency": 2})
    other = await server.enqueue("two", concurrency=1, concurrencyKey="queue")
    plain = await server.enqueue("two", concurrency=1)
    expected = [one["executionId"] for one in (first, wider, other, plain)]
    assert sorted(await claimed(server, "1")) == sorted(expected)
    assert await claimed(server) == []
    for one in (first, wider):
        await server.queue.finish({one["executionId"]: 0})
    assert await claimed(server) == [waiting["executionId"]]


async def test_why_names_the_jobs_that_have_taken_the_key(server):
    first = await server.enqueue("one", **DB)
    second = await server.enqueue("two", **DB)
    await server.report_worker()
    await server.pull(first)
    (wait,) = [one for one in (await server.get(f"{second['jobUrl']}why")).json["waitingFor"] if one["reason"] == "concurrency"]
    taken = f"one/{first['jobId']}"
    assert wait["message"] == f"it waits for the key db: 1 of 1 taken by {taken} (concurrencyKey)"
    assert (wait["concurrencyKey"], wait["running"], wait["concurrency"], wait["takenBy"]) == ("db", 1, 1, [taken])


async def test_why_names_no_job_that_its_caller_may_not_see(server):
    first = await server.enqueue("one", **DB)
    waiting = await server.execution(await server.enqueue("two", **DB))
    await server.pull(first)
    assert await find_sharing(server.store, server.pools, waiting, "two$") == Sharing(1)
    assert await find_sharing(server.store, server.pools, waiting, "(one|two)$") == Sharing(1, (f"one/{first['jobId']}",))


async def test_a_key_is_another_limit_in_each_pool(server):
    execution = await server.execution(await server.enqueue("task", **DB))
    groups = {execution_entry(execution, [Pool(name, "", ("host",))]).group for name in ("a", "b")}
    assert len(groups) == 2
    assert "task" not in groups


async def test_a_key_needs_a_concurrency_and_goes_with_it(server):
    answer = await server.post("/tasks/task", {"image": "ubuntu", "concurrencyKey": "db"})
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "concurrencyKey")
    job = await server.enqueue("task", cron="@daily", **DB)
    definition = (await server.get(job["jobUrl"])).json["job"]["definition"]
    assert (definition["concurrency"], definition["concurrencyKey"]) == (1, "db")
    assert (await server.ask("PATCH", job["jobUrl"], json={"concurrency": None})).status == 200
    definition = (await server.get(job["jobUrl"])).json["job"]["definition"]
    assert "concurrencyKey" not in definition
    assert (await server.ask("PUT", job["jobUrl"], json=definition)).status == 200
