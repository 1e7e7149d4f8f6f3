"""What a worker claims: from which lanes, and how much, by its usable hosts and by its room for each kind of work."""

from collections.abc import Iterator

import pytest

from fastlane.models.host import HostView, Views, reachable_manager, view_of
from fastlane.models.pool import HostRule, Pool
from fastlane.queue.port import TICKS, EntryKind, Lane, Lease
from fastlane.scheduler.leases import BATCH, ClaimRequest, PoolSlots, Room, Work, claim_request, work_of, workers_needed

FAST = Pool("fast", "f", ("a", "b"), 3)
SLOW = Pool("slow", "", ("b", "c"), 7)
POOLS = (FAST, SLOW)
ROOMY = Room(1_000, 1_000, 1_000)
ALL = [HostView(name, True) for name in "abc"]


@pytest.mark.parametrize(
    ("usable", "lanes", "watch"),
    [
        ((), [], ["fast", "slow"]),
        (("a",), [Lane("fast", 3)], ["slow"]),
        (("b",), [Lane("fast", 3), Lane("slow", 7)], []),
        (("c",), [Lane("slow", 7)], ["fast"]),
        (("a", "b", "c"), [Lane("fast", 3), Lane("slow", 7)], []),
        (("of nobody",), [], ["fast", "slow"]),
    ],
)
def test_a_pools_lane_is_asked_for_only_while_one_of_its_hosts_is_usable(
    usable: tuple[str, ...], lanes: list[Lane], watch: list[str]
) -> None:
    assert claim_request(POOLS, [HostView(name, name in usable) for name in (*"abc", "of nobody")], ROOMY) == ClaimRequest(
        (Lane(TICKS, None), *lanes), tuple(watch), BATCH
    )


@pytest.mark.parametrize(
    ("running", "lanes"), [((0, 0), [Lane("p", 5)]), ((2, 0), [Lane("p", 5)]), ((2, 3), []), ((2, 4), []), ((0, 3), [Lane("p", 5)])]
)
def test_a_pool_whose_hosts_have_as_many_as_they_may_is_not_asked_for(running: tuple[int, int], lanes: list[Lane]) -> None:
    pool = Pool("p", "", ("a", "b"), 10, rules={"a": HostRule(1, 2), "b": HostRule(1, 3)})
    hosts = [HostView(name, True, running=count) for name, count in zip("ab", running, strict=True)]
    assert claim_request((pool,), hosts, ROOMY).lanes == (Lane(TICKS, None), *lanes)


def test_a_host_without_a_limit_leaves_the_limit_to_its_pool() -> None:
    pool = Pool("p", "", ("a", "b"), 10, rules={"a": HostRule(1, 2)})
    hosts = [HostView(name, True, running=5) for name in "ab"]
    assert claim_request((pool,), hosts, ROOMY).lanes == (Lane(TICKS, None), Lane("p", 10))


class CountedViews(Views):
    """Views that count how often somebody goes through them."""

    walks = 0

    def __iter__(self) -> Iterator[HostView]:
        self.walks += 1
        return super().__iter__()


@pytest.mark.parametrize("rules", [{}, {"c": HostRule(1, 2)}])
def test_a_claim_does_not_go_through_all_hosts_again_while_nothing_changes(rules: dict[str, HostRule]) -> None:
    pool, hosts, slots = Pool("p", "", ("a", "b", "c"), 10, rules=rules), CountedViews(ALL), PoolSlots()
    first = claim_request((pool,), hosts, ROOMY, slots)
    walks = hosts.walks
    assert [claim_request((pool,), hosts, ROOMY, slots) for _ in range(3)] == [first] * 3
    assert (walks > 0, hosts.walks) == (True, walks)


def test_a_claim_goes_by_the_newest_hosts_and_the_newest_pool() -> None:
    pool, slots = Pool("p", "", ("a", "b"), 10), PoolSlots()
    assert claim_request((pool,), Views(ALL), ROOMY, slots).lanes == (Lane(TICKS, None), Lane("p", 10))
    away = Views(HostView(name, False) for name in "abc")
    assert claim_request((pool,), away, ROOMY, slots).watch == ("p",)
    back = Views(ALL)
    for limit in (4, 5):
        assert claim_request((Pool("p", "", ("a",), limit),), back, ROOMY, slots).lanes == (Lane(TICKS, None), Lane("p", limit))


def test_a_host_is_found_without_a_look_at_all_others() -> None:
    hosts = CountedViews(ALL)
    assert [view_of(hosts, name) for name in ("c", "d", None)] == [ALL[2], None, None]
    walks = hosts.walks
    assert [reachable_manager(hosts, "b", None) for _ in range(3)] == ["b"] * 3
    assert (walks, hosts.walks) == (1, 1)


def test_ticks_are_asked_for_whatever_the_hosts_do() -> None:
    assert claim_request((Pool("p", "", ("a",), 5, fair_share=True),), ALL, ROOMY).lanes == (Lane(TICKS, None), Lane("p", 5, fair=True))
    assert claim_request((), [], ROOMY).lanes == (Lane(TICKS, None),)


@pytest.mark.parametrize("executions", [0, -500])
def test_a_worker_full_of_executions_starts_none_and_asks_for_everything_else(executions: int) -> None:
    assert claim_request(POOLS, ALL, Room(executions, 1_000, 1)) == ClaimRequest((Lane(TICKS, None),), ("fast", "slow"), BATCH)


def test_a_worker_full_of_short_work_still_takes_over_what_others_left() -> None:
    assert claim_request(POOLS, ALL, Room(1_000, 0, 1_000)) == ClaimRequest((), (), BATCH)


@pytest.mark.parametrize("ticks", [0, -63])
def test_a_worker_full_of_ticks_starts_executions(ticks: int) -> None:
    assert claim_request(POOLS, ALL, Room(1_000, 1_000, ticks)) == ClaimRequest((Lane("fast", 3), Lane("slow", 7)), (), BATCH)
    assert claim_request((), [], Room(1_000, 1_000, ticks)) == ClaimRequest((), (), BATCH)


@pytest.mark.parametrize(
    ("room", "count"),
    [(Room(5, 1_000, 1), 5), (Room(1_000, 7, 1), 7), (Room(0, 7, 1), 7), (Room(BATCH + 1, BATCH + 1, 1), BATCH)],
)
def test_no_claim_is_larger_than_the_room_for_what_it_may_give(room: Room, count: int) -> None:
    assert claim_request(POOLS, ALL, room).count == count


@pytest.mark.parametrize(
    ("lease", "work"),
    [
        (Lease("j", EntryKind.JOB, TICKS, 1), Work.TICK),
        (Lease("j", EntryKind.JOB, TICKS, 1, resume=True), Work.TICK),
        (Lease("e", EntryKind.EXECUTION, TICKS, 1), Work.SHORT_WORK),
        (Lease("e", EntryKind.EXECUTION, "fast", 1, expired=True), Work.SHORT_WORK),
        (Lease("e", EntryKind.EXECUTION, "fast", 1), Work.EXECUTION),
        (Lease("e", EntryKind.EXECUTION, "fast", 1, resume=True), Work.EXECUTION),
        (Lease("e", EntryKind.EXECUTION, TICKS, 1, resume=True), Work.EXECUTION),
    ],
)
def test_what_a_lease_is_for(lease: Lease, work: Work) -> None:
    assert work_of(lease) is work


@pytest.mark.parametrize(("most", "needed"), [(10, 1), (9, 2), (5, 2), (3, 4)])
def test_the_workers_that_the_pools_need(most: int, needed: int) -> None:
    assert workers_needed(POOLS, most) == needed
