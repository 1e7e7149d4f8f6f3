"""Shows the deliveries of an execution or a job, and sends one again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from fastlane.errors import NotFound
from fastlane.models.access import Requester
from fastlane.models.delivery import Delivery, Receiver, receiver_id
from fastlane.models.event import Event, EventKind
from fastlane.models.ids import new_id
from fastlane.models.job import Spec
from fastlane.models.notify import Webhook
from fastlane.models.pool import pool_for
from fastlane.services.parts import Service
from fastlane.storage.base import find_execution, find_job

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery, and its receiver if that fails (else None). ``hides_url``: only the origin of its URL is shown."""

    delivery: Delivery
    receiver: Receiver | None
    hides_url: bool = False


@dataclass(frozen=True, slots=True)
class DeliveriesView:
    """The deliveries of an execution."""

    task_id: str
    job_id: str
    execution_id: str
    deliveries: tuple[DeliveryView, ...]


@dataclass(frozen=True, slots=True)
class JobDeliveriesView:
    """The deliveries that are about a job itself."""

    task_id: str
    job_id: str
    deliveries: tuple[DeliveryView, ...]


class Deliveries(Service):
    """Raises NotFound for what does not exist or belongs to another job or task, and StoreDown. ``is_limited``: who asks may use only some
    tasks, and so does not see the URLs of a pool's webhooks, which its other tasks have, too."""

    async def of_execution(self, task_id: str, job_id: str, execution_id: str, *, is_limited: bool = False) -> DeliveriesView:
        """An execution's deliveries."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        rows = await self._store.deliveries_of(execution_id)
        return DeliveriesView(task_id, job_id, execution_id, await self._views(rows, execution.spec, is_limited=is_limited))

    async def of_job(self, task_id: str, job_id: str, *, is_limited: bool = False) -> JobDeliveriesView:
        """The deliveries about a job itself: that it is late, or has recovered."""
        job = await find_job(self._store, task_id, job_id)
        rows = await self._store.deliveries_of(job_id)
        return JobDeliveriesView(task_id, job_id, await self._views(rows, job.spec, is_limited=is_limited))

    async def redeliver_of_job(
        self, task_id: str, job_id: str, delivery_id: str, by: Requester | None = None, *, is_limited: bool = False
    ) -> DeliveryView:
        """Sends a delivery about the job itself again, as ``redeliver`` does."""
        job = await find_job(self._store, task_id, job_id)
        missing = f"job {job_id} has no delivery {delivery_id}; GET its deliveries"
        again = await self._again(job_id, delivery_id, missing, by, {"task_id": task_id, "job_id": job_id})
        return (await self._views([again], job.spec, is_limited=is_limited))[0]

    async def redeliver(
        self, task_id: str, job_id: str, execution_id: str, delivery_id: str, by: Requester | None = None, *, is_limited: bool = False
    ) -> DeliveryView:
        """Sends a delivery again under its id, whatever became of it. A receiver that is paused gets it, too."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        missing = f"execution {execution_id} has no delivery {delivery_id}; GET its deliveries"
        ids = {"task_id": task_id, "job_id": job_id, "execution_id": execution_id}
        again = await self._again(execution_id, delivery_id, missing, by, ids)
        return (await self._views([again], execution.spec, is_limited=is_limited))[0]

    async def _again(self, owner_id: str, delivery_id: str, missing: str, by: Requester | None, ids: Mapping[str, str]) -> Delivery:
        id = new_id(self._clock.now())
        while True:
            row = await self._store.delivery(delivery_id)
            if row is None or row.execution_id != owner_id:
                raise NotFound(missing)
            now = self._clock.now()
            again = row.again(now)
            event = Event.now(EventKind.DELIVERY_REQUESTED, now, by, id=id, **ids, delivery=row.id)
            await self._store.add_events([event])
            if await self._store.write_delivery(again):
                log.info("delivery.requested", **ids, delivery_id=row.id, receiver=row.target.origin)
                return again

    async def _views(self, rows: Sequence[Delivery], spec: Spec, *, is_limited: bool) -> tuple[DeliveryView, ...]:
        ids = [receiver_id(pool_for(self._pools, row.task_id), row.target) for row in rows]
        receivers = await self._store.receivers(sorted(set(ids)))
        own = {webhook.url for webhook in spec.webhooks}
        return tuple(
            DeliveryView(row, receivers.get(id), hides_url=is_limited and isinstance(row.target, Webhook) and row.target.url not in own)
            for id, row in zip(ids, rows, strict=True)
        )
