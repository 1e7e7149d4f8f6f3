"""What every queue must do: one suite over the fixture ``queue``. Time is in the test's hands, so no test waits for it."""

from uuid import uuid4

from fastlane.models.note import Note, Obstacle
from fastlane.models.placement.host import HostView
from fastlane.queue.base import TICKS, Cancelled, EntryKind, Lane, LaneCounts, Renewal, Report
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import NOW, make_entry

MINUTE = 60_000
LEASE = 10_000
MAIN = Lane("main", 10)


async def claim(queue: ClockedQueue, *lanes: Lane, owner: str = "me", count: int = 100, now: int = NOW):
    return await queue.at(now).claim("1", owner, lanes or (MAIN,), count, lease=LEASE)


async def claimed(queue: ClockedQueue, *lanes: Lane, **values) -> list[str]:
    return [lease.id for lease in (await claim(queue, *lanes, **values)).leases]


async def test_an_entry_that_is_due_is_claimed_once(queue):
    await queue.put([make_entry("a")])
    (lease,) = (await claim(queue)).leases
    assert (lease.id, lease.kind, lease.lane, lease.revision, lease.resume, lease.stop) == (
        "a",
        EntryKind.EXECUTION,
        "main",
        0,
        False,
        False,
    )
    assert await claimed(queue, owner="other") == []


async def test_an_entry_is_not_claimed_before_it_is_due(queue):
    await queue.put([make_entry("a", NOW + 500, kind=EntryKind.JOB, lane=TICKS)])
    first = await claim(queue, Lane(TICKS, None), now=NOW + 499)
    assert first.leases == ()
    assert first.next_at == NOW + 500
    assert await claimed(queue, Lane(TICKS, None), now=NOW + 500) == ["a"]


async def test_a_claim_tells_redis_s_time_and_when_there_may_be_more(queue):
    assert (await claim(queue)).next_at is None
    await queue.put(
        [
            make_entry("far", NOW + 90_000),
            make_entry("near", NOW + 30_000),
            make_entry("now"),
            make_entry("elsewhere", NOW + 5, lane="other"),
        ]
    )
    first = await claim(queue)
    assert first.now == NOW
    assert first.next_at == NOW + LEASE
    await queue.finish({"now": 0})
    assert (await claim(queue)).next_at == NOW + 30_000


async def test_a_claim_that_left_some_says_that_there_is_more_now(queue):
    await queue.put([make_entry(str(number)) for number in range(3)])
    assert (await claim(queue, count=2)).next_at == NOW
    assert (await claim(queue, count=2)).next_at == NOW + LEASE


async def test_a_full_lane_is_not_a_reason_to_claim_again_at_once(queue):
    await queue.put([make_entry("a"), make_entry("b")])
    first = await claim(queue, Lane("main", 1))
    assert [lease.id for lease in first.leases] == ["a"]
    assert first.next_at == NOW + LEASE
    assert (await claim(queue, Lane("main", 1))).next_at == NOW + LEASE


async def test_entries_of_one_due_time_are_claimed_in_the_order_in_which_they_were_put(queue):
    ids = [uuid4().hex for _ in range(30)]
    for id in ids:
        await queue.at(NOW).put([make_entry(id, NOW + 10)])
    assert await claimed(queue, Lane("main", None), now=NOW + 20) == ids


async def test_what_was_due_earlier_is_claimed_first(queue):
    await queue.put([make_entry("late", NOW - 1), make_entry("early", NOW - 5), make_entry("middle", NOW - 3)])
    assert await claimed(queue) == ["early", "middle", "late"]


async def test_a_point_of_priority_counts_as_a_minute_of_waiting(queue):
    waiting = [
        make_entry("plain", NOW - MINUTE + 1),
        make_entry("old", NOW - 3 * MINUTE),
        make_entry("urgent", priority=2),
        make_entry("idle", NOW - MINUTE, priority=-5),
    ]
    await queue.put(waiting)
    assert await claimed(queue) == ["old", "urgent", "plain", "idle"]


async def test_no_more_than_the_limit_of_a_lane_are_leased(queue):
    await queue.put([make_entry(str(number)) for number in range(5)])
    assert await claimed(queue, Lane("main", 2)) == ["0", "1"]
    assert await claimed(queue, Lane("main", 2), owner="other") == []
    await queue.finish({"0": 0})
    assert await claimed(queue, Lane("main", 2), owner="other") == ["2"]
    assert await queue.counts(["main"]) == {"main": LaneCounts(ready=2, timed=0, running=2)}


async def test_a_lane_without_a_limit_takes_no_slots(queue):
    await queue.put([make_entry(str(number), lane=TICKS, kind=EntryKind.JOB) for number in range(50)])
    assert len(await claimed(queue, Lane(TICKS, None))) == 50
    assert await queue.counts([TICKS]) == {TICKS: LaneCounts(ready=0, timed=0, running=0)}


async def test_no_lane_starves_behind_a_full_one(queue):
    await queue.put([make_entry(f"busy{number}", NOW - 1000) for number in range(100)])
    await queue.put([make_entry("quiet", lane="other")])
    assert "quiet" in await claimed(queue, Lane("main", 50), Lane("other", 50), count=4)


async def test_each_lane_is_served_even_one_entry_at_a_time(queue):
    for lane in ("a", "b", "c"):
        await queue.put([make_entry(f"{lane}{number}", lane=lane) for number in range(4)])
    lanes = [Lane("a", 9), Lane("b", 9), Lane("c", 9)]
    first = [(await claimed(queue, *lanes, count=1))[0][0] for _ in range(3)]
    assert sorted(first) == ["a", "b", "c"]


async def test_a_lane_that_is_not_asked_for_is_left_alone(queue):
    await queue.put([make_entry("a", lane="paused")])
    assert await claimed(queue) == []
    assert await queue.counts(["paused", "unheard"]) == {"paused": LaneCounts(1, 0, 0), "unheard": LaneCounts(0, 0, 0)}


async def test_a_backlog_is_worked_off_completely(queue):
    ids = [f"{number:04}" for number in range(1000)]
    await queue.at(NOW).put([make_entry(id, NOW + number) for number, id in enumerate(ids)])
    got, next_at = [], NOW + 5000
    while next_at == NOW + 5000:
        one = await claim(queue, Lane("main", None), Lane("other", 5), count=200, now=NOW + 5000)
        got += [lease.id for lease in one.leases]
        next_at = one.next_at
    assert sorted(got) == ids


async def test_a_put_again_changes_nothing(queue):
    await queue.put([make_entry("a", NOW + 10, revision=3)])
    await queue.put([make_entry("a", NOW + 99, revision=3), make_entry("a", NOW + 99, revision=2)])
    assert (await claim(queue)).next_at == NOW + 10
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 1, 0)}


async def test_a_put_with_a_higher_revision_moves_the_entry(queue):
    await queue.put([make_entry("a", NOW + 10, revision=1), make_entry("b", revision=1)])
    await queue.put([make_entry("a", NOW - 5, revision=2, lane="other"), make_entry("b", NOW + 7, revision=2)])
    assert await queue.counts(["main", "other"]) == {"main": LaneCounts(0, 1, 0), "other": LaneCounts(1, 0, 0)}
    (lease,) = (await claim(queue, Lane("other", 1))).leases
    assert lease.revision == 2
    assert (await claim(queue)).next_at == NOW + 7


async def test_the_same_id_twice_in_one_put_ends_at_the_higher_revision(queue):
    await queue.put([make_entry("a", NOW + 10, revision=1), make_entry("a", NOW, revision=2)])
    (lease,) = (await claim(queue)).leases
    assert lease.revision == 2
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 0, 1)}


async def test_what_is_put_while_leased_comes_after_the_finish(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 50, revision=2, lane="other", priority=4)])
    assert await claimed(queue, MAIN, Lane("other", 1), owner="other", now=NOW + 60) == []
    await queue.at(NOW).finish({"a": 1})
    assert await queue.counts(["main", "other"]) == {"main": LaneCounts(0, 0, 0), "other": LaneCounts(0, 1, 0)}
    (lease,) = (await claim(queue, Lane("other", 1), now=NOW + 60)).leases
    assert (lease.id, lease.revision, lease.resume) == ("a", 2, False)


async def test_the_highest_of_several_puts_while_leased_counts(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 50, revision=3), make_entry("a", NOW + 1, revision=2)])
    await queue.finish({"a": 1})
    assert (await claim(queue)).next_at == NOW + 50


async def test_what_was_put_while_leased_and_worked_on_already_goes_with_the_finish(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 50, revision=2)])
    await queue.finish({"a": 2})
    assert (await claim(queue)).next_at is None


async def test_a_finish_is_safe_to_repeat(queue):
    await queue.put([make_entry("a", revision=1), make_entry("b")])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 50, revision=2)])
    for _ in range(3):
        await queue.finish({"a": 1, "b": 0, "never heard of": 7})
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 1, 0)}


async def test_a_late_finish_does_not_end_the_lease_of_what_was_put_since(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW, revision=2)])
    await queue.finish({"a": 1})
    assert await claimed(queue, owner="other") == ["a"]
    await queue.finish({"a": 1})
    assert await queue.renew("1", "other", ["a"], lease=LEASE) == {"a": Renewal.OK}


async def test_a_finish_removes_an_entry_that_nobody_has(queue):
    await queue.put([make_entry("timed", NOW + 5), make_entry("ready")])
    await queue.finish({"timed": 0, "ready": 0})
    assert (await claim(queue, now=NOW + 10)).next_at is None


async def test_leases_that_ran_out_are_resumed_before_new_work_and_keep_their_slots(queue):
    await queue.at(NOW - 1).put([make_entry("a"), make_entry("b"), make_entry("c"), make_entry("urgent", priority=50)])
    assert await claimed(queue, Lane("main", 2), count=2) == ["urgent", "a"]
    later = NOW + LEASE
    given = (await claim(queue, Lane("main", 2), owner="other", now=later)).leases
    assert [(lease.id, lease.resume) for lease in given] == [("a", True), ("urgent", True)]
    assert (await queue.counts(["main"]))["main"].running == 2
    await queue.at(later).finish({"a": 0})
    assert await claimed(queue, Lane("main", 2), now=later) == ["b"]


async def test_a_lease_of_a_lane_that_is_not_asked_for_is_resumed(queue):
    await queue.put([make_entry("a", lane="paused")])
    await claim(queue, Lane("paused", 1))
    assert (await claim(queue)).next_at == NOW + LEASE
    (lease,) = (await claim(queue, owner="other", now=NOW + LEASE)).leases
    assert (lease.id, lease.lane, lease.resume) == ("a", "paused", True)


async def test_a_renewed_lease_is_not_resumed(queue):
    await queue.put([make_entry("a")])
    await claim(queue)
    assert await queue.at(NOW + LEASE - 1).renew("1", "me", ["a"], lease=LEASE) == {"a": Renewal.OK}
    assert await claimed(queue, owner="other", now=NOW + LEASE + 1) == []


async def test_a_lease_that_another_took_over_is_lost(queue):
    await queue.put([make_entry("a"), make_entry("mine")])
    await claim(queue, count=1)
    assert await claimed(queue, owner="other", count=1, now=NOW + LEASE) == ["a"]
    answer = await queue.at(NOW + LEASE).renew("1", "me", ["a", "mine", "unheard"], lease=LEASE)
    assert answer == {"a": Renewal.LOST, "mine": Renewal.LOST, "unheard": Renewal.LOST}
    assert await queue.at(NOW + LEASE).renew("1", "other", ["a"], lease=LEASE) == {"a": Renewal.OK}


async def test_a_released_lease_is_resumed_at_once_with_its_slot(queue):
    await queue.put([make_entry("a"), make_entry("b")])
    await claim(queue, Lane("main", 1))
    await queue.release("someone else", ["a"])
    assert await claimed(queue, Lane("main", 1), owner="other") == []
    await queue.release("me", ["a", "unheard"])
    assert await queue.renew("1", "me", ["a"], lease=LEASE) == {"a": Renewal.LOST}
    (lease,) = (await claim(queue, Lane("main", 1), owner="other")).leases
    assert (lease.id, lease.resume) == ("a", True)


async def test_a_requeued_entry_frees_its_slot_and_comes_back_when_due(queue):
    await queue.put([make_entry("a"), make_entry("b")])
    await claim(queue, Lane("main", 1))
    await queue.requeue("someone else", "a", NOW)
    assert await claimed(queue, Lane("main", 1)) == []
    await queue.requeue("me", "a", NOW + 500)
    assert await claimed(queue, Lane("main", 1)) == ["b"]
    assert await claimed(queue, Lane("main", 2), now=NOW + 500) == ["a"]


async def test_an_entry_is_requeued_into_another_lane(queue):
    await queue.put([make_entry("a")])
    await claim(queue)
    await queue.requeue("me", "a", NOW, lane="other")
    assert await queue.counts(["main", "other"]) == {"main": LaneCounts(0, 0, 0), "other": LaneCounts(1, 0, 0)}
    assert await claimed(queue, Lane("other", 1)) == ["a"]


async def test_what_was_put_while_leased_goes_before_a_requeue(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 70, revision=2)])
    await queue.requeue("me", "a", NOW + 5)
    assert (await claim(queue)).next_at == NOW + 70


async def test_a_cancel_removes_what_nobody_has(queue):
    await queue.at(NOW).put([make_entry("timed", NOW + 5), make_entry("ready", lane="other")])
    assert [await queue.at(NOW).cancel(id) for id in ("timed", "ready", "ready", "unheard")] == ["removed", "removed", "absent", "absent"]
    assert (await claim(queue, MAIN, Lane("other", 1), now=NOW + 10)).next_at is None


async def test_a_cancel_of_a_leased_entry_tells_its_owner_and_whoever_resumes_it(queue):
    await queue.put([make_entry("a")])
    await claim(queue)
    assert await queue.cancel("a") is Cancelled.TOLD
    assert await queue.renew("1", "me", ["a"], lease=LEASE) == {"a": Renewal.STOP}
    (lease,) = (await claim(queue, owner="other", now=NOW + LEASE)).leases
    assert lease.stop


async def test_what_is_to_be_stopped_is_claimed_at_once_after_a_requeue(queue):
    await queue.put([make_entry("a")])
    await claim(queue)
    await queue.cancel("a")
    await queue.requeue("me", "a", NOW + 90_000)
    (lease,) = (await claim(queue)).leases
    assert lease.stop


async def test_what_is_requeued_strictly_is_not_claimed_before_that_although_it_is_to_be_stopped_and_has_expired(queue):
    await queue.put([make_entry("a", expires=NOW + 5)])
    await claim(queue)
    await queue.cancel("a")
    for due in (NOW + MINUTE, NOW + 2 * MINUTE):
        await queue.requeue("me", "a", due, strict=True)
        early = await claim(queue, now=due - 1)
        assert (early.leases, early.next_at) == ((), due)
        (lease,) = (await claim(queue, now=due)).leases
        assert (lease.stop, lease.expired) == (True, True)


async def test_what_is_put_after_a_cancel_is_not_to_be_stopped(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", revision=2)])
    await queue.cancel("a")
    await queue.put([make_entry("a", revision=3)])
    await queue.finish({"a": 1})
    (lease,) = (await claim(queue)).leases
    assert (lease.revision, lease.stop) == (3, False)


async def test_a_cancel_takes_what_was_put_while_leased_with_it(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", revision=2)])
    await queue.cancel("a")
    await queue.finish({"a": 1})
    assert (await claim(queue)).next_at is None


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
    await queue.at(NOW).reports.announce(Report("one", 1, (host,)), ttl=1000)
    await queue.at(NOW).reports.announce(Report("two", 2, ()), ttl=3000)
    await queue.at(NOW).reports.announce(Report("two", 2, (host, host)), ttl=3000)
    assert {report.worker: report.hosts for report in await queue.at(NOW + 999).reports.current()} == {"one": (host,), "two": (host, host)}
    assert [report.worker for report in await queue.at(NOW + 1000).reports.current()] == ["two"]
    assert await queue.at(NOW + 3000).reports.current() == []


async def test_a_report_keeps_its_hosts_and_notes_as_they_were(queue):
    host = HostView("tcp://a:2375", False, "did not answer", 5, None, "open", 3, 2, 6, 65_000, -1_500)
    notes = (Note("e", 1, Obstacle.REGISTRY, 'dial tcp: "refused" ✓', 5, 6), Note("f", None, Obstacle.STORE, "", 7))
    report = Report("one", 1, (host,), notes, 20, 7, (("fast", "fast-"), ("default", "")))
    await queue.reports.announce(report, ttl=1000)
    assert await queue.reports.current() == [report]


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
