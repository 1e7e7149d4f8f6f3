"""The occasions on which somebody is told of a job. Pure."""

from enum import StrEnum

from fastlane.models.status import Status


class Occasion(StrEnum):
    """What a webhook or a mailbox is told of: the name of its list in a job."""

    SUCCEEDS = "succeeds"
    FAILS = "fails"
    FINISHES = "finishes"
    LATE = "late"
    RECOVERED = "recovered"


FAILURES = frozenset({Status.FAILED, Status.TIMEDOUT, Status.EXPIRED})


def is_told(occasion: Occasion, status: Status) -> bool:
    """Whether an execution's end with this status is such an occasion."""
    match occasion:
        case Occasion.SUCCEEDS:
            return status is Status.DONE
        case Occasion.FAILS:
            return status in FAILURES
        case Occasion.FINISHES:
            return status.final
        case Occasion.LATE | Occasion.RECOVERED:
            return False
