"""What every store promises of hosts, and of the revision of the pools."""

import asyncio
from dataclasses import replace

import pytest

from fastlane.models.access import Requester
from fastlane.models.host import EngineIdentity, HostLoad, HostRecord, record_id
from fastlane.models.pool import PoolsRevision
from fastlane.models.status import Status
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
