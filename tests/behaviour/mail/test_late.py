"""The dead man's alert: a job that does not succeed is told once, whatever keeps it from that, and so is its recovery."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastlane.metrics import LATE_CHANGES, Metrics
from fastlane.models.delivery import notified
from fastlane.models.notify import NotificationTrigger
from fastlane.models.pool import RESTORED
from tests.support.fastlane import Fastlane
from tests.support.mail_server import Server
from tests.support.receiver import Receiver, receiving
from tests.support.redis import RealRedis

TEAM = "team@example.com"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def watch(shared_redis: RealRedis, tmp_path: Path, server: Server) -> AsyncIterator[Fastlane]:
    """A fastlane whose server stands in for workers at once."""
    settings: dict[str, Any] = {"webhook_allow": ("127.0.0.1",), "public_url": "https://fl.example.com", **server.settings}
    async with Fastlane(tmp_path, shared_redis.url, stands_in_after=0, **settings) as crew:
        yield crew


def lists(receiver: Receiver) -> dict[str, Any]:
    hooks = {name: [{"url": f"{receiver.url}/{name}"}] for name in ("late", "recovered")}
    return {"webhooks": hooks, "notify": {"late": [TEAM], "recovered": [TEAM]}}


def counted(metrics: Metrics) -> dict[str, float]:
    """The late jobs that a process has counted, by what happened to them."""
    (family,) = (one for one in text_string_to_metric_families(metrics.text().decode()) if one.name == "fastlane_late_jobs")
    return {sample.labels["change"]: sample.value for sample in family.samples}


async def late_now(crew: Fastlane) -> float:
    """The jobs that are late now, as an API server tells Prometheus."""
    families = text_string_to_metric_families((await crew.get("/metrics")).body.decode())
    ((sample,),) = (family.samples for family in families if family.name == "fastlane_jobs_late")
    return float(sample.value)


async def late_since(crew: Fastlane, reply: dict[str, Any]) -> Any:
    return (await crew.get(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}")).json["job"]["lateSince"]


async def test_a_job_that_fails_is_late_once_and_recovers_once(watch: Fastlane, server: Server, receiver: Receiver) -> None:
    await watch.hire()
    await watch.hire()
    reply = await watch.enqueue("nightly", name="report", command=["exit", "3"], expectEvery="1s", metadata={"a": 1}, **lists(receiver))
    path = f"/tasks/nightly/jobs/{reply['jobId']}"
    (late,) = await receiver.got()
    body = late.json
    assert (body["type"], body["status"], body["version"], body["expectEvery"]) == ("job.late", "late", 1, "1s")
    assert (body["jobId"], body["job_id"], body["taskId"], body["name"]) == (reply["jobId"], reply["jobId"], "nightly", "report")
    assert (body["url"], body["metadata"]["custom"]) == (f"https://fl.example.com{path}/", {"a": 1})
    assert body["timestamp"] == await late_since(watch, reply)
    (mail,) = await server.got()
    assert str(mail.mail["Subject"]) == "[fastlane] nightly (report): late"
    assert "it has not succeeded for 1s" in mail.text
    await seen_everywhere(watch, reply, body["timestamp"])
    assert await late_now(watch) == 1
    assert (await watch.ask("PATCH", path, data=b'{"command": ["exit", "0"], "expectEvery": "1h"}')).status == 200
    assert (await watch.post(f"{path}/run")).status == 200
    recovered = (await receiver.got(2))[1].json
    assert (recovered["type"], recovered["lastExecution"]["status"]) == ("job.recovered", "done")
    assert str((await server.got(2))[1].mail["Subject"]) == "[fastlane] nightly (report): recovered"
    assert await late_since(watch, reply) is None
    assert await late_now(watch) == 0
    processes = [counted(process.metrics) for process in (watch.api, *watch.workers_running)]
    assert {change: sum(counts[change] for counts in processes) for change in LATE_CHANGES} == {"late": 1, "recovered": 1}

    async def delivered() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = (await watch.get(f"{path}/deliveries")).json["items"]
        return items if all(row["state"] == "delivered" for row in items) else None

    rows = await watch.until(delivered, "deliveries that have ended")
    assert sorted((row["event"], row["kind"]) for row in rows) == [
        *(("job.late", "mail"), ("job.late", "webhook")),
        *(("job.recovered", "mail"), ("job.recovered", "webhook")),
    ]
    assert (len(receiver.received), len(server.received)) == (2, 2)
    why = (await watch.get(f"{path}/why")).json
    expected = why["expected"]
    assert "late" not in why
    late_at, last = (datetime.fromisoformat(expected[name]) for name in ("lateAt", "lastSuccessAt"))
    assert late_at - last == timedelta(hours=1)
    assert (expected["expectEvery"], expected["receivers"]) == (3_600, 2)
    assert sorted(one["id"] for one in expected["deliveries"]) == sorted(one["id"] for one in rows)
    assert f"without another it is late at {expected['lateAt']}; its lists for late have 2 receivers" in expected["message"]
    again = await watch.post(rows[0]["redeliverUrl"].removeprefix("https://fl.example.com"))
    assert again.status == 200, again.body


async def seen_everywhere(watch: Fastlane, reply: dict[str, Any], since: str) -> None:
    """A late job says so, and who is told, in each place where a person looks."""
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}"

    async def explained() -> Any:
        late = (await watch.get(f"{path}/why")).json["late"]
        return late if {one["state"] for one in late["deliveries"]} == {"delivered"} else None

    late = await watch.until(explained, "messages that were delivered")
    assert (late["since"], late["expectEvery"], late["lastSuccessAt"], late["receivers"]) == (since, 1, None, 2)
    assert "no success of it is known; 2 of the 2 messages about that were delivered" in late["message"]
    told = {**dict.fromkeys(NotificationTrigger, 0), "late": 2, "recovered": 2}
    for url, rows in ((f"/tasks/{reply['taskId']}", "jobs"), (f"/tasks/{reply['taskId']}/jobs", "items"), ("/jobs", "items")):
        (row,) = (await watch.get(url)).json[rows]
        assert (row["lateSince"], row["expectEvery"], row["receivers"]) == (since, 1, told), url
    receivers = (await watch.get(path)).json["job"]["receivers"]
    assert [(one["list"], one["kind"], one["ofPool"]) for one in receivers] == [
        *(("late", "webhook", False), ("recovered", "webhook", False)),
        *(("late", "mail", False), ("recovered", "mail", False)),
    ]
    (listed,) = (await watch.get("/status")).json["jobs"]["late"]
    assert (listed["jobId"], listed["name"], listed["lateSince"], listed["expectEvery"]) == (reply["jobId"], "report", since, 1)


async def test_a_time_of_day_is_by_the_clocks_of_the_job_and_not_of_its_first_entry(watch: Fastlane) -> None:
    cron = [{"cron": "0 1 * * *", "timezone": "Asia/Tokyo"}, "0 2 * * *"]
    reply = await watch.enqueue("zones", cron=cron, timezone="Europe/Berlin", doneBy="06:00")
    path = f"/tasks/zones/jobs/{reply['jobId']}"
    expected = (await watch.get(f"{path}/why")).json["expected"]
    assert datetime.fromisoformat(expected["lateAt"]).astimezone(ZoneInfo("Europe/Berlin")).hour == 6
    assert expected["message"].startswith("each of its ticks must succeed by 06:00 in Europe/Berlin: ")
    job = (await watch.get(path)).json["job"]
    assert (job["definition"]["cron"], job["definition"]["timezone"], job["schedule"]["timezone"]) == (cron, *["Europe/Berlin"] * 2)
    changed = await watch.ask("PATCH", path, data=json.dumps({"cron": "0 0 LW * *"}))
    assert changed.status == 200, changed.body
    assert (await watch.get(path)).json["job"]["definition"]["timezone"] == "Europe/Berlin"


async def test_a_job_whose_lateness_nobody_is_told_says_so(watch: Fastlane) -> None:
    reply = await watch.enqueue("quiet", expectEvery="1s")
    await watch.until(lambda: late_since(watch, reply), "a late job")
    late = (await watch.get(f"/tasks/quiet/jobs/{reply['jobId']}/why")).json["late"]
    assert (late["receivers"], late["deliveries"]) == (0, [])
    assert late["message"].endswith("nobody was notified, since neither webhooks.late nor notify.late has a receiver")
    assert (await watch.post(f"/tasks/quiet/jobs/{reply['jobId']}/stop")).status == 200
    assert (await watch.get("/status")).json["jobs"]["late"] == []
    assert "late" not in (await watch.get(f"/tasks/quiet/jobs/{reply['jobId']}/why")).json


async def test_a_late_job_that_is_paused_or_over_is_late_no_longer(watch: Fastlane) -> None:
    paused = await watch.enqueue("paused", cron="0 0 1 1 *", expectEvery="1s")
    over = await watch.enqueue("over", cron="0 0 1 1 *", expectEvery="1s")
    for reply, lasts in ((paused, None), (over, 1_000)):
        job, now = await watch.store.job(reply["jobId"]), watch.clock.now()
        assert job is not None
        spec = job.spec if lasts is None else replace(job.spec, expiration=now + lasts)
        assert await watch.store.advance(job, notified(replace(job, spec=spec, late_since=now)), (), None)
    assert await late_since(watch, paused) is not None

    async def none_is_late() -> bool:
        return await late_now(watch) == 0

    assert (await watch.post(f"/tasks/paused/jobs/{paused['jobId']}/pause")).status == 200
    assert await late_since(watch, paused) is None
    await watch.until(none_is_late, "jobs that are late no longer")


async def test_a_tick_that_never_comes_is_told_by_the_server_while_no_worker_is_alive(watch: Fastlane, receiver: Receiver) -> None:
    reply = await watch.enqueue(startIn="1s", expectEvery="1s", **lists(receiver))
    (late,) = await receiver.got()
    body = late.json
    assert (body["type"], body["lastExecution"], body["lastPageUrl"], body["logUrl"]) == ("job.late", None, None, None)
    page = f"https://fl.example.com/console/tasks/{reply['taskId']}/jobs/{reply['jobId']}"
    assert (body["pageUrl"], body["jobPageUrl"]) == (page, page)
    assert await late_since(watch, reply) is not None
    assert counted(watch.api.metrics) == {"late": 1, "recovered": 0}


async def test_dispatch_that_is_paused_is_no_excuse_and_a_restored_store_is_one(watch: Fastlane, receiver: Receiver) -> None:
    assert (await watch.post("/dispatch/pause")).status == 200
    await watch.enqueue("paused", expectEvery="1s", **lists(receiver))
    await receiver.got()
    await watch.store.pause_pool(RESTORED, True)
    held = await watch.enqueue("restored", expectEvery="1s", **lists(receiver))
    for _ in range(2):
        await asyncio.sleep(2.5)  # a look or two
    assert await late_since(watch, held) is None
    assert len(receiver.received) == 1
    await watch.store.pause_pool(RESTORED, False)
    await receiver.got(2)


async def test_a_job_that_is_held_or_stopped_is_not_late_and_one_that_is_resumed_is_expected_again(
    watch: Fastlane, receiver: Receiver
) -> None:
    paused = await watch.enqueue(cron="* * * * *", expectEvery="1s", **lists(receiver))
    path = f"/tasks/{paused['taskId']}/jobs/{paused['jobId']}"
    assert (await watch.post(f"{path}/pause")).status == 200
    stopped = await watch.enqueue(expectEvery="1s", **lists(receiver))
    assert (await watch.post(f"/tasks/{stopped['taskId']}/jobs/{stopped['jobId']}/stop")).status == 200
    other = await watch.enqueue(expectEvery="2s", **lists(receiver))
    (late,) = await receiver.got()
    assert late.json["jobId"] == other["jobId"]
    assert await late_since(watch, paused) is None
    job = await watch.store.job(stopped["jobId"])
    assert job is not None
    assert (job.check_at, job.late_since) == (None, None)
    assert (await watch.post(f"{path}/resume")).status == 200
    resumed = await watch.store.job(paused["jobId"])
    assert resumed is not None
    assert resumed.check_at is not None


@pytest.mark.parametrize("value", ["0s", "0.5s", "soon", -1, [], {"a": 1}])
async def test_what_is_no_duration_is_refused(watch: Fastlane, value: object) -> None:
    answer = await watch.post("/tasks/task", {"image": "ubuntu", "expectEvery": value})
    assert [fault["field"] for fault in answer.json["errors"]] == ["expectEvery"]
