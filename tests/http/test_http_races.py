"""64 connections that enqueue, PUT, stop, retry, run, pause, delete and list at once, on jobs and tasks that they share, while workers run
what there is: every answer is one that the contract allows, and in the end every count agrees with a walk."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fastlane.models.status import UNDER_WAY, Status
from tests.http.test_openapi import check_answers
from tests.support.fastlane import IMAGE, Answer, Fastlane
from tests.support.redis import RealRedis
from tests.support.waiting import until

CLIENTS = 64
EACH = 16
"""Requests of each client."""
TASKS = ("a", "b", "fast-c", "d e")
PATIENCE = 60.0
SOON = "2100-01-01T00:00:00Z"

BODIES: tuple[dict[str, Any], ...] = (
    {"command": ["exit", "0"]},
    {"command": ["out", "x", "exit", "1"], "retries": 1, "retryDelay": "0.05s"},
    {"command": ["hold"]},
    {"command": ["exit", "0"], "concurrency": 2},
    {"startIn": "0.2s"},
    {"startAt": SOON},
    {"cron": "* * * * *"},
    {"startIn": "1h", "expiresIn": "1s"},
)


@dataclass
class Crowd:
    """All clients, and what they know: the URLs of jobs; which jobs were enqueued (by id, with their task), which were PUT (also as
    replacements), which were deleted, and the tasks that somebody deleted or tried to."""

    server: Fastlane
    urls: list[str] = field(default_factory=list)
    enqueued: dict[str, str] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def client(self, seed: int) -> None:
        """One client's requests, each after the answer to the one before."""
        dice = random.Random(seed)
        acts: list[Callable[[random.Random], Awaitable[None]]] = [self.enqueue] * 5 + [self.put, self.list] * 2
        acts += [self.act] * 6 + [self.delete, self.of_task, self.pool]
        for _ in range(EACH):
            await dice.choice(acts)(dice)

    async def enqueue(self, dice: random.Random) -> None:
        task, query = dice.choice(TASKS), dice.choice(["", "", "", "?wait=1", "?dryRun=1"])
        headers = {"Idempotency-Key": str(dice.randrange(40))} if dice.random() < 0.2 else {}
        body = {"image": IMAGE} | (BODIES[0] if headers else dice.choice(BODIES))
        answer = await self._said("enqueue", self.server.post(f"/tasks/{_path(task)}{query}", body, headers=headers))
        if answer.status == 200 and "jobId" in answer.json:
            self.enqueued[answer.json["jobId"]] = task
            self.urls.append(answer.json["jobUrl"])

    async def put(self, dice: random.Random) -> None:
        new = f"/tasks/{_path(dice.choice(TASKS))}/jobs/{UUID(int=dice.getrandbits(5) << 64, version=4)}"
        url = new if dice.random() < 0.5 else self._some(dice)
        self.replaced.add(url.rstrip("/").rpartition("/")[2])
        answer = await self._said("put", self.server.put(url, {"image": IMAGE} | dice.choice(BODIES)))
        if answer.status == 200:
            self.urls.append(answer.json["jobUrl"])

    async def act(self, dice: random.Random) -> None:
        verb = dice.choice(["stop", "stop", "retry", "run", "pause", "resume"])
        await self._said(verb, self.server.post(f"{self._some(dice)}{verb}"))

    async def delete(self, dice: random.Random) -> None:
        url = self._some(dice)
        answer = await self._said("delete", self.server.ask("DELETE", url + dice.choice(["", "?stop=1"])))
        if answer.status == 200:
            self.deleted.add(answer.json["jobId"])

    async def of_task(self, dice: random.Random) -> None:
        task = dice.choice(TASKS[2:])
        if dice.random() < 0.7:
            await self._said("stop-task", self.server.post(f"/tasks/{_path(task)}/stop"))
        else:
            self.emptied.add(task)  # also with a 409: what could go by then has gone
            await self._said("delete-task", self.server.ask("DELETE", f"/tasks/{_path(task)}?stop=1"))

    async def pool(self, dice: random.Random) -> None:
        await self._said("pool", self.server.post(f"/pools/fast/{dice.choice(['pause', 'resume', 'resume'])}"))

    async def list(self, dice: random.Random) -> None:
        url = self._some(dice)
        lists = ["/tasks", "/executions?status=done,failed&perPage=3", f"/tasks/{_path(dice.choice(TASKS))}?perPage=5", "/status"]
        lists += [url, f"{url}ticks", f"{url}executions", f"{url}why", f"{url}stdout", f"{url}logs?interleaved=1", "/search?query=d"]
        answer = await self._said("list", self.server.get(dice.choice(lists)))
        if answer.status == 200 and answer.headers["Content-Type"] == "application/json" and answer.json.get("nextUrl"):
            await self._said("next", self.server.get(answer.json["nextUrl"]))

    def _some(self, dice: random.Random) -> str:
        """A job that somebody knows, most often one of the latest."""
        return dice.choice(self.urls[-20:] if dice.random() < 0.7 else self.urls)

    async def _said(self, verb: str, answering: Awaitable[Answer]) -> Answer:
        answer = await answering
        self.statuses[verb, answer.status] += 1
        assert answer.status < 500, (verb, answer)
        return answer


ALLOWED = {
    "enqueue": {200, 409, 422},
    "put": {200, 409},
    "stop": {200, 404},
    "retry": {200, 404, 409},
    "run": {200, 404, 409},
    "pause": {200, 404, 409},
    "resume": {200, 404, 409},
    "delete": {200, 404, 409},
    "stop-task": {200, 404},
    "delete-task": {200, 404, 409},
    "pool": {200},
    "list": {200, 404},
    "next": {200, 404},
}


def _path(task: str) -> str:
    return task.replace(" ", "%20")


async def walk(server: Fastlane, url: str, key: str = "items") -> list[dict[str, Any]]:
    """All rows of a list, by its ``nextUrl``; its total must be their number."""
    rows: list[dict[str, Any]] = []
    at: str | None = url
    while at is not None:
        answer = await server.get(at)
        assert answer.status == 200, answer
        page = answer.json
        inner = page["job"] if key == "executions" else page
        rows += inner[key]
        at = page["nextUrl"]
    assert page["total"] == len(rows), url
    return rows


async def quiet(server: Fastlane) -> None:
    """Stops all that there is, and waits until nothing is under way and the queue is empty."""
    assert (await server.post("/pools/fast/resume")).status == 200
    for task in TASKS:
        await server.post(f"/tasks/{_path(task)}/stop")
    await until(lambda: idle(server), "the end of everything", PATIENCE)


async def idle(server: Fastlane) -> bool:
    status = (await server.get("/status")).json
    entries = sum(queue[place] for queue in status["queues"].values() for place in ("ready", "timed", "running"))
    return entries == 0 and not any(status["executions"][one.value] for one in UNDER_WAY)


@pytest.fixture
async def server(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, workers=2, ws_start_wait=0.1) as one:
        await check_answers(one)
        yield one


@pytest.mark.parametrize("seed", [1])
@pytest.mark.timeout(300)
async def test_whatever_64_clients_do_at_once_is_allowed_and_every_count_agrees(server: Fastlane, seed: int) -> None:
    crowd = Crowd(server)
    await crowd.enqueue(random.Random(0))
    crowd.urls.append((await server.enqueue("a"))["jobUrl"])
    async with asyncio.TaskGroup() as clients:
        for number in range(CLIENTS):
            clients.create_task(crowd.client(seed * 1_000 + number))
    assert {pair for pair in crowd.statuses if pair[1] not in ALLOWED[pair[0]]} == set()
    await quiet(server)
    await _counts_agree(server)
    await _accepted_jobs_are_there(server, crowd)
    starts = server.executor.starts
    assert len(set(starts)) == len(starts), "an execution started twice"


async def _counts_agree(server: Fastlane) -> None:
    status = (await server.get("/status")).json
    tasks = await walk(server, "/tasks?perPage=2")
    executions = await walk(server, "/executions?perPage=50")
    assert status["tasks"]["count"] == len(tasks)
    by_status = Counter(row["status"] for row in executions)
    assert status["executions"] == {one.value: by_status[one.value] for one in Status}
    for one in Status:
        assert len(await walk(server, f"/executions?status={one.value}&perPage=100")) == by_status[one.value]
    of_job, jobs = Counter(row["jobId"] for row in executions), 0
    for task in tasks:
        rows = await walk(server, task["url"] + "?perPage=7", "jobs")
        assert task["jobsCount"] == len(rows) == (await server.get(task["url"])).json["jobsCount"]
        jobs += len(rows)
        for job in rows:
            full = await walk(server, job["url"] + "?perPage=100", "executions")
            assert len(full) == of_job[job["id"]] == (await server.get(job["url"])).json["job"]["executionCount"]
            started = [tick for tick in await walk(server, job["url"] + "ticks?perPage=100") if tick["outcome"] == "started"]
            assert {tick["execution"]["id"] for tick in started} <= {row["executionId"] for row in full}
    assert status["jobs"]["count"] == jobs
    assert sum(of_job.values()) == len(executions)


async def _accepted_jobs_are_there(server: Fastlane, crowd: Crowd) -> None:
    there = {job["id"] for task in await walk(server, "/tasks") for job in await walk(server, task["url"], "jobs")}
    sure = crowd.enqueued.keys() - crowd.replaced
    assert not there & (crowd.deleted & sure)
    gone = sure - crowd.deleted - there
    assert {crowd.enqueued[id] for id in gone} <= crowd.emptied
    assert there <= crowd.enqueued.keys() | crowd.replaced | {url.rstrip("/").rpartition("/")[2] for url in crowd.urls}
