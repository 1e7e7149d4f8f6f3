"""The Redis adapter on a server that is killed, paused, flushed, filled and watched."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from fastlane.errors import QueueDown
from fastlane.models.host import HostView
from fastlane.queue.port import TICKS, Entry, EntryKind, Lane, Report
from fastlane.queue.redis.queue import RedisQueue
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import NOW, make_entry
from tests.support.waiting import PATIENCE, until

DEADLINE = 2.0
"""Seconds: that of the product, where a test waits for it to pass. Elsewhere Redis has longer: other processes may be busy."""
MAIN = [Lane("main", 10)]


class Heard:
    """What a queue told its subscriber."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.told = asyncio.Event()

    async def a_wake(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.woken.wait()
        self.woken.clear()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@asynccontextmanager
async def opened(url: str, heard: Heard, deadline: float) -> AsyncIterator[ClockedQueue]:
    queue = ClockedQueue(url, "test", deadline=deadline)
    queue.subscribe(heard.woken.set, lambda id: heard.told.set())
    async with closed_after(queue):
        await queue.generation.set_generation("1")
        await heard.a_wake()
        yield queue


@asynccontextmanager
async def closed_after(queue: ClockedQueue) -> AsyncIterator[ClockedQueue]:
    """Opens it, and closes it whatever happens: what stays open disturbs the tests that follow in this process."""
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


@pytest.fixture
async def queue(own_redis, heard) -> AsyncIterator[ClockedQueue]:
    async with opened(own_redis.url, heard, PATIENCE) as queue:
        yield queue


@pytest.fixture
async def hasty(own_redis, heard) -> AsyncIterator[ClockedQueue]:
    """A queue that waits no longer than the product does."""
    async with opened(own_redis.url, heard, DEADLINE) as queue:
        yield queue


async def claim(queue: ClockedQueue, owner: str = "me", lanes=MAIN, now: int = NOW):
    return await queue.at(now).claim("1", owner, lanes, 100, lease=10_000)


async def test_a_killed_redis_is_down_at_once_and_cold_once_it_is_back(queue, own_redis, heard):
    await queue.put([make_entry("a")])
    before = await queue.generation.identity()
    heard.woken.clear()
    own_redis.kill()
    for act in (queue.check(), queue.put([make_entry("b")]), claim(queue), queue.generation.identity(), queue.generation.wipe()):
        with pytest.raises(QueueDown, match="cannot be reached"):
            await act
    own_redis.start()
    await heard.a_wake()
    await queue.check()
    assert (await claim(queue)).cold
    after = await queue.generation.identity()
    assert after.generation is None
    assert after.run_id != before.run_id
    await queue.generation.set_generation("1")
    await queue.put([make_entry("a")])
    assert [lease.id for lease in (await claim(queue)).leases] == ["a"]


async def test_signals_are_heard_again_after_a_restart(queue, own_redis, heard):
    own_redis.kill()
    own_redis.start()
    await heard.a_wake()
    await queue.generation.set_generation("1")
    await queue.put([make_entry("a")])
    await heard.a_wake()
    await claim(queue)
    await queue.cancel("a")
    async with asyncio.timeout(PATIENCE):
        await heard.told.wait()


async def test_a_paused_redis_is_down_within_the_deadline_and_serves_again_without_a_restart(hasty, own_redis):
    queue = hasty
    await queue.put([make_entry("a")])
    own_redis.pause()
    acts = [queue.check(), claim(queue), queue.generation.identity(), *(queue.put([make_entry(str(number))]) for number in range(50))]
    async with asyncio.timeout(PATIENCE):  # one after the other they would take longer
        answers = await asyncio.gather(*acts, return_exceptions=True)
    assert {type(answer) for answer in answers} == {QueueDown}
    assert f"did not answer within {DEADLINE:g} s" in str(answers[0])
    own_redis.go_on()
    await queue.check()
    assert "a" in [lease.id for lease in (await claim(queue)).leases]


async def test_calls_that_wait_behind_a_hung_one_keep_their_own_deadline(own_redis):
    async with closed_after(ClockedQueue(own_redis.url, "test", deadline=DEADLINE)) as queue:
        await queue.check()
        own_redis.pause()
        calls = [asyncio.create_task(queue.check())]
        for _ in range(20):
            await asyncio.sleep(0)
            calls.append(asyncio.create_task(queue.check()))
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        _, waiting = await asyncio.wait(calls, timeout=0.9 * DEADLINE)  # those that begin after the first one's end take as long again
        assert not waiting
        assert {type(call.exception()) for call in calls} == {QueueDown}
        own_redis.go_on()


async def test_a_redis_that_hangs_again_and_again_uses_up_nothing(hasty, own_redis):
    queue = hasty
    for _ in range(4):
        own_redis.pause()
        with pytest.raises(QueueDown):
            await queue.check()
        own_redis.go_on()
        await queue.check()
    with own_redis.client() as client:
        await until(lambda: len(client.client_list()) <= 4, "connections to be closed")


async def test_a_queue_that_opens_before_its_redis_works_once_it_is_there(own_redis, heard):
    own_redis.kill()
    queue = ClockedQueue(own_redis.url, "test")
    queue.subscribe(heard.woken.set, lambda id: None)
    async with closed_after(queue):
        with pytest.raises(QueueDown):
            await queue.check()
        own_redis.start()
        await heard.a_wake()
        await queue.check()


async def test_a_closed_queue_is_down_and_leaves_no_connection(queue, own_redis):
    await queue.check()
    await queue.close()
    with pytest.raises(QueueDown, match="closed"):
        await queue.check()
    with own_redis.client() as client:
        await until(lambda: len(client.client_list()) == 1, "the queue's connections to be closed")


async def test_a_caller_that_gives_up_leaves_the_others_alone(queue, own_redis):
    own_redis.pause()
    given_up = asyncio.create_task(queue.put([make_entry("a")]))
    await asyncio.sleep(0)
    given_up.cancel()
    other = asyncio.create_task(queue.check())
    await asyncio.sleep(0)
    own_redis.go_on()
    await other
    with pytest.raises(asyncio.CancelledError):
        await given_up


async def test_a_flushed_queue_is_cold(queue, own_redis):
    await queue.put([make_entry("a"), make_entry("b")])
    await claim(queue)
    own_redis.flush()
    assert (await claim(queue)).cold
    assert set((await queue.renew("1", "me", ["a", "b"], lease=1000)).values()) == {"lost"}
    await queue.finish({"a": 0})
    await queue.release("me", ["b"])


async def test_a_server_that_forgot_the_scripts_is_told_them_again(queue, own_redis):
    await queue.put([make_entry("a")])
    with own_redis.client() as client:
        client.script_flush()
    await asyncio.gather(*(queue.put([make_entry(str(number))]) for number in range(20)))
    assert len((await claim(queue, lanes=[Lane("main", None)])).leases) == 21


async def test_a_full_redis_is_down_for_writes_with_words_that_say_what_to_do(queue, own_redis):
    await queue.put([make_entry("a"), make_entry("b")])
    await claim(queue)
    with own_redis.client() as client:
        client.config_set("maxmemory", 1)
        for act in (queue.check(), queue.put([make_entry("c")])):
            with pytest.raises(QueueDown, match=r"full.*maxmemory"):
                await act
        await queue.finish({"a": 0})
        client.config_set("maxmemory", 0)
    await queue.check()
    assert (await queue.counts(["main"]))["main"].running == 1


async def test_a_replica_is_no_queue(queue, own_redis):
    with own_redis.client() as client:
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(QueueDown, match="replica"):
            await queue.check()
        client.replicaof("NO", "ONE")
    await queue.check()


async def test_a_wrong_password_is_said_without_the_password(own_redis):
    with own_redis.client() as client:
        client.config_set("requirepass", "right")
    queue = ClockedQueue(own_redis.url.replace("unix://", "unix://:very-wrong@"), "test")
    async with closed_after(queue):
        with pytest.raises(QueueDown, match="password") as refused:
            await queue.check()
    assert "very-wrong" not in str(refused.value)


async def test_a_wipe_leaves_no_key_and_touches_no_other_installation(queue, own_redis):
    async with closed_after(ClockedQueue(own_redis.url, "neighbour")) as other:
        await other.put([make_entry("theirs")])
        await _use_everything(queue)
        await queue.generation.wipe()
    with own_redis.client() as client:
        keys = client.keys("*")
    assert keys
    assert all(key.startswith("{fl:neighbour:v1}:") for key in keys)


@pytest.mark.parametrize(("limits", "most"), [({}, 275), ({"group": "a-task-of-20-letters"}, 300)], ids=["alone", "in a group"])
async def test_a_timed_entry_takes_at_most_275_bytes_and_its_group_s_name(queue, own_redis, limits, most):
    entries = [
        Entry(str(uuid4()), EntryKind.EXECUTION, "default", NOW + number, number % 5, number % 3, **limits) for number in range(20_000)
    ]
    with own_redis.client() as client:
        before = client.info("memory")["used_memory"]
        await queue.at(NOW - 1).put(entries)
        after = client.info("memory")["used_memory"]
    assert (await queue.counts(["default"]))["default"].timed == 20_000
    assert (after - before) / 20_000 <= most


async def _use_everything(queue: ClockedQueue) -> None:
    """Calls every script along each of its ways."""
    lanes = [Lane("main", 3), Lane("other", None), Lane(TICKS, None)]
    await queue.check()
    await queue.generation.set_generation("1")
    await queue.at(NOW).put(
        [make_entry(f"{lane.name}{number}", NOW + number - 5, lane.name, revision=1) for lane in lanes for number in range(9)]
    )
    first = await queue.at(NOW).claim("1", "me", lanes, 6, lease=1000)
    ids = [lease.id for lease in first.leases]
    assert len(ids) == 6
    await queue.at(NOW).put([make_entry(ids[0], NOW, "moved", revision=2), make_entry("main8", NOW + 5, "other", revision=2)])
    await queue.at(NOW).put([make_entry("other8", NOW - 5, "main", revision=2)])
    await queue.at(NOW).renew("1", "me", ids, lease=1000)
    await queue.at(NOW).cancel(ids[1])
    await queue.at(NOW).cancel("main7")
    await queue.at(NOW).finish({ids[0]: 1, ids[2]: 1, "other7": 1, "unheard": 0})
    await queue.at(NOW).requeue("me", ids[3], NOW + 50, lane="fresh")
    await queue.at(NOW).release("me", ids[4:5])
    await queue.at(NOW + 5000).claim("1", "you", lanes, 100, lease=1000)
    await queue.at(NOW).generation.restore([make_entry("lost"), make_entry("main6", lane="other")], lanes)
    await _use_groups(queue, lanes)
    await queue.counts([lane.name for lane in lanes])
    await queue.at(NOW).reports.announce(Report("w", 1, ()), ttl=1000)
    await queue.at(NOW + 5000).reports.announce(Report("x", 1, ()), ttl=1000)
    await queue.at(NOW + 5000).reports.current()


async def _use_groups(queue: ClockedQueue, lanes: list[Lane]) -> None:
    """Blocks entries of a group in several lanes, unblocks them in each way, and has some expire."""
    later, wide = NOW + 9000, [Lane("main", 50), Lane("wide", 50), Lane("far", 50)]
    limits = {"group": "g", "concurrency": 1}
    await queue.at(later).put(
        [
            make_entry(f"{lane.name}-g{number}", later, lane.name, **limits, expires=later + 5 + number)
            for number in range(6)
            for lane in wide
        ],
    )
    (first, *_) = (await queue.at(later).claim("1", "g", wide, 50, lease=1000)).leases
    await queue.at(later).put([make_entry("wide-g3", later, "far", revision=1, **limits)])
    await queue.at(later).cancel("wide-g4")
    await queue.at(later).requeue("g", first.id, later, lane="third")
    await queue.at(later).generation.restore([make_entry("far-g5", lane="wide", **limits)], lanes)
    await queue.at(later + 7).claim("1", "g", wide[:1], 50, lease=1000, watch=["wide", "far"])
    await queue.at(later + 7).finish({"far-g5": 0, first.id: 0, "main-g5": 0})


async def test_every_key_that_a_script_touches_is_declared(queue, own_redis):
    with own_redis.client() as client, client.monitor() as monitor:
        await _use_everything(queue)
        await queue.generation.wipe()
        client.ping()
        touched = _check_each_script(monitor)
    assert {command for command, _ in touched} >= {"HMGET", "HSET", "ZADD", "ZREM", "ZLEXCOUNT", "ZRANGEBYLEX", "SADD", "SREM", "UNLINK"}
    kinds = {key.split("}:")[1].split(":")[0] for _, key in touched}
    assert kinds >= {"timed", "ready", "slots", "expiries", "waiting", "blocked", "groups", "leases", "entries", "gen", "lanes"}
    assert len(touched) > 200


def _check_each_script(monitor) -> list[tuple[str, str]]:
    """Reads what the server did up to the PING: each command of a script may name only keys that the script's call declared."""
    touched: list[tuple[str, str]] = []
    declared: set[str] = set()
    while (seen := monitor.next_command())["command"] != "PING":
        words = seen["command"].split(" ")
        if words[0] == "EVALSHA":
            declared = set(words[3 : 3 + int(words[2])])
        elif seen["client_type"] == "lua" and words[0] not in ("TIME", "PUBLISH"):
            keys = words[1:] if words[0] == "UNLINK" else words[1:2]
            assert set(keys) <= declared, seen
            touched += [(words[0], key) for key in keys]
    return touched


async def test_the_calls_of_one_loop_turn_leave_together(queue, own_redis):
    with own_redis.client() as client:
        await queue.put([make_entry("warm")])
        before = client.info("stats")
        await asyncio.gather(*(queue.put([make_entry(str(number))]) for number in range(200)))
        after = client.info("stats")
    assert after["total_reads_processed"] - before["total_reads_processed"] < 50


async def test_a_claim_moves_at_most_256_entries_whatever_is_due(queue):
    await queue.at(NOW).put([make_entry(f"{lane}{number}", NOW + 1, lane) for lane in ("main", "other") for number in range(300)])
    first = await claim(queue, lanes=[Lane("main", 0), Lane("other", 0)], now=NOW + 1)
    counts = await queue.counts(["main", "other"])
    assert {(count.ready, count.timed) for count in counts.values()} == {(128, 172)}
    assert first.next_at == NOW + 1


async def test_reports_whose_time_is_over_are_dropped(queue, own_redis):
    host = HostView("tcp://a:2375", True)
    await queue.reports.announce(Report("gone", 1, (host,)), ttl=1000)
    await queue.at(NOW + 1000).reports.announce(Report("here", 1, (host,)), ttl=1000)
    with own_redis.client() as client:
        assert client.zrange("{fl:test:v1}:workers", 0, -1) == ["here"]
        assert {*client.hkeys("{fl:test:v1}:reports")} == {"here", "here\n", "here\ntcp://a:2375"}


async def test_a_report_that_changes_no_host_is_small(queue, own_redis):
    hosts = tuple(HostView(f"tcp://{number}:2375", True, swarm_id=f"swarm{number}") for number in range(1_000))

    async def size_of(hosts: tuple[HostView, ...]) -> int:
        with own_redis.client() as client:
            before = client.info("stats")["total_net_input_bytes"]
            await queue.reports.announce(Report("one", 1, hosts), ttl=60_000)
            return client.info("stats")["total_net_input_bytes"] - before

    assert await size_of(hosts) > 100_000
    assert await size_of(hosts) < 2_000
    assert await size_of((replace(hosts[0], running=1), *hosts[1:])) < 2_000
    assert len((await queue.reports.current())[0].hosts) == 1_000


async def test_ids_that_have_no_entry_any_more_are_dropped_by_a_claim(queue, own_redis):
    await queue.put([make_entry("leased"), make_entry("ready"), make_entry("timed", NOW + 5)])
    await queue.claim("1", "me", MAIN, 1, lease=1)
    with own_redis.client() as client:
        client.delete("{fl:test:v1}:entries")
    given = await claim(queue, now=NOW + 10)
    assert (given.leases, given.next_at) == ((), None)


async def test_unless_told_otherwise_the_queue_takes_redis_s_own_time(queue, own_redis):
    await queue.put([make_entry("a")])
    real = RedisQueue(own_redis.url, "test")
    await real.open()
    before = await real.time()
    given = await real.claim("1", "me", MAIN, 10, lease=10_000)
    after = await real.time()
    await real.close()
    assert [lease.id for lease in given.leases] == ["a"]
    assert NOW < before <= given.now <= after
    assert given.next_at == given.now + 10_000


async def test_a_ticket_is_a_key_that_goes_by_itself(queue, own_redis):
    assert await queue.tickets.put("a", "text", ttl=60_000)
    with own_redis.client() as client:
        (key,) = client.keys("*:ticket:*")
        assert 0 < client.pttl(key) <= 60_000
