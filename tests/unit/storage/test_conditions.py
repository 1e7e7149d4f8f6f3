"""Each condition of a partial index means the same in SQL, which SQLite goes by, and for a value, by which MongoDB's flags are set."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from fastlane.models.delivery import Delivery
from fastlane.models.job import Execution, Job
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.schedule import Overlap
from fastlane.models.status import Status
from fastlane.storage.records import DELIVERIES, EXECUTIONS, JOBS, Record
from tests.support.factories import new

JOB, _, EXECUTION = new()
DELIVERY = Delivery("a", "t", "j", "e", "execution.failed", Webhook(NotificationTrigger.FAILS, "https://example.com"), True, 5, 5, 4)
moments = st.none() | st.integers(0, 5)
truths = st.booleans()

jobs = st.builds(lambda due, held, check: replace(JOB, next_tick=due, held_tick=held, check_at=check), moments, moments, moments)
executions = st.builds(
    lambda status, settled, cleaned, host, waits: replace(
        EXECUTION, status=status, settled=settled, cleaned=cleaned, host=host, waits=waits
    ),
    st.sampled_from(Status),
    truths,
    truths,
    st.none() | st.just("a:1"),
    st.none() | st.sampled_from(Overlap),
)
deliveries = st.builds(lambda due: replace(DELIVERY, due=due), moments)


@given(st.one_of(jobs, executions, deliveries))
def test_a_condition_holds_in_sql_when_it_does_for_the_value(value: Job | Execution | Delivery) -> None:
    records: dict[type, Record[Any]] = {Job: JOBS, Execution: EXECUTIONS, Delivery: DELIVERIES}
    record = records[type(value)]
    row = record.row(value)
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"CREATE TABLE stored ({', '.join(row)})")
        db.execute(f"INSERT INTO stored VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        for condition in record.flags:
            assert db.execute(f"SELECT {condition.sql} FROM stored").fetchone() == (condition.holds(value),), condition.sql


@pytest.mark.parametrize("record", [JOBS, EXECUTIONS, DELIVERIES], ids=lambda record: record.name)
def test_no_two_conditions_have_the_same_flag(record: Record[object]) -> None:
    flags = [condition.flag for condition in record.flags]
    assert None not in flags
    assert len(set(flags)) == len(flags)
