"""Shows the deliveries of an execution or a job, and sends one again."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from fastlane.errors import NotFound
from fastlane.models.access import Requester
from fastlane.models.delivery import Delivery, Receiver, receiver_id
from fastlane.models.event import Event, EventKind
from fastlane.models.ids import new_id
from fastlane.models.pool import pool_for
from fastlane.services.parts import Service
from fastlane.storage.base import find_execution, find_job

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery, and its receiver if that fails (else None)."""

    delivery: Delivery
    receiver: Receiver | None


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
    """Raises NotFound for what does not exist or belongs to another job or task, and StoreDown."""

    async def of_execution(self, task_id: str, job_id: str, execution_id: str) -> DeliveriesView:
        """An execution's deliveries."""
        await find_execution(self._store, task_id, job_id, execution_id)
        rows = await self._store.deliveries_of(execution_id)
        return DeliveriesView(task_id, job_id, execution_id, tuple([await self._view(row) for row in rows]))

    async def of_job(self, task_id: str, job_id: str) -> JobDeliveriesView:
        """The deliveries about a job itself: that it is late, or has recovered."""
        await find_job(self._store, task_id, job_id)
        rows = await self._store.deliveries_of(job_id)
        return JobDeliveriesView(task_id, job_id, tuple([await self._view(row) for row in rows]))

    async def redeliver_of_job(self, task_id: str, job_id: str, delivery_id: str, by: Requester | None = None) -> DeliveryView:
        """Sends a delivery about the job itself again, as ``redeliver`` does."""
        await find_job(self._store, task_id, job_id)
        missing = f"job {job_id} has no delivery {delivery_id}; GET its deliveries"
        return await self._again(job_id, delivery_id, missing, by, {"task_id": task_id, "job_id": job_id})

    async def redeliver(self, task_id: str, job_id: str, execution_id: str, delivery_id: str, by: Requester | None = None) -> DeliveryView:
        """Sends a delivery again under its id, whatever became of it. A receiver that is paused gets it, too."""
        await find_execution(self._store, task_id, job_id, execution_id)
        missing = f"execution {execution_id} has no delivery {delivery_id}; GET its deliveries"
        ids = {"task_id": task_id, "job_id": job_id, "execution_id": execution_id}
        return await self._again(execution_id, delivery_id, missing, by, ids)

    async def _again(self, owner_id: str, delivery_id: str, missing: str, by: Requester | None, ids: Mapping[str, str]) -> DeliveryView:
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
                return await self._view(again)

    async def _view(self, row: Delivery) -> DeliveryView:
        return DeliveryView(row, await self._store.receiver(receiver_id(pool_for(self._pools, row.task_id), row.target)))
