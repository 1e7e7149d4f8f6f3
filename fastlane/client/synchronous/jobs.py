"""What can be done to one job."""

from collections.abc import Iterator
from typing import Any, cast

from fastlane.client import contract
from fastlane.client.answers import Answered
from fastlane.client.contract import (
    Deleted,
    Delivery,
    DryRun,
    Enqueued,
    JobChanges,
    JobDeliveries,
    JobDetail,
    JobFields,
    JobRow,
    Stopped,
    Tick,
    Ticket,
    Why,
)
from fastlane.client.errors import NotFound
from fastlane.client.synchronous.pages import rows
from fastlane.client.synchronous.transport import Transport


class Jobs:
    """``client.jobs``. A job is named by its task and its id. ``if_match`` is an ETag: nothing happens to a job of another version."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, task: str | None = None, status: str | None = None, label: str | None = None) -> Iterator[JobRow]:
        """The jobs, newest first: of all tasks or of one, with this status (or several, with commas), with this label (NAME=VALUE)."""
        return rows(self._transport, contract.LIST_ALL_JOBS, {}, {"task": task, "status": status, "label": label})

    def get(self, task: str, job: str) -> JobDetail:
        """The job with its last 20 executions."""
        return self._transport.call(contract.GET_JOB, _ids(task, job))

    def get_with_etag(self, task: str, job: str) -> Answered[JobDetail]:
        """The same, with the ETag for ``if_match``."""
        return self._transport.answer(contract.GET_JOB, _ids(task, job))

    def put(self, task: str, job: str, fields: JobFields, *, if_match: str | None = None) -> Enqueued:
        """Creates the job under this id (a UUID), or replaces its details and schedules it again."""
        return self._transport.call(contract.PUT_JOB, _ids(task, job), body=cast("dict[str, Any]", fields), if_match=if_match)

    def preview_put(self, task: str, job: str, fields: JobFields) -> DryRun:
        """What ``put`` would make of these fields. Changes nothing."""
        return self._transport.call(contract.PUT_JOB_AS_DRY_RUN, _ids(task, job), {"dryRun": 1}, cast("dict[str, Any]", fields))

    def patch(self, task: str, job: str, changes: JobChanges, *, if_match: str | None = None) -> Enqueued:
        """Changes these fields of the job; None removes one."""
        return self._transport.call(contract.PATCH_JOB, _ids(task, job), body=cast("dict[str, Any]", changes), if_match=if_match)

    def stop(self, task: str, job: str, *, if_match: str | None = None) -> Stopped:
        """Stops what runs of it, and keeps more from starting."""
        return self._transport.call(contract.STOP_JOB, _ids(task, job), if_match=if_match)

    def retry(self, task: str, job: str) -> Enqueued:
        """Runs its last execution again."""
        return self._transport.call(contract.RETRY_JOB, _ids(task, job))

    def run_now(self, task: str, job: str, *, force: bool = False) -> Enqueued:
        """Runs it once now. ``force``: although an execution runs, and its ``overlap`` is ``skip``."""
        return self._transport.call(contract.RUN_JOB, _ids(task, job), {"force": 1 if force else None})

    def pause(self, task: str, job: str) -> Stopped:
        """Holds its schedule."""
        return self._transport.call(contract.PAUSE_JOB, _ids(task, job))

    def resume(self, task: str, job: str) -> Stopped:
        """Releases its schedule."""
        return self._transport.call(contract.RESUME_JOB, _ids(task, job))

    def delete(self, task: str, job: str, *, stop: bool = False, if_match: str | None = None) -> Deleted:
        """Removes it with its history. ``stop``: stops it first."""
        try:
            return self._transport.call(contract.DELETE_JOB, _ids(task, job), {"stop": 1 if stop else None}, if_match=if_match)
        except NotFound as error:
            if not error.repeated:
                raise
            return {"taskId": task, "jobId": job, "deleted": True}

    def ticks(self, task: str, job: str) -> Iterator[Tick]:
        """Its due times and what became of each, the latest first."""
        return rows(self._transport, contract.LIST_TICKS, _ids(task, job), {})

    def deliveries(self, task: str, job: str) -> JobDeliveries:
        """What was sent because it was late or has recovered, or is to be sent."""
        return self._transport.call(contract.LIST_DELIVERIES_OF_JOB, _ids(task, job))

    def redeliver(self, task: str, job: str, delivery: str) -> Delivery:
        """Has a delivery about the job sent again."""
        return self._transport.call(contract.REDELIVER_OF_JOB, {**_ids(task, job), "delivery_id": delivery})

    def why(self, task: str, job: str) -> Why:
        """What it waits for now."""
        return self._transport.call(contract.GET_WHY, _ids(task, job))

    def ticket(self, task: str, job: str) -> Ticket:
        """What lets a browser, which cannot send a token, open the page of its log (``streamUrl``) once, within 30 seconds."""
        return self._transport.call(contract.MAKE_TICKET, _ids(task, job))


def _ids(task: str, job: str) -> dict[str, str]:
    return {"task_id": task, "job_id": job}
