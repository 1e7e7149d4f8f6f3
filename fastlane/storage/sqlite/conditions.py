"""Conditions in SQL that several statements repeat: those of partial indexes, and which executions are part of a job."""

UNDER_WAY = "status IN ('enqueued', 'pulling', 'running')"
ENDED = "status IN ('done', 'failed', 'timedout', 'stopped', 'expired')"
TO_COME = "(next_tick IS NOT NULL OR held_tick IS NOT NULL)"
UNFINISHED = "(settled = 0 OR cleaned = 0)"
WAITING = "waits IS NOT NULL AND status = 'enqueued'"
ON_HOST = "host IS NOT NULL AND cleaned = 0"
TO_SEND, OVER = "due IS NOT NULL", "due IS NULL"
TO_CHECK = "check_at IS NOT NULL"
"""Conditions of partial indexes. A query must repeat them word for word, and name the index when SQLite would choose a longer one."""

BELONGS = "executions.incarnation IN ('', jobs.incarnation) AND executions.sequence > jobs.floor"
"""``JobBounds.include`` in SQL. A test compares both over generated rows."""
