"""The hosts, pools and settings of the simulated installation."""

from fastlane.models.pool import Pool
from tests.support.defaults import default_limits, default_worker

HOSTS = ("unix:///a", "unix:///b")
POOLS = (Pool("small", "s", HOSTS[:1], max_running=2), Pool("quick", "q", HOSTS, max_running=3), Pool("large", "", HOSTS, max_running=3))
TASKS = ("s1", "l1", "l2")
QUICK = "q1"
"""A task whose pool is seldom full: what a program is to reach there is not held up by what holds elsewhere."""
LIMITS = default_limits(timeout=25, pending_deadline=30, pull_deadline=15, host_lost_after=15, gone_after=4)
BEGINNING = 1_700_006_320_000
"""The moment in which a simulation begins, in milliseconds: a minute and a third before the end of a day."""
YESTERDAY, TODAY = "2023-11-14", "2023-11-15"
"""The day that ends soon, and the one that begins then."""
SETTINGS = default_worker(LIMITS, lease=6.0, renew=2.0, reconcile=5.0)
