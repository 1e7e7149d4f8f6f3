"""``/openapi.json`` as it is served, and real answers held against it: what an answer has and the document lacks is a fault, and the
other way round."""

import io
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from fastlane.config.access import Token, token_digest
from fastlane.models.access import Principal, Role
from fastlane.models.pool import Pool
from fastlane.web.openapi import METHODS, ApiDocument
from fastlane.web.routes import ROUTES
from tests.support.fastlane import HOST, POOLS, Answer, Fastlane
from tests.support.redis import RealRedis
from tests.support.stores import ON_MONGO
from tests.support.waiting import until

OK = {"image": "ubuntu:latest"}
HASTE = 1.0 if ON_MONGO else 0.1
NONE = "00000000-0000-4000-8000-000000000000"


class DocumentCheck:
    """Compares answers with a server's document. ``seen``: path, method and status of each answer."""

    def __init__(self, base: str, document: dict[str, Any]) -> None:
        self.base = base
        self.document = document
        self.strict = {"components": closed(document["components"])}
        self.seen: set[tuple[str, str, str]] = set()

    def on_answer(self, method: str, path: str, answer: Answer) -> None:
        """Fails when the document does not describe this answer."""
        if method in METHODS:
            self._check(method, path.removeprefix(self.base).partition("?")[0].rstrip("/"), answer)

    def _check(self, method: str, path: str, answer: Answer) -> None:
        route = next(route for route in self.document["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", route).rstrip("/"), path))
        responses = self.document["paths"][route][method.lower()]["responses"]
        assert str(answer.status) in responses, (method, path, answer)
        self.seen.add((route, method, str(answer.status)))
        response = self._resolved(responses[str(answer.status)])
        for name, header in response["headers"].items():
            assert name in answer.headers or not self._resolved(header)["required"], (method, path, name)
        media = answer.headers.get("Content-Type")
        assert media in (response.get("content") or {None: ()}), (method, path, answer)
        if media is not None and "json" in media:
            form = {**self.strict, **closed(response["content"][media]["schema"])}
            faults = [fault.message for fault in jsonschema_rs.Draft202012Validator(form, validate_formats=True).iter_errors(answer.json)]
            assert faults == [], (method, path, answer.json)

    def _resolved(self, row: dict[str, Any]) -> dict[str, Any]:
        for part in row.get("$ref", "#/").split("/")[1:]:
            row = self.document if row.get("$ref") else row
            row = row[part] if part else row
        return row


def closed(schema: Any) -> Any:
    """The same schema, by which an object has nothing that is not named."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(one) for name, one in schema.items()}
    return {"additionalProperties": False, **inner} if isinstance(inner.get("properties"), dict) and "oneOf" not in inner else inner


async def check_answers(server: Fastlane) -> DocumentCheck:
    """Compares each further answer of the server with its document."""
    check = DocumentCheck(server.base, (await server.get("/openapi.json")).json)
    server.on_answer = check.on_answer
    return check


@pytest.fixture
async def served(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, ws_start_wait=HASTE) as server:
        await check_answers(server)
        yield server


@asynccontextmanager
async def staffed(redis: RealRedis, path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(path, redis.url, workers=2, ws_start_wait=HASTE) as server:
        await check_answers(server)
        yield server


def reads(reply: dict[str, Any]) -> Iterator[str]:
    """All that can be read of a job and its execution."""
    for url in (reply["jobUrl"], reply["executionUrl"]):
        if url:
            yield from (url + part for part in ("", "why", "stdout", "stderr", "logs", "logs?follow=1", "stdout?tail=1"))
    yield from (reply["jobUrl"] + part for part in ("?include=logs", "executions", "ticks"))
    yield from (reply["taskUrl"], "/tasks", "/search?query=a", "/executions", "/status", "/pools", "/healthcheck", "/livez", "/readyz", "/")


async def read_all(server: Fastlane, reply: dict[str, Any]) -> None:
    for url in reads(reply):
        assert (await server.get(url)).status < 500 or "health" in url or url == "/"


async def test_answers_about_jobs_at_each_moment_of_their_lives_are_as_the_document_says(served: Fastlane) -> None:
    secret = {"envs": {"A": 1, "TOKEN": "x"}, "metadata": {"a": [1, None]}, "timeout": 1.5, "retries": 1, "expiresIn": "1h"}
    waiting = await served.enqueue("a", **secret)
    await read_all(served, waiting)
    await served.report_worker()
    pulled = await served.enqueue("a")
    await served.pull(pulled)
    await read_all(served, pulled)
    running = await served.enqueue("a")
    execution = await served.run(running)
    await served.append_log(execution, (1, b"out\n"), (2, b"err\n"))
    for url in reads(running):
        if "follow" not in url:
            await served.get(url)
    assert (await served.ask("DELETE", running["jobUrl"])).status == 409
    assert (await served.post(running["executionUrl"] + "stop")).status == 200
    await served.end(execution, 3)
    await read_all(served, running)
    done = await served.run_to_end("a", (1, b"x"))
    await read_all(served, done)
    part = await served.get(done["jobUrl"] + "stdout", headers={"Range": "bytes=0-0"})
    assert (part.status, part.body) == (206, b"x")
    assert (await served.get(done["jobUrl"] + "stdout", headers={"Range": "bytes=9-"})).status == 416


async def test_answers_about_schedules_are_as_the_document_says(served: Fastlane) -> None:
    for fields in ({"cron": "* * * * *", "timezone": "Europe/Berlin", "overlap": "skip"}, {"startIn": "1h"}, {"startAt": 2_000_000_000}):
        reply = await served.enqueue("later", command=["a b"], **fields)
        await read_all(served, reply)
        if "cron" in fields:
            for verb in ("pause", "why", "resume", "run", "retry"):
                answer = await (served.get if verb == "why" else served.post)(reply["jobUrl"] + verb)
                assert answer.status in (200, 409), answer
        assert (await served.post(reply["jobUrl"] + "stop")).status == 200
        await read_all(served, reply)
    assert (await served.put(reply["jobUrl"], OK)).status == 200
    assert (await served.post("/tasks/later/stop")).json["stopped"] >= 1


async def test_pages_pools_previews_and_refusals_are_as_the_document_says(served: Fastlane) -> None:
    await served.report_worker(usable=False)
    for _ in range(3):
        reply = await served.enqueue("fast-a")
    for list_ in ("/executions?perPage=1", "/tasks/fast-a?perPage=1", "/executions?perPage=1&page=2", "/executions?page=9"):
        await served.get(list_)
    assert (await served.get(reply["jobUrl"] + "why")).json["waitingFor"][0]["reason"] == "no-host"
    for pool in ("fast", "none"):
        await served.post(f"/pools/{pool}/pause")
        await served.get(reply["jobUrl"] + "why")
        await served.post(f"/pools/{pool}/resume")
    for fields in ({}, {"cron": "* * * * *"}, {"startIn": "x", "colour": 1}):
        await served.post("/tasks/a?dryRun=1", {**OK, **fields})
    key = {"Idempotency-Key": "k"}
    assert (await served.post("/tasks/a", OK, headers=key)).headers.get("Idempotent-Replayed") is None
    assert (await served.post("/tasks/a", OK, headers=key)).headers["Idempotent-Replayed"] == "true"
    assert (await served.post("/tasks/a", {"image": "b"}, headers=key)).status == 422
    assert (await served.post("/tasks/a", OK, headers={"Origin": "http://evil.example.com"})).status == 403
    assert (await served.ask("POST", "/tasks/a", data=io.BytesIO(b" " * 2_000_000))).status == 413
    for url in ("/tasks/none", f"/tasks/fast-a/jobs/{NONE}", f"{reply['jobUrl']}executions/{NONE}", f"{reply['jobUrl']}ws", "/tasks/a?x=1"):
        assert (await served.get(url)).status in (400, 404, 426)


async def test_waits_for_a_concurrency_a_full_pool_and_a_retry_are_as_the_document_says(shared_redis: RealRedis, tmp_path: Path) -> None:
    pools = (Pool("fast", "fast-", (HOST,), max_running=1), POOLS[1])
    async with Fastlane(tmp_path, shared_redis.url, pools=pools) as server:
        await check_answers(server)
        await server.report_worker()
        running = await server.run(await server.enqueue("a"))
        limited = await server.enqueue("a", concurrency=1)
        assert (await server.get(limited["jobUrl"] + "why")).json["waitingFor"][0]["reason"] == "concurrency"
        assert (await server.get("/status")).json["containers"]["running"][0]["execution"] == running.id
        retried = await server.enqueue("b", retries=1)
        await server.end(await server.run(retried), 1)
        assert (await server.get(retried["jobUrl"] + "why")).json["waitingFor"][0]["reason"] == "retry"


async def test_answers_of_a_server_with_workers_are_as_the_document_says(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with staffed(shared_redis, tmp_path) as server:
        waited = await server.post("/tasks/a?wait=20", {**OK, "command": ["out", "one"]})
        assert waited.json["execution"]["log"] == "one"
        held = await server.enqueue("a", command=["hold"])
        await until(lambda: server.executor.starts[-1:] == [held["executionId"]], "the job never ran")
        await server.get("/status")
        assert (await server.post(held["jobUrl"] + "stop")).status == 200
        assert (await server.post(waited.json["jobUrl"] + "retry")).status == 200
        await read_all(server, waited.json)
        for url in (waited.json["jobUrl"], "/tasks/a"):
            assert (await server.ask("DELETE", f"{url}?stop=1")).status == 200

        async def well() -> bool:
            return (await server.get("/healthcheck")).status == 200

        await until(well, "health to be well")


async def test_the_document_is_served_with_the_server_s_own_url_and_to_pages_that_may_read(server: Fastlane) -> None:
    answer = await server.get("/openapi.json", headers={"Origin": "http://localhost:3000"})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert answer.json["servers"] == [{"url": server.base}]
    assert (await server.get("/openapi.json?x=1")).status == 400
    assert server.api.application.settings["document"].content is server.api.application.settings["document"].content
    assert isinstance(server.api.application.settings["document"], ApiDocument)
    assert answer.json["paths"].keys() == ROUTES.keys()


async def test_the_document_is_for_those_who_may_read(shared_redis: RealRedis, tmp_path: Path) -> None:
    token = Token(Principal("ci", Role.READ), token_digest("let-me-in"))
    async with Fastlane(tmp_path, shared_redis.url, tokens=(token,)) as server:
        assert (await server.get("/openapi.json")).status == 401
        answer = await server.get("/openapi.json", headers={"Authorization": "Bearer let-me-in"})
        assert answer.json["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
