"""A hint: word that there is more of an execution's log, or that its status is another. The store is the truth; a hint may be lost."""

from dataclasses import dataclass

from fastlane.models.status import Status


@dataclass(frozen=True, slots=True)
class Hint:
    """How far an execution's stored log went (bytes), and its status, as far as whoever sends it knows."""

    execution_id: str
    offset: int
    status: Status
