"""What a worker has been lent: kept while it works, confirmed by the queue, given up at once when it is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from fastlane.errors import QueueDown
from fastlane.queue.port import EntryKind, Lease, Renewal, TimedQueue
from fastlane.scheduler.leases import Assignment, Leases
from tests.support.clock import FakeClock, settle
from tests.unit.scheduler.lending import Bench, Work


async def test_what_is_held_is_renewed_every_5_seconds_for_15() -> None:
    async with Bench() as bench:
        await bench.take("a")
        await bench.take("b")
        await bench.clock.advance(4.999)
        assert bench.queue.renewed == []
        await bench.clock.advance(0.001)
        assert bench.queue.renewed == [["a", "b"]]
        await bench.clock.advance(10)
        assert len(bench.queue.renewed) == 3
        assert bench.queue.said == {("7", "w1", "15000")}


async def test_nothing_held_asks_for_nothing() -> None:
    async with Bench() as bench:
        await bench.clock.advance(30)
        assert bench.queue.renewed == []


async def test_a_lost_lease_ends_its_work_at_once_and_no_others() -> None:
    async with Bench() as bench:
        _, lost = await bench.take("a")
        _, kept = await bench.take("b")
        bench.queue.answers["a"] = Renewal.LOST
        await bench.clock.advance(5)
        assert lost.cancelled
        assert not kept.cancelled
        assert bench.held == 1
        await bench.clock.advance(5)
        assert bench.queue.renewed[-1] == ["b"]


async def test_a_stop_found_at_a_renewal_is_passed_on_and_the_work_goes_on() -> None:
    async with Bench() as bench:
        assignment, work = await bench.take("a")
        assert not assignment.stop_requested
        bench.queue.answers["a"] = Renewal.STOP
        await bench.clock.advance(5)
        assert assignment.stop_requested
        assert not work.cancelled
        assert bench.held == 1


async def test_a_stop_found_at_the_claim_is_there_from_the_beginning() -> None:
    async with Bench() as bench:
        assignment, _ = await bench.take("a", stop=True)
        assert assignment.stop_requested


async def test_a_hint_of_a_stop_reaches_its_assignment_alone() -> None:
    async with Bench() as bench:
        one, _ = await bench.take("a")
        other, _ = await bench.take("b")
        bench.leases.hint_stop("a")
        bench.leases.hint_stop("of another worker")
        assert one.stop_requested
        assert not other.stop_requested


async def test_a_queue_that_is_away_stops_no_work() -> None:
    async with Bench() as bench:
        _, work = await bench.take("a")
        bench.queue.down = True
        await bench.clock.advance(60)
        assert not work.cancelled
        bench.queue.down = False
        await bench.clock.advance(5)
        assert bench.queue.renewed == [["a"]]


async def test_work_that_has_ended_is_not_renewed() -> None:
    async with Bench() as bench:
        _, work = await bench.take("a")
        work.done.set()
        await settle()
        assert bench.held == 0
        await bench.clock.advance(5)
        assert bench.queue.renewed == []


async def test_what_was_let_go_is_neither_renewed_nor_released_and_its_work_goes_on() -> None:
    async with Bench() as bench:
        assignment, work = await bench.take("a")
        bench.leases.forget(assignment)
        bench.leases.forget(assignment)
        await bench.clock.advance(5)
        assert bench.queue.renewed == []
        assert not work.cancelled
        assert bench.held == 0
        await bench.leases.close()
        assert bench.queue.released == []
        assert work.cancelled


async def test_an_entry_claimed_again_ends_the_earlier_work_on_it() -> None:
    async with Bench() as bench:
        first, old = await bench.take("a")
        second, new = await bench.take("a")
        assert old.cancelled
        assert not new.cancelled
        assert bench.held == 1
        bench.leases.forget(first)
        assert bench.held == 1
        bench.leases.hint_stop("a")
        assert second.stop_requested
        assert not first.stop_requested


@pytest.mark.parametrize(("answer", "still"), [(Renewal.OK, True), (Renewal.STOP, True), (Renewal.LOST, False)])
async def test_a_lease_is_confirmed_by_the_queues_word_alone(answer: Renewal, still: bool) -> None:
    async with Bench() as bench:
        assignment, work = await bench.take("a")
        bench.queue.answers["a"] = answer
        assert await bench.leases.confirm(assignment) is still
        assert bench.queue.renewed == [["a"]]
        assert assignment.stop_requested is (answer is Renewal.STOP)
        await settle()
        assert work.cancelled is not still


async def test_nothing_is_confirmed_while_the_queue_is_away() -> None:
    async with Bench() as bench:
        assignment, work = await bench.take("a")
        bench.queue.down = True
        with pytest.raises(QueueDown):
            await bench.leases.confirm(assignment)
        assert not work.cancelled


async def test_renewals_of_one_turn_of_the_loop_are_one_call() -> None:
    async with Bench() as bench:
        assignments = [(await bench.take(id))[0] for id in "abc"]
        bench.queue.answers |= {"b": Renewal.LOST, "c": Renewal.STOP}
        assert await asyncio.gather(*map(bench.leases.confirm, assignments)) == [True, False, True]
        assert bench.queue.renewed == [["a", "b", "c"]]
        assert [assignment.stop_requested for assignment in assignments] == [False, False, True]
        bench.queue.answers.clear()
        assert await bench.leases.confirm(assignments[0])
        assert bench.queue.renewed[1:] == [["a"]]


async def test_who_waits_for_a_confirmation_when_the_worker_ends_is_not_left_waiting() -> None:
    async with Bench() as bench:
        assignment, _ = await bench.take("a")
        bench.queue.answer.clear()
        asking = asyncio.ensure_future(bench.leases.confirm(assignment))
        await settle()
        await bench.leases.close()
        with pytest.raises(QueueDown):
            await asking


async def test_work_that_learns_of_its_own_loss_can_still_end_itself() -> None:
    async with Bench() as bench:
        bench.queue.answers["a"] = Renewal.LOST
        assignment = Assignment(Lease("a", EntryKind.EXECUTION, "default", 0))
        heard: list[bool] = []
        bench.leases.hold(assignment, confirming(bench.leases.confirm, assignment, heard))
        await settle()
        assert heard == [False]
        assert bench.held == 0


async def confirming(confirm: Callable[[Assignment], Awaitable[bool]], assignment: Assignment, heard: list[bool]) -> None:
    answer = await confirm(assignment)
    await asyncio.sleep(0)
    heard.append(answer)


async def test_an_answer_about_an_old_lease_does_not_end_the_work_on_a_new_one() -> None:
    """The lease ran out, and the renewal said LOST; before that answer was read, this worker claimed the entry again."""
    async with Bench() as bench:
        await bench.take("a")
        bench.queue.answers["a"] = Renewal.LOST
        bench.queue.answer.clear()
        await bench.clock.advance(5)
        assert bench.queue.renewed == [["a"]]
        _, new = await bench.take("a")
        bench.queue.answer.set()
        await settle()
        assert not new.cancelled
        assert bench.held == 1


async def test_many_leases_are_renewed_in_calls_of_bounded_size() -> None:
    async with Bench() as bench:
        ids = [f"e{number}" for number in range(1201)]
        for id in ids:
            bench.leases.hold(Assignment(Lease(id, EntryKind.EXECUTION, "default", 0)), Work().run())
        await bench.clock.advance(5)
        assert [id for call in bench.queue.renewed for id in call] == ids
        assert max(len(call) for call in bench.queue.renewed) <= 500


def test_durations_are_passed_in_milliseconds() -> None:
    assert Leases(cast(TimedQueue, None), FakeClock(), "w", duration=15, every=5).duration == 15_000
    assert Leases(cast(TimedQueue, None), FakeClock(), "w", duration=0.3, every=0.1).duration == 300
