"""The tables of the SQLite file, as additive migrations.

A released migration is never edited; a later one adds to it. ``min_reader`` is the oldest schema version whose code may still use the file
after a migration, so that workers of two versions can share it while they are being replaced. ``migration`` applies them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from fastlane.models.job import STATUS_RULE, Fact
from fastlane.models.status import UNDER_WAY as UNDER_WAY_STATUSES
from fastlane.storage import records


@dataclass(frozen=True, slots=True)
class Migration:
    """The step to a schema version: its statements, and the oldest version that may read and write the file after it."""

    version: int
    min_reader: int
    statements: tuple[str, ...]

    @property
    def parts(self) -> list[list[str]]:
        """The statements that are committed together, in order."""
        return [list(part) for is_commit, part in groupby(self.statements, lambda statement: statement == COMMIT) if not is_commit]


UNDER_WAY, ENDED, TO_COME, UNFINISHED = (one.sql for one in (records.UNDER_WAY, records.ENDED, records.TO_COME, records.UNFINISHED))
WAITING, ON_HOST, TO_SEND, OVER = (one.sql for one in (records.WAITING, records.ON_HOST, records.TO_SEND, records.OVER))
TO_CHECK, START_NOTED, END_NOTED = (one.sql for one in (records.TO_CHECK, records.START_NOTED, records.END_NOTED))
OF_JOB, OF_EXECUTION, AT_REST = records.OF_JOB.sql, records.OF_EXECUTION.sql, records.AT_REST.sql
"""Conditions of partial indexes. A query must repeat them word for word, and name the index when SQLite would choose a longer one."""

_ADD_LABELS = "INSERT INTO job_labels SELECT value, new.created_at, new.id, new.task_id FROM json_each(new.labels)"
_DROP_LABELS = """DELETE FROM job_labels WHERE label IN (SELECT value FROM json_each(old.labels))
    AND created_at = old.created_at AND job_id = old.id"""

COMMIT = "COMMIT"
"""The mark between two parts of a migration. Other processes write between the parts, so each leaves a file that older code can use. They
cannot write during a part, so an index of a large table is a part by itself."""
EVENT_TABLES = (
    # The maker of a job, once somebody else may have changed it; until then it is the requester.
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

# A job's stored status: the rule of ``models.job`` in SQL, and the triggers that write the status with each change that it follows from. A
# trigger writes in the statement that changes an execution or a job, so the status is exact, and so it is after the writes of an older
# fastlane. Only the time changes it without a write: see ``lists``. The triggers are made from ``STATUS_RULE`` when a file gets them.
# After a change of the rule, a further migration must drop them, make them again, and write the statuses of all jobs.

BELONGS = "executions.incarnation IN ('', jobs.incarnation) AND executions.sequence > jobs.floor"
"""``JobBounds.include`` in SQL. A test compares both over generated rows."""
PARTS = 16
"""Parts in which the statuses of the jobs of an older file are written, so that other processes can write between them."""


def is_over(now: str) -> str:
    """The condition that no execution of a job's next tick may start any more at ``now``, an expression."""
    return f"ifnull(CASE WHEN json_valid(spec) THEN spec ->> '$.expiration' END <= {now}, FALSE)"


_NEWEST = "ORDER BY sequence DESC, attempt DESC LIMIT 1"
_HAS_ENDED = " AND ".join(f"status <> '{status}'" for status in sorted(UNDER_WAY_STATUSES))
"""Without a list: SQLite makes a table of a list of more than two values each time that it is asked."""
_NEWEST_ENDED = f"(SELECT status FROM executions WHERE job_id = jobs.id AND {_HAS_ENDED} {_NEWEST})"
_OF_JOB_UNDER_WAY = f"FROM executions INDEXED BY executions_under_way WHERE job_id = jobs.id AND {UNDER_WAY} AND {BELONGS}"
_UNDER_WAY = f"coalesce((SELECT status {_OF_JOB_UNDER_WAY} AND NOT ({WAITING}) {_NEWEST}), (SELECT status {_OF_JOB_UNDER_WAY} {_NEWEST}))"
"""The two parts of ``models.job.standing`` in SQL."""
_CRON = """substr(schedule, 1, 14) = '{"kind":"cron"'"""
"""As ``schedule_to_json`` writes it: reading the JSON takes longer than all else."""


def job_status(now: str = "next_tick") -> str:
    """``STATUS_RULE`` as an expression over a row of ``jobs``, at ``now``, an expression that is no less than ``next_tick``."""
    facts = {
        Fact.PAUSED: "held_tick IS NOT NULL",
        Fact.STOPPED: "stop_sequence > armed",
        Fact.CRON: _CRON,
        Fact.NEVER_RAN: f"{_NEWEST_ENDED} IS NULL",
        Fact.TO_COME: f"next_tick IS NOT NULL AND NOT {is_over(now)}",
    }
    standing: dict[tuple[Fact, ...], str] = {(Fact.UNDER_WAY,): _UNDER_WAY, (Fact.ENDED,): _NEWEST_ENDED}
    lines = [
        standing[needed] if said is None else f"CASE WHEN {' AND '.join(facts[fact] for fact in needed) or 'TRUE'} THEN '{said}' END"
        for needed, said in STATUS_RULE
    ]
    return f"coalesce({', '.join(lines)})"


_WRITE = f"UPDATE jobs SET job_status = {job_status()}"
_FOLLOWED = ("held_tick", "next_tick", "stop_sequence", "armed", "floor", "incarnation", "schedule", "spec")
"""The columns of a job that decide its status."""
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

_STATEMENTS: Sequence[tuple[str, ...]] = (
    (
        """CREATE TABLE tasks (
            id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, modified_at INTEGER NOT NULL, jobs_count INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY, task_id TEXT NOT NULL, incarnation TEXT NOT NULL, created_at INTEGER NOT NULL,
            modified_at INTEGER NOT NULL, spec TEXT NOT NULL, schedule TEXT NOT NULL, revision INTEGER NOT NULL,
            schedule_revision INTEGER NOT NULL, sequence INTEGER NOT NULL, stop_sequence INTEGER NOT NULL,
            next_tick INTEGER, last_tick INTEGER
        ) STRICT""",
        "CREATE INDEX jobs_of_task ON jobs (task_id, created_at, id)",
        "CREATE INDEX jobs_due ON jobs (next_tick, id) WHERE next_tick IS NOT NULL",
        """CREATE TABLE ticks (
            id TEXT PRIMARY KEY, job_id TEXT NOT NULL, key TEXT NOT NULL, due INTEGER NOT NULL, created_at INTEGER NOT NULL,
            outcome TEXT NOT NULL, execution_id TEXT, reason TEXT, until INTEGER, count INTEGER NOT NULL, at_least INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX ticks_of_job ON ticks (job_id, due, id)",
        """CREATE TABLE executions (
            id TEXT PRIMARY KEY, task_id TEXT NOT NULL, job_id TEXT NOT NULL, tick_id TEXT NOT NULL, attempt INTEGER NOT NULL,
            sequence INTEGER NOT NULL, spec TEXT NOT NULL, scheduled_for INTEGER NOT NULL, created_at INTEGER NOT NULL,
            status TEXT NOT NULL, epoch INTEGER NOT NULL, pool TEXT, host TEXT, placed_at INTEGER, image_digest TEXT,
            swarm_id TEXT, service_id TEXT, bound_at INTEGER, engine_task_id TEXT, container_id TEXT,
            stop_requested_at INTEGER, started_at INTEGER, finished_at INTEGER, exit_code INTEGER, failure TEXT,
            stdout_bytes INTEGER NOT NULL, stderr_bytes INTEGER NOT NULL, truncated INTEGER NOT NULL,
            settled INTEGER NOT NULL, cleaned INTEGER NOT NULL, op TEXT NOT NULL, expires_at INTEGER
        ) STRICT""",
        "CREATE INDEX executions_of_job ON executions (job_id, sequence, attempt, status)",
        f"CREATE INDEX executions_under_way ON executions (job_id, sequence, attempt) WHERE {UNDER_WAY}",
        "CREATE INDEX executions_by_status ON executions (status, scheduled_for, id)",
        f"CREATE INDEX executions_unsettled ON executions (finished_at, id) WHERE settled = 0 AND {ENDED}",
        "CREATE INDEX executions_uncleaned ON executions (finished_at, id) WHERE settled = 1 AND cleaned = 0",
        # Counters, kept by triggers: counting a million rows takes too long, and no writer can forget a trigger.
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        """INSERT INTO counters VALUES ('tasks', 0), ('jobs', 0), ('enqueued', 0), ('pulling', 0), ('running', 0), ('done', 0),
            ('failed', 0), ('timedout', 0), ('stopped', 0), ('expired', 0)""",
        """CREATE TRIGGER count_tasks AFTER INSERT ON tasks BEGIN
            UPDATE counters SET value = value + 1 WHERE name = 'tasks'; END""",
        """CREATE TRIGGER count_jobs AFTER INSERT ON jobs BEGIN
            UPDATE counters SET value = value + 1 WHERE name = 'jobs'; END""",
        """CREATE TRIGGER count_executions AFTER INSERT ON executions BEGIN
            UPDATE counters SET value = value + 1 WHERE name = new.status; END""",
        """CREATE TRIGGER move_executions AFTER UPDATE OF status ON executions WHEN new.status <> old.status BEGIN
            UPDATE counters SET value = value + 1 WHERE name = new.status;
            UPDATE counters SET value = value - 1 WHERE name = old.status; END""",
        # The blobs come last, so that the columns before them are read without them. In a table WITHOUT ROWID, each step of a search
        # would read them whole. A chunk without bytes of a stream is not in that stream's index.
        """CREATE TABLE log_chunks (
            execution_id TEXT NOT NULL, sequence INTEGER NOT NULL, start_offset INTEGER NOT NULL, start_stdout INTEGER NOT NULL,
            start_stderr INTEGER NOT NULL, end_offset INTEGER NOT NULL, end_stdout INTEGER NOT NULL, end_stderr INTEGER NOT NULL,
            dropped INTEGER NOT NULL, marks TEXT NOT NULL, pieces BLOB NOT NULL, data BLOB NOT NULL,
            PRIMARY KEY (execution_id, sequence)
        ) STRICT""",
        "CREATE INDEX log_by_offset ON log_chunks (execution_id, start_offset) WHERE end_offset > start_offset",
        "CREATE INDEX log_by_stdout ON log_chunks (execution_id, start_stdout) WHERE end_stdout > start_stdout",
        "CREATE INDEX log_by_stderr ON log_chunks (execution_id, start_stderr) WHERE end_stderr > start_stderr",
        """CREATE TABLE generation (
            id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, run_id TEXT NOT NULL, builder TEXT, since INTEGER NOT NULL
        ) STRICT""",
        "INSERT INTO generation VALUES (1, 0, '', NULL, 0)",
        "CREATE TABLE checks (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT",
        "INSERT INTO checks VALUES (1, 0)",
    ),
    (
        "ALTER TABLE jobs ADD COLUMN requested_by TEXT",
        "ALTER TABLE executions ADD COLUMN requested_by TEXT",
    ),
    (
        "ALTER TABLE jobs ADD COLUMN armed INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN held_tick INTEGER",
        f"CREATE INDEX jobs_to_come ON jobs (task_id, id) WHERE {TO_COME}",
        COMMIT,
        f"CREATE INDEX executions_unfinished ON executions (task_id, job_id, sequence, attempt) WHERE {UNFINISHED}",
        COMMIT,
        """CREATE TRIGGER uncount_tasks AFTER DELETE ON tasks BEGIN
            UPDATE counters SET value = value - 1 WHERE name = 'tasks'; END""",
        """CREATE TRIGGER uncount_jobs AFTER DELETE ON jobs BEGIN
            UPDATE counters SET value = value - 1 WHERE name = 'jobs'; END""",
        """CREATE TRIGGER uncount_executions AFTER DELETE ON executions BEGIN
            UPDATE counters SET value = value - 1 WHERE name = old.status; END""",
        "CREATE TABLE pauses (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, names TEXT NOT NULL) STRICT",
        "INSERT INTO pauses VALUES (1, 0, '[]')",
    ),
    (
        "CREATE INDEX tasks_by_change ON tasks (modified_at, id)",
        COMMIT,
        # A task's executions, all and by final status. Neither index changes while an execution is under way.
        "CREATE INDEX executions_of_task ON executions (task_id, scheduled_for, id)",
        COMMIT,
        f"CREATE INDEX executions_ended ON executions (task_id, status, scheduled_for, id) WHERE {ENDED}",
        COMMIT,
        "DROP INDEX executions_by_status",
        "CREATE INDEX executions_by_status ON executions (status, scheduled_for, id, task_id)",
        COMMIT,
        # How many executions a task has in total and in each final status.
        """CREATE TABLE task_counts (
            task_id TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (task_id, name)
        ) STRICT, WITHOUT ROWID""",
        "INSERT INTO task_counts SELECT task_id, 'executions', count(*) FROM executions GROUP BY task_id",
        f"INSERT INTO task_counts SELECT task_id, status, count(*) FROM executions WHERE {ENDED} GROUP BY task_id, status",
        "DROP TRIGGER count_executions",
        f"""CREATE TRIGGER count_executions AFTER INSERT ON executions BEGIN
            UPDATE counters SET value = value + 1 WHERE name = new.status;
            INSERT INTO task_counts VALUES (new.task_id, 'executions', 1) ON CONFLICT DO UPDATE SET value = value + 1;
            INSERT INTO task_counts SELECT new.task_id, new.status, 1 WHERE new.{ENDED}
                ON CONFLICT DO UPDATE SET value = value + 1; END""",
        "DROP TRIGGER move_executions",
        f"""CREATE TRIGGER move_executions AFTER UPDATE OF status ON executions WHEN new.status <> old.status BEGIN
            UPDATE counters SET value = value + 1 WHERE name = new.status;
            UPDATE counters SET value = value - 1 WHERE name = old.status;
            INSERT INTO task_counts SELECT new.task_id, new.status, 1 WHERE new.{ENDED}
                ON CONFLICT DO UPDATE SET value = value + 1; END""",
        """CREATE TRIGGER uncount_executions_of_task AFTER DELETE ON executions BEGIN
            UPDATE task_counts SET value = value - 1 WHERE task_id = old.task_id AND name IN ('executions', old.status); END""",
        "CREATE TRIGGER forget_counts_of_task AFTER DELETE ON tasks BEGIN DELETE FROM task_counts WHERE task_id = old.id; END",
        COMMIT,
        # How many ticks and executions a job has, once it has two of either: most jobs run once and need no row.
        """CREATE TABLE job_counts (
            job_id TEXT PRIMARY KEY, ticks INTEGER NOT NULL, executions INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """INSERT INTO job_counts SELECT id, ticks, executions FROM (
            SELECT id, (SELECT count(*) FROM ticks WHERE job_id = jobs.id) AS ticks,
                (SELECT count(*) FROM executions WHERE job_id = jobs.id) AS executions FROM jobs)
            WHERE ticks > 1 OR executions > 1""",
        *(
            f"""CREATE TRIGGER count_{name}_of_job AFTER INSERT ON {name}
                WHEN EXISTS (SELECT 1 FROM {name} WHERE job_id = new.job_id AND rowid <> new.rowid)
                    OR EXISTS (SELECT 1 FROM job_counts WHERE job_id = new.job_id) BEGIN
                UPDATE job_counts SET {name} = {name} + 1 WHERE job_id = new.job_id;
                INSERT INTO job_counts SELECT new.job_id, (SELECT count(*) FROM ticks WHERE job_id = new.job_id),
                    (SELECT count(*) FROM executions WHERE job_id = new.job_id)
                    WHERE NOT EXISTS (SELECT 1 FROM job_counts WHERE job_id = new.job_id); END"""
            for name in ("ticks", "executions")
        ),
        *(
            f"""CREATE TRIGGER uncount_{name}_of_job AFTER DELETE ON {name} BEGIN
                UPDATE job_counts SET {name} = {name} - 1 WHERE job_id = old.job_id; END"""
            for name in ("ticks", "executions")
        ),
        "CREATE TRIGGER forget_counts_of_job AFTER DELETE ON jobs BEGIN DELETE FROM job_counts WHERE job_id = old.id; END",
        COMMIT,
        # The words of a task's id: letters, digits and symbols, regardless of case and accents. A row is found by its own words.
        """CREATE VIRTUAL TABLE task_words USING fts5(
            id, columnsize = 0, tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co So'")""",
        "INSERT INTO task_words (id) SELECT id FROM tasks",
        "CREATE TRIGGER name_tasks AFTER INSERT ON tasks BEGIN INSERT INTO task_words (id) VALUES (new.id); END",
        """CREATE TRIGGER unname_tasks AFTER DELETE ON tasks BEGIN
            DELETE FROM task_words WHERE rowid IN (
                SELECT rowid FROM task_words WHERE task_words MATCH '"' || replace(old.id, '"', '""') || '"' AND id = old.id); END""",
    ),
    (
        """CREATE TABLE receipts (
            key TEXT PRIMARY KEY, body TEXT NOT NULL, created_at INTEGER NOT NULL, task_id TEXT NOT NULL, job_id TEXT NOT NULL,
            tick_id TEXT NOT NULL, execution_id TEXT
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX receipts_by_age ON receipts (created_at)",
    ),
    ("ALTER TABLE executions ADD COLUMN image_reference TEXT",),
    (
        "ALTER TABLE jobs ADD COLUMN floor INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE executions ADD COLUMN incarnation TEXT NOT NULL DEFAULT ''",
    ),
    (
        # Deleted executions that a worker had claimed, by when (seconds): each may have left a parked service on a host.
        "CREATE TABLE deleted_executions (id TEXT PRIMARY KEY, deleted_at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE INDEX deleted_executions_by_age ON deleted_executions (deleted_at)",
        """CREATE TRIGGER note_deleted_executions AFTER DELETE ON executions WHEN old.epoch > 0 BEGIN
            INSERT OR REPLACE INTO deleted_executions VALUES (old.id, unixepoch()); END""",
    ),
    (
        "CREATE TABLE version (id INTEGER PRIMARY KEY CHECK (id = 1), store TEXT NOT NULL, commits INTEGER NOT NULL) STRICT",
        "INSERT INTO version VALUES (1, lower(hex(randomblob(16))), 0)",
    ),
    (
        "DROP INDEX executions_uncleaned",
        "CREATE INDEX executions_uncleaned ON executions (finished_at, id, host) WHERE settled = 1 AND cleaned = 0",
    ),
    (
        "ALTER TABLE executions ADD COLUMN waits TEXT",
        COMMIT,
        f"CREATE INDEX executions_waiting ON executions (job_id, sequence) WHERE {WAITING}",
    ),
    (
        "ALTER TABLE jobs ADD COLUMN labels TEXT NOT NULL DEFAULT '[]'",
        "CREATE INDEX jobs_by_creation ON jobs (created_at, id, task_id)",
        COMMIT,
        # Each label of a job as NAME=VALUE, in the order in which jobs are listed.
        """CREATE TABLE job_labels (
            label TEXT NOT NULL, created_at INTEGER NOT NULL, job_id TEXT NOT NULL, task_id TEXT NOT NULL,
            PRIMARY KEY (label, created_at, job_id)
        ) STRICT, WITHOUT ROWID""",
        f"CREATE TRIGGER label_jobs AFTER INSERT ON jobs WHEN new.labels <> '[]' BEGIN {_ADD_LABELS}; END",
        f"""CREATE TRIGGER relabel_jobs AFTER UPDATE OF labels ON jobs WHEN new.labels <> old.labels BEGIN
            {_DROP_LABELS}; {_ADD_LABELS}; END""",
        f"CREATE TRIGGER unlabel_jobs AFTER DELETE ON jobs WHEN old.labels <> '[]' BEGIN {_DROP_LABELS}; END",
    ),
    (
        """CREATE TABLE hosts (
            id TEXT PRIMARY KEY, address TEXT NOT NULL, version INTEGER NOT NULL, pool TEXT, weight INTEGER NOT NULL,
            max_running INTEGER, drained INTEGER NOT NULL, engine_id TEXT, swarm_id TEXT, registered_at INTEGER, registered_by TEXT,
            removed_at INTEGER, lost_until INTEGER, lost_swarm TEXT
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE pools_revision (
            id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, digest TEXT NOT NULL, recorded_at INTEGER NOT NULL,
            reload INTEGER NOT NULL
        ) STRICT""",
        "INSERT INTO pools_revision VALUES (1, 0, '', 0, 0)",
        COMMIT,
        f"CREATE INDEX executions_on_host ON executions (host) WHERE {ON_HOST}",
    ),
    (
        "ALTER TABLE hosts ADD COLUMN disk_refused_first INTEGER",
        "ALTER TABLE hosts ADD COLUMN disk_refused_last INTEGER",
    ),
    (
        """CREATE TABLE images (
            engine_id TEXT NOT NULL, reference TEXT NOT NULL, keep_until INTEGER NOT NULL, removed_by INTEGER, version INTEGER NOT NULL,
            PRIMARY KEY (engine_id, reference)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE deliveries (
            id TEXT PRIMARY KEY, task_id TEXT NOT NULL, job_id TEXT NOT NULL, execution_id TEXT NOT NULL, event TEXT NOT NULL,
            webhook TEXT NOT NULL, will_retry INTEGER NOT NULL, created_at INTEGER NOT NULL, due INTEGER,
            attempts_left INTEGER NOT NULL, attempts_made INTEGER NOT NULL, attempts TEXT NOT NULL, state TEXT NOT NULL,
            by_hand INTEGER NOT NULL, version INTEGER NOT NULL, origin TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX deliveries_of_execution ON deliveries (execution_id, id)",
        f"CREATE INDEX deliveries_due ON deliveries (due, id, origin) WHERE {TO_SEND}",
        """CREATE TRIGGER forget_deliveries AFTER DELETE ON executions BEGIN
            DELETE FROM deliveries WHERE execution_id = old.id; END""",
        """CREATE TABLE receivers (
            id TEXT PRIMARY KEY, origin TEXT NOT NULL, failing_since INTEGER NOT NULL, failed_at INTEGER NOT NULL,
            error TEXT NOT NULL, version INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX receivers_by_age ON receivers (failing_since, id)",
        "CREATE INDEX receivers_by_failure ON receivers (failed_at)",
    ),
    ("ALTER TABLE executions ADD COLUMN usage TEXT",),
    (
        """CREATE TABLE mail_quotas (
            id TEXT PRIMARY KEY, execution_id TEXT NOT NULL, told_at INTEGER NOT NULL, held INTEGER NOT NULL, held_ids TEXT NOT NULL,
            version INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX mail_quotas_by_age ON mail_quotas (told_at)",
    ),
    (f"CREATE INDEX deliveries_by_age ON deliveries (created_at, id) WHERE {OVER}",),
    (
        # How many executions of a task ended within an hour, in which status, and how late their containers started.
        """CREATE TABLE hours (
            task_id TEXT NOT NULL, pool TEXT NOT NULL, hour INTEGER NOT NULL, done INTEGER NOT NULL, expired INTEGER NOT NULL,
            failed INTEGER NOT NULL, stopped INTEGER NOT NULL, timedout INTEGER NOT NULL, started INTEGER NOT NULL,
            late INTEGER NOT NULL, latest INTEGER NOT NULL
        ) STRICT""",
        "CREATE UNIQUE INDEX hours_of_task ON hours (task_id, hour, pool)",
        "CREATE INDEX hours_by_age ON hours (hour)",
        f"""CREATE TRIGGER count_ends AFTER UPDATE OF status ON executions WHEN new.{ENDED} AND old.{UNDER_WAY} BEGIN
            {COUNT_END}; END""",
        f"CREATE TRIGGER count_ended AFTER INSERT ON executions WHEN new.{ENDED} BEGIN {COUNT_END}; END",
    ),
    EVENT_TABLES,
    (
        *(f"ALTER TABLE jobs ADD COLUMN {name} INTEGER" for name in ("check_at", "late_since")),
        "CREATE TRIGGER forget_notices AFTER DELETE ON jobs BEGIN DELETE FROM deliveries WHERE execution_id = old.id; END",
        COMMIT,
        f"CREATE INDEX jobs_to_check ON jobs (check_at, id) WHERE {TO_CHECK}",
    ),
    LOG_BYTES,
    SHORT_LISTS,
    JOB_STATUSES,
)
"""The statements of each version, from 1 on."""

MIGRATIONS: Sequence[Migration] = tuple(Migration(version, 1, statements) for version, statements in enumerate(_STATEMENTS, 1))
"""Code of the first version may use a file of the last one."""
VERSION = MIGRATIONS[-1].version
