"""The tick ledger over HTTP."""

import re
from dataclasses import replace

import pytest

from fastlane.clock import iso
from fastlane.models.job_change import fire
from fastlane.models.tick import Outcome, cron_key, make_tick

MINUTE = 60_000


async def test_a_job_that_ran_at_once_has_one_tick_with_its_execution(server):
    reply = await server.enqueue()
    answer = await server.get(reply["jobUrl"] + "ticks")
    assert answer.status == 200
    execution = await server.execution(reply)
    assert answer.json == {
        "items": [
            {
                "id": reply["queueJobId"],
                "due": iso(execution.scheduled_for),
                "until": None,
                "count": 1,
                "atLeast": False,
                "outcome": "started",
                "reason": None,
                "execution": {"id": reply["executionId"], "url": reply["executionUrl"]},
                "createdAt": iso(execution.created_at),
                "origin": "start",
            }
        ],
        "total": 1,
        "page": 1,
        "pages": 1,
        "perPage": 10,
        "hasNext": False,
        "hasPrev": False,
        "nextUrl": None,
        "prevUrl": None,
    }
    assert (await server.get(reply["executionUrl"])).json["execution"]["executionId"] == answer.json["items"][0]["execution"]["id"]


async def test_a_job_that_is_not_due_yet_has_an_empty_ledger(server):
    reply = await server.enqueue(cron="* * * * *")
    answer = await server.get(reply["jobUrl"] + "ticks/")
    assert (answer.status, answer.json["items"], answer.json["total"], answer.json["pages"]) == (200, [], 0, 1)


async def fired(server, reply, *, due: int, now: int) -> None:
    """As a worker fires the job, whose next tick is due then."""
    stored = await server.store.job(reply["jobId"])
    moved = replace(stored, next_tick=due)
    assert await server.store.advance(stored, moved, [], None)
    firing = fire(moved, now=now)
    assert await server.store.advance(moved, firing.job, firing.ticks, firing.execution)


async def test_a_run_of_missed_ticks_is_one_row_with_its_ends(server):
    reply = await server.enqueue(cron="*/10 * * * *", catchUp="none")
    now = server.clock.now()
    due = now // (10 * MINUTE) * (10 * MINUTE) - 60 * MINUTE
    await fired(server, reply, due=due, now=due + 35 * MINUTE)
    await fired(server, reply, due=due + 40 * MINUTE, now=due + 40 * MINUTE + 5)
    started, missed = (await server.get(reply["jobUrl"] + "ticks")).json["items"]
    assert (missed["outcome"], missed["due"], missed["until"]) == ("missed", iso(due), iso(due + 30 * MINUTE))
    assert (missed["count"], missed["atLeast"], missed["execution"]) == (4, False, None)
    assert "catchUp: none" in missed["reason"]
    assert (started["outcome"], started["due"], started["until"], started["count"]) == ("started", iso(due + 40 * MINUTE), None, 1)
    assert re.fullmatch(re.escape(reply["jobUrl"]) + r"executions/[0-9a-f-]{36}/", started["execution"]["url"])
    assert (await server.get(started["execution"]["url"])).status == 200


async def test_more_missed_ticks_than_are_counted_are_told_as_at_least(server):
    reply = await server.enqueue(cron="* * * * *", catchUp="none")
    due = server.clock.now() // MINUTE * MINUTE - 5_000 * MINUTE
    await fired(server, reply, due=due, now=server.clock.now())
    row = (await server.get(reply["jobUrl"] + "ticks")).json["items"][-1]
    assert (row["outcome"], row["count"], row["atLeast"]) == ("missed", 1_500, True)


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.STARTED, Outcome.MISSED}))
async def test_a_tick_that_started_nothing_says_why(server, outcome):
    reply = await server.enqueue(cron="* * * * *")
    stored = await server.store.job(reply["jobId"])
    tick, _ = make_tick(stored, cron_key(MINUTE), sequence=1, due=MINUTE, now=MINUTE)
    row = replace(tick, outcome=outcome, execution_id=None, reason="so it was")
    assert await server.store.advance(stored, replace(stored, sequence=1), [row], None)
    (shown,) = (await server.get(reply["jobUrl"] + "ticks")).json["items"]
    assert (shown["outcome"], shown["reason"], shown["execution"]) == (outcome.value, "so it was", None)


async def test_a_stop_before_the_start_closes_the_tick_and_keeps_its_execution(server):
    reply = await server.enqueue()
    await server.store.close_tick(reply["queueJobId"], Outcome.STOPPED, "stopped before its container started")
    (shown,) = (await server.get(reply["jobUrl"] + "ticks")).json["items"]
    assert (shown["outcome"], shown["reason"]) == ("stopped", "stopped before its container started")
    assert shown["execution"]["id"] == reply["executionId"]


async def test_a_long_ledger_comes_in_pages_with_the_latest_due_first(server):
    reply = await server.enqueue(cron="* * * * *")
    job = await server.store.job(reply["jobId"])
    for number in range(23):
        tick, _ = make_tick(job, cron_key(number * MINUTE), sequence=number, due=number * MINUTE, now=number)
        after = replace(job, sequence=job.sequence + 1)
        assert await server.store.advance(job, after, [replace(tick, execution_id=None)], None)
        job = after
    url, found, totals = reply["jobUrl"] + "ticks/", [], set()
    while url:
        page = (await server.get(url)).json
        assert len(page["items"]) <= page["perPage"] == 10
        found += [row["due"] for row in page["items"]]
        totals.add((page["total"], page["pages"]))
        url = page["nextUrl"]
    assert found == [iso(number * MINUTE) for number in reversed(range(23))]
    assert totals == {(23, 3)}
    assert len((await server.get(reply["jobUrl"] + "ticks?perPage=100")).json["items"]) == 23
    second = (await server.get(reply["jobUrl"] + "ticks?page=2&perPage=5")).json
    assert (second["hasNext"], second["hasPrev"], second["prevUrl"]) == (True, True, f"{reply['jobUrl']}ticks/?page=1&perPage=5")


@pytest.mark.parametrize(
    ("query", "status"), [("page=0", 400), ("page=x", 400), ("perPage=101", 400), ("perPage=0", 400), ("pages=1", 400), ("page=2", 404)]
)
async def test_a_page_that_cannot_be_is_refused(server, query, status):
    reply = await server.enqueue()
    assert (await server.get(f"{reply['jobUrl']}ticks?{query}")).status == status


async def test_the_ledger_of_what_is_not_there_is_404_and_it_is_only_read(server):
    reply = await server.enqueue()
    for path in (f"/tasks/other/jobs/{reply['jobId']}/ticks", "/tasks/task/jobs/96812ec5-4574-46da-9474-f901b51d49ec/ticks"):
        assert (await server.get(path)).status == 404
    answer = await server.post(reply["jobUrl"] + "ticks")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert (await server.ask("HEAD", reply["jobUrl"] + "ticks")).status == 200
