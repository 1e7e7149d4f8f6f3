"""Requests that are sent again under their Idempotency-Key."""

import asyncio
import time
from functools import partial
from uuid import uuid4

import pytest

from fastlane.queue.port import Lane
from tests.support.clock import ShiftedClock
from tests.support.credentials import basic, bearer, token, user
from tests.support.fastlane import Answer, Fastlane

JOB = {"image": "ubuntu", "command": "ls"}
ONCE = {"Idempotency-Key": "d5a1"}
LANES = [Lane("default", 10), Lane("@ticks", None)]


async def claimed(server):
    await server.queue.generation.set_generation("1")
    return [lease.id for lease in (await server.queue.claim("1", "worker", LANES, 10, lease=60_000)).leases]


async def test_the_same_request_gets_the_first_answer_and_runs_once(server):
    first = await server.post("/tasks/task", JOB, headers=ONCE)
    assert "Idempotent-Replayed" not in first.headers
    for path in ("/tasks/task", "/task//task/"):
        again = await server.post(path, JOB, headers=ONCE)
        assert (again.status, again.json) == (200, first.json)
        assert again.headers["Idempotent-Replayed"] == "true"
    assert await claimed(server) == [first.json["executionId"]]
    assert (await server.get("/tasks/task")).json["total"] == 1


async def test_a_key_counts_for_a_day_and_no_longer(own_redis, tmp_path):
    async def sent(ago: int) -> Answer:
        """The answer of a server whose clocks show an earlier time, by so many hours."""
        behind = -ago * 3_600_000
        server = Fastlane(tmp_path, own_redis.url, installation="day", queue_time=lambda: int(time.time() * 1000) + behind)
        server.clock = ShiftedClock(behind)
        async with server:
            return await server.post("/tasks/task", JOB, headers=ONCE)

    first = await sent(25)
    assert (await sent(2)).json["jobId"] == first.json["jobId"]
    again = await sent(0)
    assert "Idempotent-Replayed" not in again.headers
    assert again.json["jobId"] != first.json["jobId"]


@pytest.mark.parametrize("body", [{"startIn": "1h"}, {"startAt": 4_000_000_000}, {"cron": "@daily"}])
async def test_a_job_for_later_is_made_once_too(server, body):
    first = (await server.post("/tasks/task", JOB | body, headers=ONCE)).json
    assert (await server.post("/tasks/task", JOB | body, headers=ONCE)).json == first
    assert (await server.get("/tasks/task")).json["total"] == 1


async def test_many_at_once_make_one_job(server):
    answers = await asyncio.gather(*(server.post("/tasks/task", JOB, headers=ONCE) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["jobId"] for answer in answers}) == 1
    assert (await server.get("/tasks/task")).json["total"] == 1
    assert len(await claimed(server)) == 1


async def test_the_key_on_another_body_is_422(server):
    await server.post("/tasks/task", JOB, headers=ONCE)
    answer = await server.post("/tasks/task", JOB | {"command": "rm"}, headers=ONCE)
    assert (answer.status, "its own key" in answer.json["detail"]) == (422, True)
    assert (await server.get("/tasks/task")).json["total"] == 1


async def test_a_key_counts_for_one_path(server):
    replies = [await server.post(f"/tasks/{task}", JOB, headers=ONCE) for task in ("one", "two")]
    assert len({reply.json["jobId"] for reply in replies}) == 2


@pytest.mark.parametrize("action", ["run", "retry"])
async def test_a_job_is_run_by_hand_once(server, action):
    done = await server.run_to_end("task")
    first = await server.post(f"{done['jobUrl']}{action}", headers=ONCE)
    again = await server.post(f"{done['jobUrl']}{action}", headers=ONCE)
    assert (again.status, again.json, again.headers["Idempotent-Replayed"]) == (200, first.json, "true")
    assert (await server.get(done["jobUrl"])).json["job"]["executionCount"] == 2


async def test_the_key_of_a_run_does_not_force_another(server):
    done = await server.run_to_end("task")
    assert (await server.post(f"{done['jobUrl']}run", headers=ONCE)).status == 200
    assert (await server.post(f"{done['jobUrl']}run?force=1", headers=ONCE)).status == 422
    assert (await server.get(done["jobUrl"])).json["job"]["executionCount"] == 2


async def repeated(server, method, url, body, gone):
    """The same request is sent before and after something that it needs is gone: the first answer comes again, to that body only."""
    first = await server.ask(method, url, json=body, headers=ONCE)
    assert first.status == 200, first.body
    await gone()
    again = await server.ask(method, url, json=body, headers=ONCE)
    assert (again.status, again.json, again.headers.get("Idempotent-Replayed")) == (200, first.json, "true"), again.body
    assert (await server.ask(method, url, json=body | {"command": "rm"}, headers=ONCE)).status == 422
    assert (await server.ask(method, url, json=body)).status in (400, 404)
    assert (await server.ask(method, f"{url}?dryRun=1", json=body, headers=ONCE)).status in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("what", ["job", "calendar"])
async def test_the_first_answer_comes_again_when_a_name_in_the_body_is_gone(server, method, what):
    up = await server.enqueue(name="up", manual=True)
    assert (await server.ask("PUT", "/calendars/holidays", json={"dates": ["2001-01-01"]})).status == 200
    own = await server.enqueue(cron="@daily")
    url = {"POST": "/tasks/task", "PUT": f"/tasks/task/jobs/{uuid4()}", "PATCH": own["jobUrl"]}[method]
    start = {"after": "up"} if what == "job" else {"cron": "@daily", "skipDates": ["holidays"]}
    body = start if method == "PATCH" else JOB | start

    async def gone():
        path = f"{up['jobUrl']}?stop=1" if what == "job" else "/calendars/holidays?force=1"
        assert (await server.ask("DELETE", path)).status == 200
        if (method, what) == ("PATCH", "calendar"):  # a job that names the calendar already keeps it
            assert (await server.ask("DELETE", f"{own['jobUrl']}?stop=1")).status == 200

    await repeated(server, method, url, body, gone)


async def test_the_first_answer_comes_again_when_the_expiration_of_the_body_has_passed(own_redis, tmp_path):
    body = JOB | {"expiration": int(time.time()) - 3_600}
    answers = []
    for behind in (-7_200_000, 0):
        queue_time = partial(lambda by: int(time.time() * 1000) + by, behind)
        server = Fastlane(tmp_path, own_redis.url, installation="over", queue_time=queue_time)
        server.clock = ShiftedClock(behind)
        async with server:
            answers.append(await server.post("/tasks/task", body, headers=ONCE))
            assert (await server.post("/tasks/task", body)).status == (200 if behind else 400)
    assert (answers[1].status, answers[1].json["jobId"]) == (200, answers[0].json["jobId"])


async def test_a_put_arms_once(server):
    url = f"/tasks/task/jobs/{uuid4()}"
    answers = [await server.ask("PUT", url, data=b'{"image": "ubuntu"}', headers=ONCE) for _ in range(3)]
    assert len({answer.json["executionId"] for answer in answers}) == 1
    assert (await server.ask("PUT", url, data=b'{"image": "ubuntu"}')).json["executionId"] != answers[0].json["executionId"]
    other = await server.ask("PUT", url, data=b'{"image": "debian"}', headers=ONCE)
    assert other.status == 422


ANNA, ROB = basic("anna", "annas"), basic("rob", "robs")
PEOPLE = {"anna": ANNA, "rob": ROB, "ci": bearer("fl_ci")}
WHO = {"users": (user("anna", "annas"), user("rob", "robs")), "tokens": (token("ci", "fl_ci"),)}


@pytest.fixture
async def shared(shared_redis, tmp_path):
    """A server with two users, a token, and a job of the first user that has ended."""
    async with Fastlane(tmp_path, shared_redis.url, **WHO) as server:
        server.client.headers.update(ANNA)
        server.done = await server.run_to_end("task")
        yield server


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tasks/task", b'{"image": "ubuntu"}'),
        ("POST", "/tasks/task", b'{"image": "ubuntu", "startIn": "1h"}'),
        ("PUT", "/tasks/task/jobs/6c84fb90-12c4-41e1-840d-7b25c5ee775a", b'{"image": "ubuntu"}'),
        ("POST", "{job}run", b""),
        ("POST", "{job}retry", b""),
    ],
)
async def test_the_key_of_one_user_never_answers_another(shared, method, path, body):
    url = path.format(job=shared.done["jobUrl"])
    firsts = {}
    for name, who in PEOPLE.items():
        first = await shared.ask(method, url, data=body, headers=ONCE | who)
        assert (first.status, "Idempotent-Replayed" in first.headers) == (200, False), first.body
        firsts[name] = first.json
        if first.json["executionId"]:
            ended = await shared.end(await shared.run(first.json))
            assert ended.requested_by.user == name
    assert len({first["queueJobId"] for first in firsts.values()}) == len(PEOPLE)
    for name, who in PEOPLE.items():
        again = await shared.ask(method, url, data=body, headers=ONCE | who)
        assert (again.status, again.json, again.headers["Idempotent-Replayed"]) == (200, firsts[name], "true")


async def test_the_key_of_one_user_refuses_no_other_body_of_another(shared):
    assert (await shared.post("/tasks/task", JOB, headers=ONCE | ANNA)).status == 200
    other = await shared.post("/tasks/task", JOB | {"command": "rm"}, headers=ONCE | ROB)
    assert (other.status, "Idempotent-Replayed" in other.headers) == (200, False)
    assert (await shared.post("/tasks/task", JOB | {"command": "rm"}, headers=ONCE | ANNA)).status == 422


async def test_two_users_at_once_under_one_key_get_a_job_each(shared):
    answers = await asyncio.gather(*(shared.post("/tasks/task", JOB, headers=ONCE | who) for who in (ANNA, ROB) * 10))
    ids = [answer.json["jobId"] for answer in answers]
    assert (len(set(ids[0::2])), len(set(ids[1::2])), len(set(ids))) == (1, 1, 2)
    for who, id in ((ANNA, ids[0]), (ROB, ids[1])):
        job = (await shared.get(f"/tasks/task/jobs/{id}")).json["job"]
        assert job["requestedBy"]["user"] == ("anna" if who is ANNA else "rob")


async def test_a_request_that_was_refused_used_no_key_up(server):
    assert (await server.post("/tasks/task", {"image": 7}, headers=ONCE)).status == 400
    assert (await server.post("/tasks/task", JOB, headers=ONCE)).status == 200


async def test_what_the_queue_never_heard_it_hears_from_the_repeat(server):
    first = (await server.post("/tasks/task", JOB, headers=ONCE)).json
    await server.queue.generation.wipe()
    assert (await server.post("/tasks/task", JOB, headers=ONCE)).json == first
    assert await claimed(server) == [first["executionId"]]


async def test_a_repeat_after_the_end_starts_nothing(server):
    first = await server.post("/tasks/task", JOB, headers=ONCE)
    await claimed(server)
    await server.end(await server.run(first.json))
    await server.queue.finish({first.json["executionId"]: 0})
    assert (await server.post("/tasks/task?wait=5", JOB, headers=ONCE)).json["execution"]["status"] == "done"
    assert await claimed(server) == []


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "a\tb"])
async def test_what_can_be_no_key_is_400(server, key):
    head = f"POST /tasks/task HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {key}\r\nContent-Length: 19\r\nConnection: close\r\n\r\n"
    answer = await server.raw(head.encode() + b'{"image": "ubuntu"}')
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Idempotency-Key" in answer
    assert (await server.get("/tasks/task")).status == 404
