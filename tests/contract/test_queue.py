"""What every queue must do as a whole: its generations, what is restored, reports of workers, and whom it wakes. Moments are handed in."""

import asyncio
from dataclasses import replace
from uuid import uuid4

from fastlane.models.event import Note, Obstacle
from fastlane.models.host import Disk, HostView, Node
from fastlane.queue.port import TICKS, EntryKind, Lane, LaneCounts, Renewal, Report
from tests.contract.claiming import HOUR, LEASE, MAIN, MINUTE, claim, claimed
from tests.support.factories import NOW, make_entry


async def test_another_generation_gives_nothing_and_loses_every_lease(queue):
    await queue.put([make_entry("a"), make_entry("b")])
    await claim(queue, count=1)
    cold = await queue.claim("2", "me", [MAIN], 10, lease=LEASE)
    assert (cold.cold, cold.leases, cold.now) == (True, (), NOW)
    assert await queue.renew("2", "me", ["a"], lease=LEASE) == {"a": Renewal.LOST}
    await queue.generation.set_generation("2")
    assert not (await queue.claim("2", "me", [MAIN], 10, lease=LEASE)).cold
    assert (await claim(queue)).cold


async def test_the_generation_is_told_beside_the_server_s_run(queue):
    first = await queue.generation.identity()
    assert first.generation == "1"
    assert first.run_id
    await queue.generation.wipe()
    second = await queue.generation.identity()
    assert (second.generation, second.run_id) == (None, first.run_id)


async def test_a_generation_follows_only_the_one_that_it_was_made_from(queue):
    await queue.generation.wipe(generation="2, in the making")
    assert (await claim(queue)).cold
    assert not await queue.generation.set_generation("2", before="2, in the making by another")
    assert await queue.generation.set_generation("2", before="2, in the making")
    assert not await queue.generation.set_generation("2", before="2, in the making")
    await queue.generation.wipe()
    assert not await queue.generation.set_generation("2", before="2")
    assert (await queue.generation.identity()).generation is None
    assert await queue.generation.set_generation("3")
    assert (await queue.generation.identity()).generation == "3"


async def test_a_wiped_queue_is_cold_and_empty(queue):
    await queue.put([make_entry("a"), make_entry("b", NOW + 5, lane="other")])
    await claim(queue)
    await queue.generation.wipe()
    assert (await claim(queue)).cold
    await queue.generation.set_generation("1")
    assert (await claim(queue, MAIN, Lane("other", 1), now=NOW + 99 * MINUTE)).next_at is None


async def test_restored_entries_are_resumed_and_hold_slots(queue):
    await queue.generation.restore(
        [make_entry("a", revision=4), make_entry("tick", lane=TICKS, kind=EntryKind.JOB)], [Lane("main", 1), Lane(TICKS, None)]
    )
    await queue.put([make_entry("new")])
    assert await queue.counts(["main", TICKS]) == {"main": LaneCounts(1, 0, 1), TICKS: LaneCounts(0, 0, 0)}
    leases = (await claim(queue, Lane("main", 1))).leases
    assert {(lease.id, lease.kind, lease.revision, lease.resume) for lease in leases} == {
        ("a", "execution", 4, True),
        ("tick", "job", 0, True),
    }
    await queue.generation.restore([make_entry("a")], [Lane("main", 1)])
    assert await queue.renew("1", "me", ["a"], lease=LEASE) == {"a": Renewal.OK}


async def test_a_restore_takes_an_entry_out_of_where_it_waits(queue):
    await queue.put([make_entry("ready"), make_entry("timed", NOW + 5)])
    await queue.generation.restore([make_entry("ready"), make_entry("timed")], [MAIN])
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 0, 2)}


async def test_many_entries_in_one_call_are_all_there(queue):
    ids = [uuid4().hex for _ in range(700)]
    await queue.put([make_entry(id) for id in ids])
    got: list[str] = []
    while len(got) < 700:
        got += await claimed(queue, Lane("main", 1000), count=1000)
    assert sorted(got) == sorted(ids)
    assert set((await queue.renew("1", "me", ids, lease=LEASE)).values()) == {Renewal.OK}
    await queue.finish(dict.fromkeys(ids, 0))
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 0, 0)}


async def test_reports_of_workers_are_kept_for_their_time(queue):
    host = HostView("tcp://a:2375", False, "refused", 5, "swarm", "open", 3, 2)
    other = HostView("tcp://b:2375", True)
    await queue.at(NOW).reports.announce(Report("one", 1, (host,)), ttl=1000)
    await queue.at(NOW).reports.announce(Report("two", 2, ()), ttl=3000)
    await queue.at(NOW).reports.announce(Report("two", 2, (host, other)), ttl=3000)
    assert {report.worker: report.hosts for report in await queue.at(NOW + 999).reports.current()} == {"one": (host,), "two": (host, other)}
    assert [report.worker for report in await queue.at(NOW + 1000).reports.current()] == ["two"]
    assert await queue.at(NOW + 3000).reports.current() == []


async def test_a_report_from_before_the_clock_was_set_back_is_dropped_a_minute_after_another_one(queue):
    await queue.at(NOW + HOUR).reports.announce(Report("dead", 1, ()), ttl=5000)
    await queue.at(NOW).reports.announce(Report("alive", 1, ()), ttl=5000)
    assert [report.worker for report in await queue.at(NOW + MINUTE).reports.current()] == []
    await queue.at(NOW + HOUR - 1).reports.announce(Report("alive", 1, ()), ttl=5000)
    assert [report.worker for report in await queue.at(NOW + HOUR).reports.current()] == ["alive"]


async def test_a_report_keeps_its_hosts_and_notes_as_they_were(queue):
    host = HostView("tcp://a:2375", False, "did not answer", 5, None, "open", 3, 2, 6, 65_000, -1_500)
    notes = (Note("e", 1, Obstacle.REGISTRY, 'dial tcp: "refused" ✓', 5, 6), Note("f", None, Obstacle.STORE, "", 7))
    host = replace(
        host, disk=Disk(1, 2, "is full", 3, 4, 5, 6), members=(Node("n", "a", "down", False), Node("m", "b", "ready", True, 1.5, 7))
    )
    report = Report("one", 1, (host,), notes, 20, 7, (("fast", "fast-"), ("default", "")))
    await queue.reports.announce(report, ttl=1000)
    assert await queue.reports.current() == [report]


async def test_a_report_replaces_the_hosts_of_the_one_before(queue):
    a, b, c = (HostView(f"tcp://{name}:2375", True) for name in "abc")
    busy = replace(b, running=3)
    for hosts in ((a, b), (a, busy), (busy, c), (), (c,), (a, b, c)):
        await queue.reports.announce(Report("one", 1, hosts), ttl=60_000)
        await queue.reports.announce(Report("other", 1, (a,)), ttl=60_000)
        assert [{*report.hosts} for report in await queue.reports.current()] == [{*hosts}, {a}]


async def test_a_report_is_whole_again_after_redis_has_lost_or_replaced_the_one_before(queue, queues):
    a, b, c = (HostView(f"tcp://{name}:2375", True) for name in "abc")
    await queue.reports.announce(Report("one", 1, (a, b)), ttl=60_000)
    await queue.generation.wipe()
    await queue.reports.announce(Report("one", 1, (a, b)), ttl=60_000)
    assert [{*report.hosts} for report in await queue.reports.current()] == [{a, b}]
    await queues[0].reports.announce(Report("one", 1, (c,)), ttl=60_000)
    await queue.reports.announce(Report("one", 1, (a, replace(b, running=1))), ttl=60_000)
    assert [{*report.hosts} for report in await queue.reports.current()] == [{a, replace(b, running=1)}]


async def test_nothing_is_kept_of_a_worker_that_has_left_or_is_gone(queue):
    host = HostView("tcp://a:2375", True)
    await queue.at(NOW).reports.announce(Report("one", 1, (host,)), ttl=1000)
    await queue.at(NOW).reports.announce(Report("one two", 1, (host,)), ttl=60_000)
    await queue.at(NOW + 1000).reports.announce(Report("two", 1, (host,)), ttl=60_000)
    await queue.at(NOW + 1000).reports.announce(Report("two", 1, ()), ttl=0)
    await queue.at(NOW + 1000).reports.announce(Report("one", 1, ()), ttl=60_000)
    assert {report.worker: report.hosts for report in await queue.at(NOW + 1000).reports.current()} == {"one": (), "one two": (host,)}


async def test_a_queue_that_answers_passes_its_check(queue):
    await queue.check()


async def test_a_queue_tells_the_time_of_its_claims(queue):
    assert await queue.at(NOW + 7).time() == (await claim(queue, now=NOW + 7)).now == NOW + 7


async def test_a_put_that_is_due_wakes(queue, listened):
    assert await listened(lambda: queue.put([make_entry("a")])) == ([], True)


async def test_a_put_sooner_than_all_others_of_its_lane_wakes(queue, listened):
    assert await listened(lambda: queue.put([make_entry("a", NOW + 500)])) == ([], True)
    assert await listened(lambda: queue.put([make_entry("b", NOW + 400)])) == ([], True)
    assert await listened(lambda: queue.put([make_entry("c", NOW + 900)])) == ([], False)


async def test_a_finish_wakes_for_whoever_waits_for_its_slot(queue, listened):
    await queue.put([make_entry("a"), make_entry("b")])
    await claim(queue, Lane("main", 1))
    assert await listened(lambda: queue.finish({"a": 0})) == ([], True)


async def test_a_requeue_a_release_a_restore_and_a_generation_wake(queue, listened):
    await queue.put([make_entry("a"), make_entry("b")])
    await claim(queue)
    assert await listened(lambda: queue.requeue("me", "a", NOW)) == ([], True)
    assert await listened(lambda: queue.release("me", ["b"])) == ([], True)
    assert await listened(lambda: queue.generation.restore([make_entry("c")], [MAIN])) == ([], True)
    assert await listened(lambda: queue.generation.set_generation("1")) == ([], True)


async def test_a_cancel_tells_the_owner(queue, listened):
    await queue.put([make_entry("a")])
    await claim(queue)
    assert await listened(lambda: queue.cancel("a")) == (["a"], False)


async def test_a_put_says_how_many_entries_were_absent(queue):
    assert await queue.put([make_entry("a"), make_entry("b", NOW + 5)]) == 2
    assert await queue.put([make_entry("a"), make_entry("b", NOW + 9, revision=1), make_entry("c")]) == 1
    assert await claimed(queue, count=1) == ["a"]
    assert await queue.put([make_entry("a", revision=1)]) == 0
    assert await asyncio.gather(queue.put([make_entry("d")]), queue.put([]), queue.put([make_entry("a"), make_entry("e")])) == [1, 0, 1]


async def test_what_has_waited_longest_for_a_slot_is_told_of_each_lane(queue):
    await queue.put([make_entry("urgent", NOW - 2_000, priority=9), make_entry("patient", NOW - 70_000, priority=-9)])
    await queue.put([make_entry("later", NOW + 5, lane="other"), make_entry("tick", NOW - 99, lane=TICKS, kind=EntryKind.JOB)])
    assert await queue.at(NOW).oldest_waiting(["main", "other", "none"]) == {"main": 70_000, "other": 0, "none": 0}
    assert await claimed(queue) == ["urgent", "patient"]
    assert await queue.at(NOW + 35).oldest_waiting(["main", "other"]) == {"main": 0, "other": 30}


async def test_of_many_lanes_only_the_first_in_line_are_looked_at(queue):
    lanes = [f"lane {number}" for number in range(300)]
    await queue.put([make_entry("first", NOW - 5, lanes[7], priority=1), make_entry("second", NOW - 9, lanes[7])])
    assert (await queue.at(NOW).oldest_waiting(lanes))[lanes[7]] == 5
    assert (await queue.at(NOW).oldest_waiting(lanes[:128]))[lanes[7]] == 9


async def test_what_waits_for_its_group_does_not_count_as_waiting_for_a_slot(queue):
    await queue.put([make_entry(name, NOW - rank, group="g", concurrency=1) for rank, name in enumerate("ba")])
    assert await claimed(queue) == ["a"]
    assert await queue.at(NOW).oldest_waiting(["main"]) == {"main": 0}
