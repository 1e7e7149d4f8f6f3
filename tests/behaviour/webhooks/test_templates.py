"""The templates of docs/notifications.md: what each service gets is what that service takes, whatever is told."""

import json
from typing import Any

import pytest

from tests.behaviour.webhooks.test_webhooks import told
from tests.support.docs import ROOT, blocks
from tests.support.fastlane import Fastlane
from tests.support.receiver import Receiver

PAGE = (ROOT / "docs/notifications.md").read_text("utf-8").partition("\n## Chat and paging services\n")[2]
SLACK, DISCORD, TEAMS, TRIGGER, RESOLVE = map(json.loads, blocks(PAGE, "json"))
UNKNOWN = ("null", "None", "{{", "}}")


def check_slack(sent: dict[str, Any]) -> str:
    """As https://api.slack.com/messaging/webhooks has it."""
    assert sent.keys() == {"text"}
    return str(sent["text"])


def check_discord(sent: dict[str, Any]) -> str:
    """As https://discord.com/developers/docs/resources/webhook#execute-webhook has it."""
    assert sent.keys() == {"content"}
    assert 0 < len(sent["content"]) <= 2_000
    return str(sent["content"])


def check_teams(sent: dict[str, Any]) -> str:
    """As the trigger "When a Teams webhook request is received" has it: a message with one adaptive card."""
    (card,) = sent["attachments"]
    assert (sent["type"], card["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["content"]["type"], card["content"]["version"]) == ("AdaptiveCard", "1.4")
    (block,) = card["content"]["body"]
    assert block["type"] == "TextBlock"
    return str(block["text"])


def check_trigger(sent: dict[str, Any]) -> str:
    """As https://developer.pagerduty.com/docs/events-api-v2-overview has it: these three of the payload are required, and not null."""
    payload = sent["payload"]
    assert (sent["routing_key"], sent["event_action"]) == ("…", "trigger")
    assert 0 < len(sent["dedup_key"]) <= 255
    assert 0 < len(payload["summary"]) <= 1_024
    assert payload["source"].startswith("fastlane")
    assert payload["severity"] in ("critical", "error", "warning", "info")
    return f"{payload['summary']} {payload['custom_details']['url']}"


CHECKS = [(SLACK, check_slack), (DISCORD, check_discord), (TEAMS, check_teams), (TRIGGER, check_trigger)]


@pytest.mark.parametrize(("body", "check"), CHECKS, ids=["slack", "discord", "teams", "pagerduty"])
async def test_a_service_gets_what_it_takes_of_a_failure_of_one_that_never_started_and_of_a_late_job(
    crew: Fastlane, receiver: Receiver, body: dict[str, Any], check: Any
) -> None:
    expired = await crew.enqueue("expires", webhooks=told(receiver, "fails", body=body), expiresIn=0.001)
    await crew.hire()
    failed = await crew.enqueue("fails", webhooks=told(receiver, "fails", body=body), command=["exit", "3"])
    late = await crew.enqueue("lates", webhooks=told(receiver, "late", body=body), command=["exit", "3"], expectEvery="1s")
    texts = {check(one.json) for one in await receiver.got(3)}
    for reply, word in ((expired, "expired"), (failed, "failed"), (late, "late")):
        (text,) = [text for text in texts if f"{reply['taskId']} {word}" in text]
        assert f"https://fl.example.com/console/tasks/{reply['taskId']}/jobs/{reply['jobId']}" in text
        assert not [word for word in UNKNOWN if word in text]


async def test_a_success_ends_the_incident_that_a_failure_began(crew: Fastlane, receiver: Receiver) -> None:
    await crew.hire()
    lists = {**told(receiver, "fails", body=TRIGGER), **told(receiver, "succeeds", body=RESOLVE)}
    reply = await crew.enqueue("pages", webhooks=lists, command=["exit", "3"])
    await receiver.got()
    path = f"/tasks/pages/jobs/{reply['jobId']}"
    assert (await crew.ask("PATCH", path, data=b'{"command": ["exit", "0"]}')).status == 200
    assert (await crew.post(f"{path}/run")).status == 200
    trigger, resolve = (one.json for one in await receiver.got(2))
    assert resolve == {"routing_key": "…", "event_action": "resolve", "dedup_key": trigger["dedup_key"]}
