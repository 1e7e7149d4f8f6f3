"""Executions: attempts at running a job."""

from collections.abc import AsyncIterator

from fastlane.client import contract
from fastlane.client.asynchronous.pages import rows
from fastlane.client.asynchronous.transport import AsyncTransport
from fastlane.client.contract import Deliveries, Delivery, Execution, ExecutionCleaned, ExecutionStopped, Why


class AsyncExecutions:
    """``client.executions``."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self, *, task: str | None = None, status: str | None = None, since: str | None = None) -> AsyncIterator[Execution]:
        """The executions of all tasks or of one, the latest due first; ``since``: a time, or a duration ago (1h)."""
        return rows(self._transport, contract.LIST_EXECUTIONS, {}, {"task": task, "status": status, "since": since})

    def of_job(self, task: str, job: str) -> AsyncIterator[Execution]:
        """The executions of a job, newest first."""
        return rows(self._transport, contract.LIST_EXECUTIONS_OF_JOB, {"task_id": task, "job_id": job}, {})

    async def get(self, task: str, job: str, execution: str) -> Execution:
        """The execution in full, with the end of its log (``log`` and ``error``)."""
        return (await self._transport.call(contract.GET_EXECUTION, _ids(task, job, execution)))["execution"]

    async def stop(self, task: str, job: str, execution: str) -> ExecutionStopped:
        """Stops this execution. Its job's schedule goes on."""
        return await self._transport.call(contract.STOP_EXECUTION, _ids(task, job, execution))

    async def end(self, task: str, job: str, execution: str, reason: str) -> ExecutionStopped:
        """Ends an execution as stopped that was asked to stop and does not end. For administrators."""
        return await self._transport.call(contract.END_EXECUTION, _ids(task, job, execution), body={"reason": reason})

    async def mark_cleaned(self, task: str, job: str, execution: str, reason: str) -> ExecutionCleaned:
        """Counts its service as removed, because its host will not come back. For administrators."""
        return await self._transport.call(contract.MARK_EXECUTION_CLEANED, _ids(task, job, execution), body={"reason": reason})

    async def deliveries(self, task: str, job: str, execution: str) -> Deliveries:
        """What was sent to webhooks about it, or is to be sent."""
        return await self._transport.call(contract.LIST_DELIVERIES, _ids(task, job, execution))

    async def redeliver(self, task: str, job: str, execution: str, delivery: str) -> Delivery:
        """Has a delivery sent again."""
        return await self._transport.call(contract.REDELIVER, {**_ids(task, job, execution), "delivery_id": delivery})

    async def why(self, task: str, job: str, execution: str) -> Why:
        """What it waits for now."""
        return await self._transport.call(contract.GET_WHY_OF_EXECUTION, _ids(task, job, execution))


def _ids(task: str, job: str, execution: str) -> dict[str, str]:
    return {"task_id": task, "job_id": job, "execution_id": execution}
