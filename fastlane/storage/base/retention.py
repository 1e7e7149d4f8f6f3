"""The port of retention: what the store tells of what is overdue, and the small steps in which it goes.

What may still run, is not cleaned, or still has a webhook to send never goes (see ``models.retention``). Each
step is a commit of bounded size, or on a database without transactions a few writes in an order in which every one may be the last.
Methods raise StoreDown as those of ``storage.base`` do, and moments are in milliseconds.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from fastlane.models.retention import ANY_NUMBER, Cuts, JobHistory


@dataclass(frozen=True, slots=True)
class Removed:
    """How much of a job's history a step removed, or would be removed. ``more``: another step may find more."""

    executions: int = 0
    ticks: int = 0
    logs: int = 0
    more: bool = False

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return self.more or bool(self.executions or self.ticks or self.logs)


@dataclass(frozen=True, slots=True)
class Most:
    """How many executions, rows of the ledger and logs of a job are looked for."""

    executions: int
    ticks: int
    logs: int


@dataclass(frozen=True, slots=True)
class StoredLog:
    """The log of an execution: its bytes, and whether it may go, since the execution has ended, is settled and cleaned."""

    execution_id: str
    bytes: int
    may_go: bool


@dataclass(frozen=True, slots=True)
class LogPage:
    """Logs, the oldest first. ``next``: where to look further; None at the end."""

    logs: Sequence[StoredLog]
    next: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Jobs that may have a history, the oldest first. ``next``: where to look further; None at the end."""

    jobs: Sequence[JobHistory]
    next: tuple[int, str] | None


ONE_STEP = Most(100, 250, 32)
"""What one step looks at, or removes."""
ALL = Most(ANY_NUMBER, ANY_NUMBER, ANY_NUMBER)


class RetentionStore(Protocol):
    """Removes what is overdue. The whole of a job goes by ``JobStore.delete_job``."""

    async def histories(self, limit: int, after: tuple[int, str] | None = None) -> HistoryPage:
        """Looks at the next ``limit`` jobs by (created_at, id), after this place; those that may have a history, or will not run again.
        Reads none of them whole, and of one that waits for its first tick only that it does."""

    async def candidates(self, jobs: Sequence[JobHistory], cuts: Cuts) -> Set[str]:
        """The ids of those of these jobs of which ``overdue`` may find something by these cuts. A job whose history is at most one tick
        and one execution is among them only if it does find something. Cheap: a bounded number of queries."""

    async def is_over(self, job: JobHistory, before: int) -> bool:
        """Whether nothing of a job, which has no tick to come, is unfinished or still to be told, and it was changed and its newest
        execution ended before that moment."""

    async def overdue(self, job: JobHistory, cuts: Cuts, *, whole: bool = False) -> Removed:
        """What may go of a job that stays: what the next step removes, if it needs only one, or ``whole`` all of it, which takes as long as
        the job's history is."""

    async def prune(self, job: JobHistory, cuts: Cuts) -> Removed:
        """Takes one step. A job of another incarnation is left alone.

        The job's floor is raised to the sequence of the last execution that goes, so that an attempt that is inserted late never runs. Then
        executions go with their ticks and logs, the oldest first; then rows of the ledger that have no execution, or none any more; then
        the logs of executions that stay, which count as truncated from then on.
        """

    async def overdue_deliveries(self, before: int) -> int:
        """How many deliveries that are over were made before that moment."""

    async def prune_events(self, before: int, limit: int) -> int:
        """Deletes up to ``limit`` recorded events from before that moment, the oldest first; how many."""

    async def prune_deliveries(self, before: int, limit: int) -> int:
        """Deletes the oldest of them, ``limit`` at most; how many."""

    async def log_bytes(self) -> int:
        """About how many bytes all stored logs take. Cheap."""

    async def stored_logs(self, limit: int, after: tuple[int, str] | None = None) -> LogPage:
        """Looks at the next ``limit`` executions in the order in which the store heard of their ends, after this place; the logs that they
        have."""

    async def prune_log(self, execution_id: str) -> bool:
        """Removes a part of a log that may go, from its end; whether there is more of it. The execution counts as truncated from then
        on."""

    async def release_space(self) -> bool:
        """Returns a part of the space that was freed to the disk, if there is much of it; whether there may be more."""
