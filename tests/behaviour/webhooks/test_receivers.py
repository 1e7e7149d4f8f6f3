"""Receivers that are slow, dead, redirecting, oversized or internal: what becomes of their deliveries, and that others are not delayed."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from fastlane.errors import StoreDown
from fastlane.models.delivery import (
    GIVEN_UP,
    MAX_LOST,
    PAUSED_AFTER,
    TRIAL_EVERY,
    Delivery,
    Receiver as FailingReceiver,
    receiver_id,
)
from fastlane.models.ids import new_id
from fastlane.models.notify import NotificationTrigger, Webhook, origin_of
from fastlane.models.pool import RESTORED, Pool, pool_for
from fastlane.scheduler import deliverer
from tests.behaviour.webhooks.test_webhooks import deliveries, settled_deliveries
from tests.support.credentials import basic, user
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Around, Call, intercepted
from tests.support.receiver import Received, Receiver, receiving
from tests.support.redis import RealRedis
from tests.support.waiting import at_rest, until


class Hanging:
    """Receivers that take messages and do not answer. ``most``: how many messages they had at once."""

    def __init__(self) -> None:
        self.most = self._now = 0

    async def reply(self, _received: Received) -> web.StreamResponse:
        """Does not return while a test lasts."""
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(60)
        finally:
            self._now -= 1
        raise AssertionError


async def one_delivery(crew: Fastlane, url: str, retries: int = 0) -> dict[str, Any]:
    """The only delivery of a new job to this URL, once it has ended."""
    (row,) = await settled_deliveries(crew, await crew.enqueue("one", webhooks={"finishes": [{"url": url, "retries": retries}]}))
    return row


async def attempted(crew: Fastlane, reply: dict[str, Any]) -> dict[str, Any]:
    """The only delivery of an execution, once there was an attempt."""

    async def tried() -> dict[str, Any] | None:
        rows = await deliveries(crew, reply)
        return rows[0] if rows and rows[0]["attempts"] else None

    found = await crew.until(tried, "an attempt")
    assert found is not None
    return found


async def test_a_receiver_that_hangs_delays_no_other_and_gets_few_at_once(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    hanging = Hanging()
    receiver.reply = hanging.reply
    async with receiving() as other:
        slow = [await crew.enqueue("slow", webhooks={"finishes": [{"url": receiver.url, "retries": 0}]}) for _ in range(6)]
        await receiver.got(4)
        fast = await crew.enqueue("fast", webhooks={"finishes": [{"url": other.url}]})
        (row,) = await settled_deliveries(crew, fast)
        assert row["state"] == "delivered"
        states = [(await deliveries(crew, reply)) for reply in slow]
        assert any(rows == [] or rows[0]["state"] == "pending" for rows in states)
    for reply in slow:
        (row,) = await settled_deliveries(crew, reply)
        assert (row["state"], row["attempts"][0]["status"], row["attempts"][0]["error"]) == ("failed", None, "it did not answer within 1 s")
    assert hanging.most <= 4


async def test_the_hanging_receivers_of_one_task_leave_room_for_another_task(crew: Fastlane) -> None:
    await crew.hire()
    hanging = Hanging()
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(receiving()) for _ in range(10)]
        for one in receivers:
            one.reply = hanging.reply
        hooks = [{"url": one.url, "retries": 0} for one in receivers]
        slow = [await crew.enqueue("slow", webhooks={"finishes": hooks}) for _ in range(3)]
        other = await stack.enter_async_context(receiving())
        (row,) = await settled_deliveries(crew, await crew.enqueue("fast", webhooks={"finishes": [{"url": other.url}]}))
        assert row["state"] == "delivered"
        assert any(one["state"] == "pending" for one in await deliveries(crew, slow[-1]))
        for reply in slow:
            await settled_deliveries(crew, reply)
    assert hanging.most == deliverer.share_of(deliverer.AT_ONCE) == 8


@pytest.fixture
async def teams(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    """A fastlane with two pools: one for the tasks ``greedy…``, one for all others."""
    pools = (Pool("greedy", "greedy", (HOST,)), Pool("others", "", (HOST,)))
    async with Fastlane(tmp_path, shared_redis.url, pools=pools, webhook_allow=("127.0.0.1",), webhook_timeout=100.0) as teams:
        yield teams


async def test_the_hanging_receivers_of_one_pools_many_tasks_leave_room_for_another_pool(
    teams: Fastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "AT_ONCE", 8)
    hanging = Hanging()
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(receiving()) for _ in range(5)]
        for one in receivers:
            one.reply = hanging.reply
        hooks = {"finishes": [{"url": one.url, "retries": 0} for one in receivers]}
        slow = [await teams.enqueue(f"greedy-{number}", webhooks=hooks) for number in range(9)]
        await teams.hire()
        await until(lambda: hanging.most >= 4, "no receiver hangs")
        other = await stack.enter_async_context(receiving())
        (row,) = await settled_deliveries(teams, await teams.enqueue("fast", webhooks={"finishes": [{"url": other.url}]}))
        assert row["state"] == "delivered"
        assert "pending" in {one["state"] for one in await deliveries(teams, slow[-1])}
    assert hanging.most == 4


async def test_a_receiver_that_hangs_for_one_pool_takes_the_messages_of_another(teams: Fastlane, receiver: Receiver) -> None:
    hanging = Hanging()

    async def reply(received: Received) -> web.StreamResponse:
        return await hanging.reply(received) if received.request.path == "/slow" else web.Response()

    receiver.reply = reply
    slow = {"finishes": [{"url": receiver.url.replace("/hook", "/slow"), "retries": 0}]}
    for _ in range(9):
        await teams.enqueue("greedy", webhooks=slow)
    await teams.hire()
    await receiver.got(4)
    (row,) = await settled_deliveries(teams, await teams.enqueue("fast", webhooks={"finishes": [{"url": receiver.url}]}))
    assert row["state"] == "delivered"
    assert hanging.most == 4


async def test_a_delivery_that_ended_the_process_again_and_again_is_given_up_without_another_attempt(
    crew: Fastlane, receiver: Receiver
) -> None:
    reply = await crew.enqueue("deadly", webhooks={"finishes": [{"url": receiver.url}]}, startIn="1h")
    job = await crew.store.job(reply["jobId"])
    assert job is not None
    now = crew.clock.now()
    row = Delivery(new_id(now), job.task_id, job.id, job.id, "job.late", job.spec.webhooks[0], False, now, now, 6)
    await crew.store.insert_deliveries([row])
    for _ in range(MAX_LOST):
        row = row.taken(now, now)
        assert await crew.store.write_delivery(row)
    await crew.store.write_delivery(replace(row, due=now, version=row.version + 1))
    await crew.hire()

    async def ended() -> dict[str, Any] | None:
        (found,) = (await crew.get(f"/tasks/deadly/jobs/{job.id}/deliveries")).json["items"]
        return found if found["state"] != "pending" else None

    found = await crew.until(ended, "a delivery that is given up")
    assert found is not None
    assert (found["state"], found["attempts"][-1]["error"]) == ("failed", GIVEN_UP)
    assert receiver.received == []


async def test_an_attempt_counts_before_it_is_made(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    seen: list[Delivery | None] = []

    async def look(received: Received) -> web.StreamResponse:
        seen.append(await crew.store.delivery(received.id))
        return web.Response()

    receiver.reply = look
    row = await one_delivery(crew, receiver.url)
    (stored,) = seen
    assert stored is not None
    assert (stored.attempts_made, stored.lost) == (1, 1)
    assert (row["attemptsMade"], len(row["attempts"]), row["state"]) == (1, 1, "delivered")


async def test_a_receiver_that_is_away_is_asked_again_later(crew: Fastlane) -> None:
    await crew.hire()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    reply = await crew.enqueue("dead", webhooks={"finishes": [{"url": url}]})
    row = await attempted(crew, reply)
    assert (row["state"], row["attemptsMade"], row["attemptsLeft"]) == ("pending", 1, 5)
    assert row["attempts"][0]["error"].startswith("it could not be reached: ")
    assert row["nextAttemptAt"] > row["attempts"][0]["at"]


async def test_what_failed_is_sent_again_until_it_is_taken_and_the_receiver_is_well_then(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    receiver.answer(503, 200)
    reply = await crew.enqueue("flaky", webhooks={"finishes": [{"url": receiver.url}]})
    row = await attempted(crew, reply)

    async def noted() -> FailingReceiver | None:
        return await crew.store.receiver(failing_id(crew, receiver.url))

    failing = await crew.until(noted, "a receiver that fails")
    assert failing is not None
    assert (failing.origin, failing.error) == (origin_of(receiver.url), "it answered 503")
    stored = await crew.store.delivery(row["id"])
    assert stored is not None
    assert await crew.store.write_delivery(stored.postponed(crew.clock.now()))  # the wait is over
    (row,) = await settled_deliveries(crew, reply)
    assert (row["state"], [one["status"] for one in row["attempts"]]) == ("delivered", [503, 200])

    async def well() -> bool:
        return await crew.store.receiver(failing_id(crew, receiver.url)) is None

    await crew.until(well, "a receiver that is well")


async def test_what_could_not_be_written_down_is_sent_again_under_the_same_id_and_is_nobodys_mistake(
    crew: Fastlane, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer, "RECORD_WITHIN", 0.3)
    await crew.hire()
    calls: list[Call] = []
    with capture_logs() as logs:
        with intercepted(crew.store, "write_delivery", away_after_the_first(calls)):
            reply = await crew.enqueue("unwritten", webhooks={"finishes": [{"url": receiver.url}]})
            (first,) = await receiver.got()
            await crew.until(lambda: given_up(logs), "an attempt that is given up")
        (row,) = await settled_deliveries(crew, reply)
    assert row["state"] == "delivered"
    assert {received.id for received in await receiver.got(2)} == {first.id}
    assert "delivery.failed" not in {event["event"] for event in logs}


def away_after_the_first(calls: list[Call]) -> Around:
    """The store takes the lease, and nothing after it."""

    async def fail(call: Call) -> Any:
        calls.append(call)
        if len(calls) > 1:
            raise StoreDown("gone")
        return await call.carry()

    return fail


async def given_up(logs: Sequence[Mapping[str, Any]]) -> bool:
    return any(event["event"] in ("delivery.waiting", "delivery.failed") for event in logs)


async def test_redirects_are_not_followed(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    async with receiving() as other:

        async def redirect(_received: Received) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": other.url})

        receiver.reply = redirect
        row = await one_delivery(crew, receiver.url)
        assert (row["state"], row["attempts"][0]["status"]) == ("failed", 307)
        assert "redirects are not followed" in row["attempts"][0]["error"]
        assert other.received == []


async def test_little_is_read_of_an_endless_answer(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    cut = asyncio.Event()

    async def pour(received: Received) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(received.request)
        try:
            while True:
                await answer.write(b"x" * 65536)
        except (ConnectionError, asyncio.CancelledError):
            cut.set()
            raise

    receiver.reply = pour
    row = await one_delivery(crew, receiver.url)
    assert (row["state"], row["attempts"][0]["excerpt"]) == ("delivered", "x" * 1024)
    async with asyncio.timeout(20):
        await cut.wait()


async def test_a_receiver_that_is_gone_is_asked_no_more(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    receiver.answer(410)
    row = await one_delivery(crew, receiver.url, retries=5)
    assert (row["state"], row["attemptsMade"]) == ("failed", 1)


async def test_a_user_of_some_tasks_does_not_see_the_url_of_a_pools_webhook_nor_other_receivers(
    shared_redis: RealRedis, tmp_path: Path, receiver: Receiver
) -> None:
    who = (user("anna", "annas", "admin"), user("rob", "robs", "run", "team-"))
    admin, limited = basic("anna", "annas"), basic("rob", "robs")
    pools = (Pool("told", "", (HOST,), webhooks=(Webhook(NotificationTrigger.FINISHES, f"{receiver.url}/secret-path", {}, 0),)),)
    receiver.answer(500)
    async with Fastlane(tmp_path, shared_redis.url, pools=pools, webhook_allow=("127.0.0.1",), users=who) as crew:
        await crew.hire()
        made = [
            (await crew.post("/tasks/team-a", {"image": "ubuntu:latest", **fields}, headers=limited)).json
            for fields in ({}, {"webhooks": {"finishes": [{"url": f"{receiver.url}/own", "retries": 0}]}})
        ]
        shown: dict[str, list[str]] = {}
        for name, headers in (("admin", admin), ("limited", limited)):
            for reply in made:
                path = f"/tasks/team-a/jobs/{reply['jobId']}/executions/{reply['executionId']}/deliveries"

                async def ended(path: str = path, headers: dict[str, str] = headers) -> dict[str, Any] | None:
                    items = (await crew.get(path, headers=headers)).json["items"]
                    return items[0] if items and items[0]["state"] == "failed" else None

                row = await crew.until(ended, "a delivery that has failed")
                assert row is not None
                shown.setdefault(name, []).append(row["receiver"])
        assert shown["admin"] == [f"{receiver.url}/secret-path", f"{receiver.url}/own"]
        assert shown["limited"] == [origin_of(receiver.url), f"{receiver.url}/own"]
        failing = [(await crew.get("/status", headers=headers)).json["webhooks"]["failing"] for headers in (admin, limited)]
        assert [len(rows) for rows in failing] == [2, 0]


@pytest.fixture
async def public(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    """A fastlane that sends to public addresses only."""
    async with Fastlane(tmp_path, shared_redis.url) as public:
        yield public


async def test_a_name_of_an_internal_address_is_not_sent_to(public: Fastlane, receiver: Receiver) -> None:
    await public.hire()
    row = await one_delivery(public, f"http://localhost:{receiver.port}/x")
    assert row["state"] == "failed"
    assert "is not a public address, and webhook_allow does not list it" in row["attempts"][0]["error"]
    assert receiver.received == []


async def test_a_delivery_that_a_worker_took_before_it_ended_is_sent_after_its_lease(crew: Fastlane, receiver: Receiver) -> None:
    reply = await crew.enqueue("left", webhooks={"finishes": [{"url": receiver.url}]})
    await crew.hire()
    (received,) = await receiver.got()
    await settled_deliveries(crew, reply)
    stored = await crew.store.delivery(received.id)
    assert stored is not None
    assert await crew.store.write_delivery(replace(stored.again(0), due=crew.clock.now() + 300))
    first, second = await receiver.got(2)
    assert (first.id, first.body) == (second.id, second.body)


def failing_id(crew: Fastlane, url: str, **fields: Any) -> str:
    """The id of a receiver of the pool ``default``."""
    return receiver_id(pool_for(crew.settings.pools, "one"), Webhook(NotificationTrigger.FINISHES, url, **fields))


async def paused_receiver(crew: Fastlane, receiver: Receiver, failed_at: int) -> None:
    id = failing_id(crew, receiver.url)
    failing = FailingReceiver(id, origin_of(receiver.url), failed_at - PAUSED_AFTER, failed_at, "away")
    assert await crew.store.write_receiver(failing)


async def test_a_receiver_that_one_team_uses_wrongly_is_paused_for_nobody_else(crew: Fastlane, receiver: Receiver) -> None:
    await paused_receiver(crew, receiver, crew.clock.now())
    await crew.hire()
    others: list[tuple[str, dict[str, Any]]] = [
        ("one", {"headers": {"Authorization": "Bearer right"}}),
        ("one", {"body": {"routing_key": "right"}}),
        ("told-other", {}),
    ]
    for task_id, fields in others:
        reply = await crew.enqueue(task_id, webhooks={"finishes": [{"url": receiver.url, **fields}]})
        assert [row["state"] for row in await settled_deliveries(crew, reply)] == ["delivered"]
    assert (await one_delivery(crew, receiver.url))["state"] == "failed"


async def test_a_receiver_that_an_older_version_noted_by_its_url_alone_is_forgotten(crew: Fastlane, receiver: Receiver) -> None:
    now = crew.clock.now()
    old = FailingReceiver(sha256(receiver.url.encode()).hexdigest()[:32], origin_of(receiver.url), now - PAUSED_AFTER, now, "away")
    assert await crew.store.write_receiver(old)
    assert (await crew.get("/status")).json["webhooks"]["failing"][0]["paused"]
    await crew.hire()
    assert (await one_delivery(crew, receiver.url))["state"] == "delivered"
    assert (await crew.get("/status")).json["webhooks"]["failing"] == []


async def test_a_receiver_that_failed_for_a_day_is_paused_until_a_person_or_a_trial_reaches_it(crew: Fastlane, receiver: Receiver) -> None:
    await paused_receiver(crew, receiver, crew.clock.now())
    await crew.hire()
    row = await one_delivery(crew, receiver.url, retries=5)
    assert (row["state"], row["receiverPaused"], row["attemptsMade"]) == ("failed", True, 1)
    assert row["attempts"][0]["error"].startswith("it is paused")
    assert receiver.received == []
    status = (await crew.get("/status")).json
    assert [(one["receiver"], one["paused"]) for one in status["webhooks"]["failing"]] == [(origin_of(receiver.url), True)]
    await crew.post(row["redeliverUrl"].replace("https://fl.example.com", crew.base))
    await receiver.got()
    assert (await one_delivery(crew, receiver.url))["state"] == "delivered"
    assert (await crew.get("/status")).json["webhooks"]["failing"] == []


async def test_after_an_hour_one_delivery_to_a_paused_receiver_is_attempted(crew: Fastlane, receiver: Receiver) -> None:
    await paused_receiver(crew, receiver, crew.clock.now() - TRIAL_EVERY)
    await crew.hire()
    receiver.answer(500)
    row = await one_delivery(crew, receiver.url)
    assert (row["attempts"][0]["status"], row["receiverPaused"]) == (500, True)
    row = await one_delivery(crew, receiver.url)
    assert row["attempts"][0]["error"].startswith("it is paused")
    assert len(receiver.received) == 1


async def test_of_several_deliveries_to_a_paused_receiver_at_once_one_is_the_trial(crew: Fastlane, receiver: Receiver) -> None:
    await paused_receiver(crew, receiver, crew.clock.now() - TRIAL_EVERY)
    hanging = Hanging()
    receiver.reply = hanging.reply
    replies = [await crew.enqueue("one", webhooks={"finishes": [{"url": receiver.url, "retries": 0}]}) for _ in range(4)]
    await crew.hire()
    errors = [row["attempts"][0]["error"] for reply in replies for row in await settled_deliveries(crew, reply)]
    assert sorted(error.startswith("it is paused") for error in errors) == [False, True, True, True]
    assert len(receiver.received) == 1


async def test_after_the_store_went_back_nothing_is_sent_until_dispatch_is_resumed(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    reply = await crew.enqueue("back", webhooks={"finishes": [{"url": receiver.url}]})
    await settled_deliveries(crew, reply)
    stored = await crew.store.delivery(receiver.received[0].id)
    assert stored is not None
    await crew.store.pause_pool(RESTORED, True)
    assert await crew.store.write_delivery(stored.again(0))
    await at_rest(lambda: len(receiver.received))
    assert len(receiver.received) == 1
    assert (await crew.post("/dispatch/resume")).status == 200
    await receiver.got(2)


async def test_no_log_line_and_no_answer_has_the_path_of_a_receiver_that_fails(crew: Fastlane, receiver: Receiver, capsys: Any) -> None:
    await crew.hire()
    receiver.answer(500)
    await one_delivery(crew, receiver.url.replace("/hook", "/services/T000/secret-path"))
    printed = capsys.readouterr()
    assert "secret-path" not in printed.out + printed.err
    assert b"secret-path" not in (await crew.get("/status")).body
