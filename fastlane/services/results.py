"""What the services that change something answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The ids of an accepted job. ``execution_id`` is None when the job starts later: its execution does not exist yet. For a manual job,
    ``tick_id`` is None, too. ``replayed``: the same request was accepted before."""

    task_id: str
    job_id: str
    tick_id: str | None
    execution_id: str | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class CurrentStatus:
    """The status of a job or an execution after it was stopped, paused or resumed. ``stopping``: it has that status only until a stop has
    taken effect."""

    task_id: str
    job_id: str
    execution_id: str | None
    status: str
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class TaskStopped:
    """A task, and how many of its jobs were asked to stop."""

    task_id: str
    stopped: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """A job that was deleted, or (``job_id`` None) a whole task. ``followers``: jobs that followed it, as task and id."""

    task_id: str
    job_id: str | None
    followers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PoolPaused:
    """A pool, and whether it is paused now."""

    pool: str
    paused: bool


@dataclass(frozen=True, slots=True)
class DispatchPaused:
    """Whether all dispatch is paused now."""

    paused: bool


@dataclass(frozen=True, slots=True)
class HostDrained:
    """A host's address, and whether it is drained now."""

    address: str
    drained: bool


@dataclass(frozen=True, slots=True)
class HostRemoved:
    """A host that was removed, and how many executions are lost with it."""

    address: str
    id: str
    lost: int


@dataclass(frozen=True, slots=True)
class ExecutionCleaned:
    """An execution whose service counts as removed."""

    task_id: str
    job_id: str
    execution_id: str


@dataclass(frozen=True, slots=True)
class QueueRebuild:
    """Whether a rebuild of the queue was begun; False: one is under way already."""

    begun: bool


@dataclass(frozen=True, slots=True)
class WorkerForgotten:
    """A worker whose report was dropped."""

    worker: str
