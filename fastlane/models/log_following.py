"""The next step of a log's follower: pure rules on what the store says.

A job's follower follows the newest tick that has started, through all its attempts. While none has started, it waits a limited time for
the next. Read the rows in the order in which the functions name them: then a row that is written in between is seen or not needed.
"""

from dataclasses import dataclass

from fastlane.models.job import Execution, Job, is_under_way


@dataclass(frozen=True, slots=True)
class Follow:
    """Send this execution's log."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class AwaitStart:
    """Look again: an execution is about to start."""


@dataclass(frozen=True, slots=True)
class NothingFollows:
    """Nothing will follow. ``execution`` was the last one; None when there never was one, or its job was deleted."""

    execution: Execution | None


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Nothing has started, and the wait is over."""


@dataclass(frozen=True, slots=True)
class StartWait:
    """How long a follower waits for a start: until ``give_up_at`` (milliseconds), but not at all for what is due later than that, unless
    it is ``patient``."""

    give_up_at: int
    patient: bool = False

    def step(self, due: int | None, now: int) -> "AwaitStart | RetryLater":
        """Whether to wait for a start that is due then; None: it is not known when."""
        late = not self.patient and (due is None or due > self.give_up_at)
        return RetryLater() if late or now >= self.give_up_at else AwaitStart()


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job has come, read in this order: the job, its next execution under way (the soonest due), its newest execution, and the
    newest that has started."""

    job: Job | None
    under_way: Execution | None
    newest: Execution | None
    started: Execution | None


def first_step(progress: JobProgress, now: int, wait: StartWait) -> Follow | AwaitStart | NothingFollows | RetryLater:
    """The first step of a job's follower, at ``now`` (milliseconds)."""
    job, newest = progress.job, progress.newest
    if progress.started is not None:
        return Follow(progress.started)
    if job is None:
        return NothingFollows(None)
    under_way = progress.under_way or (newest if newest is not None and is_under_way(newest) else None)
    if under_way is not None:
        return wait.step(under_way.scheduled_for, now)
    if (next_run := job.next_run(now)) is not None:
        return wait.step(next_run, now)
    return wait.step(None, now) if job.paused else NothingFollows(newest)


def first_step_of_execution(execution: Execution | None, now: int, wait: StartWait) -> Follow | AwaitStart | NothingFollows | RetryLater:
    """The first step of an execution's follower."""
    if execution is None:
        return NothingFollows(None)
    if execution.has_started or execution.status.final:
        return Follow(execution)
    return wait.step(execution.scheduled_for, now)


def next_step(execution: Execution | None, following: Execution | None) -> Follow | AwaitStart | NothingFollows:
    """The step after the log of a final execution was sent. ``following`` is the next attempt, read after ``execution``."""
    if following is not None:
        return Follow(following) if following.has_started or following.status.final else AwaitStart()
    return AwaitStart() if execution is not None and is_under_way(execution) else NothingFollows(execution)
