"""The jobs service: everything that a client may have done to jobs, tasks and pools, each kind in a room of its own.

All write the store first, which is the truth, and tell the queue after it. What the queue did not hear is told again in the
background, and found by the reconciler in any case; so nothing fails any more once the store has it.
"""

from fastlane.services.jobs.delete import Delete
from fastlane.services.jobs.manual_run import ManualRun
from fastlane.services.jobs.pause import Pause
from fastlane.services.jobs.results import Deleted, Enqueued, PoolPaused, Stopped, TaskStopped
from fastlane.services.jobs.submit import Submit
from fastlane.services.pools import Pools

__all__ = ("Deleted", "Enqueued", "Jobs", "PoolPaused", "Stopped", "TaskStopped")


class Jobs(Submit, ManualRun, Pause, Delete, Pools):
    """Takes jobs in, arms them again, runs, holds, stops and deletes them; holds pools. Raises ``StoreDown`` and ``QueueDown`` only as long
    as nothing was written (but see ``pause_pool``), ``NotFound`` for what is not there, ``Conflict`` for what cannot be as things are."""
