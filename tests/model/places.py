"""The hosts, pools and settings of the simulated installation."""

from fastlane.models.pool import Pool
from tests.support.defaults import default_limits, default_worker

HOSTS = ("unix:///a", "unix:///b")
POOLS = (Pool("small", "s", HOSTS[:1], max_running=2), Pool("large", "", HOSTS, max_running=3))
TASKS = ("s1", "l1", "l2")
LIMITS = default_limits(timeout=25, pending_deadline=30, pull_deadline=15, host_lost_after=15, gone_after=4)
SETTINGS = default_worker(LIMITS, lease=6.0, renew=2.0, reconcile=5.0)
