"""What the jobs service answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What an accepted job is called. ``execution_id`` is None when it starts later: the execution does not exist yet. ``replayed``: it was
    accepted before, and this is the same request once more."""

    task_id: str
    job_id: str
    tick_id: str
    execution_id: str | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was told to stop, to pause or to go on, and the status that this left it in (``running`` while its end is awaited)."""

    task_id: str
    job_id: str
    execution_id: str | None
    status: str


@dataclass(frozen=True, slots=True)
class TaskStopped:
    """A task, and how many of its jobs were told to stop: those that had anything before them."""

    task_id: str
    stopped: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """What is gone: a job, or (``job_id`` None) a whole task."""

    task_id: str
    job_id: str | None


@dataclass(frozen=True, slots=True)
class PoolPaused:
    """A pool, and whether it is paused now."""

    pool: str
    paused: bool
