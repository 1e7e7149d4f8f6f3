"""Why an execution failed: the reason, and a sentence for people that includes the engine's own words. Pure."""

import re
import signal

from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.base import EngineService, EngineTask, TaskEnd
from fastlane.models.execution import Execution, Failure, FailureReason

MAX_MESSAGE = 1000
"""The longest message, in characters."""

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

LOST = "its node was removed from the swarm, or was away for a day; its container may still run there"
NO_SPACE = "its container was not started, because the disk of its node is full"
REMOVED = "someone removed its service from the swarm"
SCALED = "someone scaled its service to 0 replicas"
CHANGED = "someone changed its service"


def failure_of(execution: Execution, task: EngineTask, service: EngineService) -> Failure:
    """Why an execution failed whose task fastlane did not stop."""
    match task.end:
        case TaskEnd.EXITED:
            return _failure(FailureReason.EXIT, _exited(task))
        case TaskEnd.OOM:
            return _failure(FailureReason.OOM, _out_of_memory(execution, task))
        case TaskEnd.IMAGE:
            return _failure(FailureReason.IMAGE, f"its node could not get the image {execution.spec.image}: {plain(task.message)}")
        case TaskEnd.REJECTED:
            return _failure(FailureReason.REJECTED, f"its node refused the container: {plain(task.message)}")
        case TaskEnd.NO_SPACE:
            return _failure(FailureReason.HOST_LOST, f"{NO_SPACE}: {plain(task.message)}")
        case TaskEnd.LOST:
            return _failure(FailureReason.HOST_LOST, LOST)
        case TaskEnd.SHUTDOWN:
            return _shut_down(task, service)
    return _failure(FailureReason.KILLED, _killed(task))


def host_lost(execution: Execution, why: str, after: float) -> Failure:
    """Why an execution failed after its host or node was away for ``after`` seconds. ``why``: a clause that says what was away."""
    state = "may still run" if execution.has_started else "may have been started"
    return _failure(FailureReason.HOST_LOST, f"{why} (for {after:g} s; its container {state} there)")


def host_removed(execution: Execution, why: str) -> Failure:
    """Why an execution failed whose host was removed by force. ``why``: a clause that says so."""
    state = "may still run" if execution.has_started else "may have been started"
    return _failure(FailureReason.HOST_LOST, f"{why}; its container {state} there")


def not_started(execution: Execution, error: FastlaneError, after: float) -> Failure:
    """Why an execution failed whose service its host did not start for ``after`` seconds, and which was removed then."""
    host, words = execution.host, plain(str(error))
    if isinstance(error, HostDown):
        return _failure(FailureReason.HOST_LOST, f"its host {host} did not start its service for {after:g} s: {words}")
    return _failure(FailureReason.REJECTED, f"its host {host} refused to start its service: {words}")


def service_gone(why: str) -> Failure:
    """Why an execution failed after someone removed its service or its task."""
    return _failure(FailureReason.KILLED, why)


def no_node(seconds: float, words: str) -> str:
    """Why a service that no node accepted is stopped. ``words``: the engine's explanation."""
    return f"no node took it within {seconds:g} s{_after_colon(words)}"


def no_image(image: str, seconds: float) -> str:
    """Why a service whose image did not arrive is stopped."""
    return f"the image {image} was not on its node within {seconds:g} s"


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


def _killed(task: EngineTask) -> str:
    if task.exit_code == SIGKILLED:
        return "its container was killed, but not by fastlane (exit code 137, SIGKILL)"
    if task.exit_code is not None:
        return f"its engine went down while it ran, and killed it after coming back{_with_code(task)}"
    if task.message.startswith(NON_ZERO):
        return "its engine went down while it ran, so its exit code is unknown"
    if "No such container" in task.message:
        return "its container is gone: its engine was shut down, or someone removed the container"
    return f"its container was killed, but not by fastlane{_after_colon(plain(task.message) or task.state)}"


def _shut_down(task: EngineTask, service: EngineService) -> Failure:
    never_ran = task.container_id is None
    when = "before its container was made" if never_ran else f"while it ran{_with_code(task)}"
    if service.scaled_away:
        return _failure(FailureReason.KILLED, f"{SCALED} {when}")
    if len(service.tasks) > 1 and not service.stopping:
        return _failure(FailureReason.KILLED, f"{CHANGED} {when}")
    reason = FailureReason.HOST_LOST if never_ran else FailureReason.KILLED
    return _failure(reason, f"{_why_shut_down(task)} {when}")


def _why_shut_down(task: EngineTask) -> str:
    if task.state == "rejected":
        return f"the swarm ended it ({task.message})"
    return "its node was drained" if task.drained else "the swarm ended it because its node went down or was drained,"
