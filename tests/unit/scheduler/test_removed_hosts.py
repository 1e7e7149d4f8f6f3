"""What many hosts that were removed by force cost a worker."""

from dataclasses import replace
from typing import Any, cast

import pytest

from fastlane.clock import SystemClock
from fastlane.directory import WHOLE_EVERY, CurrentPools, Directory
from fastlane.models.host import HostRecord, record_id
from fastlane.models.job import Execution
from fastlane.models.pool import Pool, removed_with
from fastlane.models.status import Status
from fastlane.scheduler import host_keeper
from fastlane.scheduler.host_keeper import HostKeeper
from fastlane.storage import records
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.clock import FakeClock
from tests.support.defaults import ports_of
from tests.support.factories import make_execution
from tests.support.instant import InstantExecutor
from tests.support.recorded_calls import recorded_statements

POOL = Pool("default", "", ("h:1",))
MANY = 20_000


def removed(number: int) -> HostRecord:
    address = f"gone-{number}:2376"
    return HostRecord(record_id(address), address, version=2, removed_at=50, lost_until=50)


def on(host: str) -> Execution:
    return replace(make_execution(), status=Status.RUNNING, host=host, service_id="s", bound_at=40)


def test_only_the_records_of_its_own_host_are_looked_at_for_an_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = list[int]()

    def counted(records: Any, execution: Execution) -> HostRecord | None:
        looked_at.append(len(records))
        return removed_with(records, execution)

    monkeypatch.setattr(host_keeper, "removed_with", counted)
    pools = CurrentPools([POOL], [removed(number) for number in range(MANY)])
    ports = ports_of(None, None, SystemClock(), executor=InstantExecutor(["h:1"], SystemClock()), pools=pools)
    keeper = HostKeeper(ports, cast(Any, None), cast(Any, None), 300.0, lambda: None)
    assert keeper.lost(on("h:1")) is None
    assert keeper.lost(on("gone-7:2376")) == "its host gone-7:2376 was removed by force"
    assert looked_at == [0, 1]


async def test_a_look_makes_two_statements_beside_twenty_thousand_removed_hosts(tmp_path: Any) -> None:
    """Each process looks 2.5 times a second."""
    clock = FakeClock()
    with recorded_statements() as statements:
        store = SqliteStore(tmp_path / "store.db")
        await store.open()
        await store._rows.insert_missing(records.HOSTS, [removed(number) for number in range(MANY)])
        directory = Directory(store, CurrentPools([POOL]), clock)
        await directory.refresh()
        seen = directory.pools.records
        assert len(seen) == MANY
        statements.clear()
        await directory.refresh()
        asked = [statement.split(" FROM ")[1].split()[0] for statement in statements if statement.startswith("SELECT")]
        assert sorted(asked) == ["hosts_revision", "pools_revision"]
        assert directory.pools.records is seen
        new = HostRecord("new", "new:1", pool="default")
        assert await store.write_host(new)
        statements.clear()
        await directory.refresh()
        assert not any(" FROM hosts WHERE" in statement for statement in statements)
        assert [host for host in directory.pools.records if host.removed_at is None] == [new]
        assert directory.pools[0].hosts == ("h:1", "new:1")
        await store.close()


async def test_a_change_without_a_mark_is_found_within_a_minute(tmp_path: Any) -> None:
    """A worker of an earlier version, or one that ends amid a change, leaves none."""
    clock = FakeClock()
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    directory = Directory(store, CurrentPools([POOL]), clock)
    await directory.refresh()
    await store._rows.insert(records.HOSTS, HostRecord("new", "new:1", pool="default"))
    await directory.refresh()
    assert directory.pools[0].hosts == ("h:1",)
    await clock.advance(WHOLE_EVERY / 1000)
    await directory.refresh()
    assert directory.pools[0].hosts == ("h:1", "new:1")
    await store.close()
