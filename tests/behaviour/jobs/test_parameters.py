"""Jobs whose runs are given values: how they are declared, checked, and reach the container; and runs in place of the next tick."""

import json

import pytest

from fastlane.models import transitions
from fastlane.models.job import Ending, Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.queue.port import TICKS
from fastlane.scheduler.launcher import order_of
from tests.http.posted import CRON, OK, faults
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane

SECRET = "hunter2-hidden"
DECLARED = {
    "VERSION": {"description": "The release", "pattern": "v[0-9]+", "required": True},
    "SIZE": {"choices": ["small", "large"], "default": "small"},
    "PIN": {"secret": True, "default": "default-hidden"},
    "NOTE": {},
}
JOB = {"manual": True, "parameters": DECLARED}


async def run(server, reply, values, **more):
    return await server.post(reply["jobUrl"] + "run", {"parameters": values, **more})


async def test_a_run_has_its_values_as_variables_and_shows_them_but_for_secrets(server):
    reply = await server.enqueue(**JOB, envs={"LEVEL": "debug"})
    made = (await run(server, reply, {"VERSION": "v7", "PIN": SECRET, "NOTE": 5})).json
    execution = await server.store.execution(made["executionId"])
    wanted = {"LEVEL": "debug", "VERSION": "v7", "SIZE": "small", "PIN": SECRET, "NOTE": "5"}
    assert order_of(execution, None).envs == wanted
    shown = (await server.get(made["executionUrl"])).json["execution"]
    assert shown["parameters"] == {"VERSION": "v7", "SIZE": "small", "PIN": "********", "NOTE": "5"}
    job = (await server.get(reply["jobUrl"])).json["job"]
    masked = {**DECLARED, "PIN": {"secret": True, "default": "********"}}
    assert job["spec"]["parameters"] == job["definition"]["parameters"] == masked


async def test_a_secret_value_is_shown_nowhere(server):
    reply = await server.enqueue(**JOB)
    made = (await run(server, reply, {"VERSION": "v7", "PIN": SECRET})).json
    execution = await server.run(made)
    failure = Failure(FailureReason.ENGINE, f"no such option: {SECRET} or {SECRET!r}")
    await server.change(transitions.end(execution, Ending(Status.FAILED, server.clock.now(), 1, failure)))
    for path in (made["executionUrl"], reply["jobUrl"], reply["jobUrl"] + "executions", "/executions", "/events", reply["jobUrl"] + "why"):
        answer = await server.get(path)
        assert answer.status == 200
        assert SECRET.encode() not in answer.body, path
        assert b"default-hidden" not in answer.body, path
    refused = await run(server, reply, {"VERSION": SECRET, SECRET: "x"})
    assert SECRET not in json.dumps({one["message"] for one in refused.json["errors"]} | {refused.json["detail"]}, default=list).replace(
        f"parameters.{SECRET}", ""
    )


async def test_all_faults_of_a_run_are_named_at_once_and_nothing_runs(server):
    reply = await server.enqueue(**JOB)
    found = faults(await run(server, reply, {"SIZE": "huge", "COLOUR": "red"}, reschedul=True))
    assert "reschedule" in found["reschedul"]
    found = faults(await run(server, reply, {"SIZE": "huge", "COLOUR": "red"}))
    assert found.keys() == {"parameters.SIZE", "parameters.COLOUR", "parameters.VERSION"}
    assert faults(await server.post(reply["jobUrl"] + "run")).keys() == {"parameters.VERSION"}
    for odd in ([], "x", {"VERSION": None}, {"VERSION": ["v7"]}, {"VERSION": {}}, {"VERSION": "********"}, {"1": "x"}):
        assert (await run(server, reply, odd)).status == 400
    assert (await server.get(reply["jobUrl"])).json["job"]["executionCount"] == 0


async def test_a_run_of_a_job_without_parameters_takes_none(server):
    reply = await server.enqueue(manual=True)
    assert "it has none" in faults(await run(server, reply, {"A": "x"}))["parameters.A"]
    assert (await server.post(reply["jobUrl"] + "run", {})).status == 200


BAD = [
    ([], "parameters", "is not an object"),
    ({"A": 5}, "parameters.A", "is not an object"),
    ({"A": None}, "parameters.A", "is not an object"),
    ({"A": {"defalt": 1}}, "parameters.A.defalt", 'the nearest is "default"'),
    ({"1A": {}}, "parameters.1A", "not a variable's name"),
    ({"FASTLANE_X": {}}, "parameters.FASTLANE_X", "choose another name"),
    ({"A": {"default": []}}, "parameters.A.default", "is not text"),
    ({"A": {"default": "********"}}, "parameters.A.default", "secret"),
    ({"A": {"default": "x", "choices": ["y"]}}, "parameters.A.default", "not one of its choices"),
    ({"A": {"default": "x", "pattern": "y"}}, "parameters.A.default", "does not match"),
    ({"A": {"choices": ["x"], "pattern": "y"}}, "parameters.A.choices", "does not match"),
    ({"A": {"choices": []}}, "parameters.A.choices", "is empty"),
    ({"A": {"choices": [None]}}, "parameters.A.choices.0", "is not text"),
    ({"A": {"choices": ["x"], "secret": True}}, "parameters.A.choices", "secret"),
    ({"A": {"pattern": "(a|b)"}}, "parameters.A.pattern", "choices"),
    ({"A": {"required": "yes"}}, "parameters.A.required", "neither true nor false"),
    ({f"A{number}": {} for number in range(51)}, "parameters", "more than 50"),
]


@pytest.mark.parametrize(("parameters", "field", "words"), BAD)
async def test_a_bad_declaration_is_named_with_a_remedy(server, parameters, field, words):
    found = faults(await server.post("/tasks/task", OK | {"manual": True, "parameters": parameters}))
    assert words in found[field], found


@pytest.mark.parametrize("start", [{}, CRON, {"startIn": "1h"}])
async def test_a_job_that_runs_by_itself_needs_a_default_for_what_is_required(server, start):
    body = OK | start | {"parameters": {"A": {"required": True}}}
    assert "give it a default" in faults(await server.post("/tasks/task", body))["parameters.A"]
    body["parameters"]["A"]["default"] = "x"
    reply = (await server.post("/tasks/task", body)).json
    changed = await server.ask("PATCH", reply["jobUrl"], json={"parameters": {"A": {"required": True}}})
    assert "give it a default" in faults(changed)["parameters.A"]
    also = await server.ask("PATCH", reply["jobUrl"], json={"envs": {"A": "y"}})
    assert "in envs as well" in faults(also)["parameters.A"]


async def test_a_tick_has_the_defaults_and_a_retry_what_its_run_had(server):
    reply = await server.enqueue(parameters={"A": {"default": "x"}, "B": {}})
    first = await server.run(reply)
    assert order_of(first, None).envs == {"A": "x"}
    await server.end(first, 1)
    given = (await run(server, reply, {"B": "y"})).json
    await server.end(await server.run(given), 1)
    again = await server.store.execution((await server.post(reply["jobUrl"] + "retry")).json["executionId"])
    assert order_of(again, None).envs == {"A": "x", "B": "y"}


async def test_a_key_makes_a_run_with_values_unique(server):
    reply = await server.enqueue(**JOB)
    key = {"headers": {"Idempotency-Key": "one"}}
    first = await run_with(server, reply, {"VERSION": "v1"}, key)
    again = await run_with(server, reply, {"VERSION": "v1"}, key)
    assert (again.json, again.headers["Idempotent-Replayed"]) == (first.json, "true")
    assert (await run_with(server, reply, {"VERSION": "v2"}, key)).status == 422
    assert (await server.get(reply["jobUrl"])).json["job"]["executionCount"] == 1


async def run_with(server, reply, values, key):
    return await server.post(reply["jobUrl"] + "run", {"parameters": values}, **key)


async def test_a_rescheduled_run_stands_in_for_the_next_tick_and_the_ledger_says_so(server):
    reply = await server.enqueue(cron="0 3 * * *")
    first, second, *_ = (await server.get(reply["jobUrl"])).json["job"]["nextRuns"]
    made = (await server.post(reply["jobUrl"] + "run", {"reschedule": True})).json
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert job["nextRunAt"] == second
    rows = (await server.get(reply["jobUrl"] + "ticks")).json["items"]
    assert [(row["due"], row["outcome"]) for row in rows if row["due"] == first] == [(first, "skipped")]
    (skipped,) = [row for row in rows if row["outcome"] == "skipped"]
    assert made["executionId"] in skipped["reason"]
    assert "reschedule" in skipped["reason"]
    events = (await server.get("/events?job=" + reply["jobId"])).json["items"]
    assert [one["detail"] for one in events if one["kind"] == "job.run"] == [{"reschedule": True}]


async def test_a_job_that_runs_once_later_runs_once_in_its_place(server):
    reply = await server.enqueue(startIn="1h")
    assert (await server.queue.counts([TICKS]))[TICKS].timed == 1
    await server.post(reply["jobUrl"] + "run", {"reschedule": True})
    assert (await server.queue.counts([TICKS]))[TICKS].timed == 0
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["nextRunAt"], job["executionCount"]) == (None, 1)
    assert (await server.post(reply["jobUrl"] + "run", {"reschedule": True})).status == 409


@pytest.mark.parametrize("before", ["manual", "paused", "stopped"])
async def test_a_run_stands_in_for_nothing_where_no_tick_is_to_come(server, before):
    reply = await server.enqueue(**({"manual": True} if before == "manual" else CRON))
    if before != "manual":
        await server.post(reply["jobUrl"] + {"paused": "pause", "stopped": "stop"}[before])
    refused = await server.post(reply["jobUrl"] + "run", {"reschedule": True})
    assert refused.status == 409
    assert "no tick to come" in refused.json["detail"]


RUNNER, STARTER = "fl_runner", "fl_starter"


@pytest.fixture
async def guarded(shared_redis, tmp_path):
    tokens = (token("runner", RUNNER, "run"), token("starter", STARTER, "trigger", "shop-"))
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens) as server:
        yield server


async def test_the_role_trigger_runs_and_stops_jobs_that_are_there_and_changes_none(guarded):
    runner, starter = {"headers": bearer(RUNNER)}, {"headers": bearer(STARTER)}
    made = (await guarded.post("/tasks/shop-a", OK | {"manual": True, "parameters": {"A": {}}}, **runner)).json
    other = (await guarded.post("/tasks/other", OK | {"manual": True}, **runner)).json
    url = made["jobUrl"]
    ran = await guarded.post(url + "run", {"parameters": {"A": "x"}}, **starter)
    assert ran.status == 200
    assert (await guarded.get(ran.json["executionUrl"], **starter)).json["execution"]["requestedBy"]["user"] == "starter"
    for path in (ran.json["executionUrl"] + "stop", url + "stop", url + "ws-ticket"):
        assert (await guarded.post(path, **starter)).status == 200, path
    for path in (
        "/tasks/shop-a",
        url + "run?force=1",
        url + "retry",
        url + "start",
        url + "pause",
        url + "resume",
        "/tasks/shop-a/stop",
        "/dispatch/pause",
    ):
        assert (await guarded.post(path, OK, **starter)).status == 403, path
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await guarded.ask(method, url, json=OK, **starter)).status == 403, method
    assert (await guarded.post(other["jobUrl"] + "run", **starter)).status == 403
    assert (await guarded.post("/tasks/shop-a?dryRun=1", OK, **starter)).status == 403
