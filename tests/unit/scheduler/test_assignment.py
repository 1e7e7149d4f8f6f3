"""What a worker knows of one entry: hints of a stop are followed up once, and nothing else than the work on it is cancelled."""

import asyncio

import pytest

from fastlane.models.event import Note, Obstacle
from fastlane.queue.port import EntryKind, Lease
from fastlane.scheduler.leases import Assignment

NOTE = Note("execution", 1, Obstacle.REGISTRY, "the registry does not answer", 1_700_000_000_000)


def assignment(*, stop: bool = False) -> Assignment:
    return Assignment(Lease("execution", EntryKind.EXECUTION, "default", 0, stop=stop))


def test_a_new_assignment_has_no_owner_no_host_and_nothing_that_delays_it() -> None:
    new = assignment()
    assert new.id == "execution"
    assert (new.epoch, new.host, new.note, new.stop_requested) == (None, None, None, False)


def test_a_hint_of_a_stop_is_taken_once() -> None:
    asked = assignment()
    asked.request_stop()
    assert asked.stop_requested
    assert asked.take_stop_request()
    assert not asked.stop_requested
    assert not asked.take_stop_request()


def test_a_stop_that_the_lease_names_is_a_hint_from_the_beginning() -> None:
    assert assignment(stop=True).take_stop_request()


async def test_a_hint_wakes_those_who_wait_for_it_and_a_taken_one_does_not() -> None:
    asked = assignment()
    asked.request_stop()
    asked.take_stop_request()
    waiting = asyncio.create_task(asked.stop_event.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    asked.request_stop()
    assert await waiting
    assert asked.stop_requested, "waiting does not take the hint"


def test_only_the_first_watch_is_the_first() -> None:
    watched = assignment()
    assert [watched.begin_watch() for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("spared", [True, False])
async def test_the_work_is_cancelled_unless_its_task_is_spared(spared: bool) -> None:
    held, work = assignment(), asyncio.create_task(asyncio.sleep(60))
    held.cancel()  # nothing works on it yet
    held.start(work)
    held.cancel(spared={work} if spared else ())
    await asyncio.sleep(0)
    assert work.cancelled() is not spared
    work.cancel()


def test_what_delays_it_is_asked_for_at_each_report_until_something_else_is_known() -> None:
    delayed, answers = assignment(), [NOTE, None]
    delayed.explain_with(lambda: answers.pop(0))
    assert [delayed.note, delayed.note] == [NOTE, None]
    delayed.explain(NOTE)
    assert delayed.note is NOTE
    delayed.explain(None)
    assert delayed.note is None
