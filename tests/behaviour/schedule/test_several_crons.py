"""A job with several schedules: it is due when any entry is, once when several are, and its ledger names them."""

from dataclasses import replace

import pytest

from fastlane.models.cron import Cron, last_tick, next_tick, ticks_between
from fastlane.models.job_change import fire
from fastlane.models.paging import Window
from fastlane.models.schedule import NO_RULES, CatchUp, EntryRules, Overlap, Schedule, ScheduleKind
from tests.http.posted import OK
from tests.support.factories import make_job, make_spec
from tests.support.virtual_time import VirtualFastlane

HOUR = 3_600_000
BOTH = ["0 */2 * * *", {"cron": "0 */3 * * *", "timezone": "UTC"}]
"""Each sixth hour, both are due."""
UNION = Cron("0 */2 * * *", "UTC", (Cron("0 */3 * * *"),))


def test_due_times_of_all_entries_come_in_order_and_each_once() -> None:
    hours = [0, 2, 3, 4, 6, 8, 9, 10, 12]
    assert ticks_between(UNION, -1, 12 * HOUR, 100) == tuple(hour * HOUR for hour in hours)
    assert [next_tick(UNION, hour * HOUR) for hour in hours[:-1]] == [hour * HOUR for hour in hours[1:]]
    assert last_tick(UNION, 0, 11 * HOUR) == 10 * HOUR
    assert UNION.due_at(6 * HOUR) == "0 */2 * * * (UTC); 0 */3 * * * (UTC)"
    assert UNION.due_at(9 * HOUR) == "0 */3 * * * (UTC)"


async def test_two_entries_that_are_due_at_once_are_one_tick_that_names_both(virtual: VirtualFastlane) -> None:
    made = await virtual.others.submissions.enqueue("t", make_spec(), Schedule(ScheduleKind.CRON, None, UNION))
    ran: dict[int, list[str]] = {}
    for _ in range(5):
        job = await virtual.real_store.job(made.job_id)
        assert job is not None
        virtual.clock.set(int(job.next_tick or 0))
        ran[int(job.next_tick or 0)] = started = await virtual.work()
        await virtual.finish(started[0], 0)
    ticks = {tick.due: tick for tick in (await virtual.real_store.list_ticks(made.job_id, Window(1, 100))).rows}
    assert ticks.keys() == ran.keys()
    assert [len(started) for started in ran.values()] == [1] * 5
    names = {0: "0 */2 * * * (UTC); 0 */3 * * * (UTC)", 3: "0 */3 * * * (UTC)"}
    for due, tick in ticks.items():
        assert tick.entries == names.get(due // HOUR % 6, "0 */2 * * * (UTC)")
    assert any(due // HOUR % 6 == 0 for due in ticks)


async def test_a_job_shows_its_entries_as_they_were_given_and_its_next_runs_by_all(server):
    reply = await server.enqueue(cron=["30 6 * * 1", {"cron": "@hourly", "timezone": "Asia/Tokyo"}], timezone="Europe/Berlin")
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["schedule"]["cron"], job["schedule"]["timezone"]) == ("30 6 * * 1; @hourly", "Europe/Berlin")
    entries = job["schedule"]["entries"]
    assert [(one["cron"], one["timezone"]) for one in entries] == [("30 6 * * 1", "Europe/Berlin"), ("@hourly", "Asia/Tokyo")]
    assert job["definition"]["cron"] == ["30 6 * * 1", {"cron": "@hourly", "timezone": "Asia/Tokyo"}]
    assert len(job["nextRuns"]) == 5
    before = await server.store.job(reply["jobId"])
    assert (await server.put(reply["jobUrl"], job["definition"])).status == 200
    after = await server.store.job(reply["jobId"])
    assert (after.schedule, after.next_tick) == (before.schedule, before.next_tick)


RULED = [{"cron": "0 */2 * * *", "overlap": "skip", "catchUp": "none"}, "0 */3 * * *"]


async def test_an_entry_may_have_rules_of_its_own(server):
    reply = await server.enqueue(cron=RULED)
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert job["definition"]["cron"] == RULED
    assert [(one.get("overlap"), one.get("catchUp")) for one in job["schedule"]["entries"]] == [("skip", "none"), (None, None)]
    assert (await server.ask("PATCH", reply["jobUrl"], json={"overlap": "queue"})).status == 200
    schedule = (await server.store.job(reply["jobId"])).schedule
    assert [schedule.overlap_at(hour * HOUR) for hour in (2, 3, 6)] == [Overlap.SKIP, Overlap.QUEUE, Overlap.SKIP]
    alone = await server.enqueue(cron=RULED[:1])
    assert (await server.get(alone["jobUrl"])).json["job"]["definition"]["cron"] == RULED[:1]


RULES = (EntryRules(Overlap.SKIP, CatchUp.NONE), NO_RULES)


async def test_each_tick_follows_the_rules_of_its_entry(virtual: VirtualFastlane) -> None:
    """The first run goes on all the while, so what is due by the rule of the first entry is skipped."""
    schedule = Schedule(ScheduleKind.CRON, None, UNION, rules=RULES)
    made = await virtual.others.submissions.enqueue("t", make_spec(), schedule)
    for _ in range(6):
        job = await virtual.real_store.job(made.job_id)
        assert job is not None
        virtual.clock.set(int(job.next_tick or 0))
        await virtual.work()
    ticks = sorted((await virtual.real_store.list_ticks(made.job_id, Window(1, 100))).rows, key=lambda tick: tick.due)
    later = [(tick.due // HOUR % 6, tick.outcome.value) for tick in ticks[1:]]
    assert len(later) == 5
    assert all(outcome == ("started" if hour == 3 else "skipped") for hour, outcome in later), later


@pytest.mark.parametrize(
    ("down", "late", "missed"),
    [(range(1, 6), 3, [(2, 2), (4, 4)]), (range(7, 9), None, [(8, 8)]), (range(1, 11), 9, [(2, 8), (10, 10)])],
)
def test_of_missed_ticks_only_those_of_an_entry_that_is_caught_up_run_late(down, late, missed) -> None:
    """For hours nothing fires anything, until half past the last one."""
    first = next_tick(UNION, (down[0] - 1) * HOUR)
    now = down[-1] * HOUR + HOUR // 2
    job = make_job(schedule=Schedule(ScheduleKind.CRON, None, UNION, rules=RULES), next_tick=first)
    ran, rows = [], []
    while job.next_tick is not None and job.next_tick <= now:
        change = fire(job, now=now)
        ran += [tick.due // HOUR for tick in change.ticks if tick.execution_id]
        rows += [(tick.due // HOUR, (tick.until or tick.due) // HOUR) for tick in change.ticks if not tick.execution_id]
        job = change.job
    assert (ran, rows) == ([] if late is None else [late], missed)


async def test_another_zone_of_the_job_moves_the_entries_that_have_none_of_their_own(server):
    reply = await server.enqueue(cron=["0 6 * * *", {"cron": "0 7 * * *", "timezone": "Asia/Tokyo"}, "0 8 * * *"])
    assert (await server.ask("PATCH", reply["jobUrl"], json={"timezone": "Europe/Berlin"})).status == 200
    stored = (await server.store.job(reply["jobId"])).schedule.cron
    assert [entry.timezone for entry in stored.entries] == ["Europe/Berlin", "Asia/Tokyo", "Europe/Berlin"]


async def test_a_list_of_one_entry_is_that_entry(server):
    reply = await server.enqueue(cron=["@daily"])
    assert (await server.get(reply["jobUrl"])).json["job"]["definition"]["cron"] == "@daily"
    alone = replace((await server.store.job(reply["jobId"])).schedule.cron, timezone="UTC")
    assert alone == Cron("@daily")


ODD = [
    ([], "cron", "at least one entry"),
    ([None], "cron.0", "is not text"),
    ([5, "@daily", []], "cron.2", "is not text"),
    (["@daily", "@daily"], "cron.1", "is there twice"),
    (["0 0 31 2 *"], "cron.0", "never runs"),
    ([{"cron": "@daily", "timezone": "Mars"}], "cron.0.timezone", "is not a time zone"),
    ([{"timezone": "UTC"}], "cron.0.cron", "needs one"),
    ([{"cron": "@daily", "retries": 3}], "cron.0.retries", "is not a field of an entry"),
    ([{"cron": "@daily", "overlap": "never"}], "cron.0.overlap", "is not one of"),
    ([{"cron": "@daily", "catchUp": ["none"]}], "cron.0.catchUp", "is not one of"),
    ([{"cron": [None]}], "cron.0.cron", "is not text"),
    ([["@daily"]], "cron.0", "is not text"),
    (["@daily"] * 21, "cron", "more than 20"),
    ({"cron": "@daily"}, "cron", "is not text"),
]


@pytest.mark.parametrize("beside", [{}, {"manual": True}, {"manual": True, "startIn": "5m", "timezone": [None]}])
@pytest.mark.parametrize(("odd", "field", "words"), ODD)
async def test_odd_lists_are_named_with_a_remedy_also_beside_other_starts(server, odd, field, words, beside):
    answer = await server.post("/tasks/task", OK | {"cron": odd} | beside)
    assert answer.status == 400
    found = [(fault["field"], fault["message"]) for fault in answer.json["errors"]]
    assert any(name == field and words in message for name, message in found), found
    assert any("cannot be used together" in message for _, message in found) is bool(beside)
