"""Which services can never become anybody's again, or have nothing left to tell."""

import pytest

from fastlane.executors.port import EngineService
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.scheduler.cleaner import is_leftover
from tests.support.factories import make_execution

SERVICE = EngineService("s", "e", activated=False, stopping=False, created_at=1)


@pytest.mark.parametrize("status", sorted(UNDER_WAY))
@pytest.mark.parametrize("service_id", [None, "s"])
def test_a_service_of_an_execution_under_way_is_left_alone(status: Status, service_id: str | None) -> None:
    assert not is_leftover(make_execution(status=status, service_id=service_id), SERVICE)


@pytest.mark.parametrize("status", sorted(Status))
@pytest.mark.parametrize("settled", [False, True])
def test_a_service_whose_execution_is_bound_to_another_is_a_leftover(status: Status, settled: bool) -> None:
    assert is_leftover(make_execution(status=status, service_id="another", settled=settled), SERVICE)


@pytest.mark.parametrize("status", sorted(FINAL))
@pytest.mark.parametrize("service_id", [None, "s"])
def test_a_service_of_an_ended_execution_is_a_leftover_once_that_is_settled(status: Status, service_id: str | None) -> None:
    assert not is_leftover(make_execution(status=status, service_id=service_id), SERVICE)
    assert is_leftover(make_execution(status=status, service_id=service_id, settled=True), SERVICE)


def test_a_service_that_is_activated_is_judged_by_its_row_alone() -> None:
    active = EngineService("s", "e", activated=True, stopping=True, created_at=1)
    assert not is_leftover(make_execution(status=Status.RUNNING, service_id="s"), active)
    assert is_leftover(make_execution(status=Status.FAILED, service_id="s", settled=True), active)
