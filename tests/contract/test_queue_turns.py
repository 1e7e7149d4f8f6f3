"""What every queue must do in a fair lane: tasks take turns, within a task the longest waiting goes first, and nothing is lost when the
setting changes or a worker of the release before takes entries, too."""

import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from fastlane.queue.port import Cancelled, Entry, Lane, LaneCounts, Turns
from tests.contract.claiming import MINUTE, claim, claimed, counted
from tests.support import previous_release
from tests.support.audits import audited
from tests.support.clocked_queue import ClockedQueue, everyone
from tests.support.factories import NOW, make_entry

FAIR, PLAIN = Lane("main", 10_000, fair=True), Lane("main", 10_000)
DAY = 24 * 60 * MINUTE


def of(task: str, count: int, due: int = NOW, **values) -> list[Entry]:
    """Entries ``TASK1`` and so on, which became due one after the other."""
    return [make_entry(f"{task}{number}", due - count + number, group=task, **values) for number in range(1, count + 1)]


async def one_by_one(queue: ClockedQueue, count: int, *, lane: Lane = FAIR, now: int = NOW) -> list[str]:
    """The ids of so many claims of one entry each, a millisecond apart."""
    return [id for step in range(count) for id in await claimed(queue, lane, count=1, now=now + step)]


async def drained(queue: ClockedQueue, lane: Lane = FAIR, now: int = NOW) -> list[str]:
    """Claims and finishes until nothing is left."""
    got: list[str] = []
    while leases := (await claim(queue, lane, count=7, now=now)).leases:
        got += [lease.id for lease in leases]
        await queue.finish({lease.id: lease.revision for lease in leases})
    return got


async def test_tasks_take_turns_and_within_one_the_longest_waiting_goes_first(queue):
    await queue.put([*of("a", 5), *of("b", 2), *of("c", 1)])
    assert await one_by_one(queue, 8) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4", "a5"]


async def test_tasks_take_turns_within_one_claim_too(queue):
    await queue.put([*of("a", 5), *of("b", 2), *of("c", 1)])
    assert await claimed(queue, FAIR) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4", "a5"]


async def test_a_single_job_does_not_wait_behind_the_thousands_of_another_task(queue):
    await queue.put(of("a", 1_000))
    assert await one_by_one(queue, 3) == ["a1", "a2", "a3"]
    await queue.at(NOW + 9).put([make_entry("b", NOW + 9, group="b")])
    assert "b" in await one_by_one(queue, 5, now=NOW + 10)


async def test_between_two_claims_of_a_task_each_other_one_that_waits_gets_one(queue):
    sizes = {"a": 40, "b": 3, "c": 17, "d": 1, "e": 9}
    await queue.put([entry for task, count in sizes.items() for entry in of(task, count)])
    tasks = [id[0] for id in await one_by_one(queue, sum(sizes.values()))]
    for first, task in enumerate(tasks):
        if task in tasks[first + 1 :]:
            following = tasks.index(task, first + 1)
            assert set(tasks[first:following]) == set(tasks[first:]), (first, tasks)


async def test_a_task_that_had_nothing_to_do_gathers_no_credit(queue):
    await queue.put(of("a", 9))
    assert await one_by_one(queue, 4) == ["a1", "a2", "a3", "a4"]
    later = NOW + 10
    await queue.at(later).put(of("b", 3, later))
    assert await one_by_one(queue, 6, now=later) == ["a5", "b1", "a6", "b2", "a7", "b3"]


async def test_an_old_due_time_is_no_credit_once_the_task_had_a_turn(queue):
    await queue.put([make_entry("a1", NOW - 9, group="a"), *of("b", 3, NOW - 1)])
    assert await one_by_one(queue, 2) == ["a1", "b1"]
    await queue.put([make_entry("a2", NOW - 50, group="a"), make_entry("a3", NOW - 50, group="a")])
    assert await one_by_one(queue, 4, now=NOW + 5) == ["a2", "b2", "a3", "b3"]


async def test_a_point_of_priority_counts_as_a_minute_of_waiting_between_tasks(queue):
    await queue.put([*of("low", 3), *of("high", 3, priority=1)])
    assert await one_by_one(queue, 3) == ["high1", "high2", "high3"]
    await queue.put([*of("top", 2, NOW + 20, priority=1), make_entry("old", NOW - 2 * MINUTE, group="old")])
    assert await one_by_one(queue, 2, now=NOW + 20) == ["old", "top1"]


async def test_within_a_task_the_order_is_by_waiting_time_and_priority_as_without_turns(queue):
    rows = [("late", NOW, 0), ("early", NOW - 5, 0), ("urgent", NOW, 1)]
    await queue.put([make_entry(id, due, group="a", priority=priority) for id, due, priority in rows])
    assert await one_by_one(queue, 3) == ["urgent", "early", "late"]


async def test_jobs_of_several_tasks_with_one_key_go_in_the_turns_of_their_tasks(queue):
    shared = {"group": "/main\x1fdb", "concurrency": 9}
    mine = [make_entry(f"a{number}", NOW - 9 + number, task="a", **shared) for number in (1, 2, 3)]
    await queue.put([*mine, make_entry("b1", task="b", **shared), *of("c", 1)])
    assert await one_by_one(queue, 5) == ["a1", "b1", "c1", "a2", "a3"]


async def test_blocked_entries_take_no_turn_and_come_back_without_credit(queue):
    await queue.put([*of("a", 4, concurrency=1), *of("b", 4)])
    assert await one_by_one(queue, 4) == ["a1", "b1", "b2", "b3"]
    assert await counted(queue) == LaneCounts(ready=1, timed=0, running=4, blocked=3)
    await queue.finish({"a1": 0})
    assert await one_by_one(queue, 2, now=NOW + 9) == ["a2", "b4"]


async def test_a_turn_is_not_spent_on_what_cannot_start(queue):
    held = [make_entry(f"x{number}", NOW - 9 + number, task="x", group="k", concurrency=1) for number in (1, 2)]
    await queue.put([make_entry("k1", NOW - 90, group="k", concurrency=1), *held, make_entry("x3", NOW, group="x"), *of("y", 2)])
    assert await one_by_one(queue, 4) == ["k1", "y1", "x3", "y2"]


async def test_a_task_whose_group_was_full_waits_since_its_last_turn(queue):
    await queue.put([*of("a", 3, concurrency=1), *of("b", 3)])
    assert await one_by_one(queue, 2) == ["a1", "b1"]
    await queue.finish({"a1": 0})
    assert await one_by_one(queue, 2, now=NOW + 5) == ["a2", "b2"]
    await queue.finish({"a2": 0})
    assert await one_by_one(queue, 2, now=NOW + 9) == ["a3", "b3"]


async def test_an_entry_given_back_is_there_again_in_the_turn_of_its_task(queue):
    await queue.put([*of("a", 3), *of("b", 3)])
    assert await one_by_one(queue, 2) == ["a1", "b1"]
    await queue.at(NOW + 5).requeue("me", "a1", NOW + 5)
    assert await one_by_one(queue, 5, now=NOW + 6) == ["a2", "b2", "a3", "b3", "a1"]


async def test_what_ends_while_it_is_in_line_leaves_no_gap(queue, shared_redis, installation):
    await queue.put([*of("a", 4), *of("b", 4, expires=NOW + 5), *of("c", 2)])
    assert await one_by_one(queue, 1) == ["a1"]
    assert await queue.cancel("a3") is Cancelled.REMOVED
    await queue.finish({"c1": 0})
    await queue.put([make_entry("a4", NOW, "other", group="a", revision=1)])
    assert await counted(queue) == LaneCounts(ready=6, timed=0, running=1)
    with shared_redis.client() as client:
        assert client.zcard(f"{{fl:{installation}:v1}}:line:main") == 6
    late = (await claim(queue, FAIR, count=4, now=NOW + 6)).leases
    assert {lease.id: lease.expired for lease in late}.items() >= {"b1": True, "b2": True}.items()
    assert sorted([lease.id for lease in late] + await drained(queue, now=NOW + 7)) == ["a2", "b1", "b2", "b3", "b4", "c2"]
    assert await audited(queue) is None


async def test_what_is_in_line_can_be_moved_to_another_lane_and_keeps_its_rank(queue):
    await queue.put([*of("a", 3), *of("b", 1)])
    assert await one_by_one(queue, 1) == ["a1"]
    assert await queue.adopt([make_entry(id, lane="other", group=id[0]) for id in ("a2", "a3")]) == 2
    assert await claimed(queue, FAIR) == ["b1"]
    assert await claimed(queue, Lane("other", 10)) == ["a2", "a3"]
    assert await audited(queue) is None


async def test_the_setting_can_be_taken_back_and_given_again_while_entries_wait(queue):
    await queue.put([*of("a", 900), *of("b", 3)])
    assert await claimed(queue, PLAIN, count=2) == ["a1", "a2"]
    assert await claimed(queue, FAIR, count=3) == ["a3", "a4", "a5"]  # the first page: nothing of b has been seen
    got = [id for _ in range(5) for id in await claimed(queue, FAIR, count=2)]
    assert {"b1", "b2", "b3"} <= set(got)
    assert await claimed(queue, PLAIN, count=2) == [f"a{number}" for number in (13, 14)]
    rest = [*await drained(queue, PLAIN), *await drained(queue, FAIR)]
    assert rest == [f"a{number}" for number in range(15, 901)]
    assert await audited(queue) is None


async def test_what_waits_is_not_overtaken_once_the_setting_is_taken_back(queue):
    await queue.put(of("a", 5))
    assert await one_by_one(queue, 1) == ["a1"]
    await queue.put(of("b", 2, NOW - 2))
    await queue.at(NOW + 5).put(of("c", 2, NOW + 5))
    assert await one_by_one(queue, 8, lane=PLAIN, now=NOW + 5) == ["a2", "b1", "a3", "b2", "a4", "a5", "c1", "c2"]


async def test_workers_with_the_setting_and_without_it_lose_and_double_nothing(queues):
    entries = [*of("a", 300), *of("b", 40, concurrency=3), *of("c", 20, concurrency=1)]
    await queues[0].put(entries)
    worked: Counter[str] = Counter()

    async def act(number: int, queue: ClockedQueue) -> None:
        lane = Lane("main", 50, fair=number % 2 == 0)
        while sum(worked.values()) < len(entries):
            leases = (await claim(queue, lane, owner=str(number), count=1 + number)).leases
            worked.update(lease.id for lease in leases)
            await queue.finish({lease.id: 0 for lease in leases})

    await everyone(queues, act)
    assert worked == Counter({entry.id: 1 for entry in entries})
    assert await audited(queues[0]) is None
    assert await counted(queues[0]) == LaneCounts(0, 0, 0)


@pytest.mark.parametrize("key", ["line", "tasks", "served"])
async def test_a_lost_key_of_the_turns_holds_up_nothing(queue, shared_redis, installation, key):
    entries = [*of("a", 400), *of("b", 3)]
    await queue.put(entries)
    first = await one_by_one(queue, 2)
    with shared_redis.client() as client:
        assert client.delete(f"{{fl:{installation}:v1}}:{key}:main")
    assert sorted(first + await drained(queue)) == sorted(entry.id for entry in entries)


async def test_a_day_without_a_turn_is_forgotten_and_a_wipe_forgets_all(queue, shared_redis, installation):
    served = f"{{fl:{installation}:v1}}:served:main"
    await queue.put([*of("a", 1), *of("b", 1)])
    await queue.finish(dict.fromkeys(await one_by_one(queue, 2), 0))
    await queue.at(NOW + 2 * DAY).put(of("c", 1))
    assert await claimed(queue, FAIR, now=NOW + 2 * DAY) == ["c1"]
    with shared_redis.client() as client:
        assert client.zrange(served, 0, -1) == ["c"]
        await queue.generation.wipe()
        assert client.exists(served) == 0


async def test_the_oldest_waiting_is_found_in_line_and_before(queue):
    await queue.put([*of("a", 2, NOW - 50, priority=3), *of("b", 1, NOW - 20)])
    assert await queue.oldest_waiting(["main"]) == {"main": 51}
    assert await one_by_one(queue, 1) == ["a1"]
    assert await queue.oldest_waiting(["main"]) == {"main": 50}
    await queue.put(of("c", 300))
    assert await queue.oldest_waiting(["main"]) == {"main": 299}
    assert await one_by_one(queue, 1) == ["a2"]
    await queue.put(of("d", 300, NOW - 9))
    assert await queue.oldest_waiting(["main"]) == {"main": 308}


async def test_turns_say_what_comes_before_an_entry(queue):
    await queue.put([*of("a", 3), *of("b", 1), *of("c", 1)])
    assert await queue.turns("main", "a3") is None
    assert await one_by_one(queue, 1) == ["a1"]
    assert await queue.turns("main", "a3") == Turns(1, 2, ("b", "c"))
    assert await queue.turns("main", "c1") == Turns(0, 2, ("b", "a"))
    assert await queue.turns("main", "a1") is None


OLD = """
import asyncio, sys
from fastlane.queue.base import Entry, EntryKind, Lane
from fastlane.queue.redis.queue import RedisQueue

async def main(url, installation, now, task, cancelled):
    queue = RedisQueue(url, installation, deadline=30, time=lambda: now)
    await queue.open()
    wrong, page = None, None
    while True:
        found = await queue.generation.audit("1", page)
        wrong, page = wrong or found.wrong, found.next
        if page is None:
            break
    assert wrong is None, wrong
    await queue.put([Entry(f"{task}{n}", EntryKind.EXECUTION, "main", now - n, 0, 0, task, 2) for n in range(9)])
    assert (await queue.cancel(cancelled)).value == "removed"
    leases = (await queue.claim("1", "old", [Lane("main", 1000)], 25, lease=10_000)).leases
    print(*(lease.id for lease in leases))
    await queue.requeue("old", leases[0].id, now)
    await queue.finish({lease.id: lease.revision for lease in leases[1:]})
    await queue.close()

url, installation, now, *names = sys.argv[1:]
asyncio.run(main(url, installation, int(now), *names))
"""


async def old_worker(folder: Path, url: str, installation: str, task: str, cancelled: str) -> Sequence[str]:
    """The entries that a worker of the release before claims; it puts nine of a task, cancels one, and finishes all but the first."""
    given = (url, installation, str(NOW), task, cancelled)
    done = await create_subprocess_exec(sys.executable, "-c", OLD, *given, env={"PYTHONPATH": str(folder)}, cwd=folder, stdout=PIPE)
    out, _ = await done.communicate()
    assert done.returncode == 0
    return out.decode().split()


async def test_a_worker_of_the_release_before_loses_and_doubles_nothing(queue, shared_redis, installation, tmp_path):
    folder = previous_release.unpack(tmp_path)
    entries = [*of("a", 60, concurrency=9), *of("b", 20, concurrency=2), *of("c", 8, expires=NOW + DAY)]
    await queue.put(entries)
    got = await one_by_one(queue, 3)
    await queue.finish(dict.fromkeys(got, 0))
    for task, cancelled in (("y", "a60"), ("z", "a59")):
        first, *others = await old_worker(folder, shared_redis.url, installation, task, cancelled)
        assert first not in got
        got += others
        some = await claimed(queue, FAIR, count=5)
        got += some
        await queue.finish(dict.fromkeys(some, 0))
    got += await drained(queue)
    theirs = [f"{task}{number}" for task in "yz" for number in range(9)]
    assert sorted(got) == sorted({*(entry.id for entry in entries), *theirs} - {"a59", "a60"})
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 0, 0)}
    assert await audited(queue) is None
