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
