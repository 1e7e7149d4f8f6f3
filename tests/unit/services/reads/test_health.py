"""Whether a pool can run something, by what the workers report."""

from fastlane.models.host import HostView
from fastlane.models.pool import Pool
from fastlane.queue.port import Report
from fastlane.services.reads.status import host_rows, pool_fault

POOL = Pool("p", "", ("a:2375", "b:2375"))


def report(worker: str, **hosts: str | None) -> Report:
    return Report(worker, 0, tuple(HostView(f"{name}:2375", reason is None, reason) for name, reason in hosts.items()))


def test_one_usable_host_is_enough():
    assert pool_fault(POOL, [report("1", a="refused", b=None)]) is None


def test_one_worker_who_can_use_a_host_is_enough():
    assert pool_fault(POOL, [report("1", a="refused"), report("2", a=None)]) is None


def test_each_unusable_host_is_named_with_its_reason():
    fault = pool_fault(POOL, [report("1", a="refused the connection", b="has no leader")])
    assert "a:2375 refused the connection" in fault
    assert "b:2375 has no leader" in fault


def test_a_pool_whose_hosts_nobody_sees_has_none():
    assert "a:2375, b:2375" in pool_fault(POOL, [report("1", c=None)])
    assert pool_fault(POOL, []) is not None


def test_rows_list_every_host_of_every_pool():
    rows = host_rows([POOL, Pool("q", "", ("b:2375",))], [report("1", a="refused", b="refused"), report("2", b=None)])
    assert [(row.pool, row.name, row.view.usable) for row in rows] == [("p", "a:2375", False), ("p", "b:2375", True), ("q", "b:2375", True)]
    assert [row.view for row in host_rows([POOL], [])] == [None, None]
