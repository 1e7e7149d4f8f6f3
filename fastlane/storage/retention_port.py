"""The parts of the store's port that remove old history, and count it before it goes: ``RetentionStore`` with what its methods take and
return, and ``HistoryStore``."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from fastlane.models.retention import ANY_NUMBER, Cuts, HourCount, JobHistory, WantedHours


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
class GoingJob:
    """A job that is about to be deleted, with the executions and rows of the ledger that go in this step."""

    job_id: str
    task_id: str
    executions: Sequence[str]
    ticks: Sequence[str]


class RemovalNotes(Protocol):
    """Learns what is about to be removed, before it is. What it learns twice counts once."""

    async def before_rows(
        self, job_id: str, task_id: str, executions: Sequence[str] = (), ticks: Sequence[str] = (), logs: Sequence[str] = ()
    ) -> None:
        """Executions, rows of the ledger, and logs of executions that stay, of one job."""

    async def before_jobs(self, jobs: Sequence[GoingJob]) -> None:
        """Whole jobs."""


@dataclass(frozen=True, slots=True)
class Most:
    """How many executions, rows of the ledger and logs of a job are looked for at most."""

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


@dataclass(frozen=True, slots=True)
class EndedPage:
    """The ids of the jobs of some executions that have ended, each once. ``after``: the place of the last of these executions, or the one
    that was asked for. ``more``: whether there may be more."""

    job_ids: Sequence[str]
    after: tuple[int, str] | None
    more: bool


@dataclass(frozen=True, slots=True)
class Swept:
    """What deleting jobs together came to: the jobs that went, the numbers of their executions and ticks, and for how many milliseconds
    the first of them was over already. ``left``: jobs that were not looked at, because they have a longer history."""

    jobs: frozenset[str] = frozenset()
    executions: int = 0
    ticks: int = 0
    late: int = 0
    left: frozenset[str] = frozenset()


ONE_STEP = Most(100, 250, 32)
"""The number of things that one step looks at, or removes."""
ALL = Most(ANY_NUMBER, ANY_NUMBER, ANY_NUMBER)


class RetentionStore(Protocol):
    """Removes overdue history. Whole jobs are removed by ``JobStore.delete_job``. ``shares_commits``: whether calls of ``delete_over`` at
    the same time are one commit. If not, a call with more jobs costs less than several with fewer."""

    notes: RemovalNotes | None
    """Who learns of a removal before it is made; None: nobody."""

    shares_commits: bool

    async def histories(self, limit: int, after: tuple[int, str] | None = None, skip: int = 0) -> HistoryPage:
        """Looks at the next ``limit`` jobs by (created_at, id), after this place and ``skip`` others; those that may have a history, or
        will not run again. Reads none of them whole, and of one that waits for its first tick only that it does."""

    async def histories_of(self, job_ids: Sequence[str]) -> Sequence[JobHistory]:
        """The jobs with these ids, in their order; those that are gone or cannot be read are left out."""

    async def ended(self, limit: int, before: int, after: tuple[int, str] | None = None) -> EndedPage:
        """Looks at the next ``limit`` executions in the order in which the store heard of their ends, after this place, as far as it heard
        of them before that moment."""

    async def delete_over(self, jobs: Sequence[tuple[JobHistory, int]], now: int) -> Swept:
        """Deletes the jobs among these that are over, each before its moment, and have a short history, with all that they have, and the
        tasks that have no job after that. Takes a bounded number of commits or commands however many jobs there are."""

    async def candidates(self, jobs: Sequence[JobHistory], cuts: Cuts) -> Set[str]:
        """The ids of the jobs of which ``overdue`` may find something by these cuts. A job whose history is at most one tick
        and one execution is among them only if it does find something. Cheap: a bounded number of queries."""

    async def is_over(self, job: JobHistory, before: int) -> bool:
        """Whether everything of a job without a further tick is finished and delivered, and the job's last change and the end of its newest
        execution were before that moment."""

    async def overdue(self, job: JobHistory, cuts: Cuts, *, whole: bool = False) -> Removed:
        """The overdue history of a job that stays: the part that the next step removes, or with ``whole`` all of it, which takes time in
        proportion to the length of the job's history."""

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
        """Removes a part of a log that may go, from its end; whether there is more of it. The execution counts as truncated from then on,
        unless the archive has the log."""

    async def release_space(self) -> bool:
        """Returns a part of the space that was freed to the disk, if there is much of it; whether there may be more."""


class HistoryStore(Protocol):
    """Counts each execution once, in the hour in which it ended, whatever becomes of the process that ended it or counts it. An execution
    that is deleted has been counted before."""

    async def count_ends(self, limit: int) -> int:
        """Counts executions that ended and are not counted yet, ``limit`` at most; how many. A store that counts an end in the commit that
        writes it has nothing to do."""

    async def hours(self, wanted: WantedHours) -> Sequence[HourCount]:
        """The hours in which anything ended, in order."""

    async def overdue_hours(self, before: int) -> int:
        """How many rows of hours before that moment there are: one of each task and pool."""

    async def prune_hours(self, before: int, limit: int) -> int:
        """Deletes the oldest of them, ``limit`` at most; how many."""
