"""``fastlane events``, ``deliveries`` and ``redeliver``, and the client's events, against a real server."""

import asyncio
import json
from dataclasses import replace

import pytest

from fastlane.client import AsyncClient
from fastlane.models.delivery import Delivery, Reply
from fastlane.models.event import Event, EventKind
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.transitions import settle
from tests.client.test_commands import check
from tests.support.waiting import LONG_PATIENCE, until

WEBHOOK = Webhook(NotificationTrigger.FAILS, "https://example.com/a", {}, 3)
FIRST, SECOND = "0f3ad6c5-2f5c-4a1e-8d0e-6c7a4b1e9f10", "0f3ad6c5-2f5c-4a1e-8d0e-6c7a4b1e9f11"


async def test_events_are_a_table_and_json_and_names(server, command_line):
    reply = await server.enqueue("backup", cron="0 3 * * *")
    await server.post(f"{reply['jobUrl']}pause")
    done = await command_line("events")
    assert [line.split()[0] for line in done.lines[:1]] == ["TIME"]
    assert "job.paused" in done.lines[1]
    assert f"backup/{reply['jobId'][-8:]}" in done.lines[1]
    assert "127.0.0.1" in done.lines[1]
    rows = (await command_line("events", "--json", "--kind", "job", "--job", "backup")).json
    assert [row["kind"] for row in rows] == ["job.paused", "job.created"]
    for row in rows:
        check("Event", row)
    assert (await command_line("events", "-q", "-n", "1")).lines == [rows[0]["id"]]
    assert (await command_line("events", "--format", "{kind} {taskId}", "--since", "1h")).lines == [
        "job.paused backup",
        "job.created backup",
    ]
    assert (await command_line("events", "--task", "other")).lines[1:] == []
    once = await server.enqueue("once")
    for execution in (once["executionId"], once["executionId"][-8:]):
        of_one = (await command_line("events", "--json", "--job", "once", "--execution", execution)).json
        assert [row["kind"] for row in of_one] == ["execution.enqueued"]
    wrong = await command_line("events", "--kind", "nonsense")
    assert (wrong.code, "kind" in wrong.err) == (1, True)
    assert (await command_line("events", "-f", "--until", "1h")).code == 2


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        (("--kind", "job.stoped"), "'job.stoped'; the nearest is 'job.stopped' (separate several with commas)"),
        (("--kind", "job.stopped,hosts"), "'hosts'; the nearest is 'host'"),
        (("--kind", "zzz"), "'zzz'; it is not one of job.created, "),
        (("--pool", "defualt"), "there is no pool 'defualt' now; did you mean 'default'?"),
        (("--host", "zzz"), "there is no host 'zzz' now; `fastlane hosts list` lists them"),
        (("--task", "bakcup"), "there is no task 'bakcup'; did you mean 'backup'?"),
    ],
)
async def test_a_filter_of_events_that_means_nothing_gets_the_nearest_name(server, command_line, filter, words):
    """One that was known once has left events, so that an empty list is no error; an unknown kind is one."""
    await server.enqueue("backup", cron="0 8 * * *")
    found = await command_line("events", *filter, "--json")
    assert words in found.err
    assert (found.code, found.text) == ((1, "") if filter[0] == "--kind" else (0, "[]\n"))


async def test_events_are_followed_on_the_terminal(server, command_line):
    process = await command_line.start("events", "-f", "--json", "--kind", "job", stdout=asyncio.subprocess.PIPE)
    try:
        await until(lambda: not server.services.event_feeds.is_idle, "it follows", LONG_PATIENCE)
        await server.enqueue("one")
        async with asyncio.timeout(LONG_PATIENCE):
            event = json.loads(await process.stdout.readline())
        assert (event["kind"], event["taskId"]) == ("job.created", "one")
    finally:
        process.terminate()
        await process.wait()


async def test_a_client_that_loses_its_connection_gets_each_event_once(server):
    now, lost = server.clock.now(), []
    events = [Event.now(EventKind.HOST_DRAINED, now - 5_000 + number, host=f"h{number}") for number in range(30)]
    await server.store.add_events(events)
    seen = []
    async with asyncio.timeout(LONG_PATIENCE), AsyncClient(server.base) as client:
        async for event in client.server.follow_events(since="1h", on_lost=lost.append, kind="host"):
            seen.append(event["host"])
            if len(seen) in (3, 17):
                for connection in list(server.context.traffic.active_requests._handlers):
                    connection.disconnect()
                await server.store.add_events([Event.now(EventKind.HOST_DRAINED, server.clock.now(), host=f"new{len(seen)}")])
            if len(seen) == 32:
                break
    assert seen == [event.host for event in events] + ["new3", "new17"]


async def test_deliveries_are_listed_and_sent_again(server, command_line):
    reply = await server.run_to_end("report", code=3)
    ids = reply["jobId"], reply["executionId"]
    first = Delivery(FIRST, "report", *ids, "execution.failed", WEBHOOK, False, 5, 5, 1)
    await server.store.insert_deliveries([first, Delivery(SECOND, "report", *ids, "execution.failed", WEBHOOK, False, 5, 5, 4)])
    taken = first.taken(50, 6)
    failed = taken.tried(Reply(503, "busy"), began=6, now=9)
    assert await server.store.write_delivery(taken)
    assert await server.store.write_delivery(failed)
    rows = (await command_line("deliveries", "report", "--json")).json
    assert [(row["id"], row["state"]) for row in rows] == [(FIRST, "failed"), (SECOND, "pending")]
    for row in rows:
        check("Delivery", row)
    table = await command_line("deliveries", "report", "--execution", reply["executionId"])
    assert "example.com" in table.lines[1]
    assert (await command_line("deliveries", "report", "-q")).lines == [FIRST, SECOND]
    assert (await command_line("redeliver", "report")).code == 2
    assert (await command_line("redeliver", "report", "--failed")).lines == [f"{FIRST}: is sent again"]
    assert (await command_line("redeliver", "report", "--failed")).lines == ["none has failed"]
    assert (await server.store.delivery(FIRST)).state == "pending"
    assert (await command_line("redeliver", "report", SECOND)).lines == [f"{SECOND}: is sent again"]
    assert (await command_line("events", "--kind", "delivery", "--format", "{detail.delivery}")).lines == [SECOND, FIRST]
    await server.enqueue("later", startIn="1h")
    assert (await command_line("deliveries", "later")).code == 2


async def test_a_late_job_says_so_and_what_was_sent_about_it_is_listed_and_sent_again(server, command_line):
    reply = await server.enqueue("backup", name="nightly", cron="0 8 * * *", expectEvery="1h")
    await server.enqueue("backup", name="other", cron="0 8 * * *", expectEvery="1h")
    job = await server.store.job(reply["jobId"])
    since = server.clock.now()
    assert await server.store.advance(job, replace(job, late_since=since), (), None)
    hook = Webhook(NotificationTrigger.LATE, "https://example.com/a", {}, 3)
    delivery = Delivery(FIRST, "backup", job.id, job.id, "job.late", hook, False, since, 5, 1)
    before = Delivery(SECOND, "backup", job.id, job.id, "job.late", replace(hook, url="https://example.com/before"), False, since - 1, 5, 1)
    await server.store.insert_deliveries([delivery, before])
    taken = delivery.taken(50, 6)
    assert await server.store.write_delivery(taken)
    assert await server.store.write_delivery(taken.tried(Reply(503, "busy"), began=6, now=9))
    why = await command_line("why", "backup/nightly")
    assert "has been late since " in why.text
    assert "the message about that to https://example.com/a: failed: busy" in why.text
    assert f"fastlane redeliver backup/{job.id} {FIRST[-8:]}" in why.text
    assert "/before" not in why.text  # it was about another time that the job was late
    assert "late since" not in (await command_line("why", "backup/other")).text
    assert (await command_line("jobs", "--late", "--format", "{name}")).lines == ["nightly"]
    assert (await command_line("deliveries", "backup/nightly", "--format", "{id} {event} {state}")).lines == [
        f"{FIRST} job.late failed",
        f"{SECOND} job.late pending",
    ]
    assert (await command_line("redeliver", "backup/nightly", FIRST[-8:])).lines == [f"{FIRST}: is sent again"]
    assert (await command_line("redeliver", "backup/nightly", "ffff")).code == 2


async def test_an_operator_repairs_by_hand_with_a_reason(server, command_line):
    reply = await server.enqueue("report")
    await server.run(reply)
    execution = await server.execution(reply)
    early = await command_line("repair", "end", "report", "--reason", "stuck")
    assert (early.code, "stop it first" in early.err) == (1, True)
    await server.post(f"{reply['jobUrl']}stop")
    assert (await command_line("repair", "end", "report")).code == 2
    assert (await command_line("repair", "end", "report", "--reason", "stuck")).lines == [f"{execution.id}: stopped"]
    unsettled = await command_line("repair", "mark-cleaned", "report", "--reason", "gone", "--execution", execution.id)
    assert (unsettled.code, "not settled" in unsettled.err) == (1, True)
    await server.change(settle(await server.execution(reply)))
    done = await command_line("repair", "mark-cleaned", "report", "--reason", "gone")
    assert done.lines == [f"{execution.id}: counts as cleaned"]
    assert (await command_line("repair", "forget-worker", "nobody", "--reason", "gone")).code == 1
    await server.report_worker()
    (report,) = await server.queue.reports.current()
    near = await command_line("repair", "forget-worker", report.worker[:4], "--reason", "gone")
    assert (near.code, f"the nearest is {report.worker!r}" in near.err) == (1, True), near.err
    forgotten = await command_line("repair", "forget-worker", report.worker, "--reason", "gone")
    assert forgotten.lines == [f"{report.worker}: forgotten"]
    rebuilt = await command_line("repair", "rebuild-queue", "--reason", "edited")
    assert rebuilt.lines == ["the queue was being rebuilt already"]
    kinds = (await command_line("events", "--kind", "execution.ended-by-hand,execution.marked-cleaned,worker", "--format", "{kind}")).lines
    assert kinds == ["worker.forgotten", "execution.marked-cleaned", "execution.ended-by-hand"]
