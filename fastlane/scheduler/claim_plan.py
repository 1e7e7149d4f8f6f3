"""What a worker decides about a claim before it has read the execution, so that the store can read and claim it in one operation."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models import transitions
from fastlane.models.execution import Execution
from fastlane.models.placement.pool import Pool, pool_for
from fastlane.models.status import Status
from fastlane.models.transitions import ExecutionChange


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """A host of the pool in whose lane the entry is, for an execution that may start at ``now``. ``pools``: all of them."""

    pools: Sequence[Pool]
    pool: Pool
    host: str
    now: int

    def change(self, execution: Execution) -> ExecutionChange | None:
        """The claim; None for an execution that needs a closer look, or none: it is another pool's, waits for others, is over, or was
        claimed before."""
        as_planned = (
            execution.status is Status.ENQUEUED
            and execution.stop_requested_at is None
            and execution.waits is None
            and not is_over(execution, self.now)
            and pool_for(self.pools, execution.task_id) is self.pool
        )
        return transitions.claim(execution, host=self.host, pool=self.pool.name, now=self.now) if as_planned else None


def is_over(execution: Execution, now: int) -> bool:
    """Whether its time to start has passed."""
    return execution.expires_at is not None and now >= execution.expires_at
