"""What an owner notes of an execution that cannot go on, case by case."""

from dataclasses import replace

import pytest

from fastlane.errors import HostDown, NoHost, QueueDown, RegistryDown, StoreDown
from fastlane.executors.port import EngineTask, Phase, TaskEnd
from fastlane.models.event import Note, Obstacle
from fastlane.models.status import Status
from fastlane.scheduler import leases, verdict
from tests.support.defaults import default_limits
from tests.support.factories import make_execution

NOW = 1_700_000_000_000
LIMITS = default_limits(pending_deadline=3_600, pull_deadline=900)
PLACED, BOUND_AT, CHANGED = NOW - 9_000, NOW - 6_000, NOW - 5_000
PULLING = make_execution(scheduled_for=NOW, created_at=NOW, status=Status.PULLING, epoch=3, host="a", placed_at=PLACED)
BOUND = replace(PULLING, service_id="s", bound_at=BOUND_AT)
WAITING = EngineTask("x", "s", Phase.WAITING, "pending", "no suitable node (1 node is drained)", changed_at=CHANGED)
ASSIGNED = EngineTask("x", "s", Phase.WAITING, "assigned", node_id="n", changed_at=CHANGED)
PREPARING = EngineTask("x", "s", Phase.PREPARING, "preparing", "preparing", node_id="n", changed_at=CHANGED)

ERRORS = {
    "a registry that does not answer": (RegistryDown("dial tcp: refused"), Obstacle.REGISTRY, PLACED + 900_000),
    "a registry without a name": (RegistryDown("lookup x: no such host", nameless=True), Obstacle.REGISTRY, PLACED + 40_000),
    "a host that fails": (HostDown("a refused the connection"), Obstacle.HOST_AWAY, None),
    "no host at all": (NoHost("no host of pool 'p' can be used"), Obstacle.NO_HOST, None),
    "a store that is full": (StoreDown("database or disk is full"), Obstacle.STORE, None),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_that_is_tried_again_is_noted_in_its_words(name):
    error, obstacle, until = ERRORS[name]
    since = PLACED if obstacle is Obstacle.REGISTRY else NOW  # it is asked again and again, and given back in between
    assert leases.note_of_error(error, PULLING, None, NOW, LIMITS) == Note("e", 3, obstacle, str(error), since, until)


def test_no_note_is_written_while_the_queue_is_down():
    assert leases.note_of_error(QueueDown("away"), PULLING, None, NOW, LIMITS) is None


def test_what_lasts_is_noted_since_its_first_time_and_in_its_last_words():
    first = leases.note_of_error(StoreDown("locked"), PULLING, None, NOW, LIMITS)
    again = leases.note_of_error(StoreDown("full"), PULLING, first, NOW + 5_000, LIMITS)
    assert (again.words, again.since) == ("full", NOW)
    other = leases.note_of_error(HostDown("hangs"), PULLING, again, NOW + 6_000, LIMITS)
    assert other.since == NOW + 6_000
    fault = leases.note_of_fault("e", 3, other, NOW + 7_000)
    assert leases.note_of_fault("e", 3, fault, NOW + 8_000) == Note("e", 3, Obstacle.FAULT, "", NOW + 7_000)


def test_it_is_waited_until_the_execution_expires_if_that_is_sooner():
    expiring = replace(PULLING, expires_at=NOW + 1_000)
    assert leases.note_of_error(RegistryDown("refused"), expiring, None, NOW, LIMITS).until == NOW + 1_000
    assert leases.note_of_error(HostDown("refused"), expiring, None, NOW, LIMITS).until == NOW + 1_000
    assert leases.note_of_tasks(replace(BOUND, expires_at=NOW + 1_000), [WAITING], LIMITS).until == NOW + 1_000


def test_the_note_on_an_execution_that_no_worker_has_taken_names_no_owner():
    enqueued = replace(PULLING, status=Status.ENQUEUED, epoch=0, placed_at=None)
    assert leases.note_of_error(StoreDown("full"), enqueued, None, NOW, LIMITS).epoch is None


TASKS = {
    "no node takes it": (BOUND, [WAITING], (Obstacle.NO_NODE, "no suitable node (1 node is drained)", BOUND_AT, BOUND_AT + 3_600_000)),
    "no node was looked for yet": (BOUND, [replace(WAITING, message="pending task scheduling")], None),
    "a node has it": (BOUND, [ASSIGNED], (Obstacle.IMAGE, "assigned", CHANGED, BOUND_AT + 3_600_000)),
    "its node pulls": (BOUND, [PREPARING], (Obstacle.IMAGE, "preparing", CHANGED, CHANGED + 900_000)),
    "it is parked": (BOUND, [], None),
    "it runs": (BOUND, [replace(PREPARING, phase=Phase.RUNNING, state="running")], None),
    "it ended": (BOUND, [replace(PREPARING, phase=Phase.ENDED, state="complete", end=TaskEnd.EXITED)], None),
    "its first task ended, and a stop left another": (BOUND, [replace(WAITING, phase=Phase.ENDED, end=TaskEnd.SHUTDOWN), WAITING], None),
    "it is known to run": (replace(BOUND, status=Status.RUNNING), [WAITING], None),
    "it was asked to stop": (replace(BOUND, stop_requested_at=NOW), [WAITING], None),
}


@pytest.mark.parametrize("name", TASKS)
def test_what_an_activated_service_waits_for_is_noted_in_the_engines_words(name):
    execution, tasks, expected = TASKS[name]
    note = leases.note_of_tasks(execution, tasks, LIMITS)
    assert (note and (note.obstacle, note.words, note.since, note.until)) == expected


def test_a_report_holds_the_notes_of_the_longest_wait():
    many = [None, *(Note(str(number), 1, Obstacle.NO_NODE, "", number) for number in reversed(range(2 * leases.MAX_NOTES))), None]
    kept = leases.oldest_notes(many)
    assert [note.since for note in kept] == list(range(leases.MAX_NOTES))


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("plain", "plain"),
        ("two\n\tlines\x00 and\x1b[31m colour", "two lines and [31m colour"),
        ("https://me:secret@r.example/v2/?token=abc", "https://me:********@r.example/v2/?token=********"),
        ("half a \ud800 pair", "half a pair"),
    ],
)
def test_words_are_shown_on_one_line_and_without_secrets(words, shown):
    assert verdict.shown(words) == shown


@pytest.mark.parametrize("sign", ["a", "é", "語", "🚀"])
def test_long_words_are_cut_between_characters(sign):
    shown = verdict.shown(sign * 1_000)
    assert shown.endswith("…")
    assert len(shown.encode()) <= verdict.MAX_WORDS
    assert set(shown) == {sign, "…"}
