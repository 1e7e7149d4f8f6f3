"""The tables of the SQLite file.

A new file gets the tables, columns and indexes that ``records`` declares, and beside these what only SQLite has: counters, words and
statuses that triggers keep, and logs. A file of the release before is brought up to date by additive migrations. A test compares both.

A released migration is never edited; a later one adds to it. ``min_reader`` is the oldest schema version whose code may still use the file
after a migration, so that workers of two versions can share it while they are being replaced. ``migration`` applies them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import NoneType, UnionType
from typing import Any, get_args

from fastlane.models.job import STATUS_RULE, Fact
from fastlane.models.status import UNDER_WAY as UNDER_WAY_STATUSES
from fastlane.storage import records
from fastlane.storage.records import Index, Record
from fastlane.storage.values import FOLLOWS, MANUAL

COMMIT = "COMMIT"
"""The mark between two parts of a migration. Other processes write between the parts, so each leaves a file that older code can use. They
cannot write during a part, so an index of a large table is a part by itself."""


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
WAITING, AT_REST = records.WAITING.sql, records.AT_REST.sql
"""Conditions of partial indexes. A query must repeat them word for word, and name the index when SQLite would choose a longer one."""

_OWN_COLUMNS: Mapping[str, Sequence[str]] = {
    # The maker of a job, once somebody else may have changed it; until then it is the requester. And its status, which is not named
    # ``status``: an older fastlane has statements over jobs and executions that would not know whose is meant.
    records.JOBS.name: ("created_by TEXT", "job_status TEXT"),
    # When a start and an end were written, which is later than they happened: events are read in this order.
    records.EXECUTIONS.name: ("start_noted_at INTEGER", "end_noted_at INTEGER"),
}
_WITHOUT_ROWID = (records.HOSTS, records.RECEIPTS, records.IMAGES, records.RECEIVERS, records.QUOTAS, records.BACKFILLS, records.CALENDARS)
"""Small tables that are read by their keys."""


def create_table(record: Record[Any]) -> str:
    """The statement that makes a record's table."""
    columns = [*(_column(record, name) for name in record.columns), *_OWN_COLUMNS.get(record.name, ())]
    columns += [f"PRIMARY KEY ({', '.join(record.key)})"] if len(record.key) > 1 else []
    return f"CREATE TABLE {record.name} ({', '.join(columns)}) STRICT{', WITHOUT ROWID' if record in _WITHOUT_ROWID else ''}"


def _column(record: Record[Any], name: str) -> str:
    hint = record.hints.get(name, str)
    kinds = {*get_args(hint)} if isinstance(hint, UnionType) else {hint}
    kind = "INTEGER" if kinds <= {int, bool, NoneType} else "TEXT"
    if record.key == (name,):
        return f"{name} {kind} PRIMARY KEY"
    return f"{name} {kind}{'' if NoneType in kinds else ' NOT NULL'}"


def create_index(index: Index[Any]) -> str:
    """The statement that makes an index."""
    condition = "" if index.where is None else f" WHERE {index.where.sql}"
    return f"CREATE {'UNIQUE ' if index.is_unique else ''}INDEX {index.name} ON {index.record.name} ({', '.join(index.keys)}){condition}"


_ADD_LABELS = "INSERT INTO job_labels SELECT value, new.created_at, new.id, new.task_id FROM json_each(new.labels)"
_DROP_LABELS = """DELETE FROM job_labels WHERE label IN (SELECT value FROM json_each(old.labels))
    AND created_at = old.created_at AND job_id = old.id"""

# Which job follows which, as ``schedule`` says. The triggers keep it right after the writes of an older fastlane, too.
_LINKS = """CREATE TABLE job_links (
        upstream_id TEXT NOT NULL, job_id TEXT NOT NULL, PRIMARY KEY (upstream_id, job_id)
    ) STRICT, WITHOUT ROWID"""
_LINKS_OF = "SELECT value FROM json_each(CASE WHEN json_valid({0}.schedule) THEN {0}.schedule ELSE '{{}}' END, '$.after')"
_ADD_LINKS = f"INSERT OR IGNORE INTO job_links SELECT value, new.id FROM ({_LINKS_OF.format('new')})"
_DROP_LINKS = f"DELETE FROM job_links WHERE job_id = old.id AND upstream_id IN ({_LINKS_OF.format('old')})"
_NEW_FOLLOWS, _OLD_FOLLOWS = (f"substr({row}.schedule, 1, {len(FOLLOWS)}) = '{FOLLOWS}'" for row in ("new", "old"))
_LINK_TRIGGERS = (
    f"CREATE TRIGGER link_jobs AFTER INSERT ON jobs WHEN {_NEW_FOLLOWS} BEGIN {_ADD_LINKS}; END",
    f"""CREATE TRIGGER relink_jobs AFTER UPDATE OF schedule ON jobs
        WHEN new.schedule <> old.schedule AND ({_OLD_FOLLOWS} OR {_NEW_FOLLOWS}) BEGIN {_DROP_LINKS}; {_ADD_LINKS}; END""",
    f"CREATE TRIGGER unlink_jobs AFTER DELETE ON jobs WHEN {_OLD_FOLLOWS} BEGIN {_DROP_LINKS}; END",
)

_LATE = "CASE WHEN new.started_at > new.scheduled_for THEN new.started_at - new.scheduled_for ELSE 0 END"
COUNT_END = f"""INSERT INTO hours VALUES (new.task_id, ifnull(new.pool, ''), ifnull(new.finished_at, 0) / 3600000 * 3600000,
    new.status = 'done', new.status = 'expired', new.status = 'failed', new.status = 'stopped', new.status = 'timedout',
    new.started_at IS NOT NULL, {_LATE}, {_LATE})
    ON CONFLICT (task_id, hour, pool) DO UPDATE SET done = done + excluded.done, expired = expired + excluded.expired,
    failed = failed + excluded.failed, stopped = stopped + excluded.stopped, timedout = timedout + excluded.timedout,
    started = started + excluded.started, late = late + excluded.late, latest = max(latest, excluded.latest)"""

_ENDED = "(new.status IN ('done', 'failed') OR new.status IN ('timedout', 'stopped') OR new.status = 'expired')"
_WAS_UNDER_WAY = "(old.status IN ('enqueued', 'pulling') OR old.status = 'running')"
_COUNT_STATUS = "UPDATE counters SET value = value + 1 WHERE name = new.status"
_COUNT_ENDED = f"""INSERT INTO task_counts SELECT new.task_id, new.status, 1 WHERE {_ENDED}
    ON CONFLICT DO UPDATE SET value = value + 1"""
_END_TRIGGERS = (
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
"""Without a list of more than two values: SQLite makes a table of a longer one each time that it is asked."""
_LOG_TRIGGERS = (
    """CREATE TRIGGER count_log_bytes AFTER INSERT ON log_chunks BEGIN
        UPDATE counters SET value = value + new.end_offset - new.start_offset WHERE name = 'log_bytes'; END""",
    """CREATE TRIGGER uncount_log_bytes AFTER DELETE ON log_chunks BEGIN
        UPDATE counters SET value = value - old.end_offset + old.start_offset WHERE name = 'log_bytes'; END""",
)

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
_MANUAL = f"substr(schedule, 1, {len(MANUAL)}) = '{MANUAL}'"
"""As ``schedule_to_json`` writes them: reading the JSON takes longer than all else."""


Rule = Sequence[tuple[tuple[Fact, ...], str | None]]


def status_sql(now: str = "next_tick", rule: Rule = STATUS_RULE) -> str:
    """The rule as an expression over a row of ``jobs``, at ``now``, an expression that is no less than ``next_tick``."""
    facts = {
        Fact.PAUSED: "held_tick IS NOT NULL",
        Fact.MANUAL: _MANUAL,
        Fact.STOPPED: "stop_sequence > armed",
        Fact.CRON: _CRON,
        Fact.NEVER_RAN: f"{_NEWEST_ENDED} IS NULL",
        Fact.TO_COME: f"next_tick IS NOT NULL AND NOT {is_over(now)}",
    }
    standing: dict[tuple[Fact, ...], str] = {(Fact.UNDER_WAY,): _UNDER_WAY, (Fact.ENDED,): _NEWEST_ENDED}
    lines = [
        standing[needed] if said is None else f"CASE WHEN {' AND '.join(facts[fact] for fact in needed) or 'TRUE'} THEN '{said}' END"
        for needed, said in rule
    ]
    return f"coalesce({', '.join(lines)})"


_FOLLOWED = ("held_tick", "next_tick", "stop_sequence", "armed", "floor", "incarnation", "schedule", "spec")
"""The columns of a job that decide its status."""
_IS_OTHER = " OR ".join(f"new.{name} IS NOT old.{name}" for name in _FOLLOWED)


def _write(rule: Rule) -> str:
    return f"UPDATE jobs SET job_status = {status_sql(rule=rule)}"


def _status_triggers(rule: Rule) -> tuple[str, ...]:
    write = _write(rule)
    return (
        f"""CREATE TRIGGER status_of_new_job AFTER INSERT ON jobs
        WHEN new.job_status IS NULL OR EXISTS (SELECT 1 FROM executions WHERE job_id = new.id) BEGIN {write} WHERE id = new.id; END""",
        f"""CREATE TRIGGER status_of_job AFTER UPDATE OF {", ".join(_FOLLOWED)} ON jobs WHEN {_IS_OTHER} BEGIN
        {write} WHERE id = new.id; END""",
        f"""CREATE TRIGGER status_after_insert AFTER INSERT ON executions
        WHEN NOT EXISTS (SELECT 1 FROM jobs WHERE id = new.job_id AND job_status = new.status) BEGIN {write} WHERE id = new.job_id; END""",
        f"""CREATE TRIGGER status_after_change AFTER UPDATE OF status, waits ON executions
        WHEN new.status IS NOT old.status OR new.waits IS NOT old.waits BEGIN {write} WHERE id = new.job_id; END""",
        f"""CREATE TRIGGER status_after_delete AFTER DELETE ON executions
        WHEN NOT ({_HAS_ENDED.replace("status", "old.status")}) OR NOT EXISTS (SELECT 1 FROM executions
            WHERE job_id = old.job_id AND (sequence, attempt) > (old.sequence, old.attempt)) BEGIN {write} WHERE id = old.job_id; END""",
    )


_STATUS_TRIGGERS = _status_triggers(STATUS_RULE)
_ORDER_TRIGGER = f"""CREATE TRIGGER status_after_move AFTER UPDATE OF sequence ON executions WHEN new.sequence <> old.sequence BEGIN
    {_write(STATUS_RULE)} WHERE id = new.job_id; END"""
_BEFORE_MANUAL = tuple(line for line in STATUS_RULE if Fact.MANUAL not in line[0])
"""The rule of migration 25."""
JOB_STATUSES = (
    "ALTER TABLE jobs ADD COLUMN job_status TEXT",
    *_status_triggers(_BEFORE_MANUAL),
    *(
        statement
        for part in range(1, PARTS + 1)
        for statement in (
            COMMIT,
            f"{_write(_BEFORE_MANUAL)} WHERE job_status IS NULL AND rowid <= (SELECT max(rowid) FROM jobs) * {part} / {PARTS}",
        )
    ),
    COMMIT,
    "CREATE INDEX jobs_by_status ON jobs (job_status, created_at, id, task_id)",
    COMMIT,
    # It does not change while an execution is under way.
    f"CREATE INDEX jobs_of_task_by_status ON jobs (task_id, job_status, created_at, id) WHERE {AT_REST}",
)

NEW_STATUS_RULE = (
    *(f"DROP TRIGGER {name}" for name in ("status_of_new_job", "status_of_job", "status_after_insert", "status_after_change")),
    "DROP TRIGGER status_after_delete",
    *_STATUS_TRIGGERS,
)
"""For the statuses of manual jobs, of which an older file has none."""


_OWN_TABLES = (
    # Counters, kept by triggers: counting a million rows takes too long, and no writer can forget a trigger.
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """INSERT INTO counters VALUES ('tasks', 0), ('jobs', 0), ('enqueued', 0), ('pulling', 0), ('running', 0), ('done', 0),
        ('failed', 0), ('timedout', 0), ('stopped', 0), ('expired', 0), ('log_bytes', 0)""",
    # How many executions a task has in total and in each final status.
    """CREATE TABLE task_counts (
        task_id TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (task_id, name)
    ) STRICT, WITHOUT ROWID""",
    # How many ticks and executions a job has, once it has two of either: most jobs run once and need no row.
    """CREATE TABLE job_counts (
        job_id TEXT PRIMARY KEY, ticks INTEGER NOT NULL, executions INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    # How many executions of a task ended within an hour, in which status, and how late their containers started.
    """CREATE TABLE hours (
        task_id TEXT NOT NULL, pool TEXT NOT NULL, hour INTEGER NOT NULL, done INTEGER NOT NULL, expired INTEGER NOT NULL,
        failed INTEGER NOT NULL, stopped INTEGER NOT NULL, timedout INTEGER NOT NULL, started INTEGER NOT NULL,
        late INTEGER NOT NULL, latest INTEGER NOT NULL
    ) STRICT""",
    "CREATE UNIQUE INDEX hours_of_task ON hours (task_id, hour, pool)",
    "CREATE INDEX hours_by_age ON hours (hour)",
    # The words of a task's id: letters, digits and symbols, regardless of case and accents. A row is found by its own words.
    """CREATE VIRTUAL TABLE task_words USING fts5(
        id, columnsize = 0, tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co So'")""",
    # Each label of a job as NAME=VALUE, in the order in which jobs are listed.
    """CREATE TABLE job_labels (
        label TEXT NOT NULL, created_at INTEGER NOT NULL, job_id TEXT NOT NULL, task_id TEXT NOT NULL,
        PRIMARY KEY (label, created_at, job_id)
    ) STRICT, WITHOUT ROWID""",
    _LINKS,
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
    "CREATE INDEX receipts_by_age ON receipts (created_at)",
    # Deleted executions that a worker had claimed, by when (seconds): each may have left a parked service on a host. What was given up
    # with its host has a later moment, by which it is kept for longer.
    "CREATE TABLE deleted_executions (id TEXT PRIMARY KEY, deleted_at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX deleted_executions_by_age ON deleted_executions (deleted_at)",
    *(
        f"CREATE TABLE {name} (id INTEGER PRIMARY KEY CHECK (id = 1), {columns}) STRICT"
        for name, columns in (
            ("checks", "count INTEGER NOT NULL"),
            ("version", "store TEXT NOT NULL, commits INTEGER NOT NULL"),
            ("pauses", "revision INTEGER NOT NULL, names TEXT NOT NULL"),
            ("generation", "number INTEGER NOT NULL, run_id TEXT NOT NULL, builder TEXT, since INTEGER NOT NULL"),
            ("pools_revision", "number INTEGER NOT NULL, digest TEXT NOT NULL, recorded_at INTEGER NOT NULL, reload INTEGER NOT NULL"),
            ("hosts_revision", "number INTEGER NOT NULL, recent TEXT NOT NULL"),
        )
    ),
    "INSERT INTO checks VALUES (1, 0)",
    "INSERT INTO version VALUES (1, lower(hex(randomblob(16))), 0)",
    "INSERT INTO pauses VALUES (1, 0, '[]')",
    "INSERT INTO generation VALUES (1, 0, '', NULL, 0)",
    "INSERT INTO pools_revision VALUES (1, 0, '', 0, 0)",
    "INSERT INTO hosts_revision VALUES (1, 0, '[]')",
)

_NOTE_DELETED = """CREATE TRIGGER note_deleted_executions AFTER DELETE ON executions WHEN old.epoch > 0 BEGIN
    INSERT INTO deleted_executions VALUES (old.id, unixepoch())
        ON CONFLICT (id) DO UPDATE SET deleted_at = max(deleted_at, excluded.deleted_at); END"""
"""What is noted about an execution that was given up is later."""
_OF_ENDED = "DELETE FROM deliveries WHERE execution_id = old.id"
_WORDS_OF_OLD = """SELECT rowid FROM task_words WHERE task_words MATCH '"' || replace(old.id, '"', '""') || '"' AND id = old.id"""
_TRIGGERS = (
    *(
        f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN UPDATE counters SET value = value {change} WHERE name = '{table}'; END"
        for table in ("tasks", "jobs")
        for name, event, change in ((f"count_{table}", "INSERT", "+ 1"), (f"uncount_{table}", "DELETE", "- 1"))
    ),
    """CREATE TRIGGER uncount_executions AFTER DELETE ON executions BEGIN
        UPDATE counters SET value = value - 1 WHERE name = old.status; END""",
    """CREATE TRIGGER uncount_executions_of_task AFTER DELETE ON executions BEGIN
        UPDATE task_counts SET value = value - 1 WHERE task_id = old.task_id AND name IN ('executions', old.status); END""",
    "CREATE TRIGGER forget_counts_of_task AFTER DELETE ON tasks BEGIN DELETE FROM task_counts WHERE task_id = old.id; END",
    "CREATE TRIGGER forget_counts_of_job AFTER DELETE ON jobs BEGIN DELETE FROM job_counts WHERE job_id = old.id; END",
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
    "CREATE TRIGGER name_tasks AFTER INSERT ON tasks BEGIN INSERT INTO task_words (id) VALUES (new.id); END",
    f"""CREATE TRIGGER unname_tasks AFTER DELETE ON tasks BEGIN
        DELETE FROM task_words WHERE rowid IN ({_WORDS_OF_OLD}); END""",
    _NOTE_DELETED,
    f"CREATE TRIGGER label_jobs AFTER INSERT ON jobs WHEN new.labels <> '[]' BEGIN {_ADD_LABELS}; END",
    f"""CREATE TRIGGER relabel_jobs AFTER UPDATE OF labels ON jobs WHEN new.labels <> old.labels BEGIN
        {_DROP_LABELS}; {_ADD_LABELS}; END""",
    f"CREATE TRIGGER unlabel_jobs AFTER DELETE ON jobs WHEN old.labels <> '[]' BEGIN {_DROP_LABELS}; END",
    *_LINK_TRIGGERS,
    f"CREATE TRIGGER forget_deliveries AFTER DELETE ON executions BEGIN {_OF_ENDED}; END",
    f"CREATE TRIGGER forget_notices AFTER DELETE ON jobs BEGIN {_OF_ENDED}; END",
    *_END_TRIGGERS,
    *_LOG_TRIGGERS,
    *_STATUS_TRIGGERS,
    _ORDER_TRIGGER,
)

_LOG_BYTES = "INSERT INTO counters SELECT 'log_bytes', ifnull(sum(end_offset - start_offset), 0) FROM log_chunks"
_REPLACED = ("count_executions", "move_executions", "count_ends", "count_ended")
MIGRATIONS: Sequence[Migration] = (
    Migration(23, 1, (_LOG_BYTES, *_LOG_TRIGGERS)),
    Migration(24, 1, (*(f"DROP TRIGGER {name}" for name in _REPLACED), *_END_TRIGGERS)),
    Migration(25, 1, JOB_STATUSES),
    Migration(26, 1, (create_index(records.JOBS_LATE), create_index(records.JOBS_LATE_BY_CREATION))),
    Migration(27, 1, NEW_STATUS_RULE),
    Migration(28, 1, ("ALTER TABLE ticks ADD COLUMN entries TEXT",)),
    Migration(29, 1, ("ALTER TABLE executions ADD COLUMN node TEXT",)),
    Migration(30, 1, (create_index(records.JOBS_NEXT_OF_TASK),)),
    Migration(31, 1, ("ALTER TABLE executions ADD COLUMN service_version TEXT",)),
    Migration(32, 1, (create_index(records.IMAGES_BY_AGE),)),
    Migration(33, 1, ("ALTER TABLE jobs ADD COLUMN source TEXT", create_index(records.JOBS_OF_SERVICES))),
    Migration(
        34,
        1,
        (
            "CREATE TABLE hosts_revision (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, recent TEXT NOT NULL) STRICT",
            "INSERT INTO hosts_revision VALUES (1, 0, '[]')",
            create_index(records.HOSTS_BY_REMOVAL),
            "DROP TRIGGER note_deleted_executions",
            _NOTE_DELETED,
        ),
    ),
    Migration(35, 1, ("DROP INDEX IF EXISTS executions_failed", create_index(records.EXECUTIONS_FAILED))),
    Migration(
        36,
        1,
        (
            # what a log's ::set-output lines set
            "ALTER TABLE executions ADD COLUMN outputs TEXT",
            # backfills: their records
            """CREATE TABLE backfills (id TEXT PRIMARY KEY, task_id TEXT NOT NULL, incarnation TEXT NOT NULL, request TEXT NOT NULL,
                created_at INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, most INTEGER NOT NULL,
                total INTEGER NOT NULL, remaining TEXT NOT NULL, sequence INTEGER NOT NULL, open TEXT NOT NULL,
                succeeded INTEGER NOT NULL, failed INTEGER NOT NULL, expired INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT,
                ended_at INTEGER, requested_by TEXT, version INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
            create_index(records.BACKFILLS_RUNNING),
            create_index(records.BACKFILLS_BY_AGE),
            # Jobs after other jobs.
            "ALTER TABLE jobs ADD COLUMN chain TEXT",
            "ALTER TABLE executions ADD COLUMN upstream TEXT",
            *(_LINKS, *_LINK_TRIGGERS),
            # How a job's last ticks ended.
            "ALTER TABLE jobs ADD COLUMN failing TEXT",
            # jobs of which no equal one may wait
            "ALTER TABLE jobs ADD COLUMN unique_key TEXT",
            COMMIT,
            create_index(records.JOBS_UNIQUE),
        ),
    ),
    Migration(
        37,
        1,
        (
            # everywhere: the execution that stands for its tick becomes the newest of the job
            _ORDER_TRIGGER,
            # calendars, and which jobs name any
            """CREATE TABLE calendars (id TEXT PRIMARY KEY, dates TEXT NOT NULL, known_until TEXT, created_at INTEGER NOT NULL,
                changed_at INTEGER NOT NULL, changed_by TEXT, version INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
            create_index(records.JOBS_OF_CALENDARS),
        ),
    ),
    Migration(
        38,
        1,
        (
            # receipts: their seals, where each chain ends, and how far rows are sealed
            """CREATE TABLE seals (id TEXT PRIMARY KEY, job_id TEXT NOT NULL, task_id TEXT NOT NULL, number INTEGER NOT NULL,
                previous TEXT NOT NULL, kind TEXT NOT NULL, row TEXT NOT NULL, facts TEXT NOT NULL, fields TEXT NOT NULL,
                sealed_at INTEGER NOT NULL, key TEXT NOT NULL, signature TEXT NOT NULL) STRICT""",
            """CREATE TABLE chain_heads (id TEXT PRIMARY KEY, task_id TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL,
                key TEXT NOT NULL, signature TEXT NOT NULL, version INTEGER NOT NULL) STRICT""",
            """CREATE TABLE seal_place (id TEXT PRIMARY KEY, since INTEGER NOT NULL, ends TEXT NOT NULL, late_ends TEXT NOT NULL,
                events TEXT NOT NULL, late_events TEXT NOT NULL, key TEXT NOT NULL, signature TEXT NOT NULL,
                version INTEGER NOT NULL) STRICT""",
            create_index(records.SEALS_OF_JOB),
            create_index(records.SEALS_OF_ROW),
            create_index(records.SEALS_OF_REMOVALS),
            create_index(records.CHAIN_HEADS_OF_TASK),
        ),
    ),
    Migration(
        39,
        1,
        (
            # logs in the archive
            """CREATE TABLE archived_logs (id TEXT PRIMARY KEY, state TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL,
                size INTEGER NOT NULL, index_at INTEGER NOT NULL, lines INTEGER NOT NULL, sequence INTEGER NOT NULL,
                end_offset INTEGER NOT NULL, end_stdout INTEGER NOT NULL, end_stderr INTEGER NOT NULL, dropped INTEGER NOT NULL,
                marks TEXT NOT NULL, archived_at INTEGER NOT NULL, version INTEGER NOT NULL) STRICT""",
            create_index(records.ARCHIVED_LOGS_UNMOVED),
        ),
    ),
)
"""The steps from the release before (0.1.0, version 22), whose code may use the file after each of them."""
OLDEST, VERSION = MIGRATIONS[0].version - 1, MIGRATIONS[-1].version
"""The oldest version that is brought up to date, and the present one."""
_TABLES = (create_table(record) for record in records.RECORDS)
_INDEXES = (create_index(index) for index in (*records.INDEXES, *records.OF_SQLITE))
NEW = Migration(VERSION, 1, (*_TABLES, *_OWN_TABLES, *_INDEXES, *_TRIGGERS))
"""What makes a new file."""
