"""An execution whose end is told to a webhook, and a job that is late: the receiver gets it at least once, always with one id."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fastlane.models.delivery import Delivery, DeliveryState
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.status import Status
from tests.crash.ground import Ground
from tests.crash.scenarios import Scenario, ended
from tests.support.receiver import Receiver, receiving
from tests.support.seams import Trip


async def delivered(ground: Ground, id: str) -> Delivery:
    """The one delivery about an execution, or about a job, once it is delivered."""

    async def found() -> Sequence[Delivery] | None:
        rows = await ground.store.deliveries_of(id)
        return rows if rows and all(row.state is DeliveryState.DELIVERED for row in rows) else None

    (delivery,) = await ground.until(found, "a delivery that is delivered")
    return delivery


class Told(Scenario):
    """Its end is told to one webhook."""

    settings: Mapping[str, str] = {"WEBHOOK_ALLOW": "127.0.0.1", "WEBHOOK_TIMEOUT": "2s"}
    receiver: Receiver

    async def run(self, ground: Ground, trips: Sequence[Trip]) -> None:
        async with receiving() as self.receiver:
            await super().run(ground, trips)

    async def before(self, ground: Ground) -> None:
        await ground.enqueue(webhooks=(Webhook(NotificationTrigger.FAILS, self.receiver.url),))

    async def check(self, ground: Ground) -> None:
        await ended(ground)
        row = await ground.row()
        delivery = await delivered(ground, row.id)
        assert self.receiver.received, await ground.told()
        assert {one.id for one in self.receiver.received} == {delivery.id}
        assert len({one.body for one in self.receiver.received}) == 1
        assert self.receiver.received[0].json["status"] == "failed"


class ToldWithoutQueue(Told):
    """The queue loses all its data while its end is being told."""

    async def after(self, ground: Ground) -> None:
        await ground.queue.generation.wipe()


class Late(Told):
    """Its job is late, because it does not succeed."""

    async def before(self, ground: Ground) -> None:
        await ground.enqueue(webhooks=(Webhook(NotificationTrigger.LATE, self.receiver.url),), expect_every=1_000)

    async def check(self, ground: Ground) -> None:
        await ended(ground)
        row = await ground.row()
        delivery = await delivered(ground, row.job_id)
        assert {one.id for one in self.receiver.received} == {delivery.id}, await ground.told()
        assert self.receiver.received[0].json["type"] == "job.late"

        async def told() -> bool:
            job = await ground.store.job(row.job_id)
            return job is not None and job.late_since == delivery.created_at and job.check_at is None

        await ground.until(told, "a job that is late, and was told so")


class Recovered(Told):
    """Its job was late, and was told so; now it succeeds."""

    async def before(self, ground: Ground) -> None:
        webhooks = (Webhook(NotificationTrigger.RECOVERED, self.receiver.url),)
        made = await ground.enqueue(webhooks=webhooks, expect_every=3_600_000, envs={"CODE": "0"})
        job = await ground.store.job(made.job_id)
        assert job is not None
        assert await ground.store.advance(job, replace(job, late_since=ground.clock.now(), check_at=None), (), None)

    async def check(self, ground: Ground) -> None:
        row = await ground.row()
        assert (row.status, row.settled, ground.starts) == (Status.DONE, True, 1), await ground.told()
        delivery = await delivered(ground, row.job_id)
        assert {one.id for one in self.receiver.received} == {delivery.id}, await ground.told()
        assert self.receiver.received[0].json["type"] == "job.recovered"
        job = await ground.store.job(row.job_id)
        assert job is not None
        assert row.finished_at is not None
        assert (job.late_since, job.check_at) == (None, row.finished_at + 3_600_000)


class RecoveredWithoutQueue(Recovered):
    """The queue loses all its data while that is being told."""

    async def after(self, ground: Ground) -> None:
        await ground.queue.generation.wipe()
