"""What a worker gives back: all of it at its end, or one entry that it puts back; and for how much it has room."""

from collections.abc import Sequence

from structlog.testing import capture_logs

from fastlane.models.event import Note, Obstacle
from fastlane.queue.port import TICKS, EntryKind, Lease
from fastlane.scheduler.leases import MAX_SHORT_WORK, MAX_TICKS, Assignment, Room
from tests.support.clock import settle
from tests.unit.scheduler.lending import MAX, Bench, Work


async def test_closing_ends_all_work_before_it_hands_the_leases_over() -> None:
    async with Bench() as bench:
        works = [(await bench.take(id))[1] for id in "abc"]
        ended_first: list[bool] = []
        release = bench.queue.release

        async def watched(owner: str, ids: Sequence[str]) -> None:
            ended_first.append(all(work.cancelled for work in works))
            await release(owner, ids)

        bench.queue.release = watched  # type: ignore[method-assign]
        await bench.leases.close()
        assert ended_first == [True]
        assert bench.queue.released == [["a", "b", "c"]]
        assert bench.held == 0


async def test_closing_with_nothing_held_asks_for_nothing() -> None:
    async with Bench() as bench:
        await bench.leases.close()
        assert bench.queue.released == []


async def test_closing_does_not_fail_when_the_queue_is_away() -> None:
    async with Bench() as bench:
        _, work = await bench.take("a")
        bench.queue.down = True
        await bench.leases.close()
        assert work.cancelled


async def test_room_is_counted_for_each_kind_of_work_apart() -> None:
    async with Bench() as bench:
        await bench.take("a")
        bench.leases.hold(Assignment(Lease("job", EntryKind.JOB, TICKS, 0)), Work().run())
        bench.leases.hold(Assignment(Lease("late", EntryKind.EXECUTION, "p", 0, expired=True)), Work().run())
        assert bench.leases.room == Room(MAX - 1, MAX_SHORT_WORK - 1, MAX_TICKS - 1)


async def test_it_says_when_there_is_room_for_ticks_again() -> None:
    async with Bench() as bench:
        told, works = list[int](), [Work() for _ in range(MAX_TICKS + 1)]
        bench.leases.subscribe(lambda: told.append(bench.leases.room.ticks))
        for number, work in enumerate(works):
            bench.leases.hold(Assignment(Lease(f"{number}", EntryKind.JOB, TICKS, 0)), work.run())
        for work in works[:3]:
            work.done.set()
            await settle()
        assert told == [1]


async def test_a_tick_that_failed_counts_as_short_work_and_an_execution_stays_one() -> None:
    async with Bench() as bench:
        tick = Assignment(Lease("job", EntryKind.JOB, TICKS, 0))
        bench.leases.hold(tick, Work().run())
        execution, _ = await bench.take("a")
        bench.leases.count_failed_tick(tick)
        bench.leases.count_failed_tick(tick)
        bench.leases.count_failed_tick(execution)
        assert bench.leases.room == Room(MAX - 1, MAX_SHORT_WORK - 1, MAX_TICKS)
        bench.leases.forget(tick)
        assert bench.leases.room == Room(MAX - 1, MAX_SHORT_WORK, MAX_TICKS)


async def test_it_says_when_there_is_room_again_and_not_before() -> None:
    async with Bench() as bench:
        told = []
        bench.leases.subscribe(lambda: told.append(bench.leases.room.executions))
        works = [(await bench.take(str(number)))[1] for number in range(MAX + 1)]
        for work in works[:3]:
            work.done.set()
            await settle()
        assert told == [1]
        assert bench.leases.room.executions == 2


async def test_being_full_is_logged_once_and_again_after_a_real_change() -> None:
    with capture_logs() as logs:
        async with Bench() as bench:
            works = [(await bench.take(str(number)))[1] for number in range(MAX)]
            works.pop().done.set()
            await settle()
            works.append((await bench.take("another"))[1])
            for _ in range(2):
                works.pop().done.set()
                await settle()
            for name in ("more", "most"):
                await bench.take(name)
    assert [line["executions"] for line in logs if line["event"] == "worker.full"] == [MAX, MAX]


async def test_what_is_handed_over_is_released_and_nothing_is_claimed_for_a_moment() -> None:
    async with Bench() as bench:
        assignment, _ = await bench.take("a")
        assert bench.leases.rest == 0
        await bench.leases.hand_over(assignment)
        assert (bench.queue.released, bench.held) == ([["a"]], 0)
        assert 0 < bench.leases.rest < 1
        await bench.clock.advance(1)
        assert bench.leases.rest == 0


async def test_a_clock_that_was_set_back_prolongs_no_rest() -> None:
    async with Bench() as bench:
        assignment, _ = await bench.take("a")
        await bench.leases.hand_over(assignment)
        bench.clock.set_back(3600)
        assert bench.leases.rest == 0


async def test_the_note_of_what_was_put_back_is_kept_until_it_is_due_or_the_clock_is_set_back() -> None:
    async with Bench() as bench:
        note = Note("a", 1, Obstacle.REGISTRY, "", bench.clock.now())
        assignment, _ = await bench.take("a")
        assignment.explain(note)
        bench.leases.keep_note(assignment, bench.clock.now() + 60_000)
        bench.leases.forget(assignment)
        await bench.clock.advance(60)
        assert bench.leases.notes() == [note]
        bench.clock.set_back(3600)
        assert bench.leases.notes() == []


async def test_a_hand_over_that_the_queue_does_not_hear_of_ends_with_the_lease() -> None:
    async with Bench() as bench:
        assignment, _ = await bench.take("a")
        bench.queue.down = True
        await bench.leases.hand_over(assignment)
        assert bench.held == 0
