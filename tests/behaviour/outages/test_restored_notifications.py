"""What a restored backup of the store has not told yet: it waits until somebody resumes dispatch, and is told under the id that it had."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fastlane import app
from fastlane.models.pool import RESTORED
from tests.behaviour.outages.test_restored_backups import is_built, is_held
from tests.support.fastlane import Borrowed, Fastlane
from tests.support.mail_server import Server, mail_server
from tests.support.receiver import Receiver, receiving
from tests.support.redis import RealRedis
from tests.support.stored_data import back_up
from tests.support.waiting import at_rest, until

Make = Callable[[], Fastlane]
ADDRESS = "team@example.com"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with mail_server() as server:
        yield server


@pytest.fixture
def make(shared_redis: RealRedis, tmp_path: Path, server: Server) -> Make:
    """Makes a fastlane on one store, again and again."""
    installation = f"test-{uuid4().hex[:8]}"
    settings: dict[str, Any] = {"webhook_allow": ("127.0.0.1",), "installation": installation, **server.settings}
    return lambda: Fastlane(tmp_path, shared_redis.url, **settings)


async def begin(crew: Fastlane) -> None:
    """Starts a worker, and waits until it has built the queue."""
    number = (await crew.store.generation()).number
    await crew.hire()
    await crew.until(lambda: is_built(crew, after=number), "the queue to be built")


@pytest.mark.thorough
async def test_what_was_sent_since_the_backup_is_sent_again_only_once_dispatch_is_resumed(
    make: Make, receiver: Receiver, server: Server
) -> None:
    async with make() as crew:
        await begin(crew)
        receiver.answer(500)
        server.answer("DATA", "451 later")
        hooks = {"fails": [{"url": receiver.url}], "late": [{"url": receiver.url}]}
        reply = await crew.enqueue(command=["exit", "3"], expectEvery="2s", webhooks=hooks, notify={"fails": [ADDRESS]})
        rows = await crew.until(lambda: tried(crew, reply), "an attempt of each delivery")
        restore = back_up(crew.settings.store_url)
        receiver.answer(200)
        server.answer("DATA", "")
        for row in rows:
            assert (await crew.post(row["redeliverUrl"])).status == 200
        (mail,) = await server.got()
        await receiver.got(3)
    failed, sent, late = sorted(receiver.received, key=lambda one: one.json["type"] == "job.late")
    assert (failed.id, late.json["type"]) == (sent.id, "job.late")
    restore()
    async with make() as crew:
        await begin(crew)
        await crew.until(lambda: is_held(crew), "dispatch to be held")
        assert await at_rest(lambda: (len(receiver.received), len(server.received))) == (3, 1)
        assert (await crew.post("/dispatch/resume")).status == 200
        await receiver.got(5)
        assert {one.id for one in receiver.received[3:]} == {sent.id, late.id}
        assert [str(one.mail["Message-ID"]) for one in await server.got(2)] == [str(mail.mail["Message-ID"])] * 2


async def test_a_worker_that_starts_first_sends_nothing_before_it_knows_whether_the_store_went_back(make: Make, receiver: Receiver) -> None:
    async with make() as crew:
        await begin(crew)
        reply = await crew.enqueue(webhooks={"finishes": [{"url": receiver.url}]})
        (sent,) = await receiver.got()
        await crew.until(lambda: delivered(crew, reply), "the delivery to be written down")
        await crew.dismiss()
        stored = await crew.store.delivery(sent.id)
        assert stored is not None
        assert await crew.store.write_delivery(stored.again(0))
        restore = back_up(crew.settings.store_url)
        await crew.hire()
        await receiver.got(2)
    restore()
    executor: Any = Borrowed(crew.executor)
    async with app.running("worker", crew.settings, app.Factories(executor=lambda _settings, _clock: executor)) as running:

        async def held() -> bool:
            return (await running.store.paused_pools()).hold == RESTORED

        await until(held, "dispatch to be held")
        assert await at_rest(lambda: len(receiver.received)) == 2


async def delivered(crew: Fastlane, reply: dict[str, Any]) -> bool:
    return [row["state"] for row in (await crew.get(f"{reply['executionUrl']}deliveries")).json["items"]] == ["delivered"]


async def tried(crew: Fastlane, reply: dict[str, Any]) -> list[dict[str, Any]] | None:
    rows: list[dict[str, Any]] = (await crew.get(f"{reply['executionUrl']}deliveries")).json["items"]
    return rows if len(rows) == 2 and all(row["attempts"] for row in rows) else None
