"""A store with a long history: executions that have ended, by the job, as copies of one that was created like any other."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

OF_A_JOB = 100
"""How many of the executions a job has."""
ENDED = {"status": "'done'", "settled": "1", "cleaned": "1", "epoch": "1", "exit_code": "0", "finished_at": "created_at", "sequence": "n"}


def lengthen(file: Path, executions: int, varied: Mapping[str, str] | None = None) -> None:
    """Adds that many ended executions, their ticks and jobs, beside the one execution that the file's store has. Their ids come before all
    that are made now, as older ones do. ``varied``: columns of the executions as SQL, where `n` is a number."""
    with closing(sqlite3.connect(file)) as store:
        jobs = {"id": "n", "incarnation": "n"}
        rows = {"id": "n", "execution_id": "n", "tick_id": "n", "job_id": f"n / {OF_A_JOB}"}
        _copy(store, "jobs", -(-executions // OF_A_JOB), jobs, {"next_tick": "NULL"})
        _copy(store, "ticks", executions, rows, {})
        _copy(store, "executions", executions, rows, {**ENDED, **(varied or {})})
        store.commit()
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(store: sqlite3.Connection, table: str, count: int, numbered: Mapping[str, str], fixed: Mapping[str, str]) -> None:
    """Copies the table's first row. Of the ids in ``numbered`` the first eight digits become a number."""
    columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
    values = [
        f"printf('%08x', {numbered[column]}) || substr({column}, 9)" if column in numbered else fixed.get(column, column)
        for column in columns
    ]
    first = f"SELECT * FROM {table} ORDER BY rowid LIMIT 1"
    numbers = f"WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count - 1})"
    store.execute(f"{numbers} INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM numbers, ({first})")
