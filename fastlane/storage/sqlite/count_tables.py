"""What triggers of the schema count: executions that have ended, by the hour, and the bytes of all logs."""

_LATE = "CASE WHEN new.started_at > new.scheduled_for THEN new.started_at - new.scheduled_for ELSE 0 END"
COUNT_END = f"""INSERT INTO hours VALUES (new.task_id, ifnull(new.pool, ''), ifnull(new.finished_at, 0) / 3600000 * 3600000,
    new.status = 'done', new.status = 'expired', new.status = 'failed', new.status = 'stopped', new.status = 'timedout',
    new.started_at IS NOT NULL, {_LATE}, {_LATE})
    ON CONFLICT (task_id, hour, pool) DO UPDATE SET done = done + excluded.done, expired = expired + excluded.expired,
    failed = failed + excluded.failed, stopped = stopped + excluded.stopped, timedout = timedout + excluded.timedout,
    started = started + excluded.started, late = late + excluded.late, latest = max(latest, excluded.latest)"""

LOG_BYTES = (
    "INSERT INTO counters SELECT 'log_bytes', ifnull(sum(end_offset - start_offset), 0) FROM log_chunks",
    """CREATE TRIGGER count_log_bytes AFTER INSERT ON log_chunks BEGIN
        UPDATE counters SET value = value + new.end_offset - new.start_offset WHERE name = 'log_bytes'; END""",
    """CREATE TRIGGER uncount_log_bytes AFTER DELETE ON log_chunks BEGIN
        UPDATE counters SET value = value - old.end_offset + old.start_offset WHERE name = 'log_bytes'; END""",
)

_ENDED = "(new.status IN ('done', 'failed') OR new.status IN ('timedout', 'stopped') OR new.status = 'expired')"
_WAS_UNDER_WAY = "(old.status IN ('enqueued', 'pulling') OR old.status = 'running')"
_COUNT_STATUS = "UPDATE counters SET value = value + 1 WHERE name = new.status"
_COUNT_ENDED = f"""INSERT INTO task_counts SELECT new.task_id, new.status, 1 WHERE {_ENDED}
    ON CONFLICT DO UPDATE SET value = value + 1"""
SHORT_LISTS = (
    *(f"DROP TRIGGER {name}" for name in ("count_executions", "move_executions", "count_ends", "count_ended")),
    f"""CREATE TRIGGER count_executions AFTER INSERT ON executions BEGIN
        {_COUNT_STATUS};
        INSERT INTO task_counts VALUES (new.task_id, 'executions', 1) ON CONFLICT DO UPDATE SET value = value + 1;
        {_COUNT_ENDED}; END""",
    f"""CREATE TRIGGER move_executions AFTER UPDATE OF status ON executions WHEN new.status <> old.status BEGIN
        {_COUNT_STATUS};
        UPDATE counters SET value = value - 1 WHERE name = old.status;
        {_COUNT_ENDED}; END""",
    f"CREATE TRIGGER count_ends AFTER UPDATE OF status ON executions WHEN {_ENDED} AND {_WAS_UNDER_WAY} BEGIN {COUNT_END}; END",
    f"CREATE TRIGGER count_ended AFTER INSERT ON executions WHEN {_ENDED} BEGIN {COUNT_END}; END",
)
"""The triggers of executions without a list of more than two values: SQLite makes a table of a longer one each time that it is asked."""
