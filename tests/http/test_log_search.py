"""``GET /logs/search``: lines in the logs of many runs, one after the other, as server-sent events."""

import asyncio
import io
import json
import tarfile
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from fastlane.clock import iso
from fastlane.errors import StoreDown, Unreadable
from fastlane.models.job import Execution
from fastlane.models.log import STDERR, STDOUT, Head, Slice
from fastlane.models.paging import After, Page, Window
from fastlane.models.pool import Pool
from fastlane.models.retention import DAY, HOUR, Retention
from fastlane.services.reads import archive, search as reads_search
from fastlane.streams.reader import SLICE
from tests.support.credentials import bearer, token
from tests.support.endless_log import EndlessLog
from tests.support.fastlane import HOST, Fastlane
from tests.support.redis import RealRedis
from tests.support.waiting import until

Found = list[tuple[str, dict[str, Any]]]
PATIENCE = 60


def parsed(body: bytes) -> Found:
    """The kind and the data of each whole event."""
    found = []
    for block in body.split(b"\n\n")[:-1]:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
        found.append((fields[b"event"].decode(), json.loads(fields[b"data"])))
    return found


async def search(server: Fastlane, query: str, **options: Any) -> Found:
    answer = await server.get(f"/logs/search?{query}", **options)
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "text/event-stream"
    return parsed(answer.body)


def lines(found: Found) -> list[tuple[int, str]]:
    return [(data["number"], data["text"]) for kind, data in found if kind == "hit"]


def end(found: Found) -> dict[str, Any]:
    kind, data = found[-1]
    assert kind == "end"
    return {name: value for name, value in data.items() if name != "removedBefore"}


async def test_the_lines_of_all_runs_of_a_task_are_found_the_newest_run_first(server: Fastlane) -> None:
    old = await server.run_to_end("backup", (STDOUT, b"start\nERROR one\n"), (STDERR, b"warn\n"), (STDOUT, b"ERROR two\nend\n"))
    new = await server.run_to_end("backup", (STDOUT, b"start\nall went well\n"), (STDERR, b"last ERROR"))
    await server.run_to_end("other", (STDOUT, b"ERROR of another task\n"))
    found = await search(server, "pattern=ERROR&task=backup")
    assert lines(found) == [(3, "last ERROR"), (2, "ERROR one"), (4, "ERROR two")]
    hits = [data for kind, data in found if kind == "hit"]
    assert [hit["executionId"] for hit in hits] == [new["executionId"], old["executionId"], old["executionId"]]
    assert hits[0] | {"cursor": ""} == {
        "cursor": "",
        "taskId": "backup",
        "jobId": new["jobId"],
        "executionId": new["executionId"],
        "scheduledFor": hits[0]["scheduledFor"],
        "attempt": 1,
        "url": hits[0]["url"],
        "stream": "stderr",
        "number": 3,
        "time": iso(1_700_000_000_000),
        "text": "last ERROR",
        "match": [5, 10],
        "cut": False,
        "lineUrl": f"{hits[0]['url']}stream#L3",
    }
    assert (await server.get(URL(hits[0]["lineUrl"]).path, headers={"Accept": "text/html"})).status == 200
    assert end(found) == {"runs": 2, "bytes": 65, "hits": 3, "missing": {}, "limited": False}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("pattern=error", []),
        ("pattern=error&ignoreCase=1", ["Error a.c", "ERROR abc"]),
        ("pattern=a.c", ["Error a.c", "ERROR abc"]),
        ("pattern=a.c&fixed=1", ["Error a.c"]),
        (f"pattern={quote('^(Err|ERR)(or)? ')}", ["Error a.c"]),
        ("pattern=E&stream=stderr", ["ERROR abc"]),
        ("pattern=E&limit=1", ["Error a.c"]),
        (f"pattern={quote('(a+)+$')}", ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
        ("pattern=E&since=1h", ["Error a.c", "ERROR abc"]),
        ("pattern=E&until=1h", []),
    ],
)
async def test_a_query_says_what_is_a_match_and_where(server: Fastlane, query: str, expected: list[str]) -> None:
    await server.run_to_end("task", (STDOUT, b"Error a.c\n"), (STDERR, b"ERROR abc\n"), (STDOUT, b"a" * 44 + b"\n"))
    assert [text for _, text in lines(await search(server, query))] == expected


async def test_a_job_is_searched_and_a_line_is_shown_without_colours_and_not_whole_when_it_is_long(server: Fastlane) -> None:
    reply = await server.run_to_end("task", (STDOUT, b"x" * 5000 + b"\x1b[31mE\x1b[1mRROR\x1b[0m" + b"y" * 5000 + b"\r\n"))
    await server.run_to_end("task", (STDOUT, b"ERROR of another job\n"))
    found = await search(server, f"pattern=ERROR&task=task&job={reply['jobId'].upper()}")
    [(_, hit)] = [one for one in found if one[0] == "hit"]
    assert hit["cut"]
    assert len(hit["text"]) == 1000
    assert hit["text"][slice(*hit["match"])] == "ERROR"
    assert hit["match"][0] == 200
    assert end(found)["runs"] == 1


async def test_runs_without_their_whole_log_are_named(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await server.run_to_end("task", (STDOUT, b"here\n"))
    removed = await server.run_to_end("task", (STDOUT, b"here\n"))
    cut = await server.run_to_end("task", (STDOUT, b"here\n"), (STDOUT, b"here\n"))
    broken = await server.run_to_end("task", (STDOUT, b"here\n"))
    await server.enqueue("task")  # never started, so that it has no log that could be missing
    store = server.store
    real_head, real_read = store.log_head, store.read_log

    async def head(id: str) -> Head:
        found = await real_head(id)
        return Head() if id == removed["executionId"] else replace(found, dropped=3) if id == cut["executionId"] else found

    async def read(id: str, *rest: Any) -> Slice:
        if id == broken["executionId"]:
            raise Unreadable("a part of a log cannot be read")
        return await real_read(id, *rest)

    monkeypatch.setattr(store, "log_head", head)
    monkeypatch.setattr(store, "read_log", read)
    found = await search(server, "pattern=here&task=task")
    missing = [(data["executionId"], data["reason"]) for kind, data in found if kind == "missing"]
    assert missing == [(broken["executionId"], "unreadable"), (cut["executionId"], "truncated"), (removed["executionId"], "removed")]
    assert end(found) == {
        "runs": 2,
        "bytes": 15,
        "hits": 3,
        "missing": {"unreadable": 1, "truncated": 1, "removed": 1},
        "limited": False,
    }
    assert [data["executionId"] for kind, data in found if kind == "hit"] == [cut["executionId"]] * 2 + [whole["executionId"]]


async def test_the_end_says_before_which_time_runs_may_be_removed_whole(shared_redis: RealRedis, tmp_path: Path) -> None:
    pools = (Pool("short", "short-", (HOST,), retention=Retention(executions=DAY)), Pool("default", "", (HOST,)))
    async with Fastlane(tmp_path, shared_redis.url, pools=pools) as server:
        for task in ("short-task", "task"):
            await server.run_to_end(task, (STDOUT, b"x\n"))
        now = server.clock.now()
        cases = (("task=short-task", 1), ("task=task", 30), ("", 1), ("task=task&since=31d", 30), ("task=task&since=29d", None))
        for query, days in cases:
            _, data = (await search(server, f"pattern=x&{query}"))[-1]
            found = data["removedBefore"]
            if days is None:
                assert found is None, query
            else:
                expected = (iso(now - days * DAY - HOUR), iso(now - days * DAY + HOUR))
                assert expected[0] < found < expected[1], query


async def test_a_search_goes_on_after_any_of_its_events(server: Fastlane) -> None:
    for number in range(3):
        await server.run_to_end("task", (STDOUT, b"hit a\npart of "), (STDERR, b"hit b\n"), (STDOUT, b"hit c\nhit d %d" % number))
    whole = await search(server, "pattern=hit&task=task")
    hits = [data for kind, data in whole if kind == "hit"]
    assert [hit["number"] for hit in hits] == [1, 3, 2, 4] * 3
    for place, hit in enumerate(hits):
        rest = await search(server, f"pattern=hit&task=task&from={quote(hit['cursor'], safe='')}")
        assert [data for kind, data in rest if kind == "hit"] == hits[place + 1 :]
        by_header = await search(server, "pattern=hit&task=task&limit=2", headers={"Last-Event-ID": hit["cursor"]})
        assert [data for kind, data in by_header if kind == "hit"] == hits[place + 1 : place + 3]
    assert (await server.get("/logs/search?pattern=hit", headers={"Last-Event-ID": "end"})).status == 204
    assert end(await search(server, "pattern=hit&limit=3"))["limited"] is True


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("task=task", "pattern"),
        ("pattern=", "pattern"),
        (f"pattern={quote('(a')}", "pattern"),
        (f"pattern={quote('(?=a)')}", "pattern"),
        (f"pattern={quote('(a{200}){200}')}", "pattern"),
        (f"pattern={quote('(' * 51)}", "pattern"),
        (f"pattern={'x' * 1001}", "pattern"),
        ("pattern=a&job=3f0e5a52-6c39-4dfd-8a5e-0d5a3a0f4d11", "job"),
        ("pattern=a&task=task&job=x", "job"),
        ("pattern=a&stream=both", "stream"),
        ("pattern=a&limit=0", "limit"),
        ("pattern=a&from=x", "from"),
        ("pattern=a&from=1/2/3", "from"),
        ("pattern=a&since=never", "since"),
        ("pattern=a&ignoreCase=maybe", "ignoreCase"),
    ],
)
async def test_a_bad_search_is_refused_by_name(server: Fastlane, query: str, name: str) -> None:
    answer = await server.get(f"/logs/search?{query}")
    assert answer.status == 400
    assert answer.json["detail"].startswith(name)


async def test_only_the_tasks_that_a_caller_may_see_are_searched(shared_redis: RealRedis, tmp_path: Path) -> None:
    tokens = (token("all", "fl_all", "admin"), token("some", "fl_some", "read", "one"))
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens) as server:
        jobs = {}
        for task in ("one", "two"):
            reply = (await server.ask("POST", f"/tasks/{task}", json={"image": "ubuntu"}, headers=bearer("fl_all"))).json
            jobs[task] = reply["jobId"]
            execution = await server.run(reply)
            await server.append_log(execution, (STDOUT, f"secret of {task}\n".encode()))
            await server.end(execution)
        for secret, expected in (("all", ["secret of two", "secret of one"]), ("some", ["secret of one"])):
            found = await search(server, "pattern=secret", headers=bearer(f"fl_{secret}"))
            assert [text for _, text in lines(found)] == expected
        for query in ("task=two", f"task=two&job={jobs['two']}", f"task=one&job={jobs['two']}", "task=none"):
            assert (await server.get(f"/logs/search?pattern=secret&{query}", headers=bearer("fl_some"))).status == 404


async def read_until(reply: aiohttp.ClientResponse, words: bytes) -> bytes:
    """What comes up to these words."""
    found = b""
    async with asyncio.timeout(PATIENCE):
        while words not in found:
            found += await reply.content.readany()
    return found


async def test_a_search_holds_as_little_of_a_long_log_as_of_a_short_one(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.run_to_end("task", (STDOUT, b"x\n"))
    peaks = []
    for size in (8 * 2**20, 128 * 2**20):
        endless = EndlessLog(server, monkeypatch, size)
        tracemalloc.start()
        try:
            found = await search(server, "pattern=ERROR")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert endless.read >= size
        assert end(found)["bytes"] == size
    assert peaks[1] < peaks[0] + 2**20
    assert peaks[1] < 8 * 2**20


async def test_a_search_ends_when_its_client_has_gone_and_stops_no_other_request(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads_search, "PROGRESS_EVERY", 1e6)  # nothing is sent, so that only the closed connection can end it
    await server.run_to_end("task", (STDOUT, b"x\n"))
    endless = EndlessLog(server, monkeypatch)
    replies = [await server.client.get(URL(f"{server.base}/logs/search?pattern=hit|miss", encoded=True)) for _ in range(3)]
    await until(lambda: endless.read > 4 * SLICE, "what the test waits for", PATIENCE)
    for _ in range(20):
        assert (await server.get("/livez")).status == 200
    before = endless.read
    following = await server.client.get(URL(f"{server.base}/events?follow=1"))
    await server.enqueue("task")
    assert b"job.created" in await read_until(following, b"job.created")
    await until(lambda: endless.read > before, "the searches to go on", PATIENCE)
    following.close()
    for reply in replies:
        reply.close()
    feeds = server.context.services.search_feeds
    await until(lambda: feeds.is_idle, "what the test waits for", PATIENCE)
    before = endless.read
    for _ in range(20):
        await server.get("/livez")
    assert endless.read == before


@pytest.mark.parametrize("route", ["search?pattern=x&", "archive?"])
async def test_a_walk_over_runs_of_another_time_ends_with_its_client(server: Fastlane, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    reply = await server.run_to_end("task", (STDOUT, b"x\n"))
    real, pages = server.store.list_executions_of, 0

    async def endless(job_id: str, window: Window) -> Page[Execution]:
        nonlocal pages
        pages += 1
        await asyncio.sleep(0)
        page = await real(job_id, Window(1, window.per_page))
        return replace(page, next=After(0, (10**12 - pages, 1)))

    monkeypatch.setattr(server.store, "list_executions_of", endless)
    answer = asyncio.create_task(server.client.get(URL(f"{server.base}/logs/{route}task=task&job={reply['jobId']}&until=1h")))
    await until(lambda: pages > 3, "the walk to begin", PATIENCE)
    if route.startswith("search"):
        assert b"event: progress" in await read_until(await answer, b"event: progress")
        (await answer).close()
    else:
        answer.cancel()
    feeds = server.context.services.search_feeds
    await until(lambda: feeds.is_idle, "the walk to end", PATIENCE)


async def test_a_search_that_the_store_or_the_server_cuts_is_seen_to_be_cut(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.run_to_end("task", (STDOUT, b"x\n"))

    async def fails(*_: Any) -> Slice:
        raise StoreDown("the store is away")

    monkeypatch.setattr(server.store, "read_log", fails)
    data = await server.raw(b"GET /logs/search?pattern=x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200 OK" in data
    assert not data.endswith(b"0\r\n\r\n")
    EndlessLog(server, monkeypatch)
    searching = asyncio.create_task(server.raw(b"GET /logs/search?pattern=y HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    feeds = server.context.services.search_feeds
    await until(lambda: not feeds.is_idle, "what the test waits for", PATIENCE)
    feeds.close()
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionError):
            assert not (await searching).endswith(b"0\r\n\r\n")
    assert (await server.get("/logs/search?pattern=y")).status == 503


async def test_a_caller_has_two_searches_at_once(shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = (token("one", "fl_one", "admin"), token("two", "fl_two", "read"))
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens) as server:
        reply = (await server.ask("POST", "/tasks/task", json={"image": "ubuntu"}, headers=bearer("fl_one"))).json
        await server.end(await server.run(reply))
        EndlessLog(server, monkeypatch)
        url = URL(f"{server.base}/logs/search?pattern=hit")
        held = [await server.client.get(url, headers=bearer("fl_one")) for _ in range(2)]
        refused = await server.get("/logs/search?pattern=hit", headers=bearer("fl_one"))
        assert (refused.status, "Retry-After" in refused.headers) == (429, True)
        held.append(await server.client.get(url, headers=bearer("fl_two")))
        assert held[-1].status == 200
        for one in held:
            one.close()


def files_of(body: bytes) -> dict[str, bytes]:
    """The files of an archive, by their names."""
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as archive:
        return {one.name: found.read() for one in archive if (found := archive.extractfile(one)) is not None}


async def test_the_logs_of_many_runs_are_one_file(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LISTED_AT_ONCE", 2)
    one = await server.run_to_end("a-b", (STDOUT, b"out\n"), (STDERR, b"err"), (STDOUT, b"\x00\xff" * 300_000))
    two = await server.run_to_end("a-b", (STDOUT, b"two\n"), code=3)
    removed = await server.run_to_end("a-b", (STDOUT, b"gone"))
    broken = await server.run_to_end("a-b", (STDOUT, b"broken"))
    await server.enqueue("a-b")
    await server.run_to_end("other", (STDOUT, b"not of this task"))
    store = server.store
    real_head, real_read = store.log_head, store.read_log

    async def head(id: str) -> Head:
        return Head() if id == removed["executionId"] else await real_head(id)

    async def read(id: str, *rest: Any) -> Slice:
        if id == broken["executionId"]:
            raise Unreadable("a part of a log cannot be read")
        return await real_read(id, *rest)

    monkeypatch.setattr(store, "log_head", head)
    monkeypatch.setattr(store, "read_log", read)
    answer = await server.get("/logs/archive?task=a-b")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/gzip")
    found = files_of(answer.body)
    rows = [json.loads(line) for name in sorted(found) if name.startswith("runs-") for line in found[name].splitlines()]
    assert len([name for name in found if name.startswith("runs-")]) == 3
    assert [(row["executionId"], row["missing"], row["status"], row["exitCode"]) for row in rows[1:]] == [
        (broken["executionId"], "unreadable", "done", 0),
        (removed["executionId"], "removed", "done", 0),
        (two["executionId"], None, "failed", 3),
        (one["executionId"], None, "done", 0),
    ]
    assert [None if row["file"] is None else found[row["file"]] for row in rows] == [
        None,
        bytes(6),
        None,
        b"two\n",
        b"out\nerr" + b"\x00\xff" * 300_000,
    ]
    assert all(name.startswith((f"a-b/{one['jobId']}/", "a-b/", "runs-")) for name in found)
    of_job = files_of((await server.get(f"/logs/archive?task=a-b&job={two['jobId']}")).body)
    assert len(of_job) == 2
    assert list(files_of((await server.get("/logs/archive?until=1h")).body)) == ["runs-0001.jsonl"]
    for query, status in (("task=none", 404), ("job=x", 400), ("since=x", 400), ("task=a-b&pattern=x", 400)):
        assert (await server.get(f"/logs/archive?{query}")).status == status


async def test_an_archive_that_is_cut_is_seen_to_be_cut_and_ends_with_its_client(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.run_to_end("task", (STDOUT, b"x\n"))
    endless = EndlessLog(server, monkeypatch, 2**33 - 1)
    reply = await server.client.get(URL(f"{server.base}/logs/archive"))
    await until(lambda: endless.read > 4 * SLICE, "the archive to begin", PATIENCE)
    reply.close()
    feeds = server.context.services.search_feeds
    await until(lambda: feeds.is_idle, "the archive to end", PATIENCE)
    assert endless.read < endless.size

    async def fails(*_: Any) -> Slice:
        raise StoreDown("the store is away")

    monkeypatch.setattr(server.store, "read_log", fails)
    assert not (await server.raw(b"GET /logs/archive HTTP/1.1\r\nHost: localhost\r\n\r\n")).endswith(b"0\r\n\r\n")
