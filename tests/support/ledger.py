"""What a store has of a job, read by its lists: the ledger's rows, and how many rows and executions there are."""

from fastlane.models.paging import Window
from fastlane.models.tick import Tick
from fastlane.storage.base import ExecutionStore, JobStore


async def ticks_of(store: JobStore, job_id: str, limit: int = 1_000) -> list[Tick]:
    """The job's ledger, the latest due first."""
    return list((await store.list_ticks(job_id, Window(1, limit))).rows)


async def tick_of(store: JobStore, job_id: str, tick_id: str) -> Tick | None:
    """One row of the job's ledger; None when it has no such row."""
    return next((tick for tick in await ticks_of(store, job_id) if tick.id == tick_id), None)


async def count_ticks(store: JobStore, job_id: str) -> int:
    """How many rows the job's ledger has."""
    return (await store.list_ticks(job_id, Window(1, 1))).total


async def count_executions(store: ExecutionStore, job_id: str) -> int:
    """How many executions the job has."""
    return (await store.list_executions_of(job_id, Window(1, 1))).total
