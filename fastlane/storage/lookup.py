"""Finds a task, a job or an execution by the ids of a request, or raises NotFound."""

from fastlane.errors import NotFound
from fastlane.models.job import Execution, Job, Task
from fastlane.storage.base import ExecutionStore, JobStore


async def find_task(store: JobStore, task_id: str) -> Task:
    """The task with this id."""
    task = await store.task(task_id)
    if task is None:
        raise NotFound(f"there is no task {task_id!r}")
    return task


async def find_job(store: JobStore, task_id: str, job_id: str) -> Job:
    """The job with this id, if it belongs to the task."""
    job = await store.job(job_id)
    if job is None or job.task_id != task_id:
        raise no_such_job(task_id, job_id)
    return job


async def find_execution(store: ExecutionStore, task_id: str, job_id: str, execution_id: str) -> Execution:
    """The execution with this id, if it belongs to the job and the task."""
    execution = await store.execution(execution_id)
    if execution is None or execution.job_id != job_id or execution.task_id != task_id:
        raise NotFound(f"job {job_id} of task {task_id!r} has no execution {execution_id}")
    return execution


def no_such_job(task_id: str, job_id: str) -> NotFound:
    """The error for a job that does not exist in its task."""
    return NotFound(f"task {task_id!r} has no job {job_id}")
