"""Handing entries to a queue that comes and goes. The queue here is a stub: what is tested is when it is asked."""

import asyncio

import pytest

from fastlane.errors import QueueDown
from fastlane.models.pool import Pauses
from fastlane.models.status import Status
from fastlane.queue.port import Cancelled
from fastlane.services.outbox import BACKLOG, QueueOutbox
from tests.support.clock import FakeClock, settle
from tests.support.factories import make_entry, make_execution, make_job


class Switch:
    """The part of a queue that an outbox uses. A test turns it off and on; it notes what reached it."""

    def __init__(self) -> None:
        self.up = True
        self.checks = 0
        self.got: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.finds = Cancelled.ABSENT

    async def check(self) -> None:
        self.checks += 1
        await self.gate.wait()
        self._answer()

    async def put(self, entries) -> None:
        self._answer()
        self.got += [entry.id for entry in entries]

    async def cancel(self, id, *, revision=None) -> Cancelled:
        self._answer()
        self.got.append(f"cancel {id}" if revision is None else f"cancel {id} to {revision}")
        return self.finds

    async def pause(self, pauses) -> None:
        self._answer()
        self.got.append(f"pauses {pauses.revision}")

    def _answer(self) -> None:
        if not self.up:
            raise QueueDown("refused the connection")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def queue():
    return Switch()


@pytest.fixture
async def outbox(queue, clock):
    outbox = QueueOutbox(queue, clock, ())
    yield outbox
    await outbox.close()


async def test_an_answer_counts_for_a_second(outbox, queue, clock):
    for _ in range(5):
        await outbox.check()
    assert queue.checks == 1
    await clock.advance(0.999)
    await outbox.check()
    assert queue.checks == 1
    await clock.advance(0.001)
    await outbox.check()
    assert queue.checks == 2


async def test_a_put_is_an_answer_too(outbox, queue, clock):
    await outbox.put([make_entry("a")])
    await outbox.check()
    assert queue.checks == 0


async def test_all_who_ask_at_once_share_one_look_and_its_refusal(outbox, queue):
    queue.up = False
    queue.gate.clear()
    asking = [asyncio.create_task(outbox.check()) for _ in range(20)]
    await settle()
    queue.gate.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert queue.checks == 1
    assert {type(result) for result in results} == {QueueDown}


async def test_one_who_gives_up_asking_does_not_end_the_look_of_others(outbox, queue):
    queue.gate.clear()
    first, second = asyncio.create_task(outbox.check()), asyncio.create_task(outbox.check())
    await settle()
    first.cancel()
    await settle()
    queue.gate.set()
    await second
    assert queue.checks == 1


async def test_a_clock_that_was_set_back_asks_again(queue):
    clock = FakeClock(5_000)
    outbox = QueueOutbox(queue, clock, ())
    await outbox.check()
    clock._microseconds = 1_000_000
    await outbox.check()
    assert queue.checks == 2
    await outbox.close()


async def test_what_could_not_be_put_is_put_later_in_order(outbox, queue, clock):
    queue.up = False
    for number in range(500):
        await outbox.put([make_entry(str(number))])
    await clock.advance(60)
    assert queue.got == []
    queue.up = True
    await clock.advance(5)
    assert queue.got == [str(number) for number in range(500)]


async def test_after_a_failed_put_the_queue_is_asked_before_the_next_job(outbox, queue):
    await outbox.put([make_entry("a")])
    queue.up = False
    await outbox.put([make_entry("b")])
    with pytest.raises(QueueDown):
        await outbox.check()


async def test_the_backlog_is_bounded(outbox, queue, clock):
    queue.up = False
    await outbox.put([make_entry(str(number)) for number in range(BACKLOG + 5)])
    await outbox.put([make_entry("beyond")])
    queue.up = True
    await clock.advance(60)
    assert len(queue.got) == BACKLOG
    assert "beyond" not in queue.got


async def test_a_withdrawal_that_the_queue_did_not_hear_is_made_later_in_order(outbox, queue, clock):
    queue.up = False
    await outbox.put([make_entry("a")])
    await outbox.withdraw(make_job(id="j", revision=7))
    await outbox.put([make_entry("b")])
    await clock.advance(60)
    assert queue.got == []
    queue.up = True
    await clock.advance(5)
    assert queue.got == ["a", "cancel j to 7", "b"]


@pytest.mark.parametrize(
    ("status", "found", "put"),
    [
        (Status.RUNNING, Cancelled.NOTIFIED, False),
        (Status.RUNNING, Cancelled.REMOVED, True),
        (Status.RUNNING, Cancelled.ABSENT, False),
        (Status.STOPPED, Cancelled.NOTIFIED, False),
        (Status.STOPPED, Cancelled.REMOVED, True),
        (Status.STOPPED, Cancelled.ABSENT, True),
    ],
)
async def test_a_stop_reaches_the_queue_at_once_or_after_its_outage(outbox, queue, clock, status, found, put):
    queue.finds, execution = found, make_execution(status=status)
    expected = [f"cancel {execution.id}", *([execution.id] if put else [])]
    await outbox.pass_on_stop(execution)
    assert queue.got == expected
    queue.got.clear()
    queue.up = False
    await outbox.pass_on_stop(execution)
    queue.up = True
    await clock.advance(5)
    lost = found is Cancelled.ABSENT  # the first cancel may have removed it, and its answer was lost
    assert queue.got == ([*expected[:1], execution.id] if lost else expected)


async def test_cancellations_and_entries_share_the_bound_of_the_backlog(outbox, queue, clock):
    queue.up = False
    for number in range(3):
        await outbox.withdraw(make_job(id=str(number)))
    await outbox.put([make_entry(str(number)) for number in range(BACKLOG)])
    await outbox.withdraw(make_job(id="beyond"))
    queue.up = True
    await clock.advance(60)
    await clock.advance(60)
    assert len(queue.got) == BACKLOG
    assert not [said for said in queue.got if "beyond" in said]


async def test_the_waits_between_tries_are_bounded(outbox, queue, clock):
    queue.up = False
    await outbox.put([make_entry("a")])
    await clock.advance(3_600)
    queue.up = True
    await clock.advance(5)
    assert queue.got == ["a"]


async def test_after_an_outage_only_the_newest_pauses_are_passed_on(outbox, queue, clock):
    assert await outbox.pause(Pauses(1))
    queue.up = False
    for revision in (2, 4, 3):
        assert not await outbox.pause(Pauses(revision))
    await outbox.put([make_entry("a")])
    await clock.advance(60)
    queue.up = True
    await clock.advance(5)
    assert queue.got == ["pauses 1", "pauses 4", "a"]


async def test_closing_ends_the_retries(queue, clock):
    outbox = QueueOutbox(queue, clock, ())
    queue.up = False
    await outbox.put([make_entry("a")])
    await settle()
    await outbox.close()
    queue.up = True
    await clock.advance(60)
    assert queue.got == []
