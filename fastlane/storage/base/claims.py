"""A claim: an execution is read, changed by what its reader decides, and its job is read after that, in one operation of the store."""

from collections.abc import Callable
from dataclasses import dataclass

from fastlane.models.execution import Execution
from fastlane.models.job import JobBounds
from fastlane.models.transitions import ExecutionChange

Decide = Callable[[Execution], ExecutionChange | None]
"""The change that is to be made of an execution; None: none. Pure: it may be asked twice, in any thread."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The execution after it, and whether it was changed. ``bounds``: those of its job as they were once it had been changed, None without
    such a job; not read when nothing was changed."""

    execution: Execution
    changed: bool = False
    bounds: JobBounds | None = None
