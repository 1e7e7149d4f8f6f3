"""Compares the statuses that a store keeps of its jobs with the rule."""

from fastlane.models.job import status_of
from fastlane.models.paging import WantedJobs, Window
from fastlane.storage.base import Store

ALL = Window(1, 1_000)


async def stored_statuses(store: Store) -> dict[str, str]:
    """The stored status of each job, by its id."""
    return dict((await store.list_all_jobs(WantedJobs(), ALL)).statuses)


async def ruled_statuses(store: Store) -> dict[str, str]:
    """The status of each job by the rule, from what is stored of it and of its executions."""
    jobs = (await store.list_all_jobs(WantedJobs(), ALL)).rows
    return {job.id: status_of(job, await store.executions_of(job.id, 1_000)) for job in jobs}
