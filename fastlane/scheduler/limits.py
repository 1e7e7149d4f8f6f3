"""How long the steps of an execution may take."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.errors import RegistryDown
from fastlane.models.execution import Execution
from fastlane.models.placement.pool import Pool, pool_for

UNKNOWN_REGISTRY_PATIENCE = 40.0
"""Seconds after which a registry whose name cannot be looked up counts as one that does not exist."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for running (unless a pool of ``pools`` has a limit of its own), for waiting for a node, for a registry or the pull of the
    image, and for a host that is away. ``gone_after``:
    how long an engine must say that a service is gone before that is believed. ``refused_after``: how long it may refuse what it is asked
    before the execution ends without it."""

    timeout: float
    pending_deadline: float
    pull_deadline: float
    host_lost_after: float
    gone_after: float = 60
    refused_after: float = 60
    pools: Sequence[Pool] = ()

    def timeout_of(self, execution: Execution) -> float:
        """Seconds that the execution may run: by the pool that it was claimed in or, where this worker has none of that name, by the pool
        that takes its task now."""
        own = next((pool for pool in self.pools if pool.name == execution.pool), None) or pool_for(self.pools, execution.task_id)
        return self.timeout if own is None or own.hard_timeout is None else own.hard_timeout


def registry_deadline(execution: Execution, error: RegistryDown, limits: Limits) -> int:
    """The moment (milliseconds) until which a registry is asked again."""
    patience = min(UNKNOWN_REGISTRY_PATIENCE, limits.pull_deadline) if error.nameless else limits.pull_deadline
    return (execution.placed_at or 0) + round(patience * 1000)
