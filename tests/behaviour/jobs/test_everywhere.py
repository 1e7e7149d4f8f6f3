"""Jobs that run everywhere: one execution on each usable swarm of the pool, or on each node of these, all of one tick, which has ended when
all have.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import StoreDown
from fastlane.models import transitions
from fastlane.models.everywhere import stands_for_tick
from fastlane.models.host import HostView, Node
from fastlane.models.job import Execution
from fastlane.models.pool import Pool
from fastlane.models.tick import execution_id
from tests.support.fastlane import IMAGE, Fastlane
from tests.support.intercept import Call, intercept
from tests.support.redis import RealRedis

HOSTS = ("unix:///a", "unix:///b", "unix:///c")
WIDE = Pool("wide", "", HOSTS, max_running=100)


def crew_of(redis: RealRedis, folder: Path, **settings: Any) -> Fastlane:
    """A fastlane with a pool of three swarms of one manager each."""
    return Fastlane(folder, redis.url, **{"pools": (WIDE,), **settings})


def by_host(crew: Fastlane, commands: dict[str, tuple[str, ...]]) -> None:
    """Lets what is started on some of the hosts run other commands."""

    async def park(call: Call) -> Any:
        host, order, image = call.arguments
        return await call.real(host, replace(order, command=commands.get(host, order.command)), image)

    intercept(crew.executor, "park", park)


async def everywhere(crew: Fastlane, task: str = "task", **fields: Any) -> dict[str, Any]:
    """The enqueue reply of a job that runs on all swarms."""
    reply = await crew.enqueue(task, **{"everywhere": "swarms", **fields})
    assert reply["executionId"] is None
    return reply


async def executions(crew: Fastlane, reply: dict[str, Any], count: int, ok: Callable[[Execution], bool]) -> list[Execution]:
    """The job's executions in the order of their targets, once there are so many and each is as wanted."""

    async def found() -> list[Execution] | None:
        rows = await crew.store.executions_of(reply["jobId"], 1_000)
        return list(rows) if len(rows) == count and all(map(ok, rows)) else None

    rows = await crew.until(found, f"{count} executions of {reply['jobId']}")
    assert rows is not None
    return sorted(rows, key=lambda one: (place_of(one), one.attempt))


def place_of(execution: Execution) -> int:
    """The place of its target; -1 before it has one."""
    return -1 if execution.spec.target is None else execution.spec.target.place


def is_settled(execution: Execution) -> bool:
    return execution.settled and execution.cleaned


async def status_of(crew: Fastlane, reply: dict[str, Any]) -> str:
    return str((await crew.get(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}")).json["job"]["status"])


async def test_a_job_runs_once_on_each_swarm_and_its_tick_is_done_when_all_are(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_of(shared_redis, tmp_path, workers=2) as crew:
        by_host(crew, {HOSTS[1]: ("hold",)})
        reply = await everywhere(crew)
        rows = await executions(crew, reply, 3, lambda one: is_settled(one) or (one.host == HOSTS[1] and one.status.value == "running"))
        assert [one.host for one in rows] == list(HOSTS)
        assert [one.spec.target.name for one in rows if one.spec.target] == list(HOSTS)
        assert {one.tick_id for one in rows} == {reply["queueJobId"]}
        assert rows[0].id == execution_id(reply["queueJobId"], 1)
        assert await status_of(crew, reply) == "running"
        crew.executor.release(rows[1].id)
        rows = await executions(crew, reply, 3, is_settled)
        assert await status_of(crew, reply) == "done"
        assert sorted(crew.executor.starts) == sorted(one.id for one in rows)
        tick = await crew.store.tick(reply["queueJobId"])
        assert tick is not None
        assert (tick.outcome.value, tick.execution_id, tick.reason) == ("started", rows[0].id, "runs on 3 targets")
        await crew.idle()


async def test_the_target_that_ended_worst_stands_for_the_tick(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_of(shared_redis, tmp_path, workers=2) as crew:
        by_host(crew, {HOSTS[1]: ("exit", "3")})
        reply = await everywhere(crew)
        rows = await executions(crew, reply, 3, is_settled)
        assert [one.status.value for one in rows] == ["done", "failed", "done"]
        assert await status_of(crew, reply) == "failed"
        latest = (await crew.store.latest([reply["jobId"]]))[reply["jobId"]]
        tick = await crew.store.tick(reply["queueJobId"])
        assert tick is not None
        assert latest.id == tick.execution_id == rows[1].id
        await crew.idle()


async def test_each_target_has_attempts_of_its_own_and_the_tick_ends_with_the_last(shared_redis: RealRedis, tmp_path: Path) -> None:
    """One webhook gets the end of the tick, once; and the job after it runs once."""
    async with crew_of(shared_redis, tmp_path, workers=2, webhook_allow=("127.0.0.1",)) as crew:
        by_host(crew, {HOSTS[0]: ("exit", "4,5"), HOSTS[2]: ("exit", "7,0")})
        hooks = {"finishes": [{"url": "http://127.0.0.1:9/"}]}
        first = await everywhere(crew, name="first", retries=1, retryDelay=0, manual=True, webhooks=hooks)
        after = await crew.enqueue(name="second", after="first", afterOn="finishes")
        answer = (await crew.post(f"/tasks/task/jobs/{first['jobId']}/run")).json
        assert answer["executionId"] is None
        rows = await executions(crew, first, 5, is_settled)
        assert [(one.host, one.attempt, one.status.value, one.exit_code) for one in rows] == [
            (HOSTS[0], 1, "failed", 4),
            (HOSTS[0], 2, "failed", 5),
            (HOSTS[1], 1, "done", 0),
            (HOSTS[2], 1, "failed", 7),
            (HOSTS[2], 2, "done", 0),
        ]
        followed = await executions(crew, after, 1, is_settled)
        assert followed[0].upstream is not None
        assert [end.execution_id for end in followed[0].upstream] == [rows[1].id]
        sent = [one for row in rows for one in await crew.store.deliveries_of(row.id)]
        assert sorted((one.execution_id == rows[1].id, one.will_retry, one.event) for one in sent) == [
            (False, True, "execution.failed"),
            (False, True, "execution.failed"),
            (True, False, "execution.failed"),
        ]
        assert await status_of(crew, first) == "failed"
        tick = await crew.store.tick(answer["queueJobId"])
        assert tick is not None
        assert tick.execution_id == rows[1].id


async def test_a_request_that_waits_gets_the_execution_that_stands_for_its_tick(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_of(shared_redis, tmp_path, workers=1) as crew:
        by_host(crew, {HOSTS[2]: ("exit", "9")})
        answer = await crew.post("/tasks/task?wait=60", {"image": IMAGE, "everywhere": "swarms"})
        assert answer.json["executionId"] is None
        found = answer.json["execution"]
        assert (found["status"], found["exitCode"], found["target"]["name"]) == ("failed", 9, HOSTS[2])
        refused = await crew.post(f"/tasks/task/jobs/{answer.json['jobId']}/backfill", {"from": "2026-01-01T00:00:00Z"})
        assert (refused.status, "runs everywhere" in refused.json["detail"]) == (409, True)


async def test_a_stop_stops_every_target(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_of(shared_redis, tmp_path, workers=2) as crew:
        reply = await everywhere(crew, command="hold")
        await executions(crew, reply, 3, lambda one: one.status.value == "running")
        assert (await crew.post(f"/tasks/task/jobs/{reply['jobId']}/stop")).status == 200
        rows = await executions(crew, reply, 3, is_settled)
        assert [one.status.value for one in rows] == ["stopped"] * 3
        assert await status_of(crew, reply) == "stopped"
        await crew.idle()


async def test_a_swarm_that_cannot_be_used_is_left_out_and_named(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_of(shared_redis, tmp_path) as crew:
        crew.executor.down(HOSTS[1])
        await crew.hire()
        reply = await everywhere(crew)
        rows = await executions(crew, reply, 2, is_settled)
        assert [one.host for one in rows] == [HOSTS[0], HOSTS[2]]
        ledger = (await crew.get(f"/tasks/task/jobs/{reply['jobId']}/ticks")).json["items"]
        assert [row["reason"] for row in ledger] == ["runs on 2 targets, and not on unix:///b, which refused the connection"]
        assert await status_of(crew, reply) == "done"


async def test_a_target_that_is_lost_before_its_start_fails_and_the_tick_ends(shared_redis: RealRedis, tmp_path: Path) -> None:
    pool = replace(WIDE, max_running=1)
    async with crew_of(shared_redis, tmp_path, pools=(pool,), pending_deadline=0.5) as crew:
        by_host(crew, {HOSTS[0]: ("hold",)})
        await crew.hire()
        reply = await everywhere(crew)
        rows = await executions(crew, reply, 3, lambda one: one.status.value == ("running" if place_of(one) == 0 else "enqueued"))
        crew.executor.down(HOSTS[1])
        crew.executor.release(rows[0].id)
        rows = await executions(crew, reply, 3, is_settled)
        assert [one.status.value for one in rows] == ["done", "failed", "done"]
        failure = rows[1].failure
        assert failure is not None
        assert (failure.reason.value, rows[1].host) == ("unschedulable", None)
        assert failure.message.startswith("no host of the swarm of its target 'unix:///b' gets new work any longer (waited for 0.5 s)")
        assert await status_of(crew, reply) == "failed"
        await crew.idle()


async def test_a_job_runs_on_each_node_that_takes_work(shared_redis: RealRedis, tmp_path: Path) -> None:
    pool = replace(WIDE, policy=replace(WIDE.policy, constraints=("node.role==*",)))
    async with crew_of(shared_redis, tmp_path, pools=(pool,)) as crew:
        nodes = (Node("n1", "one", "ready", True), Node("n2", "two", "down", False), Node("n3", "three", "ready", True))
        view = crew.executor._view

        def with_nodes(name: str) -> HostView:
            found: HostView = view(name)
            return replace(found, members=nodes) if name == HOSTS[1] else found

        crew.executor._view = with_nodes
        asked = dict[str, tuple[str, ...]]()

        async def park(call: Call) -> Any:
            _, order, _ = call.arguments
            asked[order.execution_id] = order.container.constraints
            return await call.carry()

        intercept(crew.executor, "park", park)
        await crew.hire()
        reply = await everywhere(crew, everywhere="nodes", container={"constraints": ["node.role==worker"]})
        rows = await executions(crew, reply, 4, is_settled)
        assert [(one.host, one.spec.target.name if one.spec.target else "") for one in rows] == [
            (HOSTS[0], HOSTS[0]),
            (HOSTS[1], "one"),
            (HOSTS[1], "three"),
            (HOSTS[2], HOSTS[2]),
        ]
        assert [asked[one.id][1:] for one in rows] == [(), ("node.id==n1",), ("node.id==n3",), ()]
        tick = await crew.store.tick(reply["queueJobId"])
        assert tick is not None
        assert tick.reason == "runs on 4 targets, and not on node two of unix:///b, which is down (docker node ls)"


async def test_a_retry_runs_on_all_targets_and_the_retry_of_an_execution_on_its_own(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_of(shared_redis, tmp_path, workers=1) as crew:
        reply = await everywhere(crew)
        rows = await executions(crew, reply, 3, is_settled)
        path = f"/tasks/task/jobs/{reply['jobId']}"
        whole = (await crew.post(f"{path}/retry")).json
        assert whole["executionId"] is None
        both = await executions(crew, reply, 6, is_settled)
        assert [one.host for one in both if one.tick_id == whole["queueJobId"]] == list(HOSTS)
        again = (await crew.post(f"{path}/executions/{rows[2].id}/retry")).json
        (alone,) = [one for one in await executions(crew, reply, 7, is_settled) if one.tick_id == again["queueJobId"]]
        assert (alone.id, alone.host) == (again["executionId"], HOSTS[2])


async def test_a_repeated_request_with_a_key_makes_one_tick(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_of(shared_redis, tmp_path) as crew:
        body = {"image": IMAGE, "everywhere": "swarms"}
        answers = [await crew.post("/tasks/task", body, headers={"Idempotency-Key": "once"}) for _ in range(2)]
        assert [answer.json["executionId"] for answer in answers] == [None, None]
        assert answers[0].json["queueJobId"] == answers[1].json["queueJobId"]
        await crew.hire()
        await executions(crew, answers[0].json, 3, is_settled)


async def test_a_follower_of_the_job_gets_every_target_with_its_name_before_each_line(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with crew_of(shared_redis, tmp_path, workers=2) as crew:
        by_host(crew, {HOSTS[1]: ("out", "one\ntw", "hold", "out", "o\nrest"), HOSTS[2]: ("err", "failed\n", "exit", "2")})
        reply = await everywhere(crew)
        rows = await executions(crew, reply, 3, lambda one: is_settled(one) or one.status.value == "running")
        path = f"{crew.base}/tasks/task/jobs/{reply['jobId']}/ws?format=json"
        async with crew.client.ws_connect(path) as socket:
            crew.executor.release(rows[1].id)
            messages = [json.loads(message.data) async for message in socket]
        assert sorted(one["text"] for one in messages if "text" in one) == [
            "unix:///b | one\n",
            "unix:///b | rest\n",
            "unix:///b | two\n",
            "unix:///c | failed\n",
        ]
        assert messages[-1] == {"event": "end", "status": "failed", "exitCode": 2}
        text = (await crew.get(f"/tasks/task/jobs/{reply['jobId']}/logs?follow=1")).body.decode()
        assert sorted(text.splitlines()) == ["unix:///b | one", "unix:///b | rest", "unix:///b | two", "unix:///c | failed"]


@pytest.mark.parametrize("seam", ["plan", "plan 2", "insert", "insert 2", "change_tick", "stand-for", "settle"])
async def test_a_worker_that_dies_amid_a_tick_leaves_nothing_behind_and_nothing_runs_twice(
    shared_redis: RealRedis, tmp_path: Path, seam: str
) -> None:
    """Its write is not made; then another worker does it, and all that follows."""
    async with crew_of(shared_redis, tmp_path) as crew:
        by_host(crew, {HOSTS[1]: ("exit", "3")})
        verb, _, passage = seam.partition(" ")
        left = [int(passage or 1)]

        async def refuse(call: Call) -> Any:
            if call.name == verb:
                left[0] -= 1
                if left[0] == 0:
                    raise StoreDown("away")
            return await call.carry()

        for port, name in ((crew.store, "change"), (crew.store, "insert"), (crew.store, "change_tick")):
            intercept(port, name, refuse)
        for _ in range(2):
            await crew.hire()
        reply = await everywhere(crew)
        rows = await executions(crew, reply, 3, is_settled)
        assert [(one.host, one.status.value) for one in rows] == [(HOSTS[0], "done"), (HOSTS[1], "failed"), (HOSTS[2], "done")]
        assert sorted(crew.executor.starts) == sorted(one.id for one in rows)
        assert await status_of(crew, reply) == "failed"
        tick = await crew.store.tick(reply["queueJobId"])
        assert tick is not None
        assert (tick.execution_id, tick.reason) == (rows[1].id, "runs on 3 targets")
        await crew.idle()


async def test_a_worker_that_dies_between_an_attempt_and_its_settling_does_not_lose_the_end_of_the_tick(
    shared_redis: RealRedis, tmp_path: Path
) -> None:
    """The attempt after it has ended by then, as the last of all."""
    async with crew_of(shared_redis, tmp_path, workers=2) as crew:
        by_host(crew, {HOSTS[0]: ("exit", "4,5")})
        is_over = asyncio.Event()

        async def hold(call: Call) -> Any:
            one = call.arguments[0].seen
            if call.name == "settle" and place_of(one) == 0 and one.attempt == 1:
                await is_over.wait()
            return await call.carry()

        intercept(crew.store, "change", hold)
        reply = await everywhere(crew, retries=1, retryDelay=0)
        await executions(crew, reply, 4, lambda one: one.settled or (place_of(one) == 0 and one.attempt == 1))
        is_over.set()
        rows = await executions(crew, reply, 4, is_settled)
        tick = await crew.store.tick(reply["queueJobId"])
        assert tick is not None
        (stands,) = [one for one in rows if stands_for_tick(one)]
        assert (stands.id, stands.attempt, stands.exit_code) == (tick.execution_id, 2, 5)
        await crew.idle()


@pytest.mark.parametrize("ends", ["done", "failed"])
async def test_a_stop_that_comes_while_an_attempt_is_made_ends_the_tick_once(shared_redis: RealRedis, tmp_path: Path, ends: str) -> None:
    """Another target ends while the attempt after a failed one is decided on, and not there."""
    async with crew_of(shared_redis, tmp_path, workers=2, webhook_allow=("127.0.0.1",)) as crew:
        by_host(crew, {HOSTS[0]: ("exit", "4"), HOSTS[1]: ("hold", "exit", "0" if ends == "done" else "5")})
        ended, is_made, stands = asyncio.Event(), asyncio.Event(), list[str]()

        async def hold(call: Call) -> Any:
            if call.verb == "insert" and call.arguments[0].attempt == 2 and not is_made.is_set():
                is_made.set()
                await ended.wait()
            answer = await call.carry()
            if call.name == "stand-for" and answer is not None:
                stands.append(answer.id)
            return answer

        intercept(crew.store, "insert", hold)
        intercept(crew.store, "change", hold)
        hooks = {"finishes": [{"url": "http://127.0.0.1:9/"}]}
        reply = await everywhere(crew, retries=1, retryDelay=0, webhooks=hooks)
        rows = await executions(crew, reply, 3, lambda one: one.settled or place_of(one) == 0 or one.status.value == "running")
        await is_made.wait()
        if ends == "failed":  # after the stop has been written, and before it is passed on
            await crew.store.stop_job(reply["jobId"], crew.clock.now())
            crew.executor.release(rows[1].id)
        else:
            assert (await crew.post(f"/tasks/task/jobs/{reply['jobId']}/stop")).status == 200
        await executions(crew, reply, 3, lambda one: one.status.final and (one.settled or place_of(one) != 2))
        if ends == "done":
            await executions(crew, reply, 3, lambda one: one.settled or place_of(one) == 0)
        ended.set()
        rows = await executions(crew, reply, 4, is_settled)
        assert [(place_of(one), one.attempt, one.status.value) for one in rows][:2] == [(0, 1, "failed"), (0, 2, "stopped")]
        (last,) = [one for one in rows if stands_for_tick(one)]
        assert stands == [last.id]
        assert last.id == (rows[1].id if ends == "done" else rows[2].id)
        sent = [one for row in rows for one in await crew.store.deliveries_of(row.id)]
        assert [(one.execution_id, one.event) for one in sent if not one.will_retry] == [(last.id, f"execution.{last.status.value}")]
        assert [one.execution_id for one in sent if one.will_retry] == [rows[0].id]
        await crew.idle()


async def test_a_lead_that_is_stopped_amid_the_making_of_the_others_leaves_none_out(shared_redis: RealRedis, tmp_path: Path) -> None:
    """The worker that made them dies. A target without an execution at that moment gets one that is stopped."""
    async with crew_of(shared_redis, tmp_path) as crew:
        left = [2]

        async def refuse(call: Call) -> Any:
            left[0] -= 1
            if left[0] == 0:
                one = call.arguments[0]
                lead = await crew.store.execution(execution_id(one.tick_id, 1))
                assert lead is not None
                assert await crew.store.change(transitions.cancel(lead, now=crew.clock.now())) is not None
                raise StoreDown("away")
            return await call.carry()

        intercept(crew.store, "insert", refuse)
        for _ in range(2):
            await crew.hire()
        reply = await everywhere(crew)
        rows = await executions(crew, reply, 3, is_settled)
        assert [one.status.value for one in rows] == ["stopped", "done", "stopped"]
        assert crew.executor.starts == [rows[1].id]
        tick = await crew.store.tick(reply["queueJobId"])
        assert tick is not None
        assert (tick.outcome.value, tick.execution_id, await status_of(crew, reply)) == ("started", rows[0].id, "stopped")
        await crew.idle()
