"""What keeps a watch from the end of its execution, and for how long it is waited for."""

from dataclasses import replace

import pytest

from fastlane.errors import HostDown, OrderRefused, ServiceGone
from fastlane.executors.port import Phase, TaskEnd
from fastlane.models.event import Obstacle
from fastlane.models.job import Ending
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.scheduler.verdict import (
    MIN_PAUSE,
    NO_TROUBLES,
    ActivateService,
    DemandRefused,
    LookAgain,
    LostWithHost,
    NotShown,
    RecordEnd,
    RemoveService,
    ServiceMissing,
    ServiceRemoved,
    Sight,
    StopService,
    Troubles,
    Verdict,
    WaitUntil,
    judge,
    verdict_of,
)
from tests.unit.scheduler.situations import ASKED, LIMITS, NOW, a_service, a_task, ended, pulling, running

GONE_AFTER, LOST_AFTER, REFUSED_AFTER = (round(1000 * s) for s in (LIMITS.gone_after, LIMITS.host_lost_after, LIMITS.refused_after))
AWAY, REFUSES, GONE = HostDown("away"), OrderRefused("no"), ServiceGone("not found")
RUNS = a_service(a_task(Phase.RUNNING, container_id="c1", started_at=NOW - 5_000))
STOP = StopService("asked for")
KNOWN = Ending(Status.DONE, NOW, 0)


def judged(sight: Sight, troubles: Troubles = NO_TROUBLES, **row: object) -> tuple[Verdict, Troubles]:
    return judge(running(**row), sight, troubles, NOW, LIMITS)


def ended_as(sight: Sight, troubles: Troubles, **row: object) -> Ending:
    verdict, _ = judged(sight, troubles, **row)
    assert isinstance(verdict, RecordEnd)
    assert verdict.task is None
    return verdict.ending


@pytest.mark.parametrize(
    ("sight", "name", "obstacle", "patience"),
    [
        (NotShown(GONE), "gone", Obstacle.SERVICE_GONE, GONE_AFTER),
        (NotShown(AWAY), "away", Obstacle.HOST_AWAY, LOST_AFTER),
        (NotShown(REFUSES), "away", Obstacle.REFUSED, LOST_AFTER),
        (a_service(a_task(Phase.UNKNOWN, node_id="n")), "node_down", Obstacle.NODE_DOWN, LOST_AFTER),
        (DemandRefused(RUNS, STOP, AWAY), "disobeyed", Obstacle.HOST_AWAY, LOST_AFTER),
        (DemandRefused(RUNS, STOP, REFUSES), "disobeyed", Obstacle.REFUSED, REFUSED_AFTER),
        (DemandRefused(RUNS, STOP, GONE), "disobeyed", Obstacle.REFUSED, REFUSED_AFTER),
        (DemandRefused(RUNS, RemoveService(KNOWN), REFUSES), "disobeyed", Obstacle.REFUSED, LOST_AFTER),
    ],
)
def test_a_trouble_is_noted_since_it_began_and_waited_for(sight: Sight, name: str, obstacle: Obstacle, patience: int) -> None:
    verdict, first = judged(sight)
    assert isinstance(verdict, LookAgain)
    assert getattr(first, name) == NOW
    assert first.note is not None
    assert (first.note.obstacle, first.note.since, first.note.until) == (obstacle, NOW, NOW + patience)
    verdict, later = judged(sight, replace(first, **{name: NOW - patience + 1}))
    assert isinstance(verdict, LookAgain)
    assert getattr(later, name) == NOW - patience + 1
    verdict, _ = judged(sight, replace(first, **{name: NOW - patience}))
    assert not isinstance(verdict, LookAgain)


@pytest.mark.parametrize(
    ("sight", "troubles", "reason"),
    [
        (NotShown(GONE), Troubles(gone=NOW - GONE_AFTER), FailureReason.KILLED),
        (NotShown(AWAY), Troubles(away=NOW - LOST_AFTER), FailureReason.HOST_LOST),
        (a_service(a_task(Phase.UNKNOWN, node_id="n")), Troubles(node_down=NOW - LOST_AFTER), FailureReason.HOST_LOST),
        (LostWithHost("its host was removed"), NO_TROUBLES, FailureReason.HOST_LOST),
        (DemandRefused(RUNS, ActivateService(), REFUSES), Troubles(disobeyed=NOW - REFUSED_AFTER), FailureReason.REJECTED),
        (DemandRefused(RUNS, ActivateService(), AWAY), Troubles(disobeyed=NOW - LOST_AFTER), FailureReason.HOST_LOST),
    ],
)
def test_an_execution_ends_once_a_trouble_has_lasted(sight: Sight, troubles: Troubles, reason: FailureReason) -> None:
    failure = ended_as(sight, troubles).failure
    assert failure is not None
    assert failure.reason is reason


@pytest.mark.parametrize(
    ("sight", "troubles"),
    [
        (NotShown(GONE), Troubles(gone=NOW - GONE_AFTER, ending=KNOWN)),
        (NotShown(AWAY), Troubles(away=NOW - LOST_AFTER, ending=KNOWN)),
        (LostWithHost("its host was removed"), Troubles(ending=KNOWN)),
    ],
)
def test_an_ending_that_is_known_already_outweighs_the_trouble(sight: Sight, troubles: Troubles) -> None:
    assert ended_as(sight, troubles) is KNOWN


def test_a_service_that_is_not_stopped_is_removed_and_ends_once_that_is_certain() -> None:
    verdict, troubles = judged(DemandRefused(RUNS, STOP, REFUSES), Troubles(disobeyed=NOW - REFUSED_AFTER), **ASKED)
    assert isinstance(verdict, RemoveService)
    assert verdict.ending.status is Status.STOPPED
    verdict, troubles = judged(ServiceRemoved(RUNS, verdict.ending), troubles, **ASKED)
    assert verdict == LookAgain(MIN_PAUSE)
    assert ended_as(NotShown(GONE), replace(troubles, gone=NOW - GONE_AFTER), **ASKED).status is Status.STOPPED


def test_a_service_that_never_started_ends_with_its_removal() -> None:
    assert ended_as(ServiceRemoved(a_service(activated=False), KNOWN), NO_TROUBLES) is KNOWN


def test_a_service_whose_removal_is_refused_for_as_long_as_its_host_may_be_away_ends_nevertheless() -> None:
    assert ended_as(DemandRefused(RUNS, RemoveService(KNOWN), REFUSES), Troubles(disobeyed=NOW - LOST_AFTER)) is KNOWN


def test_a_service_that_is_shown_again_ends_all_troubles() -> None:
    verdict, troubles = judged(RUNS, Troubles(1, 2, 3, 4, note=judged(NotShown(AWAY))[1].note))
    assert isinstance(verdict, WaitUntil)
    assert troubles == NO_TROUBLES


def test_a_silence_between_two_words_that_it_is_gone_starts_the_minute_anew() -> None:
    _, troubles = judged(NotShown(AWAY), Troubles(gone=NOW - GONE_AFTER))
    assert troubles.gone is None


def test_a_node_that_is_down_leaves_the_other_troubles_as_they_were() -> None:
    _, troubles = judged(a_service(a_task(Phase.UNKNOWN, node_id="n")), Troubles(gone=5, away=6, disobeyed=7))
    assert (troubles.gone, troubles.away, troubles.disobeyed) == (5, None, 7)


def test_a_demand_is_counted_as_refused_until_it_is_obeyed() -> None:
    verdict, troubles = judged(RUNS, Troubles(disobeyed=NOW - 1), **ASKED)
    assert (verdict, troubles.disobeyed) == (STOP, NOW - 1)


def test_a_missing_task_is_believed_as_a_missing_service_is() -> None:
    service = a_service()
    assert isinstance(verdict_of(running(), service, NOW, LIMITS), ServiceMissing)
    verdict, troubles = judged(service)
    assert isinstance(verdict, LookAgain)
    assert troubles.gone == NOW
    assert isinstance(judged(service, Troubles(gone=NOW - GONE_AFTER))[0], RecordEnd)


def test_the_end_of_a_task_is_kept_while_its_log_is_stored() -> None:
    task = ended(TaskEnd.EXITED, 0)
    verdict, troubles = judged(a_service(task))
    assert isinstance(verdict, RecordEnd)
    assert (verdict.task, verdict.ending) == (task, troubles.ending)


def test_a_parked_service_is_activated_and_its_troubles_stay() -> None:
    verdict, troubles = judge(pulling(), a_service(activated=False), Troubles(disobeyed=NOW - 1), NOW, LIMITS)
    assert (verdict, troubles.disobeyed) == (ActivateService(), NOW - 1)
