"""The statuses, and the sets that they fall into."""

from fastlane.models.status import FINAL, STARTING, UNDER_WAY, Status


def test_what_is_under_way_and_what_is_final_are_all_there_is() -> None:
    assert frozenset(Status) == UNDER_WAY | FINAL
    assert not UNDER_WAY & FINAL
    assert [state for state in Status if not state.final] == [Status.ENQUEUED, Status.PULLING, Status.RUNNING]
    assert STARTING < UNDER_WAY
