"""What the schema has for events: the recorded ones, and along which indexes the others are read from jobs and executions."""

COMMIT = "COMMIT"
"""Stands between two parts of a migration. Other processes write between the parts, so each leaves a file that older code can use. Nobody
writes during a part, so an index of a large table is one by itself."""
START_NOTED, END_NOTED = "start_noted_at IS NOT NULL", "end_noted_at IS NOT NULL"
OF_JOB, OF_EXECUTION = "job_id IS NOT NULL", "execution_id IS NOT NULL"
"""Conditions of partial indexes, which a query must repeat."""

EVENT_TABLES = (
    # Who made a job, once somebody else may have changed it; until then it is who asked for it.
    "ALTER TABLE jobs ADD COLUMN created_by TEXT",
    # When a start and an end were written, which is later than they happened: events are read in this order.
    "ALTER TABLE executions ADD COLUMN start_noted_at INTEGER",
    "ALTER TABLE executions ADD COLUMN end_noted_at INTEGER",
    """CREATE TABLE events (
        id TEXT PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, actor TEXT, task_id TEXT, job_id TEXT, execution_id TEXT,
        host TEXT, pool TEXT, detail TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX events_by_time ON events (time, id, task_id)",
    f"CREATE INDEX events_of_job ON events (job_id, time, id) WHERE {OF_JOB}",
    f"CREATE INDEX events_of_execution ON events (execution_id, time, id) WHERE {OF_EXECUTION}",
    COMMIT,
    "CREATE INDEX executions_by_creation ON executions (created_at, id, task_id)",
    COMMIT,
    f"CREATE INDEX executions_by_start ON executions (start_noted_at, id, task_id) WHERE {START_NOTED}",
    f"CREATE INDEX executions_by_end ON executions (end_noted_at, id, task_id) WHERE {END_NOTED}",
)
