"""Sums of what executions used, and their table in CSV."""

import csv
import io

import pytest

from fastlane.models.container import Resources
from fastlane.models.job import Spec, Usage
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.models.usage import FIGURES, UsageSum, Used, UsedBy, csv_cell, read_grouping, usage_csv, value_of
from tests.support.factories import make_execution

GIB, HOUR = 2**30, 3_600_000


def ran(hours: float, team: str | None = None, memory: int | None = None, **fields):
    labels = {} if team is None else {"team": team}
    spec = Spec("ubuntu", labels=labels, resources=Resources(memory=memory))
    return make_execution(**{"spec": spec, "started_at": 0, "finished_at": round(hours * HOUR), "status": Status.DONE, **fields})


def summed(*executions, pools=(), by="team", most=10) -> dict[str | None, dict[str, float]]:
    total = UsageSum(value_of(*read_grouping(by)), pools, most)
    for one in executions:
        assert total.add(one)
    return {row.value: {name: read(row.used) for name, read in FIGURES.items() if read(row.used)} for row in total.rows}


def test_memory_counts_by_its_peak_and_by_its_limit_over_the_time_of_each_run():
    found = summed(ran(2, "a", 4 * GIB, usage=Usage(GIB, 60_000)), ran(1, "a", usage=Usage(3 * GIB, 1_000)), ran(0.5, "a", 2 * GIB), ran(1))
    assert found["a"] == {
        **{"executions": 3, "runs": 3, "containerSeconds": 12_600, "measuredRuns": 2, "measuredSeconds": 10_800},
        **{"processorSeconds": 61, "memoryPeakGibHours": 5, "limitedRuns": 2, "limitedSeconds": 9_000, "memoryLimitGibHours": 9},
    }
    assert list(found) == ["a", None]
    assert found[None] == {"executions": 1, "runs": 1, "containerSeconds": 3_600}


def test_what_never_started_is_an_execution_and_a_failure_but_no_run():
    expired = ran(1, "a", GIB, started_at=None, status=Status.EXPIRED)
    stopped = ran(1, "a", started_at=None, status=Status.STOPPED)
    assert summed(expired, stopped)["a"] == {"executions": 2, "failures": 1}


def test_a_pools_limit_counts_where_the_run_had_none_of_its_own():
    pool = Pool("small", "", ("10.0.0.1:2375",), limits=Resources(memory=2 * GIB))
    found = summed(ran(1, pool="small"), ran(1, memory=GIB, pool="small"), ran(1, pool="gone"), pools=(pool,), by="pool")
    assert (found["small"]["memoryLimitGibHours"], found["small"]["limitedRuns"], "limitedRuns" in found["gone"]) == (3, 2, False)


@pytest.mark.parametrize(("by", "value"), [("task", "task"), ("pool", None), ("team", "a"), ("label:team", "a"), ("label:task", None)])
def test_a_word_names_the_task_the_pool_or_a_label(by, value):
    assert list(summed(ran(1, "a", task_id="task", pool=None), by=by)) == [value]


def test_a_value_too_many_is_not_added():
    total = UsageSum(value_of("label", "team"), (), 2)
    assert [total.add(ran(1, team)) for team in ("a", "b", "c", "a")] == [True, True, False, True]
    assert [(row.value, row.used.runs) for row in total.rows] == [("a", 2), ("b", 1)]


DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "＝1", "＋1", "－1", "＠1"]


@pytest.mark.parametrize("text", DANGEROUS)
def test_no_cell_begins_a_formula(text):
    rows = [UsedBy(text, Used()), UsedBy('plain "quoted", text', Used(runs=2, time=1_500)), UsedBy(None, Used())]
    heading, first, second, none = csv.reader(io.StringIO(usage_csv("team", rows), newline=""))
    assert heading == ["team", *FIGURES]
    assert first[0] == f"'{text}"
    assert second[:5] == ['plain "quoted", text', "0", "0", "2", "1.5"]
    assert none[0] == "(none)"


def test_a_spreadsheet_that_separates_by_semicolons_finds_no_cell_in_a_value():
    value = """x;=1+cmd|' /C calc'!A0"""
    text = usage_csv("team;=1", [UsedBy(value, Used())])
    for separator in (";", "\t", ","):
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
        assert [row[0].startswith(start) for row, start in zip(rows, ("team;=1", value), strict=True)] == [True, True]
        assert [cell for row in rows for cell in row if cell.startswith("=")] == []


def test_a_label_without_text_is_another_value_than_none():
    rows = list(csv.reader(io.StringIO(usage_csv("team", [UsedBy("", Used()), UsedBy(None, Used())]), newline="")))
    assert [row[0] for row in rows[1:]] == ["", "(none)"]


def test_an_ordinary_text_stays_as_it_is():
    assert [csv_cell(text) for text in ("data", "a=b", "a-b", "", "1.5", " x")] == ["data", "a=b", "a-b", "", "1.5", " x"]
