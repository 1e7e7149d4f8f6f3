"""What every store promises of hosts, and of the revision of the pools."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fastlane.models.access import Requester
from fastlane.models.host import EngineIdentity, HostLoad, HostRecord, record_id
from fastlane.models.pool import PoolsRevision
from fastlane.models.status import Status
from fastlane.storage import logic, records
from tests.contract.stored import created, ended

ADDRESS = "10.0.0.7:2376"
RECORD = HostRecord(
    record_id(ADDRESS),
    ADDRESS,
    pool="default",
    weight=3,
    max_running=4,
    registered_at=5,
    registered_by=Requester("ann", "10.0.0.1"),
)


async def test_a_store_begins_without_hosts(store):
    assert list(await store.hosts()) == []
    assert await store.pools_revision() == PoolsRevision()


async def test_a_host_is_kept_whole(store, open_store):
    assert await store.write_host(RECORD)
    full = RECORD.changed(
        drained=True, engine_id="E", swarm_id="S", removed_at=7, lost_until=8, lost_swarm="S", pool=None, max_running=None
    )
    full = replace(full, disk_refused_first=9, disk_refused_last=10)
    assert list(await store.hosts()) == [RECORD]
    assert await store.write_host(full)
    assert list(await (await open_store()).hosts()) == [full]


async def test_hosts_are_listed_by_address_and_id(store):
    other = EngineIdentity("E", "S")
    records = [HostRecord(record_id(address, identity), address) for address in ("b:1", "a:1") for identity in (None, other)]
    for record in records:
        assert await store.write_host(record)
    assert list(await store.hosts()) == sorted(records, key=lambda record: (record.address, record.id))


async def test_a_host_is_inserted_once(store, open_store):
    answers = await asyncio.gather(store.write_host(RECORD), (await open_store()).write_host(RECORD))
    assert sorted(answers) == [False, True]


async def test_a_change_needs_the_version_before_it(store):
    await store.write_host(RECORD)
    assert not await store.write_host(RECORD.changed().changed())
    assert not await store.write_host(HostRecord("another", "x:1", version=2))
    assert list(await store.hosts()) == [RECORD]


async def test_of_two_changes_at_once_one_wins(store, open_store):
    await store.write_host(RECORD)
    other = await open_store()
    changes = [RECORD.changed(drained=True), RECORD.changed(weight=9)]
    answers = await asyncio.gather(store.write_host(changes[0]), other.write_host(changes[1]))
    assert sorted(answers) == [False, True]
    assert list(await store.hosts()) == [changes[answers.index(True)]]


async def test_each_change_gives_another_mark(store, open_store):
    other = await open_store()
    marks = [await store.directory_mark()]
    await store.write_host(RECORD)
    marks.append(await other.directory_mark())
    await store.write_host(RECORD.changed(drained=True))
    marks.append(await other.directory_mark())
    await store.record_pools(PoolsRevision(1, "a", 5))
    marks.append(await other.directory_mark())
    assert len(set(marks)) == 4
    await store.write_host(RECORD.changed(drained=True))
    await store.pause_pool("default", True)
    assert await other.directory_mark() == marks[-1]


async def test_hosts_that_were_removed_long_ago_are_pruned(store):
    gone, kept = RECORD.changed(removed_at=10), HostRecord("kept", "x:1")
    await store.write_host(RECORD)
    await store.write_host(gone)
    await store.write_host(kept)
    await store.prune_hosts(10)
    assert list(await store.hosts()) == [gone, kept]
    await store.prune_hosts(11)
    assert list(await store.hosts()) == [kept]


async def test_the_load_of_a_host_is_what_is_placed_there_and_not_clean(store):
    assert await store.host_load(ADDRESS, "S") == HostLoad()
    here = {"host": ADDRESS, "placed_at": 10}
    bound = {**here, "service_id": "s", "swarm_id": "S"}
    await created(store, status=Status.PULLING, **here)
    await created(store, status=Status.PULLING, **bound)
    await created(store, status=Status.RUNNING, **bound)
    await created(store, status=Status.RUNNING, **bound | {"host": "another:1"})
    await created(store, status=Status.RUNNING, **bound | {"swarm_id": "another"})
    await ended(store, Status.DONE, 1, settled=True, **bound)
    await ended(store, Status.DONE, 1, settled=True, cleaned=True, **bound)
    await ended(store, Status.FAILED, 1, settled=True, **here)
    assert await store.host_load(ADDRESS, "S") == HostLoad(bound=2, placed=1, uncleaned=1)
    assert await store.host_load(ADDRESS, "S", since=11) == HostLoad(bound=2, placed=0, uncleaned=1)
    assert await store.host_load(ADDRESS, None) == HostLoad(bound=3, placed=1, uncleaned=1)
    assert (await store.host_load(ADDRESS, "S")).total == 4


@pytest.mark.parametrize("number", [0, 2])
async def test_a_revision_of_the_pools_follows_the_one_before_it(store, number):
    assert not await store.record_pools(PoolsRevision(number, "a", 5))
    assert await store.pools_revision() == PoolsRevision()
    assert await store.record_pools(PoolsRevision(1, "a", 5))
    assert await store.record_pools(PoolsRevision(2, "b", 6, reload=True))
    assert await store.pools_revision() == PoolsRevision(2, "b", 6, reload=True)


async def test_of_two_revisions_at_once_one_is_recorded(store, open_store):
    other = await open_store()
    answers = await asyncio.gather(store.record_pools(PoolsRevision(1, "a", 5)), other.record_pools(PoolsRevision(1, "b", 5)))
    assert sorted(answers) == [False, True]


class CountedRows:
    """The verbs of a store, with the number of rows that each read has returned."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self.read: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._rows, name)
        if name not in ("get", "find", "select", "select_keys"):
            return verb

        async def counted(record: Any, *arguments: Any, **options: Any) -> Any:
            answer = await verb(record, *arguments, **options)
            self.read.append((name, 1 if name == "get" else len(answer)))
            return answer

        return counted


async def test_a_look_at_the_hosts_reads_two_rows_and_a_change_of_one_only_this_one_whole(store, monkeypatch):
    removed = [HostRecord(f"removed-{number}", f"10.1.0.{number}:1", removed_at=1, lost_until=1) for number in range(300)]
    await store._rows.insert_missing(records.HOSTS, removed)
    await store.write_host(RECORD)
    known = await store.hosts()
    assert len(known) == 301
    rows = CountedRows(store._rows)
    monkeypatch.setattr(store, "_rows", rows)
    mark = await store.directory_mark()
    assert rows.read == [("get", 1), ("get", 1)]
    changed = RECORD.changed(weight=9)
    await store.write_host(changed)
    assert await store.directory_mark() != mark
    rows.read.clear()
    assert (await store.directory_mark()).hosts.since(mark.hosts) == (RECORD.id,)
    again = await store.hosts(known)
    assert rows.read[2:] == [("select", 301), ("select_keys", 1)]
    assert [host for host in again if host not in removed] == [changed]
    assert sum(host is other for host, other in zip(again, known, strict=True)) == 300
    assert await store.hosts(again) is again
    rows.read.clear()
    assert list(await store.hosts_of([RECORD.id, "unknown"])) == [changed]
    assert rows.read == [("select_keys", 1)]


async def test_what_is_known_of_hosts_is_not_kept_when_they_are_pruned_or_made_again(store):
    gone = RECORD.changed(removed_at=10)
    await store.write_host(RECORD)
    await store.write_host(gone)
    known = await store.hosts()
    await store.prune_hosts(11)
    assert list(await store.hosts(known)) == []
    await store.write_host(RECORD)
    again = RECORD.changed(weight=7)
    await store.write_host(again)
    assert list(await store.hosts(known)) == [again]


async def test_hosts_are_pruned_some_at_a_time(store, monkeypatch):
    monkeypatch.setattr(logic, "TOGETHER", 4)
    hosts = [HostRecord(f"{number}", f"10.1.0.{number}:1", removed_at=None if number == 5 else number) for number in range(1, 12)]
    await store._rows.insert_missing(records.HOSTS, hosts)
    await store.prune_hosts(11)
    assert [host.id for host in await store.hosts()] == ["11", "5"]
