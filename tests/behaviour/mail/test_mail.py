"""Mail seen from outside: who gets one about which end, what it says, and how few there are about a job that keeps failing."""

import re
from pathlib import Path
from typing import Any

import pytest

from fastlane.models.notify import NotificationTrigger
from tests.support.fastlane import Fastlane
from tests.support.mail_server import Server
from tests.support.redis import RealRedis

TEAM, BOSS = "team@example.com", "boss@example.com"
FAIL: dict[str, Any] = {"command": ["exit", "3"]}


async def deliveries(crew: Fastlane, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """The deliveries of an execution, once none is pending."""
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/executions/{reply['executionId']}/deliveries"

    async def ended() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = (await crew.get(path)).json["items"]
        return found if found and all(row["state"] != "pending" for row in found) else None

    found = await crew.until(ended, "deliveries that have ended")
    assert found is not None
    return found


async def again(crew: Fastlane, reply: dict[str, Any]) -> dict[str, Any]:
    """Runs the job once more."""
    answer = await crew.post(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/run")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


async def test_a_mail_says_what_failed_with_the_end_of_the_log_and_links(crew: Fastlane, server: Server) -> None:
    await crew.hire()
    reply = await crew.enqueue(
        "nightly", command=["exit", "3", "the <last> words"], name="report", notify={"fails": [TEAM], "succeeds": [BOSS]}
    )
    (received,) = await server.got()
    assert (received.sender, received.to) == ("fastlane@example.org", TEAM)
    assert str(received.mail["Subject"]) == "[fastlane] nightly (report): failed, exit code 3"
    of_job, of_execution = (f"/tasks/nightly/jobs/{reply['jobId']}", f"/executions/{reply['executionId']}")
    pages = [f"/console{of_job}{of_execution}", f"{of_job}{of_execution}/stream", f"/console{of_job}"]
    assert re.findall(r'<a href="https://fl.example.com([^"]*)">', received.html) == pages
    for page in pages:
        assert f" https://fl.example.com{page}\r\n" in received.text
        answer = await crew.get(page)  # as a browser does when a person follows the link
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8"), page
    (row,) = await deliveries(crew, reply)
    assert (row["kind"], row["list"], row["receiver"], row["state"]) == ("mail", "fails", TEAM, "delivered")
    assert [(one["status"], one["error"], one["excerpt"]) for one in row["attempts"]] == [(250, None, "kept as 17")]
    assert str(received.mail["Message-ID"]) == f"<{row['id']}@example.org>"
    job = (await crew.get(f"/tasks/nightly/jobs/{reply['jobId']}")).json["job"]
    shown = {**{trigger: [] for trigger in NotificationTrigger}, "succeeds": [BOSS], "fails": [TEAM]}
    assert job["metadata"]["notify"] == job["definition"]["notify"] == shown
    assert (await crew.put(f"/tasks/nightly/jobs/{reply['jobId']}", job["definition"])).status == 200


async def test_an_address_in_two_lists_gets_one_mail_of_each_end(crew: Fastlane, server: Server) -> None:
    await crew.hire()
    notify = {"fails": [TEAM], "finishes": [TEAM.upper(), BOSS]}
    rows = await deliveries(crew, await crew.enqueue(notify=notify, **FAIL))
    assert {(row["receiver"], row["list"]) for row in rows} == {(TEAM, "fails"), (BOSS, "finishes")}
    rows = await deliveries(crew, await crew.enqueue(notify=notify))
    assert {(row["receiver"], row["list"]) for row in rows} == {(TEAM.upper(), "finishes"), (BOSS, "finishes")}
    assert len(server.received) == 4


async def test_a_job_that_keeps_failing_sends_one_mail_and_the_next_one_says_what_was_held_back(crew: Fastlane, server: Server) -> None:
    await crew.hire()
    first = await crew.enqueue(notify={"fails": [TEAM], "succeeds": [TEAM]}, **FAIL)
    assert [row["state"] for row in await deliveries(crew, first)] == ["delivered"]
    held = [await again(crew, first) for _ in range(2)]
    for one in held:
        (row,) = await deliveries(crew, one)
        assert (row["state"], row["attempts"], row["nextAttemptAt"]) == ("held", [], None)
    assert len(server.received) == 1
    figures = crew.workers_running[0].metrics.text().decode()
    for outcome, count in (("delivered", 1), ("failed", 0), ("held", 2)):
        assert f'fastlane_delivery_attempts_total{{kind="mail",outcome="{outcome}"}} {count}.0' in figures
    by_hand = await crew.post(f"{row['redeliverUrl'].removeprefix('https://fl.example.com')}")
    assert by_hand.status == 200, by_hand.body
    received = (await server.got(2))[1]
    assert "2 failures of this job got no mail of their own" in received.text
    assert all(one["executionId"] in received.text for one in held)
    other = await crew.enqueue(notify={"fails": [TEAM]}, **FAIL)
    assert [row["state"] for row in await deliveries(crew, other)] == ["delivered"]
    assert "got no mail" not in (await server.got(3))[2].text


async def test_what_was_held_back_is_told_by_the_mail_of_a_success_too(crew: Fastlane, server: Server) -> None:
    await crew.hire()
    reply = await crew.enqueue(notify={"fails": [TEAM], "succeeds": [TEAM]}, **FAIL)
    await deliveries(crew, reply)
    await deliveries(crew, await again(crew, reply))
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}"
    assert (await crew.ask("PATCH", path, data=b'{"command": ["exit", "0"]}')).status == 200
    await deliveries(crew, await again(crew, reply))
    received = (await server.got(2))[1]
    assert "1 failure of this job got no mail" in received.text
    await deliveries(crew, await again(crew, reply))
    assert "got no mail" not in (await server.got(3))[2].text


async def test_a_mail_that_the_server_does_not_take_now_is_sent_later_under_the_same_id(crew: Fastlane, server: Server) -> None:
    server.answer("DATA", "451 not now", "")
    await crew.hire()
    reply = await crew.enqueue(notify={"fails": [TEAM]}, **FAIL)
    (received,) = await server.got()
    (row,) = await deliveries(crew, reply)
    assert [one["status"] for one in row["attempts"]] == [451, 250]
    assert str(received.mail["Message-ID"]) == f"<{row['id']}@example.org>"


async def test_a_mail_that_is_refused_for_good_fails_and_can_be_sent_again(crew: Fastlane, server: Server) -> None:
    server.answer("RCPT", "550 no such user", "")
    await crew.hire()
    reply = await crew.enqueue(notify={"fails": [TEAM]}, **FAIL)
    (row,) = await deliveries(crew, reply)
    assert (row["state"], row["attempts"][0]["excerpt"]) == ("failed", "no such user")
    assert (await crew.post(row["redeliverUrl"].removeprefix("https://fl.example.com"))).status == 200
    await server.got()
    (row,) = await deliveries(crew, reply)
    assert row["state"] == "delivered"


@pytest.mark.parametrize(
    ("notify", "field"),
    [
        ({"fails": ["a@example.com\r\nBcc: b@example.com"]}, "notify.fails.0"),
        ({"fails": [TEAM, 1]}, "notify.fails.1"),
        ({"fails": TEAM}, "notify.fails"),
        ({"fails": [TEAM] * 21}, "notify.fails"),
        ({"sometimes": [TEAM]}, "notify.sometimes"),
        ([TEAM], "notify"),
    ],
)
async def test_what_is_no_list_of_addresses_is_refused(crew: Fastlane, notify: object, field: str) -> None:
    answer = await crew.post("/tasks/task", {"image": "ubuntu", "notify": notify})
    assert answer.status == 400
    assert [fault["field"] for fault in answer.json["errors"]] == [field]


async def test_an_address_of_a_domain_that_may_get_no_mail_is_refused_in_a_new_job_and_in_a_change(crew: Fastlane) -> None:
    lists = {"fails": [TEAM, "victim@elsewhere.example"], "late": ["victim%elsewhere.example@example.com"]}
    answer = await crew.post("/tasks/task", {"image": "ubuntu", "notify": lists})
    assert answer.status == 400
    assert [fault["field"] for fault in answer.json["errors"]] == ["notify.fails.1", "notify.late.0"]
    assert "notify_allow" in answer.json["errors"][0]["message"]
    reply = await crew.enqueue(startIn="1h", notify={"fails": [TEAM]})
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}"
    assert (await crew.ask("PATCH", path, data=b'{"notify": {"fails": ["victim@elsewhere.example"]}}')).status == 400
    assert (await crew.ask("PATCH", path, data=b'{"name": "other"}')).status == 200


async def test_where_nothing_is_set_mails_go_to_the_domain_that_they_come_from(
    shared_redis: RealRedis, tmp_path: Path, server: Server
) -> None:
    settings = {name: value for name, value in server.settings.items() if name != "notify_allow"}
    async with Fastlane(tmp_path / "other", shared_redis.url, workers=1, **settings) as other:
        assert (await other.post("/tasks/task", {"image": "ubuntu", "notify": {"fails": [TEAM]}})).status == 400
        await other.enqueue(notify={"fails": ["team@EXAMPLE.org"]}, **FAIL)
        assert [mail.to for mail in await server.got()] == ["team@EXAMPLE.org"]
