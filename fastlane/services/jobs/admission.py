"""Decides whether a pool takes a job, by the task's id and by what the job asks for its container."""

from collections.abc import Sequence

from fastlane.errors import Fault, Forbidden, Invalid
from fastlane.models.job import Spec
from fastlane.models.placement.pool import Pool, pool_for, refusals


def admit(pools: Sequence[Pool], task_id: str, spec: Spec) -> Pool:
    """The pool that takes the job. Raises Invalid when no pool takes the task, and Forbidden as ``check_allowed`` does."""
    pool = pool_for(pools, task_id)
    if pool is None:
        message = f"no pool takes the task {task_id!r}; use another task id, or add a pool whose match fits it to the settings"
        raise Invalid([Fault("taskId", message)])
    check_allowed(pool, spec)
    return pool


def check_allowed(pool: Pool, spec: Spec) -> None:
    """Raises Forbidden, with every fault at once, when the pool's policy or limits do not allow the container that the spec asks for."""
    if faults := refusals(pool, spec):
        raise Forbidden(faults)
