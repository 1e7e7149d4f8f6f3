"""Why a job does not run yet, what it would be, and how it ended: asked for over HTTP."""

import asyncio

import pytest

from fastlane.errors import StoreDown
from fastlane.models import transitions
from fastlane.models.cron import Cron
from fastlane.models.job import Spec
from fastlane.models.job_change import fire
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.tick import next_execution
from fastlane.queue.port import Lane
from fastlane.services.results import Enqueued
from fastlane.web.api.actions import DRY_RUN
from fastlane.web.api.serializer import RenderContext
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, failing, intercept, keeping
from tests.support.redis import RealRedis

PATIENCE = 30


async def why(server, url):
    answer = await server.get(url + "why")
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    shown = answer.json
    for wait in shown["waitingFor"]:
        assert set(wait) >= {"reason", "message", "since", "until"}
    return shown["status"], [wait["reason"] for wait in shown["waitingFor"]], shown["waitingFor"]


async def test_a_job_tells_in_each_state_what_it_waits_for(server):
    reply = await server.enqueue()
    for url in (reply["jobUrl"], reply["executionUrl"]):
        assert (await why(server, url))[:2] == ("enqueued", ["no-worker"])
    await server.report_worker(usable=False)
    status, reasons, (wait,) = await why(server, reply["jobUrl"])
    assert (status, reasons) == ("enqueued", ["no-host"])
    assert wait["hosts"] == [{"host": HOST, "reason": "refused the connection", "since": None}]
    assert HOST in wait["message"]
    await server.report_worker()
    assert (await why(server, reply["jobUrl"]))[:2] == ("enqueued", [])
    pulling = await server.pull(reply)
    assert (await why(server, reply["executionUrl"]))[:2] == ("pulling", ["image"])
    await server.services.stops.stop_execution("task", reply["jobId"], pulling.id)
    assert (await why(server, reply["executionUrl"]))[:2] == ("pulling", ["stop"])
    done = await server.run_to_end("task")
    for url in (done["jobUrl"], done["executionUrl"]):
        assert (await why(server, url))[:2] == ("done", [])


async def test_a_full_pool_and_a_task_at_its_concurrency_are_told(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("small", "", (HOST,), max_running=1),)) as server:
        await server.report_worker()
        await server.queue.generation.set_generation("1")
        first = await server.enqueue("task")
        (lease,) = (await server.queue.claim("1", "worker", [Lane("small", 1)], 5, lease=60_000)).leases
        assert lease.id == first["executionId"]
        await server.run(first)
        second = await server.enqueue("task", concurrency=1)
        _, reasons, waits = await why(server, second["jobUrl"])
        assert reasons == ["pool-full", "concurrency"]
        assert (waits[0]["running"], waits[0]["maxRunning"], waits[1]["running"], waits[1]["concurrency"]) == (1, 1, 1, 1)
        assert waits[0]["since"] == (await server.get(second["executionUrl"])).json["execution"]["scheduledFor"]


async def test_a_schedule_a_pause_and_a_paused_pool_are_told(server):
    await server.report_worker()
    reply = await server.enqueue(cron="0 0 1 1 *")
    status, reasons, (wait,) = await why(server, reply["jobUrl"])
    assert (status, reasons, wait["until"]) == ("scheduled", ["due"], (await server.get(reply["jobUrl"])).json["job"]["nextRunAt"])
    await server.services.pauses.pause("task", reply["jobId"])
    assert (await why(server, reply["jobUrl"]))[:2] == ("paused", ["paused"])
    await server.services.pools.pause("default")
    waiting = await server.enqueue()
    assert (await why(server, waiting["jobUrl"]))[:2] == ("enqueued", ["pool-paused"])


async def test_a_queue_that_is_away_is_an_answer(own_redis: RealRedis, tmp_path):
    async with Fastlane(tmp_path, own_redis.url) as server:
        reply = await server.enqueue()
        own_redis.stop()
        status, reasons, (wait,) = await why(server, reply["jobUrl"])
        assert (status, reasons) == ("enqueued", ["no-queue"])
        assert "queue" in wait["message"]


async def test_why_of_what_is_not_there_is_404(server):
    reply = await server.enqueue()
    none = "96812ec5-4574-46da-9474-f901b51d49ec"
    for path in (f"/tasks/other/jobs/{reply['jobId']}", f"/tasks/task/jobs/{none}", f"{reply['jobUrl']}executions/{none}"):
        assert (await server.get(path.rstrip("/") + "/why")).status == 404


# what a job would be


async def test_a_preview_tells_pool_hosts_and_next_runs_and_writes_nothing(server):
    await server.report_worker(usable=False)
    spec, schedule = Spec("ubuntu", envs={"PASSWORD": "x", "A": "b"}), Schedule(ScheduleKind.CRON, None, Cron("0 8 * * mon-fri"))
    seen = await server.services.previewer.preview("fast-task", spec, schedule)
    shown = DRY_RUN.serialize(seen, RenderContext("http://x", ("password",)))
    assert (shown["valid"], shown["pool"], len(shown["nextRuns"])) == (True, "fast", 5)
    assert shown["hosts"] == [{"host": HOST, "usable": False, "reason": "refused the connection"}]
    assert shown["spec"]["envs"] == {"PASSWORD": "********", "A": "b"}
    assert shown["nextRuns"] == sorted(shown["nextRuns"])
    assert shown["schedule"]["cron"] == "0 8 * * mon-fri"
    assert (await server.store.counts()).jobs == 0
    assert await server.store.task("fast-task") is None


# how it ended


@pytest.fixture
def completion(server):
    return server.services.completion


def made(reply):
    return Enqueued(reply["taskId"], reply["jobId"], reply["queueJobId"], reply["executionId"])


async def test_an_end_is_heard_of_when_it_comes(server, completion, monkeypatch):
    monkeypatch.setattr("fastlane.streams.reader.HURRIED", 3_600.0)  # so that nothing but a hint makes it look again
    reply = await server.enqueue()
    async with asyncio.timeout(PATIENCE):
        waiting = asyncio.create_task(completion.wait(made(reply), 60))
        execution = await server.run(reply)
        await server.append_log(execution, (1, b"out"))
        await server.end(execution, 3)
        view = await waiting
    assert (view.execution.status, view.execution.exit_code, view.stdout, view.stderr) == ("failed", 3, "out", "")


async def test_the_end_of_the_last_attempt_is_waited_for(server, completion):
    reply = await server.enqueue(retries=2)
    async with asyncio.timeout(PATIENCE):
        waiting = asyncio.create_task(completion.wait(made(reply), 60))
        attempt = reply
        for code in (1, 1, 0):
            ended = await server.end(await server.run(attempt), code)
            assert not waiting.done()
            following = next_execution(ended, due=server.clock.now(), now=server.clock.now())
            attempt = {"executionId": following.id}
            assert not code or await server.store.insert(following)
            assert await server.store.change(transitions.settle(ended))
        view = await waiting
    assert (view.execution.id, view.execution.attempt, view.execution.status) == (ended.id, 3, "done")


async def test_who_waits_too_short_for_a_retry_gets_the_attempt_before_or_the_one_that_waits(server, completion):
    reply = await server.enqueue(retries=1)
    ended = await server.end(await server.run(reply), 1)
    assert (await completion.wait(made(reply), 0.05)).execution.status == "failed"
    assert await server.store.insert(next_execution(ended, due=server.clock.now(), now=server.clock.now()))
    seen = (await completion.wait(made(reply), 0.05)).execution
    assert (seen.attempt, seen.status) == (2, "enqueued")


async def test_who_waits_long_enough_gets_what_is_known(server, completion):
    reply, later = await server.enqueue(), await server.enqueue(startIn="1h")
    assert (await completion.wait(made(reply), 0.05)).execution.status == "enqueued"
    assert await completion.wait(made(later), 0.05) is None


async def test_a_job_that_starts_later_is_waited_for_by_its_tick(server, completion):
    later = await server.enqueue(startIn="1h")
    async with asyncio.timeout(PATIENCE):
        waiting = asyncio.create_task(completion.wait(made(later), 60))
        job = await server.store.job(later["jobId"])
        firing = fire(job, now=job.next_tick)
        assert await server.store.advance(job, firing.job, firing.ticks, firing.execution)
        await server.end(await server.run(later | {"executionId": firing.execution.id}))
        assert (await waiting).execution.status == "done"


async def test_a_store_that_is_away_for_a_while_does_not_end_the_wait(server, completion):
    reply = await server.run_to_end("task", (1, b"out"))
    reads: list[Call] = []
    intercept(server.store, "execution", failing(StoreDown("away"), times=2))
    intercept(server.store, "execution", keeping(reads))
    async with asyncio.timeout(PATIENCE):
        view = await completion.wait(made(reply), 60)
    assert view.execution.status == "done"
    assert len(reads) > 2


async def test_a_server_that_ends_tells_what_is_known(server, completion):
    reply = await server.enqueue()
    async with asyncio.timeout(PATIENCE):
        waiting = asyncio.create_task(completion.wait(made(reply), 60))
        await asyncio.sleep(0)
        completion.close()
        assert (await waiting).execution.status == "enqueued"
