"""Which pool a task belongs to, and what may be wrong with a list of pools."""

from collections.abc import Sequence

import pytest

from fastlane.models.pool import Pool, Pull, pool_faults, pool_for

HOST = "unix:///var/run/docker.sock"


def a_pool(name: str = "default", match: str = "", hosts: tuple[str, ...] = (HOST,), max_running: int = 10) -> Pool:
    return Pool(name, match, hosts, max_running)


@pytest.mark.parametrize(
    ("task_id", "name"),
    [
        ("build-api", "builds"),
        ("builder", "builds"),
        ("rebuild", "default"),
        ("Build", "default"),
        ("night-1", "nights"),
        ("night-", "default"),
        ("", "default"),
    ],
)
def test_a_task_belongs_to_the_first_pool_that_matches_from_its_start(task_id: str, name: str) -> None:
    pools = [a_pool("builds", "build"), a_pool("nights", r"night-\d+$"), a_pool("late", "build"), a_pool()]
    found = pool_for(pools, task_id)
    assert found is not None
    assert found.name == name


def test_a_task_that_no_pool_matches_has_none() -> None:
    assert pool_for([a_pool("builds", "build")], "test") is None
    assert pool_for([], "test") is None


def test_a_pool_runs_ten_at_once_and_asks_registries_only_for_what_is_missing_unless_told_otherwise() -> None:
    pool = Pool("default", "", (HOST,))
    assert (pool.max_running, pool.pull) == (10, Pull.MISSING)


@pytest.mark.parametrize(
    "pools",
    [
        [a_pool()],
        [a_pool("a-B_9", "x"), a_pool()],
        [a_pool("a", "x")],
        [a_pool("n" * 64)],
        [a_pool(max_running=1)],
        [a_pool(max_running=100_000)],
        [a_pool("a", "^"), a_pool()],
    ],
)
def test_good_pools_have_no_fault(pools: Sequence[Pool]) -> None:
    assert pool_faults(pools) == []


@pytest.mark.parametrize(
    ("pools", "words"),
    [
        ([], "no pool"),
        ([a_pool("a", "x"), a_pool("a")], "two pools are named 'a'"),
        ([a_pool("")], "a name has 1 to 64"),
        ([a_pool("n" * 65)], "a name has 1 to 64"),
        ([a_pool("a b")], "a name has 1 to 64"),
        ([a_pool("é")], "a name has 1 to 64"),
        ([a_pool("a\n")], "a name has 1 to 64"),
        ([a_pool("@ticks")], "a name has 1 to 64"),
        ([a_pool(hosts=())], "no hosts"),
        ([a_pool(max_running=0)], "maxRunning"),
        ([a_pool(max_running=100_001)], "maxRunning"),
        ([a_pool(match="(")], "not a regular expression"),
        ([a_pool(match="*")], "not a regular expression"),
        ([a_pool(match="a{4294967296}")], "not a regular expression"),
        ([a_pool(match="(" * 5000 + ")" * 5000)], "not a regular expression"),
        ([a_pool(), a_pool("b", "x")], "stands before others"),
    ],
)
def test_a_fault_of_a_pool_is_named_in_a_sentence(pools: Sequence[Pool], words: str) -> None:
    faults = pool_faults(pools)
    assert len(faults) == 1
    assert words in faults[0]


def test_all_faults_are_named_at_once() -> None:
    faults = pool_faults([a_pool("a b", "(", (), 0), a_pool("c", ""), a_pool("c", "")])
    assert len(faults) == 6
