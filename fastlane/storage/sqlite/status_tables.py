"""A job's stored status: the rule of ``models.job`` in SQL, and the triggers that write the status with each change that it follows from.

A trigger writes in the statement that changes an execution or a job, so the status is exact, and so it is after the writes of an older
fastlane. Only the time changes it without a write: see ``job_statuses``.

The triggers are made from ``STATUS_RULE`` when a file gets them. After a change of the rule, a further migration must drop them, make
them again, and write the statuses of all jobs.
"""

from fastlane.models.job import STATUS_RULE, Fact
from fastlane.models.status import UNDER_WAY as UNDER_WAY_STATUSES
from fastlane.storage.sqlite.conditions import BELONGS, UNDER_WAY, WAITING
from fastlane.storage.sqlite.event_tables import COMMIT

PARTS = 16
"""Parts in which the statuses of the jobs of an older file are written, so that other processes can write between them."""

AT_REST = " AND ".join(f"job_status <> '{status}'" for status in sorted(UNDER_WAY_STATUSES))
"""The condition of a partial index, which a query must repeat: nothing of the job is under way."""


def is_over(now: str) -> str:
    """The condition that nothing of a job's next tick may start any more at ``now``, an expression."""
    return f"ifnull(CASE WHEN json_valid(spec) THEN spec ->> '$.expiration' END <= {now}, FALSE)"


_NEWEST = "ORDER BY sequence DESC, attempt DESC LIMIT 1"
_HAS_ENDED = " AND ".join(f"status <> '{status}'" for status in sorted(UNDER_WAY_STATUSES))
"""Without a list: SQLite makes a table of a list of more than two values each time that it is asked."""
_ENDED = f"(SELECT status FROM executions WHERE job_id = jobs.id AND {_HAS_ENDED} {_NEWEST})"
_OF_JOB_UNDER_WAY = f"FROM executions INDEXED BY executions_under_way WHERE job_id = jobs.id AND {UNDER_WAY} AND {BELONGS}"
_UNDER_WAY = f"coalesce((SELECT status {_OF_JOB_UNDER_WAY} AND NOT ({WAITING}) {_NEWEST}), (SELECT status {_OF_JOB_UNDER_WAY} {_NEWEST}))"
"""The two parts of ``models.execution.standing`` in SQL."""
_CRON = """substr(schedule, 1, 14) = '{"kind":"cron"'"""
"""As ``schedule_to_json`` writes it: reading the JSON takes longer than all else."""


def job_status(now: str = "next_tick") -> str:
    """``STATUS_RULE`` as an expression over a row of ``jobs``, at ``now``, an expression that is no less than ``next_tick``."""
    facts = {
        Fact.PAUSED: "held_tick IS NOT NULL",
        Fact.STOPPED: "stop_sequence > armed",
        Fact.CRON: _CRON,
        Fact.NEVER_RAN: f"{_ENDED} IS NULL",
        Fact.TO_COME: f"next_tick IS NOT NULL AND NOT {is_over(now)}",
    }
    standing: dict[tuple[Fact, ...], str] = {(Fact.UNDER_WAY,): _UNDER_WAY, (Fact.ENDED,): _ENDED}
    lines = [
        standing[needed] if said is None else f"CASE WHEN {' AND '.join(facts[fact] for fact in needed) or 'TRUE'} THEN '{said}' END"
        for needed, said in STATUS_RULE
    ]
    return f"coalesce({', '.join(lines)})"


_WRITE = f"UPDATE jobs SET job_status = {job_status()}"
_FOLLOWED = ("held_tick", "next_tick", "stop_sequence", "armed", "floor", "incarnation", "schedule", "spec")
"""The columns of a job from which its status follows."""
_IS_OTHER = " OR ".join(f"new.{name} IS NOT old.{name}" for name in _FOLLOWED)

JOB_STATUSES = (
    # Not ``status``: an older fastlane has statements over jobs and executions that would not know whose is meant.
    "ALTER TABLE jobs ADD COLUMN job_status TEXT",
    f"""CREATE TRIGGER status_of_new_job AFTER INSERT ON jobs
        WHEN new.job_status IS NULL OR EXISTS (SELECT 1 FROM executions WHERE job_id = new.id) BEGIN {_WRITE} WHERE id = new.id; END""",
    f"""CREATE TRIGGER status_of_job AFTER UPDATE OF {", ".join(_FOLLOWED)} ON jobs WHEN {_IS_OTHER} BEGIN
        {_WRITE} WHERE id = new.id; END""",
    f"""CREATE TRIGGER status_after_insert AFTER INSERT ON executions
        WHEN NOT EXISTS (SELECT 1 FROM jobs WHERE id = new.job_id AND job_status = new.status) BEGIN {_WRITE} WHERE id = new.job_id; END""",
    f"""CREATE TRIGGER status_after_change AFTER UPDATE OF status, waits ON executions
        WHEN new.status IS NOT old.status OR new.waits IS NOT old.waits BEGIN {_WRITE} WHERE id = new.job_id; END""",
    f"""CREATE TRIGGER status_after_delete AFTER DELETE ON executions
        WHEN NOT ({_HAS_ENDED.replace("status", "old.status")}) OR NOT EXISTS (SELECT 1 FROM executions
            WHERE job_id = old.job_id AND (sequence, attempt) > (old.sequence, old.attempt)) BEGIN {_WRITE} WHERE id = old.job_id; END""",
    *(
        statement
        for part in range(1, PARTS + 1)
        for statement in (
            COMMIT,
            f"{_WRITE} WHERE job_status IS NULL AND rowid <= (SELECT max(rowid) FROM jobs) * {part} / {PARTS}",
        )
    ),
    COMMIT,
    "CREATE INDEX jobs_by_status ON jobs (job_status, created_at, id, task_id)",
    COMMIT,
    # It does not change while an execution is under way.
    f"CREATE INDEX jobs_of_task_by_status ON jobs (task_id, job_status, created_at, id) WHERE {AT_REST}",
)
