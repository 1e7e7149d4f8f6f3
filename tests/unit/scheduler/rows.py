"""What a watcher needs of a store, in memory."""

from dataclasses import replace

from fastlane.models.job import Execution, Job
from fastlane.models.log import Head
from fastlane.models.transitions import ExecutionChange
from fastlane.scheduler.leases import Assignment


class Row:
    """The part of a store that a watcher needs: one execution."""

    def __init__(self, execution: Execution) -> None:
        self.execution_now = execution

    async def execution(self, _id: str) -> Execution:
        return self.execution_now

    async def change(self, change: ExecutionChange) -> Execution | None:
        if not change.permitted(self.execution_now):
            return None
        self.execution_now = replace(self.execution_now, **change.values)
        return self.execution_now

    async def followers(self, _job_id: str, _limit: int) -> list[Job]:
        return []

    async def log_head(self, _id: str) -> Head:
        return Head()


class Never:
    """Activates nothing."""

    async def activate(self, _assignment: Assignment, _execution: Execution) -> bool:
        raise AssertionError("it was activated long ago")
