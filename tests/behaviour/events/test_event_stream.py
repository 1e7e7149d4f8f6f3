"""``GET /events?follow=1``: events as they happen; a reconnection loses nothing and repeats nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from fastlane.models.access import Requester
from fastlane.models.event import LAG, Event, EventKind, at, read_cursor
from fastlane.services.events import EventFeeds
from fastlane.web import handler as web
from fastlane.web.api.log_encoding import EVENT_PING
from fastlane.web.routes import events as events_route
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.waiting import LONG_PATIENCE, until

ANNA, EYES = bearer("fl_anna"), bearer("fl_eyes")
TOKENS = (token("anna", "fl_anna", "admin"), token("eyes", "fl_eyes", "read", "mine"))


class Stream:
    """An event stream that is read."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> dict[str, str]:
        """The next event's fields."""
        while True:
            block = await self.answer.content.readuntil(b"\n\n")
            fields = dict(line.split(": ", 1) for line in block.decode().splitlines() if ": " in line)
            if "event" in fields:
                return fields

    async def take(self, count: int) -> list[tuple[str, Any]]:
        """The ids of so many events, and what they tell."""
        found = [await self.next() for _ in range(count)]
        assert {fields["event"] for fields in found} <= {"event"}
        return [(fields["id"], json.loads(fields["data"])) for fields in found]


@asynccontextmanager
async def followed(server: Fastlane, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    async with asyncio.timeout(LONG_PATIENCE), server.client.get(f"{server.base}/events?follow=1{query}", headers=headers) as answer:
        assert answer.status == 200, await answer.read()
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield Stream(answer)


async def test_events_come_as_they_happen_and_a_reconnection_goes_on_after_the_last_one(server):
    async with followed(server) as stream:
        reply = await server.run_to_end("task")
        first = await stream.take(2)
    async with followed(server, **{"Last-Event-ID": first[-1][0]}) as stream:
        rest = await stream.take(2)
    found = [event for _, event in first + rest]
    assert sorted(event["kind"] for event in found) == ["execution.ended", "execution.enqueued", "execution.started", "job.created"]
    assert {event["jobId"] for event in found} == {reply["jobId"]}
    assert [id for id, _ in first + rest] == [event["id"] for event in found]
    async with followed(server, f"&from={first[0][0]}&kind=execution.ended") as stream:
        assert await stream.take(1) == rest[-1:]


async def test_two_readers_that_are_cut_off_again_and_again_get_each_event_once(server):
    """Events of one moment, from several writers, in pages that end amid them."""
    now = server.clock.now()
    events = [Event.now(EventKind.HOST_DRAINED, now - 10_000 + number // 50, host=f"h{number}") for number in range(230)]
    await server.store.add_events(events)
    expected = [str(event.position) for event in sorted(events, key=lambda event: event.position)]

    async def read(step: int) -> list[str]:
        seen: list[str] = []
        while len(seen) < len(events):
            headers = {"Last-Event-ID": seen[-1]} if seen else {}
            async with followed(server, "" if seen else "&since=1h", **headers) as stream:
                seen += [id for id, _ in await stream.take(min(step, len(events) - len(seen)))]
        return seen

    assert await asyncio.gather(read(7), read(101)) == [expected, expected]


async def test_an_event_that_is_stored_late_within_the_lag_is_not_missed(server):
    async with followed(server) as stream:
        moment = server.clock.now()
        later = Event.now(EventKind.HOST_DRAINED, moment + 50, host="later")
        await server.store.add_events([later])
        await asyncio.sleep(LAG / 4_000)  # what was begun earlier is stored later
        await server.store.add_events([Event.now(EventKind.HOST_DRAINED, moment, host="earlier")])
        assert [event["host"] for _, event in await stream.take(2)] == ["earlier", "later"]


async def test_a_stream_has_only_what_the_user_may_see(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=TOKENS) as server, followed(server, **EYES) as stream:
        now = server.clock.now()
        hidden = [Event.now(EventKind.LOGIN, now, Requester("anna", "::1")), Event.now(EventKind.JOB_STOPPED, now, task_id="yours")]
        await server.store.add_events([*hidden, Event.now(EventKind.JOB_STOPPED, now + 1, task_id="mine")])
        ((_, event),) = await stream.take(1)
        assert event["taskId"] == "mine"


async def test_only_administrators_see_logins(shared_redis, tmp_path):
    tokens = (*TOKENS, token("all", "fl_all", "run"))
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=tokens) as server:
        now = server.clock.now()
        events = [Event.now(EventKind.LOGIN, now, Requester("anna", "::1")), Event.now(EventKind.HOST_DRAINED, now + 1, host="h")]
        await server.store.add_events(events)
        for who, kinds in ((ANNA, ["login", "host.drained"]), (bearer("fl_all"), ["host.drained"])):
            async with followed(server, "&since=1h", **who) as stream:
                assert [event["kind"] for _, event in await stream.take(len(kinds))] == kinds


@pytest.mark.parametrize(
    "left", [(), (token("anna", "fl_anna", "read"),), (token("anna", "fl_anna", "admin", "mine"),)], ids=["gone", "role", "tasks"]
)
async def test_a_stream_ends_when_the_login_is_revoked_or_has_other_rights(shared_redis, tmp_path, left):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=TOKENS) as server, followed(server, **ANNA) as stream:
        server.context.authenticator.replace((), (*left, TOKENS[1]))
        assert await stream.next() == {"event": "end", "data": '{"reason":"retry"}'}
        assert await stream.answer.content.read() == b""


async def test_a_stream_without_events_says_that_it_is_alive(server, monkeypatch):
    monkeypatch.setattr(events_route, "PING_EVERY", 0.05)
    async with followed(server) as stream:
        seen = b""
        while seen.count(EVENT_PING) < 3:  # the first blank line ends the words on reconnecting
            seen += await stream.answer.content.readany()
        assert b"event:" not in seen


async def test_the_end_of_the_server_is_told(server):
    async with followed(server) as stream:
        await until(lambda: not server.services.event_feeds.is_idle, "the feed runs")
        server.services.event_feeds.close()
        assert await stream.next() == {"event": "end", "data": '{"reason":"retry"}'}
    assert (await server.get("/events?follow=1")).status == 503


async def test_feeds_are_bounded_in_all_and_for_each_caller():
    feeds, ended = EventFeeds(most=2, most_of_caller=1), asyncio.Event()
    with feeds.entered("a", ended):
        with pytest.raises(Exception, match="you follow events 1 times"), feeds.entered("a", asyncio.Event()):
            pass
        with feeds.entered(None, asyncio.Event()), pytest.raises(Exception, match="2 follow events"), feeds.entered("b", asyncio.Event()):
            pass
    with feeds.entered("a", ended):
        assert not feeds.is_idle
    assert feeds.is_idle


async def test_a_reader_that_takes_nothing_is_cut_off_and_misses_nothing(server, monkeypatch):
    monkeypatch.setattr(web, "WRITE_DEADLINE", 0.5)
    now, text = server.clock.now(), "x" * 500
    detail = {f"t{number}": text for number in range(20)}
    events = [Event.now(EventKind.HOST_DRAINED, now - 60_000 + number, host="h", **detail) for number in range(2_000)]
    await server.store.add_events(events)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1_024)
    writer.write(b"GET /events?follow=1&since=1h HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: not server.services.event_feeds.is_idle, "the feed runs")
    await until(lambda: server.services.event_feeds.is_idle, "the feed is ended", LONG_PATIENCE)
    writer.close()
    assert (await server.get("/events?perPage=1")).json["items"][0]["id"] == str(events[-1].position)
    assert reader is not None


async def test_without_a_start_only_what_happens_from_now_on_comes(server):
    old = Event.now(EventKind.HOST_DRAINED, server.clock.now() - 60_000, host="old")
    await server.store.add_events([old])
    async with followed(server) as stream:
        await server.store.add_events([replace(old, id=old.id[:-12] + "0" * 12, time=server.clock.now(), host="new")])
        ((_, event),) = await stream.take(1)
        assert event["host"] == "new"


async def test_a_reader_that_asks_for_signs_of_life_gets_them_as_events_without_an_id(server):
    """Scripts in a browser see no comments; and an id would be where the stream goes on after a cut."""
    async with followed(server, "&kind=task&ping=1") as stream:
        assert [await stream.next() for _ in range(2)] == [{"event": "ping", "data": "{}"}] * 2


async def test_head_of_a_stream_does_not_wait(server):
    answer = await server.ask("HEAD", "/events?follow=1")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")


def test_a_cursor_is_read_as_it_was_written():
    event = Event.now(EventKind.LOGIN, 5)
    assert read_cursor(str(event.position)) == event.position
    for text in ("", "x", "5-x-0", f"-1-{event.id}-0", f"5-{event.id}-9", f"5-{event.id}", f"5-{event.id}-0 "):
        with pytest.raises(ValueError, match="is not the id of an event"):
            read_cursor(text)
    assert at(5) < event.position
