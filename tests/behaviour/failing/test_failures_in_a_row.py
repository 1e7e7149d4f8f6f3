"""What follows when a job goes on failing: it is paused, nobody hears of it too soon, and that it works again is told once."""

import asyncio
from typing import Any

import pytest

from tests.support.fastlane import Fastlane
from tests.support.mail_server import Server
from tests.support.receiver import Receiver

CRON = "0 0 1 1 *"
TEAM = "team@example.com"


def posts(receiver: Receiver, *triggers: str) -> dict[str, Any]:
    return {"webhooks": {trigger: [{"url": f"{receiver.url}/{trigger}"}] for trigger in triggers}}


async def run(crew: Fastlane, reply: dict[str, Any], code: int = 3) -> dict[str, Any]:
    """A run by hand that ends with this exit code, once all that follows its end is written."""
    assert (await crew.ask("PATCH", reply["jobUrl"], json={"command": ["exit", str(code)]})).status == 200
    made = (await crew.post(f"{reply['jobUrl']}/run")).json

    async def settled() -> bool:
        execution = await crew.store.execution(made["executionId"])
        return execution is not None and execution.settled

    await crew.until(settled, "the end of the run")
    return made


async def status(crew: Fastlane, reply: dict[str, Any]) -> str:
    return str((await crew.get(reply["jobUrl"])).json["job"]["status"])


async def test_a_job_is_paused_after_so_many_failed_ticks_in_a_row_and_says_so_once(
    crew: Fastlane, server: Server, receiver: Receiver
) -> None:
    reply = await crew.enqueue(cron=CRON, pauseAfter=3, notify={"fails": [TEAM]}, **posts(receiver, "late"))
    for code in (3, 3, 0, 3, 3):
        await run(crew, reply, code)
        assert await status(crew, reply) == "scheduled"
    why = (await crew.get(f"{reply['jobUrl']}/why")).json
    assert why["failures"] == {"message": "2 ticks in a row failed; 3 pause the job (pauseAfter)", "count": 2}
    assert await crew.queue.lane_of(reply["jobId"]) is not None
    last = await run(crew, reply)
    assert await status(crew, reply) == "paused"
    assert await crew.queue.lane_of(reply["jobId"]) is None
    (wait,) = (await crew.get(f"{reply['jobUrl']}/why")).json["waitingFor"]
    assert "its schedule is paused (by its failures: 3 of its ticks in a row failed (pauseAfter: 3))" in wait["message"]
    events = (await crew.get("/events?kind=job.paused")).json["items"]
    assert [(one["executionId"], one["actor"], one["detail"]["reason"]) for one in events] == [
        (last["executionId"], None, "3 of its ticks in a row failed (pauseAfter: 3)")
    ]
    mails = [str(one.mail["Subject"]) for one in await server.got(6)]
    assert mails.count("[fastlane] task: paused") == 1
    assert mails.count("[fastlane] task: failed, exit code 3") == 5
    assert (await crew.post(f"{reply['jobUrl']}/resume")).status == 200
    for _ in range(2):
        await run(crew, reply)
    assert await status(crew, reply) == "scheduled"
    await run(crew, reply)
    assert await status(crew, reply) == "paused"


async def test_ends_at_the_same_time_on_two_workers_all_count(crew: Fastlane) -> None:
    reply = await crew.enqueue(cron=CRON, pauseAfter=8, command=["exit", "3"])
    made = await asyncio.gather(*(crew.post(f"{reply['jobUrl']}/run") for _ in range(8)))
    assert [one.status for one in made] == [200] * 8

    async def paused() -> bool:
        return await status(crew, reply) == "paused"

    await crew.until(paused, "the pause")
    job = await crew.store.job(reply["jobId"])
    assert job is not None
    assert job.failing is not None
    assert job.failing.count == 8
    assert len((await crew.get("/events?kind=job.paused")).json["items"]) == 1


async def test_failures_are_told_from_the_third_in_a_row_on_and_fixed_once(crew: Fastlane, receiver: Receiver) -> None:
    reply = await crew.enqueue(cron=CRON, notifyAfter=3, **posts(receiver, "fails", "fixed"))
    await run(crew, reply)
    await run(crew, reply, 0)  # one failure that nobody heard of: nobody hears that it is over
    for code in (3, 3, 3, 3, 0, 0):
        await run(crew, reply, code)
    got = await receiver.got(3)
    assert sorted(one.path for one in got) == ["/hook/fails", "/hook/fails", "/hook/fixed"]
    fixed = next(one.json for one in got if one.path == "/hook/fixed")
    assert (fixed["type"], fixed["status"]) == ("execution.fixed", "done")
    rows = (await crew.get(f"{reply['jobUrl']}/executions")).json["items"]
    assert fixed["executionId"] == rows[1]["executionId"]
    deliveries = (await crew.get(f"{rows[0]['url']}/deliveries")).json["items"]
    assert deliveries == []


async def test_only_the_last_attempt_of_a_tick_counts_and_a_mail_says_that_it_is_fixed(crew: Fastlane, server: Server) -> None:
    reply = await crew.enqueue(
        cron=CRON, retries=1, retryDelay=0, pauseAfter=2, notify={"fixed": [TEAM], "succeeds": [TEAM]}, command=["exit", "7,0"]
    )
    for _ in range(3):
        made = (await crew.post(f"{reply['jobUrl']}/run")).json

        async def done(tick: str = made["queueJobId"]) -> bool:
            rows = (await crew.get(f"{reply['jobUrl']}/executions")).json["items"]
            return any(row["queueJobId"] == tick and row["status"] == "done" for row in rows)

        await crew.until(done, "the second attempt")
    assert [str(one.mail["Subject"]) for one in await server.got(3)] == ["[fastlane] task: done"] * 3
    await run(crew, reply)
    await run(crew, reply, 0)
    (mail,) = (await server.got(4))[3:]
    assert str(mail.mail["Subject"]) == "[fastlane] task: fixed"
    assert "done, for the first time after a failure" in mail.text
    assert await status(crew, reply) != "paused"


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"pauseAfter": 3}, "pauseAfter", "is for a job with a cron"),
        ({"pauseAfter": 3, "manual": True}, "pauseAfter", "is for a job with a cron"),
        ({"notifyAfter": 3}, "notifyAfter", "or a manual one"),
        ({"pauseAfter": 0, "cron": CRON}, "pauseAfter", "from 1 to 100"),
        ({"notifyAfter": 101, "cron": CRON}, "notifyAfter", "from 1 to 100"),
    ],
)
async def test_a_rule_that_cannot_be_is_refused(crew: Fastlane, fields: dict[str, Any], field: str, says: str) -> None:
    faults = (await crew.post("/tasks/task", {"image": "ubuntu", **fields})).json["errors"]
    assert [one["field"] for one in faults] == [field]
    assert says in faults[0]["message"]


@pytest.mark.parametrize("command", [["hold"], ["exit", "3"]])
async def test_a_start_is_told_once_also_of_a_run_that_has_ended_before_it_was_seen(
    crew: Fastlane, server: Server, receiver: Receiver, command: list[str]
) -> None:
    reply = await crew.enqueue(command=command, notify={"started": [TEAM]}, **posts(receiver, "started", "finishes"))
    got = await receiver.got(1 if command == ["hold"] else 2)
    (started,) = (one.json for one in got if one.path == "/hook/started")
    assert (started["type"], started["executionId"]) == ("execution.started", reply["executionId"])
    assert started["timestamp"] == started["startedAt"] is not None
    (mail,) = await server.got()
    assert str(mail.mail["Subject"]) == "[fastlane] task: started"
    await crew.post(f"{reply['jobUrl']}/stop")
    assert [one.path for one in await receiver.got(2)].count("/hook/started") == 1
    found = (await crew.get(f"{reply['executionUrl']}/deliveries")).json["items"]
    assert sorted(one["event"] for one in found).count("execution.started") == 2
