"""What to do about an execution, given what the engine shows of its service: a pure rule of values and ``now``.

The engine's word counts only in a final task state. The task that counts is the one first seen for the service: a stop leaves
a second one that waits for ever.
"""

from dataclasses import dataclass

from fastlane.executors.base import EngineService, EngineTask, Phase, TaskEnd
from fastlane.models.container.container import STOP_GRACE
from fastlane.models.execution import Ending, Execution, Failure, FailureReason, Started
from fastlane.models.status import Status
from fastlane.scheduler.limits import Limits
from fastlane.scheduler.watch import failures

AFTER_GRACE = 5_000
"""Milliseconds after its grace for which a container's own end is waited for that the engine does not tell of."""
NO_TASK = "the swarm made no task of its service"
OFTEN = 1_000
"""Milliseconds between two looks at what no change announces."""


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing to do before ``until`` (milliseconds; None: before something changes)."""

    until: int | None = None


@dataclass(frozen=True, slots=True)
class ActivateService:
    """Its service is parked: activate it."""


@dataclass(frozen=True, slots=True)
class RecordStart:
    """Its container runs: say so in the store."""

    started: Started


@dataclass(frozen=True, slots=True)
class StopService:
    """Its service is to be stopped; ``why`` in words."""

    why: str


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """It has ended; its log is to be stored to the end, then this. ``task`` is where the log is, None when there is none."""

    ending: Ending
    task: EngineTask | None


@dataclass(frozen=True, slots=True)
class ServiceMissing:
    """Its task is not there any more, says the engine; ``why`` in words. To be believed only when that holds."""

    why: str


Verdict = WaitUntil | ActivateService | RecordStart | StopService | RecordEnd | ServiceMissing


def judge(execution: Execution, view: EngineService, now: int, limits: Limits) -> Verdict:
    """What to do about a bound execution whose service looks like this."""
    task = task_of(execution, view)
    if task is not None and task.phase is Phase.ENDED:
        patience = _lingers_until(execution, task)
        return WaitUntil(min(patience, now + OFTEN)) if now < patience else RecordEnd(ending_of(execution, view, task, now, limits), task)
    if view.stopping:
        if task is None or _is_left_behind(execution, task, now, limits):
            status = _asked(execution, now, limits)
            failure = _deadline(execution, view, None, now, limits) if status is Status.FAILED else None
            return RecordEnd(Ending(status, now, failure=failure), None)
        return WaitUntil()
    stop = _stop_due(execution, view, task, now, limits)
    if stop is not None:
        return stop
    if task is None and (view.scaled_away or execution.engine_task_id is not None):
        return ServiceMissing(failures.SCALED if view.scaled_away else failures.CHANGED)
    if not view.activated and task is None:
        return ActivateService()
    if task is not None and task.phase is Phase.RUNNING and execution.status is Status.PULLING:
        return RecordStart(_started(task))
    return WaitUntil(_next_deadline(execution, task, limits))


def _lingers_until(execution: Execution, task: EngineTask) -> int:
    """Until when the end of a container is waited for whose task the engine calls ended already."""
    own = execution.spec.container.stop_grace
    return task.changed_at + (STOP_GRACE if own is None else own) + AFTER_GRACE if task.lingering else 0


def _is_left_behind(execution: Execution, task: EngineTask, now: int, limits: Limits) -> bool:
    """Whether this is the task that a stop leaves waiting for ever: the first one was pruned before anybody recorded it."""
    return execution.engine_task_id is None and task.phase is Phase.WAITING and now >= task.changed_at + limits.gone_after * 1000


def task_of(execution: Execution, view: EngineService) -> EngineTask | None:
    """The engine task that is the execution's: the one recorded, or else the first of its service."""
    if execution.engine_task_id is not None:
        return next((task for task in view.tasks if task.id == execution.engine_task_id), None)
    return view.tasks[0] if view.tasks else None


def ending_of(execution: Execution, view: EngineService, task: EngineTask, now: int, limits: Limits) -> Ending:
    """How it ended, from its task's final state: a stop that came after the container's end leaves it as it ended."""
    started = _started(task) if task.started_at is not None and execution.started_at is None else None
    began_at = started.started_at if started else execution.started_at or 0
    finished_at = max(began_at, task.finished_at or task.changed_at or now)
    if task.end is TaskEnd.EXITED and task.exit_code == 0:
        return Ending(Status.DONE, finished_at, 0, started=started)
    if _is_at_our_wish(execution, view, task):
        status = _asked(execution, now, limits, started)
        failure = _deadline(execution, view, task, now, limits) if status is Status.FAILED else None
        return Ending(status, finished_at, task.exit_code, failure, started)
    return Ending(Status.FAILED, finished_at, task.exit_code, failures.failure_of(task, view), started)


def _is_at_our_wish(execution: Execution, view: EngineService, task: EngineTask) -> bool:
    """Whether it ended as we wanted: by our stop, or while one was asked for, by an end that its engine did not see."""
    if task.end is TaskEnd.SHUTDOWN:
        return view.stopping or (task.container_id is None and execution.stop_requested_at is not None)
    unseen = task.end is TaskEnd.LOST or (task.end is TaskEnd.KILLED and task.exit_code != failures.SIGKILLED)
    return unseen and (view.stopping or execution.stop_requested_at is not None)


def ending_when_lost(execution: Execution, why: str, now: int, limits: Limits) -> Ending:
    """How an execution ends whose host has been away for too long: as was asked for, or else as lost with its host."""
    status = _told(execution, now, limits)
    return Ending(status, now, failure=failures.lost(execution, why, limits.host_lost_after) if status is Status.FAILED else None)


def ending_when_gone(execution: Execution, why: str, since: int, limits: Limits) -> Ending:
    """How an execution ends whose service, or its task, is confirmed to be gone since then: somebody took it away."""
    status = _told(execution, since, limits)
    return Ending(status, max(since, execution.started_at or 0), failure=failures.gone(why) if status is Status.FAILED else None)


def _asked(execution: Execution, now: int, limits: Limits, started: Started | None = None) -> Status:
    """How one ends that we stopped, FAILED when we had no reason to. ``started``: when its container did, if only the engine knows it."""
    if execution.stop_requested_at is not None:
        return Status.STOPPED
    if execution.started_at is not None:
        return Status.TIMEDOUT if now >= _timeout_at(execution, limits) else Status.FAILED
    expires_at = execution.expires_at
    if expires_at is None or now < expires_at or (started is not None and started.started_at < expires_at):
        return Status.FAILED
    return Status.EXPIRED


def _told(execution: Execution, now: int, limits: Limits) -> Status:
    """How one ends whose service nobody can see: that its container never started is then more than is known."""
    status = _asked(execution, now, limits)
    return Status.FAILED if status is Status.EXPIRED else status


def _timeout_at(execution: Execution, limits: Limits) -> int:
    """When it has run for too long: the lower of the installation's limit and its own."""
    most = round(limits.timeout * 1000)
    own = execution.spec.timeout
    return (execution.started_at or 0) + (most if own is None else min(own, most))


def _deadline(execution: Execution, view: EngineService, task: EngineTask | None, now: int, limits: Limits) -> Failure:
    """Why one failed whose service was stopped: its node, its image or its start did not come in time, or somebody else did it."""
    waited = 0 if execution.bound_at is None else now - execution.bound_at
    if task is None or task.node_id is None:
        if waited >= limits.pending_deadline * 1000:
            return Failure(FailureReason.UNSCHEDULABLE, view.stop_why or failures.no_node(limits.pending_deadline, ""))
    elif waited >= limits.pull_deadline * 1000:
        reason = FailureReason.IMAGE if task.container_id is None else FailureReason.REJECTED
        return Failure(reason, view.stop_why or _not_ready(execution, task, limits))
    return Failure(FailureReason.KILLED, "its service was stopped by somebody else")


def _stop_due(execution: Execution, view: EngineService, task: EngineTask | None, now: int, limits: Limits) -> StopService | None:
    if execution.stop_requested_at is not None:
        return StopService("asked for")
    if execution.started_at is not None:
        late = now >= _timeout_at(execution, limits)
        return StopService(f"ran for {(_timeout_at(execution, limits) - execution.started_at) / 1000:g} s") if late else None
    if execution.expires_at is not None and now >= execution.expires_at and (task is None or task.phase is not Phase.RUNNING):
        return StopService("its time to start is over")
    over = wait_ends(execution, task, limits)
    if over is None or now < over or not view.activated:
        return None
    if task is None or task.phase is Phase.WAITING:
        return StopService(failures.no_node(limits.pending_deadline, task.message if task else NO_TASK))
    return StopService(_not_ready(execution, task, limits))


def _not_ready(execution: Execution, task: EngineTask, limits: Limits) -> str:
    """What did not come in time on the node that has it."""
    if task.container_id is not None:
        return failures.no_start(limits.pull_deadline)
    return failures.no_image(execution.spec.image, limits.pull_deadline)


def _next_deadline(execution: Execution, task: EngineTask | None, limits: Limits) -> int | None:
    if execution.started_at is not None:
        return _timeout_at(execution, limits)
    deadlines = [moment for moment in (execution.expires_at, wait_ends(execution, task, limits)) if moment is not None]
    return min(deadlines, default=None)


def wait_ends(execution: Execution, task: EngineTask | None, limits: Limits) -> int | None:
    """When the wait for a node (or for a task at all), or for the image, has lasted too long; None where it is over."""
    if execution.bound_at is None:
        return None
    if task is None or task.phase is Phase.WAITING:
        return execution.bound_at + round(limits.pending_deadline * 1000)
    if task.phase is Phase.PREPARING:
        return max(execution.bound_at, task.changed_at) + round(limits.pull_deadline * 1000)
    return None


def _started(task: EngineTask) -> Started:
    return Started(task.id, task.container_id, task.started_at or task.changed_at)
