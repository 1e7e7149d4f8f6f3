"""The jobs service: everything that a client may have done to jobs, tasks and pools, each kind in a room of its own.

All write the store first, which is the truth, and tell the queue after it. What the queue did not hear is told again in the
background, and found by the reconciler in any case; so nothing fails any more once the store has it.
"""

from fastlane.services.answers import Deleted, Enqueued, PoolPaused, Stopped, TaskStopped
from fastlane.services.arming import Arming
from fastlane.services.byhand import ByHand
from fastlane.services.deleting import Deleting
from fastlane.services.holding import Holding
from fastlane.services.pools import Pools

__all__ = ("Deleted", "Enqueued", "Jobs", "PoolPaused", "Stopped", "TaskStopped")


class Jobs(Arming, ByHand, Holding, Deleting, Pools):
    """Takes jobs in, arms them again, runs, holds, stops and deletes them; holds pools. Raises ``StoreDown`` and ``QueueDown`` only as long
    as nothing was written (but see ``pause_pool``), ``NotFound`` for what is not there, ``Conflict`` for what cannot be as things are."""
