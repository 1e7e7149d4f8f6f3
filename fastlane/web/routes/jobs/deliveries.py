"""``/tasks/T/jobs/J/executions/E/deliveries`` and ``/tasks/T/jobs/J/deliveries``, and what has one sent again."""

from fastlane.web.api.contract import operation
from fastlane.web.api.responses.deliveries import DELIVERIES, DELIVERY, JOB_DELIVERIES
from fastlane.web.handler.handler import Handler


class DeliveriesHandler(Handler):
    """``/tasks/T/jobs/J/executions/E/deliveries``."""

    @operation("listDeliveries", DELIVERIES, refusals=(404,))
    async def on_get(self, task_id: str, job_id: str, execution_id: str) -> None:
        """What was sent about the execution, or is to be sent, with each attempt."""
        await self.answer(DELIVERIES, await self.services.deliveries.of_execution(task_id, job_id, execution_id))


class RedeliverHandler(Handler):
    """``/tasks/T/jobs/J/executions/E/deliveries/D/redeliver``."""

    @operation("redeliver", DELIVERY, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str, execution_id: str, delivery_id: str) -> None:
        """Has a delivery sent again, with the same id."""
        await self.answer(DELIVERY, await self.services.deliveries.redeliver(task_id, job_id, execution_id, delivery_id, self.requester))


class JobDeliveriesHandler(Handler):
    """``/tasks/T/jobs/J/deliveries``."""

    @operation("listDeliveriesOfJob", JOB_DELIVERIES, refusals=(404,))
    async def on_get(self, task_id: str, job_id: str) -> None:
        """What was sent because the job was late or has recovered, or is to be sent, with each attempt."""
        await self.answer(JOB_DELIVERIES, await self.services.deliveries.of_job(task_id, job_id))


class RedeliverOfJobHandler(Handler):
    """``/tasks/T/jobs/J/deliveries/D/redeliver``."""

    @operation("redeliverOfJob", DELIVERY, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str, delivery_id: str) -> None:
        """Has a delivery about the job sent again, with the same id."""
        await self.answer(DELIVERY, await self.services.deliveries.redeliver_of_job(task_id, job_id, delivery_id, self.requester))
