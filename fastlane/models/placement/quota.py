"""How many executions of a pool, and of one task, may wait for a slot."""

from fastlane.models.placement.pool import Pool


def waiting_refusal(pool: Pool, of_pool: int, of_task: int) -> str | None:
    """Why nothing more may be added to what waits in a pool, in words; None when it may. ``of_pool`` and ``of_task``: how many wait."""
    if pool.max_waiting is not None and of_pool >= pool.max_waiting:
        return f"{of_pool} executions wait in pool {pool.name!r}, and its maxWaiting is {pool.max_waiting}"
    if pool.max_waiting_of_task is not None and of_task >= pool.max_waiting_of_task:
        return f"{of_task} executions of the task wait, and the maxWaitingPerTask of pool {pool.name!r} is {pool.max_waiting_of_task}"
    return None
