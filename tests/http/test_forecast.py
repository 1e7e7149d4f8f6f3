"""``/forecast``: what the schedules will come to, in pieces, and only of the tasks that the caller may see."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fastlane.models.status import Status
from tests.support.credentials import bearer, token
from tests.support.factories import make_execution
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

ANN = "fl_ann"
RANGE = "from=2027-03-27T00:00:00Z&until=2027-03-29T00:00:00Z"
JOB = {"image": "ubuntu"}


async def post(server, task: str, **body) -> str:
    answer = await server.ask("POST", f"/tasks/{task}", json=JOB | body)
    assert answer.status == 200, answer.json
    return answer.json["jobId"]


def due_by_hour(piece) -> dict[str, int]:
    return {hour["hour"][:16]: hour["due"] for hour in piece["hours"] if hour["due"]}


async def test_a_forecast_goes_by_hours_calendars_and_the_clocks(server):
    assert (await server.ask("PUT", "/calendars/holidays", json={"dates": ["2027-03-27 Fair"]})).status == 200
    night = await post(server, "night", name="backup", cron="30 2 * * *", timezone="Europe/Berlin")
    await post(server, "day", cron="0 8 * * *", skipDates=["holidays"])
    await post(server, "later", startAt="2027-03-28T08:00:00Z")
    paused = await post(server, "paused", cron="0 8 * * *")
    assert (await server.ask("POST", f"/tasks/paused/jobs/{paused}/pause")).status == 200
    found = (await server.get(f"/forecast?{RANGE}")).json
    assert due_by_hour(found) == {"2027-03-27T01:00": 1, "2027-03-28T01:00": 1, "2027-03-28T08:00": 2}
    assert [hour["hour"] for hour in found["hours"] if hour["skipped"]] == ["2027-03-27T08:00:00.000Z"]
    assert (found["jobs"], len(found["hours"]), found["nextUrl"]) == (3, 48, None)
    assert found["dueByMinute"][0] == 3, "02:30 in Berlin is at 01:00 UTC, where the clocks change"
    (collision,) = found["collisions"]
    assert (collision["minute"], collision["due"]) == ("2027-03-28T08:00:00.000Z", 2)
    assert {one["taskId"] for one in collision["jobs"]} == {"day", "later"}
    assert [(note["kind"], note["taskId"], note["name"]) for note in found["notes"]] == [
        ("clocks", "night", "backup"),
        ("skipped", "day", None),
    ]
    assert "2027-03-28 02:30 in Europe/Berlin" in found["notes"][0]["text"]
    assert found["notes"][0]["jobUrl"].endswith(f"/tasks/night/jobs/{night}/")
    assert found["noteCounts"] == {"overruns": 0, "timeout": 0, "clocks": 1, "skipped": 1, "ends": 0, "unknown": 0}


async def test_the_due_times_come_in_pages_with_why_they_are_skipped(server):
    await post(server, "day", cron="0 8 * * *", skipDates=["2027-03-28"])
    found = (await server.get(f"/forecast/runs?{RANGE}&task=day")).json
    assert [(run["due"], run["skipped"], run["executions"]) for run in found["items"]] == [
        ("2027-03-27T08:00:00.000Z", None, 1),
        ("2027-03-28T08:00:00.000Z", "2027-03-28", 0),
    ]
    await post(server, "each", cron="* * * * *")
    pages, url = [], f"/forecast/runs?{RANGE}"
    while url:
        page = (await server.get(url)).json
        pages.append(page["items"])
        url = page["nextUrl"]
    assert [len(page) for page in pages] == [500] * 5 + [382]
    assert len({(run["due"], run["jobId"]) for page in pages for run in page}) == 2 * 1440 + 2


async def test_a_long_forecast_comes_in_pieces(server):
    await post(server, "hourly", cron="0 * * * *")
    total, url, pieces = 0, "/forecast?from=2027-01-01T00:00:00Z&days=365&task=hourly", 0
    while url:
        piece = (await server.get(url)).json
        total, pieces, url = total + sum(hour["due"] for hour in piece["hours"]), pieces + 1, piece["nextUrl"]
    assert (total, pieces) == (8760, 12)


async def test_usual_durations_come_from_the_last_executions(server):
    job_id = await post(server, "busy", cron="*/10 * * * *", timeout="20m")
    job = await server.store.job(job_id)
    await server.store.advance(job, replace(job, sequence=job.sequence + 1), [], None)
    began = job.created_at
    done = make_execution(
        job_id=job_id,
        task_id="busy",
        incarnation=job.incarnation,
        sequence=job.sequence + 1,
        status=Status.DONE,
        started_at=began,
        finished_at=began + 900_000,
        settled=True,
    )
    assert await server.store.insert(done)
    found = (await server.get(f"/forecast?{RANGE}")).json
    assert found["hours"][1]["pools"]["default"] == {"due": 6, "load": 1.5, "peak": 2}
    assert [(note["kind"], note["text"]) for note in found["notes"]] == [("overruns", "usually takes 15m, and is due again after 10m")]
    runs = (await server.get(f"/forecast/runs?{RANGE}")).json["items"]
    assert runs[0]["usualDuration"] == 900


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("days=0", {"days"}),
        ("days=367&from=tomorrow", {"days", "from"}),
        ("days=2&until=2027-03-29T00:00:00Z", {"until"}),
        ("from=2027-03-29T00:00:00Z&until=2027-03-29T00:00:00Z", {"until"}),
        ("from=2027-03-29T00:00:00Z&until=2029-03-29T00:00:00Z", {"until"}),
        ("from=9990-01-01T00:00:00Z", {"from"}),
        ("task=a/b", {"task"}),
    ],
)
async def test_a_range_that_cannot_be_is_refused_with_each_fault(server, query: str, fields: set[str]):
    for path in ("/forecast", "/forecast/runs"):
        answer = await server.get(f"{path}?{query}")
        assert answer.status == 400
        assert {fault["field"] for fault in answer.json["errors"]} == fields


async def test_the_next_seven_days_are_forecast_unless_the_query_says_otherwise(server):
    await post(server, "daily", cron="0 8 * * *")
    found = (await server.get("/forecast")).json
    assert sum(hour["due"] for hour in found["hours"]) == 7
    first, last = (datetime.fromisoformat(found[name]) for name in ("from", "to"))
    assert ((last - first).days, first.tzinfo) == (7, UTC)


async def test_callers_that_are_limited_to_some_tasks_get_the_forecast_of_these(tmp_path: Path, shared_redis: RealRedis):
    tokens = (token("ann", ANN, "read", "shop"), token("root", "fl_root", "admin"))
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens) as server:
        for task in ("shop-a", "bank-b"):
            answer = await server.ask("POST", f"/tasks/{task}", json=JOB | {"cron": "0 8 * * *"}, headers=bearer("fl_root"))
            assert answer.status == 200
        found = (await server.get(f"/forecast?{RANGE}", headers=bearer(ANN))).json
        assert (found["jobs"], sum(hour["due"] for hour in found["hours"]), found["collisions"]) == (1, 2, [])
        runs = (await server.get(f"/forecast/runs?{RANGE}", headers=bearer(ANN))).json["items"]
        assert {run["taskId"] for run in runs} == {"shop-a"}
        assert (await server.get(f"/forecast?{RANGE}&task=bank-b", headers=bearer(ANN))).json["jobs"] == 0


async def test_a_preview_says_what_the_job_would_do_to_its_pool(server):
    for number in range(10):
        await post(server, f"crowd-{number}", cron="0 3 * * *")
    answer = await server.ask("POST", "/tasks/new?dryRun=1&forecast=1", json=JOB | {"cron": "0 3 * * *"})
    found = answer.json["forecast"]
    assert (found["due"], found["sharedMinutes"], found["othersThen"]) == (7, 7, 10)
    assert (found["peakBefore"], found["peakWith"], found["maxRunning"]) == (10, 11, 10)
    assert (found["fullHoursBefore"], found["fullHoursWith"]) == (0, 7)
    assert (found["quietMinutes"], found["usualDuration"]) == ([1, 2, 3, 4, 5], None)
    known = await post(server, "new", cron="30 4 * * *")
    moved = await server.ask("PATCH", f"/tasks/new/jobs/{known}?dryRun=1&forecast=1", json={"cron": "45 4 * * *"})
    assert (moved.json["forecast"]["due"], moved.json["forecast"]["sharedMinutes"]) == (7, 0)
    once = await server.ask("PUT", f"/tasks/new/jobs/{known}?dryRun=1&forecast=1", json=JOB)
    assert once.json["forecast"]["due"] == 1
    manual = await server.ask("POST", "/tasks/new?dryRun=1&forecast=1", json=JOB | {"manual": True})
    assert "forecast" not in manual.json
    refused = await server.ask("POST", "/tasks/new?forecast=1", json=JOB)
    assert (refused.status, refused.json["errors"][0]["field"]) == (400, "forecast")
