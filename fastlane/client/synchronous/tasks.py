"""Tasks: the names under which jobs are grouped."""

from collections.abc import Iterator

from fastlane.client import contract
from fastlane.client.contract import Deleted, JobRow, Task, TaskStopped
from fastlane.client.errors import NotFound
from fastlane.client.synchronous.pages import rows
from fastlane.client.synchronous.transport import Transport


class Tasks:
    """``client.tasks``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Task]:
        """All tasks, most recently changed first."""
        return rows(self._transport, contract.LIST_TASKS, {}, {})

    def search(self, words: str) -> Iterator[Task]:
        """The tasks whose ids contain all of these words, or words that begin with them."""
        return rows(self._transport, contract.SEARCH_TASKS, {}, {"query": words})

    def jobs(self, task: str, *, status: str | None = None) -> Iterator[JobRow]:
        """The jobs of a task, newest first. Raises NotFound when there is no such task."""
        return rows(self._transport, contract.LIST_JOBS_OF_TASK, {"task_id": task}, {"status": status})

    def stop(self, task: str) -> TaskStopped:
        """Stops every job of the task."""
        return self._transport.call(contract.STOP_TASK, {"task_id": task})

    def delete(self, task: str, *, stop: bool = False) -> Deleted:
        """Removes the task with all its jobs and their history. ``stop``: stops them first."""
        try:
            return self._transport.call(contract.DELETE_TASK, {"task_id": task}, {"stop": 1 if stop else None})
        except NotFound as error:
            if not error.repeated:
                raise
            return {"taskId": task, "jobId": None, "deleted": True}
