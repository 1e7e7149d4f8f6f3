"""``GET /events``: who did what, from where, and what the system did, in pages and by filters; also a week later."""

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from fastlane.models import transitions
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind, Position, Source, Span, at
from fastlane.services import events as reading
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.waiting import until

ANNA, BEN, EYES = bearer("fl_anna"), bearer("fl_ben"), bearer("fl_eyes")
TOKENS = (token("anna", "fl_anna", "admin"), token("ben", "fl_ben", "run"), token("eyes", "fl_eyes", "read", "mine"))
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def guarded(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=TOKENS) as server:
        yield server


async def listed(server: Fastlane, headers: dict[str, str] | None = None, **query: Any) -> list[dict[str, Any]]:
    """All events that the filters take, oldest first, by walking the pages."""
    url, found = f"/events?{urlencode({'perPage': 100, **query})}", []
    while url is not None:
        answer = await server.ask("GET", url, headers=headers or {})
        assert answer.status == 200, answer.body
        found += answer.json["items"]
        assert answer.json["hasNext"] is (answer.json["nextUrl"] is not None)
        url = answer.json["nextUrl"]
    assert len({event["id"] for event in found}) == len(found)
    return found[::-1]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in events]


async def act(server: Fastlane, method: str, path: str, headers: dict[str, str], body: Any = None) -> Any:
    answer = await server.ask(method, path, json=body, headers=headers)
    assert answer.status == 200, answer.body
    return answer.json


async def test_every_action_on_a_job_carries_its_requester_also_when_the_job_is_gone(guarded):
    server, cron = guarded, {"image": "ubuntu", "cron": "0 4 * * *"}
    made = await act(server, "POST", "/tasks/mine", BEN, cron)
    job = f"/tasks/mine/jobs/{made['jobId']}"
    await act(server, "PATCH", job, ANNA, {"image": "ubuntu:24.04"})
    await act(server, "PUT", job, BEN, cron)
    await act(server, "POST", f"{job}/pause", ANNA)
    await act(server, "POST", f"{job}/resume", BEN)
    run = await act(server, "POST", f"{job}/run", ANNA)
    await act(server, "POST", f"{job}/executions/{run['executionId']}/stop", ANNA)
    await act(server, "POST", f"{job}/stop", BEN)
    again = await act(server, "POST", f"{job}/retry", ANNA)
    await act(server, "POST", "/tasks/mine/stop", ANNA)
    expected = [
        ("job.created", "ben"),
        ("job.changed", "anna"),
        ("job.changed", "ben"),
        ("job.paused", "anna"),
        ("job.resumed", "ben"),
        ("job.run", "anna"),
        ("execution.enqueued", "anna"),
        ("execution.stop", "anna"),
        ("execution.ended", None),
        ("job.stopped", "ben"),
        ("job.retried", "anna"),
        ("execution.enqueued", "anna"),
        ("job.stopped", "anna"),
        ("execution.stop", "anna"),
        ("execution.ended", None),
    ]
    found = await listed(server, ANNA, job=made["jobId"])
    assert sorted((event["kind"], event["actor"] and event["actor"]["user"]) for event in found) == sorted(expected, key=str)
    assert {event["actor"]["address"] for event in found if event["actor"]} == {"127.0.0.1"}
    assert kinds(await listed(server, ANNA, execution=again["executionId"], kind="execution.stop")) == ["execution.stop"]
    assert kinds(await listed(server, ANNA, kind="task")) == ["task.stopped"]
    assert kinds(await listed(server, ANNA, actor="anna", kind="execution.enqueued")) == ["execution.enqueued"] * 2
    await settle(server)
    await act(server, "DELETE", "/tasks/mine", BEN)
    left = await listed(server, ANNA, job=made["jobId"])
    assert kinds(left)[-1] == "job.deleted"
    assert left[-1]["actor"]["user"] == "ben"
    assert set(kinds(left)) == {kind for kind, _ in expected} - {"job.created", "execution.enqueued", "execution.ended"} | {"job.deleted"}
    (gone,) = await listed(server, ANNA, kind="task.deleted")
    assert gone["actor"]["user"] == "ben"


async def test_a_change_of_a_parameter_shows_no_secret_default(guarded):
    pin = {"default": "hunter22"}
    made = await act(guarded, "POST", "/tasks/mine", BEN, {"image": "ubuntu", "manual": True, "parameters": {"PIN": pin}})
    job = f"/tasks/mine/jobs/{made['jobId']}"
    await act(guarded, "PATCH", job, ANNA, {"parameters": {"PIN": pin | {"secret": True}}, "command": "unlock hunter22"})
    await act(guarded, "PATCH", job, ANNA, {"parameters": {"PIN": {"default": "hunter33", "secret": True, "description": "of the door"}}})
    (created,) = await listed(guarded, ANNA, job=made["jobId"], kind="job.created")
    assert created["detail"]["schedule"] == "manual"
    first, second = [event["detail"]["changes"] for event in await listed(guarded, ANNA, job=made["jobId"], kind="job.changed")]
    assert "hunter" not in str((first, second))
    assert {"field": "command", "from": None, "to": "unlock ********"} in first
    assert {one["field"]: one["to"] for one in second} == {
        "parameters.PIN.description": "of the door",
        "parameters.PIN.default": "********",
    }


async def test_a_change_says_which_fields_it_gave_which_values_without_secrets(guarded):
    server = guarded
    hook = {"url": "https://a.example/hook", "headers": {"Authorization": "Bearer one"}}
    before = {
        "image": "ubuntu:22.04", "command": "backup --password hunter22", "cron": "0 4 * * *",
        "envs": {"MODE": "a", "DB_PASSWORD": "hunter22"}, "labels": {"team": "data"}, "webhooks": {"fails": [hook]},
        "metadata": {"apiKey": "k-1", "note": "x" * 300},
    }  # fmt: skip
    made = await act(server, "POST", "/tasks/mine", BEN, before)
    job = f"/tasks/mine/jobs/{made['jobId']}"
    change = {
        "image": "ubuntu:24.04", "command": None, "timeout": "5m", "envs": {"MODE": "b", "DB_PASSWORD": "hunter33"},
        "labels": {"team": "web"}, "webhooks": {"fails": [hook | {"headers": {"Authorization": "Bearer two"}}]},
        "metadata": {"apiKey": "k-2", "note": "y" * 300},
    }  # fmt: skip
    await act(server, "PATCH", job, ANNA, change)
    await act(server, "PUT", job, ANNA, {"image": "ubuntu:24.04", "labels": {f"l{number}": "x" for number in range(50)}})
    patched, put = [event["detail"] for event in await listed(server, ANNA, job=made["jobId"], kind="job.changed")]
    assert {one["field"]: (one["from"], one["to"]) for one in patched["changes"]} == {
        "image": ("ubuntu:22.04", "ubuntu:24.04"),
        "command": ("backup --password ********", None),
        "timeout": (None, "5m"),
        "envs.MODE": ("a", "b"),
        "envs.DB_PASSWORD": ("********", "********"),
        "labels.team": ("data", "web"),
        "webhooks": ("********", "********"),
        "metadata.apiKey": ("********", "********"),
        "metadata.note": (f"{'x' * 199}…", f"{'y' * 199}…"),
    }
    assert (patched["how"], put["how"], len(put["changes"]), put["moreChanges"]) == ("PATCH", "PUT", 50, 9)
    assert "moreChanges" not in patched
    shown = (await server.get(job, headers=ANNA)).json["job"]
    assert (shown["createdBy"]["user"], shown["requestedBy"]["user"]) == ("ben", "anna")
    rows = await server.store.events(Source.RECORDED, Span(at(0), Position(2**44, "~")), 100)
    assert not [secret for secret in ("hunter", "Bearer", "k-1", "k-2") if secret in str(rows)]


async def settle(server: Fastlane) -> None:
    for execution in await server.store.unsettled(10):
        await server.change(transitions.settle(execution))


async def test_what_operators_do_carries_its_requester(guarded):
    server = guarded
    await act(server, "POST", "/dispatch/pause", ANNA)
    await act(server, "POST", "/dispatch/resume", ANNA)
    pool = server.pools[0].name
    await act(server, "POST", f"/pools/{pool}/pause", ANNA)
    await act(server, "POST", f"/pools/{pool}/resume", ANNA)
    host = server.pools[0].hosts[0]
    await act(server, "POST", "/docker-executor/blacklist", ANNA, {"host": host})
    await act(server, "DELETE", "/docker-executor/blacklist", ANNA, {"host": host})
    found = await listed(server, ANNA, actor="anna")
    assert kinds(found) == ["dispatch.paused", "dispatch.resumed", "pool.paused", "pool.resumed", "host.drained", "host.undrained"]
    assert kinds(await listed(server, ANNA, host=host)) == ["host.drained", "host.undrained"]
    assert kinds(await listed(server, ANNA, pool=pool)) == ["pool.paused", "pool.resumed"]
    assert await listed(server, ANNA, actor="ben") == []
    local = await listed(server, ANNA, actor="127.0.0.1", kind="pool.paused,host")
    assert kinds(local) == ["pool.paused", "host.drained", "host.undrained"]


async def test_an_execution_tells_of_its_whole_life(server):
    reply = await server.run_to_end("task", code=3)
    found = await listed(server, execution=reply["executionId"])
    assert kinds(found) == ["execution.enqueued", "execution.started", "execution.ended"]
    assert found[2]["detail"] == {"attempt": 1, "status": "failed", "exitCode": 3, "reason": "exit"}
    assert found[0]["url"] == reply["executionUrl"]
    assert found[0]["detail"]["scheduledFor"].endswith("Z")
    everything = await listed(server)
    assert kinds(everything)[:2] == ["execution.enqueued", "job.created"] or kinds(everything)[:2] == ["job.created", "execution.enqueued"]
    assert await listed(server, task="another") == []
    assert len(await listed(server, task="task")) == len(everything)


async def test_an_enqueue_records_nothing(server, monkeypatch):
    written = []
    add = server.store.add_events

    async def noted(events):
        written.extend(events)
        await add(events)

    monkeypatch.setattr(type(server.store), "add_events", lambda _store, events: noted(events), raising=True)
    await server.enqueue()
    await server.enqueue(cron="* * * * *")
    assert written == []
    assert len(await listed(server, kind="job.created")) == 2


async def test_why_a_tick_came_to_nothing_is_told(server):
    reply = await server.enqueue(cron="* * * * *")
    await server.post(f"{reply['jobUrl']}pause")
    job = await server.store.job(reply["jobId"])
    assert await server.store.advance(job, replace(job, held_tick=job.held_tick - 600_000), (), None)
    await server.post(f"{reply['jobUrl']}resume")
    (event,) = await listed(server, kind="tick")
    assert (event["kind"], event["detail"]["reason"]) == ("tick.skipped", "the job was paused")
    assert event["detail"]["count"] >= 10
    assert event["detail"]["due"].endswith("Z")
    assert event["jobId"] == reply["jobId"]


async def test_a_user_sees_only_events_of_their_tasks_and_no_logins(guarded):
    server = guarded
    for task in ("mine", "yours"):
        await act(server, "POST", f"/tasks/{task}", BEN, {"image": "ubuntu"})
    await act(server, "POST", "/dispatch/pause", ANNA)
    await server.store.add_events([Event.now(EventKind.LOGIN_REFUSED, server.clock.now(), Requester(None, "10.0.0.9"), count=3)])
    assert {event["taskId"] for event in await listed(server, EYES)} == {"mine"}
    assert await listed(server, EYES, task="yours") == []
    assert await listed(server, EYES, kind="login") == []
    assert "login.refused" not in kinds(await listed(server, BEN))
    assert "dispatch.paused" in kinds(await listed(server, BEN))
    assert kinds(await listed(server, ANNA, kind="login")) == ["login.refused"]
    assert (await server.ask("GET", "/events")).status == 401


async def test_pages_are_walked_to_the_end_whatever_their_size_and_bounds(server, monkeypatch):
    monkeypatch.setattr(reading, "MOST_LOOKED_AT", 5)
    for number in range(4):
        await server.run_to_end(f"task-{number % 2}")
    (host, *_), now = server.pools[0].hosts, server.clock.now()
    await server.store.add_events([Event.now(EventKind.HOST_DRAINED, now, host=host)])
    await server.store.add_events([Event.now(EventKind.HOST_DRAINED, now + 1, host="h", n=number) for number in range(9)])
    whole = await listed(server)
    assert len(whole) == 4 * 4 + 10
    assert [event["time"] for event in whole] == sorted(event["time"] for event in whole)
    for query in ({"perPage": 1}, {"perPage": 2}, {"perPage": 7}):
        assert await listed(server, **query) == whole
    assert await listed(server, task="task-1", perPage=2) == [event for event in whole if event["taskId"] == "task-1"]
    assert await listed(server, actor="nobody") == []
    of_host = [event for event in whole if event["host"] == host]
    assert len({event["kind"] for event in of_host}) > 1
    assert await listed(server, host=host, perPage=2) == of_host, "it is behind events of another host"
    assert await listed(server, host="h", perPage=2) == [event for event in whole if event["host"] == "h"]
    assert await listed(server, kind="execution", perPage=2) == [event for event in whole if event["kind"].startswith("execution.")]
    middle = whole[10]["time"]
    assert await listed(server, since=middle) == [event for event in whole if event["time"] >= middle]
    assert await listed(server, until=middle) == [event for event in whole if event["time"] <= middle]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=nonsense", "kind"),
        ("job=x", "job"),
        ("execution=x", "execution"),
        ("task=a/b", "task"),
        ("since=x", "since"),
        ("until=x", "until"),
        ("perPage=0", "perPage"),
        ("after=1-2-3", "after"),
        (f"from=1-{NOBODY}-0", "from"),
        ("follow=1&until=1h", "until"),
        ("follow=1&perPage=5", "perPage"),
        ("ping=5", "ping"),
        ("follow=1&ping=0", "ping"),
        (f"follow=1&since=1h&from=1-{NOBODY}-0", "since"),
        (f"follow=1&from=1-{NOBODY}-7", "from"),
        ("actor=", "actor"),
        (f"host={'x' * 301}", "host"),
        (f"pool={'x' * 301}", "pool"),
        ("nonsense=1", "nonsense"),
    ],
)
async def test_a_query_with_a_fault_is_refused_with_its_name(server, query, field):
    answer = await server.get(f"/events?{query}")
    assert answer.status == 400
    assert [fault["field"] for fault in answer.json["errors"]] == [field]


async def test_refused_logins_are_counted_by_the_minute_and_address(shared_redis, tmp_path):
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=TOKENS))
        for _ in range(3):
            assert (await server.ask("GET", "/tasks", headers=bearer("wrong"))).status == 401
        assert (await server.ask("POST", "/dispatch/pause", headers=BEN)).status == 403
        assert (await server.ask("POST", "/tasks/yours", json={"image": "u"}, headers=EYES)).status == 403
        answer = await server.ask("POST", "/session", json={"token": "fl_anna"})
        assert answer.status == 200, answer.body
        await until(lambda: logged_in(server), "the login is recorded")
        store = server.store
        await server.services.access_events.close()
        found = await listed(server, ANNA, kind="login,login.refused,access.refused")
        assert store is server.store
    assert (
        sorted((event["kind"], event["actor"]["user"], event["detail"].get("count")) for event in found)
        == [
            ("access.refused", "ben", 1),
            ("access.refused", "eyes", 1),
            ("login", "anna", None),
            ("login.refused", None, 3),
        ]
        or sum(event["detail"].get("count", 0) for event in found) == 5
    )  # when a minute ended amid them
    assert {event["actor"]["address"] for event in found} == {"127.0.0.1"}


async def logged_in(server: Fastlane) -> bool:
    return "login" in kinds(await listed(server, ANNA, kind="login"))  # and refused ones, when a minute ended
