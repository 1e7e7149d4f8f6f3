"""Decides what to do about a bound execution, from a look at its service and the troubles until then. ``judge`` is a pure function of
values and ``now``: it returns the action and the new troubles. Here are also the failures that an execution can end with, their wording
(``failure_of`` and others), and the notes about delays.

Only a final task state ends an execution. The task that counts is the one first seen for the service: a stop leaves a second one, which
never starts.

A task's times are in this process's clock. They may be off where a node's clock could not be measured, so a start never counts as before
the binding, and a start or an end never as after ``now``.
"""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastlane.errors import FastlaneError, HostDown, OrderRefused, RegistryDown, ServiceGone
from fastlane.executors.port import EngineService, EngineTask, Phase, TaskEnd
from fastlane.log import one_line, scrub
from fastlane.models.container import STOP_GRACE
from fastlane.models.event import Note, Obstacle
from fastlane.models.job import Ending, Execution, Failure, Started
from fastlane.models.log_commands import LogFindings
from fastlane.models.pool import Pool, pool_for
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status

MAX_MESSAGE = 1000
"""The longest message, in characters."""
MAX_WORDS = 300
"""The longest text of a note, in bytes."""

UNABLE = "starting container failed: "
FRAMES = re.compile(
    r"(starting container failed|failed to create task for container|failed to create shim task|OCI runtime create failed"
    r"|runc create failed|unable to start container process|Error response from daemon): "
)
"""Prefixes that the layers of an engine put in front of each other's words."""
NON_ZERO = "task: non-zero exit"
CAUSE = re.compile(r"task: non-zero exit \(-?\d+\): (?:dockerexec: )?(.+)", re.DOTALL)

SIGKILLED = 128 + signal.SIGKILL
MEANINGS = {126: "the command cannot be executed", 127: "a command was not found"}
"""The meaning of exit codes of shells and init processes. Code 128 + n means signal n."""

REMOVED = "someone removed its service from the swarm"
SCALED = "someone scaled its service to 0 replicas"
CHANGED = "someone changed its service"


def failure_of(execution: Execution, task: EngineTask, service: EngineService) -> Failure:
    """Why an execution failed whose task fastlane did not stop."""
    name = task.node or execution.node
    node, engine = ("its node", "its engine") if name is None else (f"its node {name}", f"the engine of its node {name}")
    match task.end:
        case TaskEnd.EXITED:
            return _failure(FailureReason.EXIT, _exited(task))
        case TaskEnd.OOM:
            return _failure(FailureReason.OOM, _out_of_memory(execution, task))
        case TaskEnd.IMAGE:
            return _failure(FailureReason.IMAGE, f"{node} could not get {execution.subject}: {plain(task.message)}")
        case TaskEnd.REJECTED:
            return _failure(FailureReason.REJECTED, f"{node} refused the container: {plain(task.message)}")
        case TaskEnd.NO_SPACE:
            return _failure(
                FailureReason.HOST_LOST, f"its container was not started, because the disk of {node} is full: {plain(task.message)}"
            )
        case TaskEnd.ENGINE:
            return _failure(FailureReason.ENGINE, f"{engine} could not start the container: {plain(task.message)}")
        case TaskEnd.LOST:
            return _failure(
                FailureReason.HOST_LOST, f"{node} was removed from the swarm, or was away for a day; its container may still run there"
            )
        case TaskEnd.SHUTDOWN:
            return _shut_down(task, service, node)
    return _failure(FailureReason.KILLED, _killed(task, engine, "its container" if name is None else f"its container on {name}"))


def host_lost(execution: Execution, why: str, after: float) -> Failure:
    """Why an execution failed after its host or node was away for ``after`` seconds. ``why``: a clause that says what was away."""
    return _failure(FailureReason.HOST_LOST, f"{why} (for {after:g} s; {_left(execution)})")


def host_removed(execution: Execution, why: str) -> Failure:
    """Why an execution failed whose host was removed by force. ``why``: a clause that says so."""
    return _failure(FailureReason.HOST_LOST, f"{why}; {_left(execution)}")


def _left(execution: Execution) -> str:
    """What may be left of an execution that nobody can see. It may be on another node than the host that was asked about it."""
    if execution.node is not None:
        return f"its container may still run on its node {execution.node}"
    return f"its container {'may still run' if execution.has_started else 'may have been started'} there"


def not_started(execution: Execution, error: FastlaneError, after: float) -> Failure:
    """Why an execution failed whose service its host did not start for ``after`` seconds, and which was removed then."""
    host, words = execution.host, plain(str(error))
    if isinstance(error, HostDown):
        return _failure(FailureReason.HOST_LOST, f"its host {host} did not start its service for {after:g} s: {words}")
    return _failure(FailureReason.REJECTED, f"its host {host} refused to start its service: {words}")


def service_gone(why: str) -> Failure:
    """Why an execution failed after someone removed its service or its task."""
    return _failure(FailureReason.KILLED, why)


def saying(ending: Ending, findings: LogFindings) -> Ending:
    """The ending with what its log says: the outputs, and its first error in the message of the failure."""
    failure = ending.failure
    if failure is not None and findings.error is not None:
        message = f"{failure.message[: MAX_MESSAGE - len(findings.error) - 2]}: {findings.error}"
        return replace(ending, outputs=findings.outputs, failure=replace(failure, message=message))
    return ending if findings.outputs is None else replace(ending, outputs=findings.outputs)


def no_node(seconds: float, words: str) -> str:
    """Why a service that no node accepted is stopped. ``words``: the engine's explanation."""
    return f"no node took it within {seconds:g} s{_after_colon(words)}"


def no_image(image: str, seconds: float) -> str:
    """Why a service whose image did not arrive is stopped. ``image``: in words."""
    return f"{image} was not on its node within {seconds:g} s"


def no_start(seconds: float) -> str:
    """Why a service whose container was created but did not start is stopped."""
    return f"its node did not start the container within {seconds:g} s"


def plain(words: str) -> str:
    """An engine's words without the prefixes of its layers."""
    return FRAMES.sub("", words.strip()).removesuffix(": unknown")


def _failure(reason: FailureReason, message: str) -> Failure:
    return Failure(reason, message[:MAX_MESSAGE])


def _after_colon(words: str) -> str:
    return f": {words}" if words else ""


def _exited(task: EngineTask) -> str:
    if task.message.startswith(UNABLE):
        return f"the command could not be started{_with_code(task)}: {plain(task.message)}"
    cause = CAUSE.match(task.message)
    return f"the command ended with exit code {task.exit_code}{_meaning(task.exit_code)}{_after_colon(cause[1] if cause else '')}"


def _out_of_memory(execution: Execution, task: EngineTask) -> str:
    limit = execution.spec.resources.memory
    what = "memory ran out" if limit is None else f"it used more than its limit of {limit / 2**20:,.10g} MiB of memory"
    return f"{what}, and the container was killed{_with_code(task)}"


def _meaning(code: int | None) -> str:
    if code in MEANINGS:
        return f" ({MEANINGS[code]})"
    try:
        return f" ({signal.Signals((code or 0) - 128).name})"
    except ValueError:
        return ""


def _with_code(task: EngineTask) -> str:
    return "" if task.exit_code is None else f" (exit code {task.exit_code})"


def _killed(task: EngineTask, engine: str, container: str) -> str:
    if task.exit_code == SIGKILLED:
        return f"{container} was killed, but not by fastlane (exit code 137, SIGKILL)"
    if task.exit_code is not None:
        return f"{engine} went down while it ran, and killed it after coming back{_with_code(task)}"
    if task.message.startswith(NON_ZERO):
        return f"{engine} went down while it ran, so its exit code is unknown"
    if "No such container" in task.message:
        return f"{container} is gone: {engine} was shut down, or someone removed the container"
    return f"{container} was killed, but not by fastlane{_after_colon(plain(task.message) or task.state)}"


def _shut_down(task: EngineTask, service: EngineService, node: str) -> Failure:
    never_ran = task.container_id is None
    when = "before its container was made" if never_ran else f"while it ran{_with_code(task)}"
    if service.scaled_away:
        return _failure(FailureReason.KILLED, f"{SCALED} {when}")
    if len(service.tasks) > 1 and not service.stopping:
        return _failure(FailureReason.KILLED, f"{CHANGED} {when}")
    reason = FailureReason.HOST_LOST if never_ran else FailureReason.KILLED
    return _failure(reason, f"{_why_shut_down(task, node)} {when}")


def _why_shut_down(task: EngineTask, node: str) -> str:
    if task.state == "rejected":
        return f"the swarm ended it ({task.message})"
    return f"{node} was drained" if task.drained else f"the swarm ended it because {node} went down or was drained,"


def note(execution: Execution, obstacle: Obstacle, words: str, since: int, until: int | None = None) -> Note:
    """A note about an execution of this worker, with words that may be shown."""
    return Note(execution.id, execution.epoch or None, obstacle, shown(words), since, until)


def shown(words: str) -> str:
    """Another system's words in a form that may be shown: one line, of bounded length, without the secrets of a URL."""
    line = one_line(scrub(words))
    data = line.encode(errors="replace")
    return line if len(data) <= MAX_WORDS else data[: MAX_WORDS - 3].decode(errors="ignore") + "…"


UNKNOWN_REGISTRY_PATIENCE = 40.0
"""Seconds after which a registry whose name cannot be looked up counts as one that does not exist."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for running (unless a pool of ``pools`` has a limit of its own), for waiting for a node, for a registry or the pull of the
    image, and for a host that is away. ``gone_after``:
    how long an engine must say that a service is gone before that is believed. ``refused_after``: how long it may refuse what it is asked
    before the execution ends without it. ``redact_words``: the setting, which says what no other job gets."""

    timeout: float
    pending_deadline: float
    pull_deadline: float
    host_lost_after: float
    gone_after: float = 60
    refused_after: float = 60
    pools: Sequence[Pool] = ()
    redact_words: tuple[str, ...] = ()

    def timeout_of(self, execution: Execution) -> float:
        """Seconds that the execution may run: by the pool that it was claimed in or, where this worker has none of that name, by the pool
        that takes its task now."""
        own = next((pool for pool in self.pools if pool.name == execution.pool), None) or pool_for(self.pools, execution.task_id)
        return self.timeout if own is None or own.hard_timeout is None else own.hard_timeout


def registry_deadline(execution: Execution, error: RegistryDown, limits: Limits) -> int:
    """The moment (milliseconds) until which a registry is asked again."""
    patience = min(UNKNOWN_REGISTRY_PATIENCE, limits.pull_deadline) if error.nameless else limits.pull_deadline
    return (execution.placed_at or 0) + round(patience * 1000)


AFTER_GRACE = 5_000
"""Milliseconds after a container's grace period for which its end is awaited when the engine does not report it."""
NO_TASK = "the swarm made no task of its service"
OFTEN = 1_000
"""Milliseconds between two inspections of a state that the engine does not announce."""


@dataclass(frozen=True, slots=True)
class LostWithHost:
    """The execution is lost with its host, which was removed by force: the clause ``why`` says so."""

    why: str


@dataclass(frozen=True, slots=True)
class NotShown:
    """No manager shows the service: all say that it is gone (ServiceGone), or some do not answer or refuse to."""

    error: ServiceGone | HostDown | OrderRefused


@dataclass(frozen=True, slots=True)
class DemandRefused:
    """The host shows the service, but does not do what was demanded."""

    service: EngineService
    demand: "StopService | ActivateService | RemoveService"
    error: ServiceGone | HostDown | OrderRefused


@dataclass(frozen=True, slots=True)
class ServiceRemoved:
    """The service was removed, because its host did not stop it. ``ending``: how the execution ends."""

    service: EngineService
    ending: Ending


Sight = EngineService | LostWithHost | NotShown | DemandRefused | ServiceRemoved
"""The result of a look at an execution's service, or of an attempt to change the service."""


@dataclass(frozen=True, slots=True)
class Troubles:
    """The obstacles to the end of a watch, each with its beginning (milliseconds; None: there is none). ``gone``: all managers say that the
    service is gone. ``away``: none shows it. ``node_down``: the task's node is down. ``disobeyed``: the host does not do what is demanded.
    ``ending``: how the execution ends, while its log or the removal of its service is still to come. ``note``: for the worker's report."""

    gone: int | None = None
    away: int | None = None
    node_down: int | None = None
    disobeyed: int | None = None
    ending: Ending | None = None
    note: Note | None = None

    def without(self, *names: str) -> "Troubles":
        """These but for some that are over. Mostly there are none: ``replace`` takes longer than all else that a look is judged by."""
        return replace(self, **dict.fromkeys(names)) if any(getattr(self, name) is not None for name in names) else self


NO_TROUBLES = Troubles()


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing has to be done before ``until`` (milliseconds), or before something changes (None)."""

    until: int | None = None


@dataclass(frozen=True, slots=True)
class LookAgain:
    """A trouble must last longer before it counts: the next look is due after ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ActivateService:
    """The service is parked and must be activated."""


@dataclass(frozen=True, slots=True)
class RecordStart:
    """The container runs, and the start must be recorded."""

    started: Started


@dataclass(frozen=True, slots=True)
class StopService:
    """The service must be stopped, for the reason ``why``."""

    why: str


@dataclass(frozen=True, slots=True)
class RemoveService:
    """The service must be removed, since its host does not stop it. That takes no room in the swarm, and ends a container as a stop does,
    but may lose its result and the end of its log. ``ending``: how the execution ends then."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """The execution has ended: its log must be stored to the end, then ``ending``. ``task`` has the log; None if there is no log."""

    ending: Ending
    task: EngineTask | None


@dataclass(frozen=True, slots=True)
class ServiceMissing:
    """The engine says that the task is gone, for the reason ``why``. Believe it only if it keeps saying so."""

    why: str


ServiceVerdict = WaitUntil | ActivateService | RecordStart | StopService | RecordEnd | ServiceMissing
Verdict = WaitUntil | LookAgain | ActivateService | RecordStart | StopService | RemoveService | RecordEnd

Judgement = tuple[Verdict, Troubles]
"""The action to take, and the troubles from now on."""

MIN_PAUSE, MAX_PAUSE = 0.25, 5.0
"""Bounds, in seconds, of the wait before a demand that was refused is repeated: a quarter of the time since the first refusal."""


def judge(execution: Execution, sight: Sight, troubles: Troubles, now: int, limits: Limits) -> Judgement:
    """Decides what to do about a bound execution after this sight of its service."""
    match sight:
        case LostWithHost(why):
            ending = troubles.ending or ending_when_host_removed(execution, why, now, limits)
            return RecordEnd(ending, None), troubles
        case NotShown(ServiceGone()):
            return _judge_missing(execution, REMOVED, troubles, now, limits)
        case NotShown(error):
            # A leader that is cut off answers 404 falsely, falls silent, and may answer 404 again as it comes back.
            return _judge_away(execution, error, troubles.without("gone"), now, limits)
        case DemandRefused():
            return _judge_refusal(execution, sight, troubles, now, limits)
        case ServiceRemoved(service, ending):
            if not service.activated:
                return RecordEnd(ending, None), troubles
            # Written once it is certain that the service is gone; until then its log is copied.
            return LookAgain(MIN_PAUSE), replace(troubles, ending=ending)
    return _judge_service(execution, sight, troubles.without("away"), now, limits)


def _judge_missing(execution: Execution, why: str, troubles: Troubles, now: int, limits: Limits) -> Judgement:
    """Judges a missing service or task. It is believed to be gone only after a while, since a cut-off leader says so, too."""
    since = troubles.gone or now
    if now - since >= limits.gone_after * 1000:
        return RecordEnd(troubles.ending or ending_when_gone(execution, why, since, limits), None), troubles
    explained = _note_until(execution, Obstacle.SERVICE_GONE, why, since, limits.gone_after)
    return LookAgain(min(5.0, limits.gone_after / 3)), replace(troubles, gone=since, note=explained)


def _judge_away(execution: Execution, error: FastlaneError, troubles: Troubles, now: int, limits: Limits) -> Judgement:
    """Judges a service that no manager shows. It waits for a swarm whose managers do not answer or refuse; then the execution is lost."""
    since, why = troubles.away or now, str(error)
    if now - since >= limits.host_lost_after * 1000:
        words = f"its host {'refused to show it' if isinstance(error, OrderRefused) else 'could not be reached'}: "
        ending = troubles.ending or ending_when_lost(execution, words + why.replace(" is not asked: ", " "), now, limits)
        return RecordEnd(ending, None), troubles
    explained = _note_until(execution, _obstacle(error), why, since, limits.host_lost_after)
    return LookAgain(1.0), replace(troubles, away=since, note=explained)


def _judge_node_down(execution: Execution, task: EngineTask, troubles: Troubles, now: int, limits: Limits) -> Judgement:
    """Judges a task whose node is down. It waits for the node as for a host that is away."""
    since = troubles.node_down or now
    if now - since >= limits.host_lost_after * 1000:
        ending = ending_when_lost(execution, f"its node ({task.node or task.node_id}) was down", now, limits)
        return RecordEnd(ending, None), troubles
    explained = _note_until(execution, Obstacle.NODE_DOWN, task.node or task.node_id or "", since, limits.host_lost_after)
    return LookAgain(1.0), replace(troubles, node_down=since, note=explained)


def _judge_refusal(execution: Execution, refused: DemandRefused, troubles: Troubles, now: int, limits: Limits) -> Judgement:
    """Judges a refused demand. The demand is repeated for a while. Then a service that could not be stopped is removed, and one that could
    not be started is given up. When the host refuses the removal for as long as it may be away, the execution ends nevertheless."""
    demand, error, since = refused.demand, refused.error, troubles.disobeyed or now
    removing = isinstance(demand, RemoveService)
    patience = limits.host_lost_after if removing or isinstance(error, HostDown) else limits.refused_after
    if now - since < patience * 1000:
        pause = patience / 10 if removing else min(max(MIN_PAUSE, (now - since) / 4000), patience / 3)
        explained = _note_until(execution, _obstacle(error), str(error), since, patience)
        return LookAgain(min(pause, MAX_PAUSE)), replace(troubles, disobeyed=since, note=explained)
    match demand:
        case RemoveService(ending):
            return RecordEnd(ending, None), troubles
        case StopService(why):
            return RemoveService(ending_when_removed(execution, refused.service, why, now, limits)), troubles
    # The row first: no owner activates a service of a final row, and its service is removed after that.
    return RecordEnd(Ending(Status.FAILED, now, failure=not_started(execution, error, patience)), None), troubles


def _judge_service(execution: Execution, service: EngineService, troubles: Troubles, now: int, limits: Limits) -> Judgement:
    task = task_of(execution, service)
    if task is not None and task.phase is Phase.UNKNOWN:
        return _judge_node_down(execution, task, troubles, now, limits)
    verdict, seen = verdict_of(execution, service, now, limits), troubles.without("node_down", "note")
    if isinstance(verdict, ServiceMissing):
        return _judge_missing(execution, verdict.why, seen, now, limits)
    seen = seen.without("gone")
    match verdict:
        case StopService() | ActivateService():
            return verdict, seen
        case RecordEnd(ending):
            return verdict, replace(seen, disobeyed=None, ending=ending)
    return verdict, seen.without("disobeyed")


def _note_until(execution: Execution, obstacle: Obstacle, words: str, since: int, patience: float) -> Note:
    return note(execution, obstacle, words, since, since + round(patience * 1000))


def _obstacle(error: FastlaneError) -> Obstacle:
    return Obstacle.HOST_AWAY if isinstance(error, HostDown) else Obstacle.REFUSED


def verdict_of(execution: Execution, service: EngineService, now: int, limits: Limits) -> ServiceVerdict:
    """Decides what to do about a bound execution whose service looks like this, whatever its troubles are."""
    task = task_of(execution, service)
    if task is not None and task.phase is Phase.ENDED:
        patience = _lingers_until(execution, task, limits)
        return (
            WaitUntil(min(patience, now + OFTEN)) if now < patience else RecordEnd(ending_of(execution, service, task, now, limits), task)
        )
    if service.stopping:
        if task is None or _is_replacement(execution, task, now, limits):
            status = _status_when_stopped(execution, now, limits)
            failure = _failure_when_stopped(execution, service, None, now, limits) if status is Status.FAILED else None
            return RecordEnd(Ending(status, now, failure=failure), None)
        return WaitUntil()
    stop = _stop_due(execution, service, task, now, limits)
    if stop is not None:
        return stop
    if task is None and (service.scaled_away or execution.engine_task_id is not None):
        return ServiceMissing(SCALED if service.scaled_away else CHANGED)
    if not service.activated and task is None:
        return ActivateService()
    if task is not None and task.phase is Phase.RUNNING and execution.status is Status.PULLING:
        return RecordStart(_started(execution, task, now))
    return WaitUntil(_next_deadline(execution, task, limits))


def _lingers_until(execution: Execution, task: EngineTask, limits: Limits) -> int:
    """Until when a container may still run although the engine calls its task ended, or its node's engine may still say that it made up
    the exit code as it came back; 0 when neither is so."""
    if not task.lingering:
        return 0
    if task.end is TaskEnd.EXITED:
        return task.changed_at + round(limits.host_lost_after * 1000)
    own = execution.spec.container.stop_grace
    return task.changed_at + (STOP_GRACE if own is None else own) + AFTER_GRACE


def _is_replacement(execution: Execution, task: EngineTask, now: int, limits: Limits) -> bool:
    """Whether this is the second task, which a stop leaves behind and never starts: the first was pruned before it was recorded."""
    return execution.engine_task_id is None and task.phase is Phase.WAITING and now >= task.changed_at + limits.gone_after * 1000


def task_of(execution: Execution, service: EngineService) -> EngineTask | None:
    """The execution's engine task: the recorded one, or else the first of its service."""
    if execution.engine_task_id is not None:
        return next((task for task in service.tasks if task.id == execution.engine_task_id), None)
    return service.tasks[0] if service.tasks else None


def is_start_or_success(execution: Execution, task: EngineTask) -> bool:
    """Whether this task alone is enough to record its start or its success, whatever its service looks like."""
    if task.phase is Phase.RUNNING:
        return execution.status is Status.PULLING
    return task.end is TaskEnd.EXITED and task.exit_code == 0 and not task.lingering


def ending_of(execution: Execution, service: EngineService, task: EngineTask, now: int, limits: Limits) -> Ending:
    """How it ended, by its task's final state. A stop that came after the container's end changes nothing."""
    finished_at = task.finished_at or task.changed_at or now
    ahead = max(0, finished_at - now)
    started = _started(execution, task, now, ahead) if task.started_at is not None and execution.started_at is None else None
    began_at = started.started_at if started else execution.started_at or 0
    finished_at = max(began_at, finished_at - ahead)
    if task.end is TaskEnd.EXITED and task.exit_code == 0:
        return Ending(Status.DONE, finished_at, 0, started=started)
    cut = began_at > 0 and _is_unseen(task)
    if _is_by_our_stop(execution, service, task):
        status = _status_when_stopped(execution, now, limits, started)
        failure = _failure_when_stopped(execution, service, task, now, limits) if status is Status.FAILED else None
        return Ending(status, finished_at, task.exit_code, failure, started, truncated=cut)
    return Ending(Status.FAILED, finished_at, task.exit_code, failure_of(execution, task, service), started, truncated=cut)


def _is_unseen(task: EngineTask) -> bool:
    """Whether its engine did not see how it ended: what the container wrote while the engine was down is lost."""
    return task.end is TaskEnd.LOST or (task.end is TaskEnd.KILLED and task.exit_code != SIGKILLED)


def _is_by_our_stop(execution: Execution, service: EngineService, task: EngineTask) -> bool:
    """Whether it ended through our stop, or in a way that its engine did not see while a stop was requested."""
    if task.end is TaskEnd.SHUTDOWN:
        return service.stopping or (task.container_id is None and execution.stop_requested_at is not None)
    return _is_unseen(task) and (service.stopping or execution.stop_requested_at is not None)


def ending_when_lost(execution: Execution, why: str, now: int, limits: Limits) -> Ending:
    """How an execution ends whose host has been away for too long: stopped or timed out if that was due, else lost with its host. What its
    container may have written there is lost as well, whether its start was seen or not."""
    status = _status_when_unseen(execution, now, limits)
    failure = host_lost(execution, why, limits.host_lost_after) if status is Status.FAILED else None
    return Ending(status, now, failure=failure, truncated=True)


def ending_when_host_removed(execution: Execution, why: str, now: int, limits: Limits) -> Ending:
    """How an execution ends whose host was removed by force: as one whose host was away for too long."""
    status = _status_when_unseen(execution, now, limits)
    return Ending(status, now, failure=host_removed(execution, why) if status is Status.FAILED else None, truncated=True)


def ending_when_gone(execution: Execution, why: str, since: int, limits: Limits) -> Ending:
    """How an execution ends whose service, or its task, someone removed, now that this is confirmed."""
    status = _status_when_unseen(execution, since, limits)
    return Ending(status, max(since, execution.started_at or 0), failure=service_gone(why) if status is Status.FAILED else None)


def ending_when_removed(execution: Execution, service: EngineService, why: str, now: int, limits: Limits) -> Ending:
    """How an execution ends whose service had to be stopped for the reason ``why``, and was removed because its engine did not stop it."""
    status = _status_when_stopped(execution, now, limits)
    if status is not Status.FAILED:
        return Ending(status, now)
    task = task_of(execution, service)
    return Ending(status, now, failure=_failure_when_stopped(execution, replace(service, stop_why=why), task, now, limits))


def _status_when_stopped(execution: Execution, now: int, limits: Limits, started: Started | None = None) -> Status:
    """The status of an execution whose service was stopped; FAILED when fastlane had no reason to stop it. ``started``: its container's
    start, when the store does not have it."""
    if execution.stop_requested_at is not None:
        return Status.STOPPED
    if execution.started_at is not None:
        return Status.TIMEDOUT if now >= _timeout_at(execution, limits) else Status.FAILED
    expires_at = execution.expires_at
    if expires_at is None or now < expires_at or (started is not None and started.started_at < expires_at):
        return Status.FAILED
    return Status.EXPIRED


def _status_when_unseen(execution: Execution, now: int, limits: Limits) -> Status:
    """The status of an execution whose service cannot be seen: its container may have started."""
    status = _status_when_stopped(execution, now, limits)
    return Status.FAILED if status is Status.EXPIRED else status


def _timeout_at(execution: Execution, limits: Limits) -> int:
    """The moment at which its timeout passes: the installation's limit or its own, whichever is lower."""
    most = round(limits.timeout_of(execution) * 1000)
    own = execution.spec.timeout
    return (execution.started_at or 0) + (most if own is None else min(own, most))


def _failure_when_stopped(execution: Execution, service: EngineService, task: EngineTask | None, now: int, limits: Limits) -> Failure:
    """Why an execution failed whose service was stopped: no node, no image or no start in time, or someone else stopped it."""
    waited = 0 if execution.bound_at is None else now - execution.bound_at
    if task is None or task.node_id is None:
        if waited >= limits.pending_deadline * 1000:
            return Failure(FailureReason.UNSCHEDULABLE, service.stop_why or no_node(limits.pending_deadline, ""))
    elif waited >= limits.pull_deadline * 1000:
        reason = FailureReason.IMAGE if task.container_id is None else FailureReason.REJECTED
        return Failure(reason, service.stop_why or _not_ready(execution, task, limits))
    return Failure(FailureReason.KILLED, "someone stopped its service")


def _stop_due(execution: Execution, service: EngineService, task: EngineTask | None, now: int, limits: Limits) -> StopService | None:
    if execution.stop_requested_at is not None:
        return StopService("asked for")
    if execution.started_at is not None:
        late = now >= _timeout_at(execution, limits)
        return StopService(f"ran for {(_timeout_at(execution, limits) - execution.started_at) / 1000:g} s") if late else None
    if execution.expires_at is not None and now >= execution.expires_at and (task is None or task.phase is not Phase.RUNNING):
        return StopService("its time to start is over")
    over = wait_ends(execution, task, limits)
    if over is None or now < over or not service.activated:
        return None
    if task is None or task.phase is Phase.WAITING:
        return StopService(no_node(limits.pending_deadline, task.message if task else NO_TASK))
    return StopService(_not_ready(execution, task, limits))


def _not_ready(execution: Execution, task: EngineTask, limits: Limits) -> str:
    """The step that the node did not take in time."""
    if task.container_id is not None:
        return no_start(limits.pull_deadline)
    return no_image(execution.subject, limits.pull_deadline)


def _next_deadline(execution: Execution, task: EngineTask | None, limits: Limits) -> int | None:
    if execution.started_at is not None:
        return _timeout_at(execution, limits)
    deadlines = [moment for moment in (execution.expires_at, wait_ends(execution, task, limits)) if moment is not None]
    return min(deadlines, default=None)


def wait_ends(execution: Execution, task: EngineTask | None, limits: Limits) -> int | None:
    """The moment at which it has waited too long for a node or for its image; None when it does not wait for either."""
    if execution.bound_at is None:
        return None
    if task is None or task.phase is Phase.WAITING:
        return execution.bound_at + round(limits.pending_deadline * 1000)
    if task.phase is Phase.PREPARING:
        return max(execution.bound_at, task.changed_at) + round(limits.pull_deadline * 1000)
    return None


def _started(execution: Execution, task: EngineTask, now: int, ahead: int = 0) -> Started:
    """``ahead``: how far the task's clock is known to be ahead of ``now``, by its end."""
    at = (task.started_at or task.changed_at) - ahead
    return Started(task.id, task.container_id, max(execution.bound_at or 0, min(at, now)), task.node)
