"""What is waited for, case by case."""

from dataclasses import replace

import pytest

from fastlane.models.cron import Cron
from fastlane.models.event import Note, Obstacle
from fastlane.models.host import HostView
from fastlane.models.job import Failure, Job, Spec
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.status import FINAL, Status
from fastlane.queue.port import TICKS, Turns
from fastlane.services.reads.concurrency import FullKey, FullTask, Sharing
from fastlane.services.reads.why import (
    Cause,
    EarlierExecution,
    FullPool,
    ImagePull,
    NotedObstacle,
    UnusableHost,
    UnusableHosts,
    WaitFacts,
    execution_waits,
    job_waits,
)
from tests.support.factories import make_execution

NOW = 1_700_000_100_000
DUE = NOW - 5_000
LATER = NOW + 60_000
POOL = Pool("fast", "", ("a:2375", "b:2375"), max_running=4)
WELL = HostView("a:2375", True)
AWAY = HostView("a:2375", False, "does not answer", since=NOW - 9_000)
GONE = HostView("b:2375", False, "is down", since=NOW - 3_000)
WORKS = WaitFacts(now=NOW, pool=POOL, workers=1, hosts=(WELL, GONE), running=1)

ONE = make_execution(scheduled_for=DUE, created_at=DUE)
BUSY = replace(ONE, spec=Spec("ubuntu", concurrency=2))
PULLING = replace(ONE, status=Status.PULLING, pool="fast", host="a:2375", placed_at=NOW - 4_000)
BOUND = replace(PULLING, service_id="s", bound_at=NOW - 2_000)
GIVEN_BACK = replace(PULLING, placed_at=NOW - 200_000)
RETRY = replace(ONE, attempt=3, created_at=NOW - 1_000, scheduled_for=LATER)
FAILED = replace(
    ONE,
    status=Status.FAILED,
    spec=Spec("ubuntu", retries=1, retry_delay=30_000),
    failure=Failure(FailureReason.EXIT, "exit code 1"),
    finished_at=NOW - 10_000,
)
RUNNING = replace(BOUND, status=Status.RUNNING)
WAITING = replace(ONE, waits=Overlap.REPLACE)
DONE_BOUND = replace(BOUND, status=Status.DONE)
OPEN = replace(AWAY, circuit="open", faults=5, retry_at=NOW + 30_000)
SINCE, UNTIL = NOW - 1_500, NOW + 300_000


def noted(obstacle, until=UNTIL, **facts):
    return replace(WORKS, note=Note("e", 1, obstacle, "in these words", SINCE, until), **facts)


DOWN = replace(WORKS, queue_fault="Redis did not answer", workers=0, hosts=(), running=0)

EXECUTIONS = {
    "nothing is in its way": (ONE, WORKS, []),
    "it is due later": (replace(ONE, scheduled_for=LATER), WORKS, [(Cause.DUE, DUE, LATER)]),
    "later, and nobody is there": (replace(ONE, scheduled_for=LATER), replace(WORKS, workers=0), [(Cause.DUE, DUE, LATER)]),
    "its retry is due later": (RETRY, WORKS, [(Cause.RETRY, NOW - 1_000, LATER)]),
    "its retry is due": (replace(RETRY, scheduled_for=DUE), WORKS, []),
    "no pool takes it": (ONE, replace(WORKS, pool=None), [(Cause.NO_POOL, DUE, None)]),
    "no worker is alive": (ONE, replace(WORKS, workers=0, hosts=()), [(Cause.NO_WORKER, None, None)]),
    "the queue is down": (ONE, DOWN, [(Cause.NO_QUEUE, None, None)]),
    "the queue is down and its pool paused": (
        ONE,
        replace(DOWN, paused=True),
        [(Cause.NO_QUEUE, None, None), (Cause.POOL_PAUSED, None, None)],
    ),
    "its pool is paused": (ONE, replace(WORKS, paused=True), [(Cause.POOL_PAUSED, None, None)]),
    "all dispatch is paused, and its pool": (
        ONE,
        replace(WORKS, hold="*", paused=True),
        [(Cause.DISPATCH_PAUSED, None, None), (Cause.POOL_PAUSED, None, None)],
    ),
    "a backup was restored": (ONE, replace(WORKS, hold="*restored"), [(Cause.DISPATCH_PAUSED, None, None)]),
    "all dispatch is paused, but it runs": (RUNNING, replace(WORKS, hold="*"), []),
    "its entry is in the lane of a pool that it had": (ONE, replace(WORKS, lane="old", running=4), [(Cause.OTHER_LANE, None, None)]),
    "its entry is in its pool's lane": (ONE, replace(WORKS, lane="fast"), []),
    "its entry is in the lane without slots": (ONE, replace(WORKS, lane=TICKS), []),
    "no host can be used": (ONE, replace(WORKS, hosts=(AWAY, GONE)), [(Cause.NO_HOST, NOW - 3_000, None)]),
    "no host is known": (ONE, replace(WORKS, hosts=()), [(Cause.NO_HOST, None, None)]),
    "its pool has one place left": (ONE, replace(WORKS, running=3), []),
    "its pool is full": (ONE, replace(WORKS, running=4, ready=7), [(Cause.POOL_FULL, DUE, None)]),
    "its task has one place left": (BUSY, replace(WORKS, sharing=Sharing(1)), []),
    "its task is at its concurrency": (BUSY, replace(WORKS, sharing=Sharing(2)), [(Cause.CONCURRENCY, DUE, None)]),
    "an earlier one of its job has to end": (WAITING, replace(WORKS, awaited=RUNNING, running=4), [(Cause.OVERLAP, DUE, None)]),
    "earlier ones have ended, and nobody is there": (
        replace(WAITING, expires_at=UNTIL),
        replace(WORKS, workers=0),
        [(Cause.NO_WORKER, None, UNTIL), (Cause.OVERLAP, DUE, UNTIL)],
    ),
    "its pool is full until it expires": (
        replace(BUSY, expires_at=UNTIL),
        replace(WORKS, running=4, sharing=Sharing(2)),
        [(Cause.POOL_FULL, DUE, UNTIL), (Cause.CONCURRENCY, DUE, UNTIL)],
    ),
    "it is due before it expires": (replace(ONE, scheduled_for=LATER, expires_at=UNTIL), WORKS, [(Cause.DUE, DUE, LATER)]),
    "a node pulls its image until it expires": (replace(BOUND, expires_at=UNTIL), WORKS, [(Cause.IMAGE, NOW - 2_000, UNTIL)]),
    "it expires before its registry is given up": (
        replace(PULLING, expires_at=UNTIL - 1),
        noted(Obstacle.REGISTRY),
        [(Cause.REGISTRY, SINCE, UNTIL - 1)],
    ),
    "it runs on, though its time to start is over": (
        replace(RUNNING, expires_at=NOW - 1),
        noted(Obstacle.NODE_DOWN),
        [(Cause.NODE_DOWN, SINCE, UNTIL)],
    ),
    "it was asked to stop, and would expire": (
        replace(BOUND, stop_requested_at=NOW - 1, expires_at=UNTIL),
        WORKS,
        [(Cause.STOP, NOW - 1, None)],
    ),
    "it does not care how many run": (ONE, replace(WORKS, sharing=Sharing(99)), []),
    "several things at once": (
        BUSY,
        replace(WORKS, paused=True, hosts=(), running=4, sharing=Sharing(2)),
        [(Cause.POOL_PAUSED, None, None), (Cause.NO_HOST, None, None), (Cause.POOL_FULL, DUE, None), (Cause.CONCURRENCY, DUE, None)],
    ),
    "its image is looked for": (PULLING, WORKS, [(Cause.IMAGE, NOW - 4_000, None)]),
    "a node pulls its image": (BOUND, WORKS, [(Cause.IMAGE, NOW - 2_000, None)]),
    "its host went away": (
        BOUND,
        replace(WORKS, hosts=(AWAY,)),
        [(Cause.NO_HOST, NOW - 9_000, None), (Cause.IMAGE, NOW - 2_000, None)],
    ),
    "its worker went away": (
        PULLING,
        replace(WORKS, workers=0, hosts=()),
        [(Cause.NO_WORKER, None, None), (Cause.IMAGE, NOW - 4_000, None)],
    ),
    "a full pool does not matter any more": (PULLING, replace(WORKS, running=4), [(Cause.IMAGE, NOW - 4_000, None)]),
    "all workers are full": (ONE, replace(WORKS, full=True), [(Cause.WORKERS_FULL, None, None)]),
    "its pool is full, and so are all workers": (ONE, replace(WORKS, running=4, full=True), [(Cause.POOL_FULL, DUE, None)]),
    "given back long ago, and its pool is full": (GIVEN_BACK, replace(WORKS, running=4), [(Cause.POOL_FULL, DUE, None)]),
    "given back long ago, and its pool is paused": (GIVEN_BACK, replace(WORKS, paused=True), [(Cause.POOL_PAUSED, None, None)]),
    "given back long ago, and another of its task runs": (
        replace(GIVEN_BACK, spec=Spec("ubuntu", concurrency=1)),
        replace(WORKS, sharing=Sharing(2)),
        [(Cause.CONCURRENCY, DUE, None)],
    ),
    "given back long ago, and its turn again": (
        replace(GIVEN_BACK, spec=Spec("ubuntu", concurrency=1)),
        replace(WORKS, sharing=Sharing(1)),
        [(Cause.IMAGE, NOW - 200_000, None)],
    ),
    "given back, and its registry's words are known": (
        GIVEN_BACK,
        noted(Obstacle.REGISTRY, running=4),
        [(Cause.REGISTRY, SINCE, UNTIL)],
    ),
    "bound long ago": (replace(BOUND, placed_at=NOW - 200_000), replace(WORKS, running=4), [(Cause.IMAGE, NOW - 2_000, None)]),
    **{
        f"its owner notes {obstacle}": (BOUND, noted(obstacle), [(Cause(obstacle.value), SINCE, UNTIL)])
        for obstacle in Obstacle
        if obstacle is not Obstacle.NO_HOST
    },
    "its owner finds no host": (PULLING, noted(Obstacle.NO_HOST, None, hosts=(AWAY, GONE)), [(Cause.NO_HOST, NOW - 3_000, None)]),
    "its owner found no host a moment ago": (PULLING, noted(Obstacle.NO_HOST, None), [(Cause.NO_HOST, SINCE, None)]),
    "its host's breaker is open": (BOUND, noted(Obstacle.HOST_AWAY, hosts=(OPEN,)), [(Cause.BREAKER, SINCE, UNTIL)]),
    "it runs on a host whose breaker is open": (RUNNING, noted(Obstacle.HOST_AWAY, hosts=(OPEN,)), [(Cause.BREAKER, SINCE, UNTIL)]),
    "it runs on a node that is down": (RUNNING, noted(Obstacle.NODE_DOWN), [(Cause.NODE_DOWN, SINCE, UNTIL)]),
    "it runs, and a report is older": (RUNNING, noted(Obstacle.NO_NODE), []),
    "it cannot be taken, since the store takes nothing": (ONE, noted(Obstacle.STORE, None), [(Cause.STORE, SINCE, None)]),
    "it has ended, and a report is older": (replace(DONE_BOUND, settled=True), noted(Obstacle.HOST_AWAY), []),
    "its host went away while it is being stopped": (
        replace(BOUND, stop_requested_at=NOW - 1),
        noted(Obstacle.HOST_AWAY),
        [(Cause.STOP, NOW - 1, None), (Cause.HOST_AWAY, SINCE, UNTIL)],
    ),
    "it had no node when it was asked to stop": (
        replace(BOUND, stop_requested_at=NOW - 1),
        noted(Obstacle.NO_NODE),
        [(Cause.STOP, NOW - 1, None)],
    ),
    "it was asked to stop": (replace(BOUND, stop_requested_at=NOW - 1), WORKS, [(Cause.STOP, NOW - 1, None)]),
    "it runs": (replace(BOUND, status=Status.RUNNING), replace(WORKS, running=4), []),
    "it runs and was asked to stop": (
        replace(BOUND, status=Status.RUNNING, stop_requested_at=NOW - 1),
        WORKS,
        [(Cause.STOP, NOW - 1, None)],
    ),
    "it failed and its retry is yet to be made": (FAILED, WORKS, [(Cause.RETRY, NOW - 10_000, NOW + 20_000)]),
    "it failed for good": (replace(FAILED, settled=True), WORKS, []),
    **{f"it is {status}": (replace(ONE, status=status, settled=True), DOWN, []) for status in sorted(FINAL)},
}


def told(waits):
    return [(wait.reason, wait.since, wait.until) for wait in waits]


@pytest.mark.parametrize("name", EXECUTIONS)
def test_what_an_execution_waits_for(name):
    execution, facts, expected = EXECUTIONS[name]
    waits = execution_waits(execution, facts)
    assert told(waits) == expected
    assert all(wait.message for wait in waits)


JOB = Job("j", "t", "i", DUE, NOW - 500, Spec("ubuntu"), Schedule(ScheduleKind.CRON, None, Cron("* * * * *")))
COMING = replace(JOB, next_tick=LATER)
OVERDUE = replace(JOB, next_tick=DUE)
HELD = replace(JOB, held_tick=LATER)
DONE = replace(ONE, status=Status.DONE, settled=True)

JOBS = {
    "its tick is to come": (COMING, None, WORKS, [(Cause.DUE, None, LATER)]),
    "its next tick is to come": (COMING, DONE, WORKS, [(Cause.DUE, None, LATER)]),
    "its tick is due": (OVERDUE, DONE, WORKS, []),
    "its tick is due and nobody is there": (OVERDUE, DONE, replace(WORKS, workers=0), [(Cause.NO_WORKER, None, None)]),
    "its tick is due, nobody is there, and it expires": (
        replace(OVERDUE, spec=Spec("ubuntu", expires_in=60_000)),
        None,
        replace(WORKS, workers=0),
        [(Cause.NO_WORKER, None, DUE + 60_000)],
    ),
    "its expiration is over": (replace(OVERDUE, spec=Spec("ubuntu", expiration=NOW)), DONE, replace(WORKS, workers=0), []),
    "its next tick comes after its expiration": (replace(COMING, spec=Spec("ubuntu", expiration=LATER)), DONE, WORKS, []),
    "its tick is due and the queue is down": (OVERDUE, None, DOWN, [(Cause.NO_QUEUE, None, None)]),
    "its execution waits": (COMING, ONE, replace(WORKS, running=4), [(Cause.POOL_FULL, DUE, None)]),
    "its execution runs": (COMING, replace(BOUND, status=Status.RUNNING), WORKS, []),
    "its retry is yet to be made": (COMING, FAILED, WORKS, [(Cause.RETRY, NOW - 10_000, NOW + 20_000)]),
    "it is paused": (HELD, DONE, WORKS, [(Cause.PAUSED, NOW - 500, None)]),
    "it is paused while its execution waits": (
        HELD,
        ONE,
        replace(WORKS, running=4),
        [(Cause.POOL_FULL, DUE, None), (Cause.PAUSED, NOW - 500, None)],
    ),
    "it is at its end": (JOB, DONE, WORKS, []),
    "it never ran and never will": (JOB, None, DOWN, []),
}


@pytest.mark.parametrize("name", JOBS)
def test_what_a_job_waits_for(name):
    job, latest, facts, expected = JOBS[name]
    assert told(job_waits(job, latest, facts)) == expected


def test_the_words_and_fields_name_numbers_hosts_and_reasons():
    (full,) = execution_waits(ONE, replace(WORKS, running=4, ready=7))
    assert "4 of 4" in full.message
    assert full.details == FullPool("fast", 4, 4, 7)
    (full,) = execution_waits(ONE, replace(WORKS, running=4, ready=7, turns=Turns(2, 12, ("a", "b"))))
    assert full.message.endswith("executions of its own task before it: 2; other tasks in line: 12 (a, b, …)")
    (none,) = execution_waits(ONE, replace(WORKS, hosts=(AWAY,)))
    assert "a:2375 does not answer; b:2375 is not known yet" in none.message
    rows = (UnusableHost("a:2375", "does not answer", AWAY.since), UnusableHost("b:2375", "is not known yet"))
    assert none.details == UnusableHosts("fast", rows)
    (busy,) = execution_waits(BUSY, replace(WORKS, sharing=Sharing(2)))
    assert busy.details == FullTask(2, 2)
    keyed = replace(BUSY, spec=replace(BUSY.spec, concurrency_key="db"))
    (busy,) = execution_waits(keyed, replace(WORKS, sharing=Sharing(2, ("a/1", "b/2"))))
    assert busy.message == "it waits for the key db: 2 of 2 taken by a/1, b/2 (concurrencyKey)"
    assert busy.details == FullKey("db", 2, 2, ("a/1", "b/2"))
    (overlap,) = execution_waits(WAITING, replace(WORKS, awaited=replace(RUNNING, id="first")))
    assert overlap.message == "execution first of its job has to stop first (overlap: replace)"
    assert overlap.details == EarlierExecution("first")
    (retry,) = execution_waits(RETRY, WORKS)
    assert "attempt 2 failed, and attempt 3 is due at 2023-11-14T22:16:00.000Z" in retry.message
    (image,) = execution_waits(PULLING, WORKS)
    assert image.details == ImagePull("ubuntu", "a:2375")


SAYS = {
    Obstacle.REGISTRY: "a:2375 cannot get the image ubuntu from its registry: in these words; it is given up at 2023-11-14T22:20:00.000Z",
    Obstacle.NO_NODE: "no node of the swarm of a:2375 takes it: in these words",
    Obstacle.IMAGE: "its node pulls the image ubuntu if necessary and creates its container; the engine says: in these words",
    Obstacle.HOST_AWAY: "its host does not answer: in these words; it counts as lost at 2023-11-14T22:20:00.000Z",
    Obstacle.REFUSED: "its host a:2375 refuses what it is asked: in these words; it is given up at 2023-11-14T22:20:00.000Z",
    Obstacle.NODE_DOWN: "its node in these words is down",
    Obstacle.SERVICE_GONE: "which is asked again because it may be wrong; that is believed at 2023-11-14T22:20:00.000Z",
    Obstacle.STORE: "its worker cannot use the store: in these words",
    Obstacle.FAULT: "its worker had an internal error",
    Obstacle.NO_HOST: "in these words",
}


@pytest.mark.parametrize("obstacle", Obstacle)
def test_what_an_owner_notes_is_told_in_a_sentence_that_ends_with_the_deadline(obstacle):
    (wait,) = execution_waits(BOUND, noted(obstacle))
    assert SAYS[obstacle] in wait.message
    assert wait.message.endswith(" at 2023-11-14T22:20:00.000Z")
    image = "ubuntu" if obstacle in (Obstacle.REGISTRY, Obstacle.IMAGE) else None
    assert wait.details == NotedObstacle("a:2375", image)
    (wait,) = execution_waits(BOUND, noted(obstacle, None))
    assert " at 2023" not in wait.message


def test_a_note_about_what_has_started_names_its_node_and_not_only_the_host_that_was_asked():
    on = replace(RUNNING, node="node3")
    (wait,) = execution_waits(on, noted(Obstacle.HOST_AWAY))
    assert wait.message == (
        "its host does not answer: in these words; it was last seen to run on its node node3; it counts as lost at 2023-11-14T22:20:00.000Z"
    )
    (wait,) = execution_waits(on, noted(Obstacle.NODE_DOWN))
    assert wait.message.count("node") == SAYS[Obstacle.NODE_DOWN].count("node")


def test_an_open_breaker_is_told_with_its_faults_and_when_the_host_is_called_again():
    row = UnusableHost("a:2375", "does not answer", OPEN.since, "open", 5, OPEN.retry_at)
    words = "a:2375 does not answer (5 faults in a row: it is left alone until 2023-11-14T22:15:30.000Z, or until a probe finds it well)"
    (placed,) = execution_waits(BOUND, noted(Obstacle.HOST_AWAY, hosts=(OPEN,)))
    assert placed.message == f"its host {words}; it counts as lost at 2023-11-14T22:20:00.000Z"
    assert placed.details == NotedObstacle("a:2375", hosts=(row,))
    (enqueued,) = execution_waits(ONE, replace(WORKS, hosts=(OPEN, GONE)))
    assert f"no host of pool 'fast' can be used: {words}; b:2375 is down" == enqueued.message
    assert enqueued.details.hosts[0] == row
