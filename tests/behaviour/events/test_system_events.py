"""What fastlane does by itself: a queue is rebuilt, a host can no longer be used."""

from dataclasses import replace

import pytest

from fastlane.clock import SystemClock
from fastlane.errors import StoreDown
from fastlane.models.event import Event, EventKind
from fastlane.models.host import HostView
from fastlane.scheduler.host_keeper import MOST_WAITING, HostEvents
from tests.support.fastlane import Fastlane


async def kinds(server: Fastlane, kind: str) -> list[str]:
    return [event["kind"] for event in (await server.get(f"/events?perPage=100&kind={kind}")).json["items"]]


async def test_a_rebuilt_queue_and_a_lost_host_are_told(crew):
    await crew.hire()
    host = crew.pools[0].hosts[0]
    await crew.until(lambda: told(crew, "queue", 1), "the first rebuild")
    (event,) = (await crew.get("/events?kind=queue")).json["items"]
    assert event["actor"] is None
    assert event["detail"]["generation"] == 1
    assert event["detail"]["worker"]
    await crew.queue.generation.wipe()
    await crew.until(lambda: told(crew, "queue", 2), "the second rebuild")
    crew.executor.down(host)
    await crew.until(lambda: told(crew, "host.unusable", 1), "the host is lost")
    crew.executor.up(host)
    await crew.until(lambda: told(crew, "host.usable", 1), "the host is back")
    (back, lost) = (await crew.get(f"/events?kind=host.unusable,host.usable&host={host}")).json["items"]
    assert lost["detail"].keys() >= {"reason", "circuit", "worker"}
    assert back["detail"].keys() == {"worker"}


async def told(crew: Fastlane, kind: str, count: int) -> bool:
    return len(await kinds(crew, kind)) == count


class Shelf:
    """Keeps events, unless it is down."""

    def __init__(self) -> None:
        self.is_down = False
        self.kept: list[Event] = []

    async def add_events(self, events: list[Event]) -> None:
        if self.is_down:
            raise StoreDown("away")
        self.kept += events


async def test_what_happens_to_hosts_while_the_store_is_away_is_told_afterwards_within_bounds():
    shelf, view = Shelf(), HostView("h:1", usable=False, reason="was never there")
    events = HostEvents(shelf, SystemClock(), "w")
    for usable in (False, True, True, False, False, True):
        await events.note([replace(view, usable=usable)])
    assert [event.kind for event in shelf.kept] == [EventKind.HOST_UNUSABLE, EventKind.HOST_USABLE]
    shelf.is_down = True
    for number in range(MOST_WAITING + 5):
        with pytest.raises(StoreDown):
            await events.note([replace(view, usable=number % 2 == 1)])
    shelf.is_down = False
    await events.note([])
    await events.note([view])
    assert len(shelf.kept) == 2 + MOST_WAITING


async def test_old_events_are_removed_and_newer_ones_stay(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, keep_events=3_600_000) as server:
        now = server.clock.now()
        await server.store.add_events([Event.now(EventKind.HOST_DRAINED, now - hours * 3_600_000 - 60_000, host="h") for hours in range(3)])
        await server.hire()
        await server.until(lambda: told(server, "host.drained", 1), "two are removed")
