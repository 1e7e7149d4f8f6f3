"""Jobs whose due times are chosen for them: what a preview tells is what the job gets."""

import pytest

JOB = {"image": "ubuntu", "cron": "H H(1-4) * * *"}


async def preview(server, url: str, **body):
    answer = await server.ask("POST", url, json=body)
    assert answer.status == 200
    return answer.json


async def test_a_preview_of_a_named_job_shows_the_minute_that_the_job_gets(server):
    shown = await preview(server, "/tasks/nightly?dryRun=1", **JOB, name="backup")
    assert shown["schedule"]["resolved"] == "51 1 * * *"
    assert shown["schedule"]["description"] == "At 01:51 every day"
    reply = (await server.ask("POST", "/tasks/nightly", json=JOB | {"name": "backup"})).json
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["schedule"], job["nextRuns"]) == (shown["schedule"], shown["nextRuns"])
    assert job["definition"]["cron"] == JOB["cron"]


async def test_a_job_without_a_name_has_its_minute_from_its_id_and_a_preview_says_so(server):
    shown = await preview(server, "/tasks/nightly?dryRun=1", **JOB)
    assert ("resolved" in shown["schedule"], shown["nextRuns"]) == (False, [])
    assert "when the job is created" in shown["schedule"]["description"]
    url = "/tasks/nightly/jobs/5e1f4a6e-6f0b-4b6e-9a53-0a1f2b3c4d5e"
    shown = (await server.ask("PUT", f"{url}?dryRun=1", json=JOB)).json
    assert (await server.ask("PUT", url, json=JOB)).status == 200
    job = (await server.get(url)).json["job"]
    assert (job["schedule"], job["nextRuns"]) == (shown["schedule"], shown["nextRuns"])


async def test_a_job_keeps_its_minute_when_it_is_changed(server):
    reply = (await server.ask("POST", "/tasks/nightly", json=JOB | {"name": "backup"})).json
    before = (await server.get(reply["jobUrl"])).json["job"]
    assert (await server.ask("PATCH", reply["jobUrl"], json={"name": "other", "timeout": "5m"})).status == 200
    assert (await server.ask("PUT", reply["jobUrl"], json=JOB | {"name": "third"})).status == 200
    after = (await server.get(reply["jobUrl"])).json["job"]
    assert (after["schedule"], after["nextRuns"]) == (before["schedule"], before["nextRuns"])


async def test_an_interval_counts_from_the_last_due_time(server):
    reply = (await server.ask("POST", "/tasks/often", json={"image": "ubuntu", "cron": "@every 45m"})).json
    job = await server.store.job(reply["jobId"])
    start = job.created_at // 60_000 * 60_000
    assert job.next_tick == start + 45 * 60_000
    assert (await server.ask("PATCH", reply["jobUrl"], json={"cron": "@every 2h"})).status == 200
    changed = await server.store.job(reply["jobId"])
    assert changed.next_tick - start in (7_200_000, 7_260_000)  # a minute may have begun meanwhile
    assert (await server.get(reply["jobUrl"])).json["job"]["schedule"]["description"] == "Every 2 hours, counted from the last due time"


@pytest.mark.parametrize("cron", ["H * * * *", "@every 20m", ["H 1 * * *", {"cron": "@every 20m", "overlap": "skip"}]])
async def test_what_was_chosen_is_read_from_the_store_as_it_was_written(server, cron):
    reply = (await server.ask("POST", "/tasks/stored", json={"image": "ubuntu", "cron": cron})).json
    job = await server.store.job(reply["jobId"])
    assert all(entry.is_settled for entry in job.schedule.cron.entries)
    assert job.next_tick == job.schedule.first_tick(job.created_at)


async def test_a_spread_delays_each_due_time_by_what_the_preview_says(server):
    body = {"image": "ubuntu", "cron": "0 3 * * *", "spread": "30m", "name": "backup", "timezone": "UTC"}
    shown = await preview(server, "/tasks/nightly?dryRun=1", **body)
    assert (shown["schedule"]["spread"], shown["schedule"]["delay"]) == (1800, 1740)
    assert shown["schedule"]["description"] == "At 03:00 every day; delayed by 29m"
    assert {moment[11:16] for moment in shown["nextRuns"]} == {"03:29"}
    reply = (await server.ask("POST", "/tasks/nightly", json=body)).json
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["schedule"], job["nextRuns"], job["definition"]["spread"]) == (shown["schedule"], shown["nextRuns"], "30m")
    stored = await server.store.job(reply["jobId"])
    assert stored.next_tick == stored.schedule.first_tick(stored.created_at)
    assert (await server.ask("PATCH", reply["jobUrl"], json={"spread": None})).status == 200
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert ("spread" in job["schedule"], job["nextRunAt"][11:16]) == (False, "03:00")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"cron": "@daily", "spread": "90s"}, "give whole minutes from 1m to 24h"),
        ({"cron": "@daily", "spread": 0}, "give whole minutes from 1m to 24h"),
        ({"cron": "@daily", "spread": "2d"}, "give whole minutes from 1m to 24h"),
        ({"spread": "30m"}, "is for a job with a cron"),
    ],
)
async def test_a_spread_that_cannot_be_is_refused(server, more, words):
    answer = await server.ask("POST", "/tasks/nightly", json={"image": "ubuntu", **more})
    assert (answer.status, [fault["field"] for fault in answer.json["errors"]]) == (400, ["spread"])
    assert words in answer.json["errors"][0]["message"]


async def test_a_preview_counts_who_else_is_due_then(server):
    """Both at a later tick and at the next one, and neither the job itself nor one that runs once at another time."""
    for body in (
        {"cron": "* * * * *"},
        {"cron": "0 3 1 1 *"},
        {"cron": "5 3 1 1 *"},
        {"startAt": "2100-01-01T03:00:00Z"},
    ):
        await server.enqueue(**body)
    own = await server.enqueue("own", cron="0 3 1 1 *")
    shown = (await server.ask("PATCH", f"{own['jobUrl']}?dryRun=1", json={"timeout": "5m"})).json
    assert shown["dueThen"] == {"minute": shown["nextRuns"][0], "otherJobs": 2}
    assert (await preview(server, "/tasks/t?dryRun=1", image="ubuntu", cron="0 3 1 1 *"))["dueThen"]["otherJobs"] == 3
    assert "dueThen" not in await preview(server, "/tasks/t?dryRun=1", image="ubuntu")
