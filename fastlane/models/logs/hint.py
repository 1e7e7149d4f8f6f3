"""A hint that there is more of an execution's log, or that its status changed. The store is the truth; a hint may be lost."""

from dataclasses import dataclass

from fastlane.models.status import Status


@dataclass(frozen=True, slots=True)
class Hint:
    """The size of an execution's stored log (bytes) and its status, as far as the sender knows."""

    execution_id: str
    offset: int
    status: Status
