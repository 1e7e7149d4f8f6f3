"""Webhooks seen from outside: what a receiver gets of each end, and what the API says of it."""

from collections.abc import Callable
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from fastlane.models.notify import NotificationTrigger
from tests.behaviour.webhooks.conftest import NEW, OLD
from tests.support.fastlane import Fastlane
from tests.support.receiver import Receiver


def told(receiver: Receiver, *lists: str, **fields: Any) -> dict[str, Any]:
    """Webhooks of a job: one in each list, to a path of the list's name."""
    return {name: [{"url": f"{receiver.url}/{name}", **fields}] for name in lists}


async def deliveries(crew: Fastlane, reply: dict[str, Any], execution_id: str | None = None) -> list[dict[str, Any]]:
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/executions/{execution_id or reply['executionId']}/deliveries"
    answer = await crew.get(path)
    assert answer.status == 200, answer.body
    assert answer.json["executionUrl"].endswith(f"{execution_id or reply['executionId']}/")
    items: list[dict[str, Any]] = answer.json["items"]
    return items


async def settled_deliveries(crew: Fastlane, reply: dict[str, Any], execution_id: str | None = None) -> list[dict[str, Any]]:
    """The deliveries of an execution, once none is pending."""

    async def ended() -> list[dict[str, Any]] | None:
        found = await deliveries(crew, reply, execution_id)
        return found if found and all(row["state"] != "pending" for row in found) else None

    found = await crew.until(ended, "deliveries that have ended")
    assert found is not None
    return found


async def test_a_receiver_gets_the_execution_with_a_signature_that_either_secret_verifies(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    webhooks = told(receiver, "succeeds", "fails", headers={"Authorization": "Bearer hidden"})
    reply = await crew.enqueue(
        "signed", webhooks=webhooks, metadata={"a": 1}, command=["out", "hi"], name="nightly", labels={"team": "data"}
    )
    (received,) = await receiver.got()
    body = received.json
    assert (received.path, received.headers["authorization"]) == ("/hook/succeeds", "Bearer hidden")
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("fastlane/")
    assert body["id"] == received.id
    assert (body["type"], body["version"], body["willRetry"], body["status"], body["exitCode"]) == ("execution.done", 1, False, "done", 0)
    assert (body["jobId"], body["job_id"], body["executionId"]) == (reply["jobId"], reply["jobId"], reply["executionId"])
    assert body["metadata"]["custom"] == {"a": 1}
    assert (body["name"], body["labels"], body["logInfo"]["stdoutBytes"]) == ("nightly", {"team": "data"}, 2)
    assert body["url"] == f"https://fl.example.com/tasks/signed/jobs/{reply['jobId']}/executions/{reply['executionId']}/"
    job = f"tasks/signed/jobs/{reply['jobId']}"
    assert [body[name].removeprefix("https://fl.example.com/") for name in ("pageUrl", "logUrl", "jobPageUrl")] == [
        *(f"console/{job}/executions/{reply['executionId']}", f"{job}/executions/{reply['executionId']}/stream", f"console/{job}"),
    ]
    assert body["timestamp"] == body["finishedAt"]
    for secret in (NEW, OLD):
        assert Webhook(secret).verify(received.body, received.headers) == body
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(received.body.replace(b"done", b"gone"), received.headers)
    (row,) = await settled_deliveries(crew, reply)
    assert (row["id"], row["event"], row["list"], row["state"]) == (received.id, "execution.done", "succeeds", "delivered")
    assert (row["nextAttemptAt"], row["attemptsMade"], row["receiverPaused"]) == (None, 1, False)
    (attempt,) = row["attempts"]
    assert (attempt["status"], attempt["error"], attempt["excerpt"]) == (200, None, "thanks")
    figures = crew.workers_running[0].metrics.text().decode()
    assert 'fastlane_delivery_attempts_total{kind="webhook",outcome="delivered"} 1.0' in figures


async def test_what_a_jobs_author_wrote_is_signed_only_for_a_receiver_that_an_operator_listed(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    body = {"type": "execution.done", "taskId": "pay-salaries"}
    hooks = [{"url": f"{receiver.url}/{path}", "body": body} for path in ("anywhere", "listed", "listed?x=1", "listed/../other")]
    await crew.enqueue("forged", webhooks={"finishes": hooks})
    signed = {one.request.path_qs for one in await receiver.got(4) if "webhook-signature" in one.headers}
    assert signed == {"/hook/listed"}
    (listed,) = [one for one in receiver.received if "webhook-signature" in one.headers]
    assert Webhook(OLD).verify(listed.body, listed.headers) == body
    with pytest.raises(WebhookVerificationError):  # its secret is its own
        Webhook(NEW).verify(listed.body, listed.headers)


async def test_a_listed_receivers_secret_signs_fastlanes_own_message_too(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    await crew.enqueue("own", webhooks={"finishes": [{"url": f"{receiver.url}/listed"}]})
    (received,) = await receiver.got()
    assert Webhook(OLD).verify(received.body, received.headers) == received.json
    assert len(received.headers["webhook-signature"].split()) == 1


async def test_what_is_shown_of_a_job_hides_the_values_of_headers_and_can_be_put_back_once_they_are_given(
    crew: Fastlane, receiver: Receiver
) -> None:
    url = f"http://user:secret-word@127.0.0.1:{receiver.port}/x"
    reply = await crew.enqueue(startIn="1h", webhooks={"fails": [{"url": url, "headers": {"X-Key": "hidden"}, "retries": 2}]})
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}"
    answer = await crew.get(path)
    assert b"hidden" not in answer.body
    assert b"secret-word" not in answer.body
    shown = {"url": url.replace("secret-word", "********"), "headers": {"X-Key": "********"}, "retries": 2}
    definition = answer.json["job"]["definition"]
    assert definition["webhooks"] == {**{trigger: [] for trigger in NotificationTrigger}, "fails": [shown]}
    assert answer.json["job"]["metadata"]["webhooks"] == definition["webhooks"]
    refused = await crew.put(path, definition)
    assert refused.status == 400
    assert {fault["field"] for fault in refused.json["errors"]} == {"webhooks.fails.0.url", "webhooks.fails.0.headers"}
    definition["webhooks"]["fails"][0] |= {"url": url, "headers": {"X-Key": "hidden"}}
    assert (await crew.put(path, definition)).status == 200
    patched = await crew.ask("PATCH", path, data=b'{"name": "other"}')
    assert patched.status == 200
    stored = await crew.store.job(reply["jobId"])
    assert stored is not None
    assert dict(stored.spec.webhooks[0].headers) == {"X-Key": "hidden"}


ENDS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("done", {}, {"succeeds", "finishes"}),
    ("failed", {"command": ["exit", "3"]}, {"fails", "finishes"}),
    ("timedout", {"command": ["hold"], "timeout": 0.2}, {"fails", "finishes"}),
]


@pytest.mark.parametrize(("status", "fields", "lists"), ENDS)
async def test_each_end_tells_the_lists_that_it_belongs_to(
    crew: Fastlane, receiver: Receiver, status: str, fields: dict[str, Any], lists: set[str]
) -> None:
    await crew.hire()
    reply = await crew.enqueue("ends", webhooks=told(receiver, "succeeds", "fails", "finishes"), **fields)
    rows = await settled_deliveries(crew, reply)
    assert {row["list"] for row in rows} == lists
    assert {(row["event"], row["state"]) for row in rows} == {(f"execution.{status}", "delivered")}
    assert {one.path.rpartition("/")[2] for one in receiver.received} == lists
    assert {one.json["status"] for one in receiver.received} == {status}


async def test_a_stop_of_what_runs_is_told(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    reply = await crew.enqueue("stopped", webhooks=told(receiver, "succeeds", "fails", "finishes"), command=["hold"])
    path = f"/tasks/stopped/jobs/{reply['jobId']}"

    async def runs() -> bool:
        return bool((await crew.get(path)).json["job"]["status"] == "running")

    await crew.until(runs, "the job to run")
    assert (await crew.post(f"{path}/stop")).status == 200
    assert {(row["list"], row["event"]) for row in await settled_deliveries(crew, reply)} == {("finishes", "execution.stopped")}


async def test_a_stop_before_the_start_and_an_expiry_are_told_too(crew: Fastlane, receiver: Receiver) -> None:
    webhooks = told(receiver, "succeeds", "fails", "finishes")
    stopped = await crew.enqueue("stops", webhooks=webhooks)
    expired = await crew.enqueue("expires", webhooks=webhooks, expiresIn=0.001)
    assert (await crew.post(f"/tasks/stops/jobs/{stopped['jobId']}/stop")).status == 200
    await crew.hire()
    assert {(row["list"], row["event"]) for row in await settled_deliveries(crew, stopped)} == {("finishes", "execution.stopped")}
    rows = await settled_deliveries(crew, expired)
    assert {(row["list"], row["event"]) for row in rows} == {("fails", "execution.expired"), ("finishes", "execution.expired")}


async def test_a_template_makes_the_body_that_a_receiver_takes(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    body = {"text": "{{taskId}} {{status}} {{failure.message}}", "exit": "{{exitCode}}", "deep": [{"id": "{{id}}"}]}
    reply = await crew.enqueue("shaped", webhooks=told(receiver, "fails", body=body), command=["exit", "3"])
    (received,) = await receiver.got()
    assert received.json["text"].startswith("shaped failed ")
    assert (received.json["exit"], received.json["deep"]) == (3, [{"id": received.id}])
    assert "webhook-signature" not in received.headers  # a job's author wrote it
    job = (await crew.get(f"/tasks/shaped/jobs/{reply['jobId']}")).json["job"]
    assert job["definition"]["webhooks"]["fails"][0]["body"] == body
    assert (await crew.put(f"/tasks/shaped/jobs/{reply['jobId']}", job["definition"])).status == 200


async def test_a_key_in_a_template_is_sent_and_not_shown(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    body = {"routing_key": "hidden", "payload": [{"api_token": "hidden", "link": "https://u:hidden@x"}]}
    reply = await crew.enqueue("keyed", webhooks=told(receiver, "succeeds", body=body))
    (received,) = await receiver.got()
    assert received.json == body
    answer = await crew.get(f"/tasks/keyed/jobs/{reply['jobId']}")
    assert b"hidden" not in answer.body
    shown = answer.json["job"]["definition"]
    refused = await crew.put(f"/tasks/keyed/jobs/{reply['jobId']}", shown)
    assert [fault["field"] for fault in refused.json["errors"]] == ["webhooks.succeeds.0.body"]


async def test_each_attempt_at_a_job_is_told_and_says_whether_another_follows(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    fields = {"command": ["exit", "3"], "retries": 1, "retryDelay": 0}
    await crew.enqueue("retries", webhooks=told(receiver, "fails"), **fields)
    await receiver.got(2)
    assert sorted((one.json["attempt"], one.json["willRetry"]) for one in receiver.received) == [(1, True), (2, False)]
    assert len({one.id for one in receiver.received}) == 2


async def test_a_pools_webhooks_are_those_of_jobs_without_any(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    by_default = await crew.enqueue("told-all")
    await settled_deliveries(crew, by_default)
    own = await crew.enqueue("told-all", webhooks=told(receiver, "succeeds"))
    await settled_deliveries(crew, own)
    assert [one.path for one in receiver.received] == ["/hook/pool", "/hook/succeeds"]
    assert "webhook-signature" not in receiver.received[0].headers


async def test_an_execution_without_webhooks_has_no_delivery(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("exit", "0")
    ended = await crew.cleaned(job)
    assert list(await crew.store.deliveries_of(ended.id)) == []


async def test_a_delivery_is_sent_again_on_request_with_the_same_id_and_body(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    receiver.answer(500)
    reply = await crew.enqueue("again", webhooks=told(receiver, "finishes", retries=0))
    (row,) = await settled_deliveries(crew, reply)
    assert (row["state"], row["attempts"][0]["status"], row["attempts"][0]["error"]) == ("failed", 500, "it answered 500")
    receiver.answer(204)
    answer = await crew.post(row["redeliverUrl"].replace("https://fl.example.com", crew.base))
    assert (answer.status, answer.json["state"], answer.json["id"]) == (200, "pending", row["id"])
    (row,) = await settled_deliveries(crew, reply)
    assert (row["state"], row["attemptsMade"]) == ("delivered", 2)
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)


UNKNOWN = "00000000-0000-4000-8000-000000000000"
PATHS = (
    lambda reply: f"{reply['executionId']}/deliveries/{UNKNOWN}/redeliver",
    lambda reply: f"{reply['executionId']}/deliveries/x/redeliver",
    lambda _: f"{UNKNOWN}/deliveries/{UNKNOWN}/redeliver",
)


@pytest.mark.parametrize(
    "path", [lambda r: f"{r['executionId']}/deliveries/{UNKNOWN}/redeliver", lambda r: f"{UNKNOWN}/deliveries/x/redeliver"]
)
async def test_a_delivery_that_is_not_there_is_a_404(crew: Fastlane, path: Callable[[dict[str, Any]], str]) -> None:
    reply = await crew.enqueue("none")
    root = f"/tasks/none/jobs/{reply['jobId']}/executions"
    assert (await crew.post(f"{root}/{path(reply)}")).status == 404
    assert (await crew.get(f"{root}/{UNKNOWN}/deliveries")).status == 404
    assert await deliveries(crew, reply) == []


REFUSED = [
    ({"fails": [{"url": "http://10.0.0.1/x"}]}, "webhooks.fails.0.url"),
    ({"fails": [{"url": "http://example.com/x"}, {"url": "http://[::1]:80/x"}]}, "webhooks.fails.1.url"),
    ({"fails": [{"url": "http://2130706434/"}]}, "webhooks.fails.0.url"),
    ({"fails": [{"url": "http://[::ffff:169.254.169.254]/"}]}, "webhooks.fails.0.url"),
    ({"fails": [{"url": "ftp://example.com/x"}]}, "webhooks.fails.0.url"),
    ({"fails": [{}]}, "webhooks.fails.0.url"),
    ({"fails": [{"url": "http://example.com", "retries": 11}]}, "webhooks.fails.0.retries"),
    ({"fails": [{"url": "http://example.com", "headers": {"Host": "x"}}]}, "webhooks.fails.0.headers"),
    ({"fails": [{"url": "http://example.com", "headers": {"Webhook-Id": "x"}}]}, "webhooks.fails.0.headers"),
    ({"fails": [{"url": "http://example.com", "headers": {"X": "a\r\nb"}}]}, "webhooks.fails.0.headers"),
    ({"fails": [{"url": "http://example.com", "method": "PUT"}]}, "webhooks.fails.0.method"),
    ({"fails": [{"url": "http://example.com", "body": "text"}]}, "webhooks.fails.0.body"),
    ({"fails": [{"url": "http://example.com", "body": {"a": "x" * 17_000}}]}, "webhooks.fails.0.body"),
    ({"sometimes": []}, "webhooks.sometimes"),
    ({"ends": []}, "webhooks.ends"),
    ([], "webhooks"),
]


@pytest.mark.parametrize(("webhooks", "field"), REFUSED)
async def test_what_cannot_be_a_webhook_is_refused_when_the_job_is_posted(crew: Fastlane, webhooks: Any, field: str) -> None:
    answer = await crew.post("/tasks/refused", {"image": "ubuntu", "webhooks": webhooks})
    assert answer.status == 400
    assert [fault["field"] for fault in answer.json["errors"]] == [field]
