"""What a Swarm task's raw state means: the table from the engine's states, errors and exit codes to phases and ends. Pure.

========== ================================================= ========= ===========================================
state      with                                              end       exit code
========== ================================================= ========= ===========================================
complete                                                     EXITED    the container's
failed     its container says that memory ran out            OOM       the container's
failed     code 137                                          KILLED    137
failed     ``starting container failed: context canceled``   SHUTDOWN  none: it was called off amid its start (128)
failed     another code than 0                               EXITED    that one (126 to 128: it could not start)
failed     code 0, or none (``No such container``)           KILLED    none: the engine went away under it
rejected   ``No such image``                                 IMAGE     none
rejected   anything else                                     REJECTED  none
shutdown   (by our stop, a drained node)                     SHUTDOWN  the container's, if it had one that started
orphaned   (its node was removed)                            SHUTDOWN  none
remove     (its service was removed)                         SHUTDOWN  none
========== ================================================= ========= ===========================================

Code 137 is how an engine tells of a kill; a command that exits with 137 by itself cannot be told from it, and counts as killed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastlane.executors.base import End, Phase, TaskView
from fastlane.executors.timestamps import milliseconds

Raw = Mapping[str, Any]

_PHASES: Mapping[str, Phase] = {
    **dict.fromkeys(("new", "allocated", "pending", "assigned", "accepted"), Phase.WAITING),
    **dict.fromkeys(("preparing", "ready", "starting"), Phase.PREPARING),
    "running": Phase.RUNNING,
    **dict.fromkeys(("complete", "failed", "rejected", "shutdown", "orphaned", "remove"), Phase.ENDED),
}
KILLED_CODE = 137
READY = "ready"


def task_views(raws: Iterable[Raw], nodes: Mapping[str, str], containers: Mapping[str, Raw] | None = None) -> tuple[TaskView, ...]:
    """Tasks in order of creation. ``nodes``: each node's state; ``containers``: what is known of containers, by their id."""
    known = containers or {}
    ordered = sorted(raws, key=lambda raw: (str(raw.get("CreatedAt", "")), str(raw["ID"])))
    return tuple(task_view(raw, nodes, known.get(container_id(raw) or "")) for raw in ordered)


def by_service(raws: Sequence[Raw], nodes: Mapping[str, str]) -> dict[str, tuple[TaskView, ...]]:
    """The tasks of each service, in order of creation, by the service's id."""
    grouped: dict[str, list[Raw]] = {}
    for raw in raws:
        grouped.setdefault(str(raw.get("ServiceID", "")), []).append(raw)
    return {service: task_views(tasks, nodes) for service, tasks in grouped.items()}


def node_states(raws: Iterable[Raw]) -> dict[str, str]:
    """Each node's state (``ready``, ``down``, ``unknown``, ``disconnected``) by its id."""
    return {str(raw["ID"]): str(raw.get("Status", {}).get("State", "unknown")) for raw in raws}


def container_id(raw: Raw) -> str | None:
    """The id of the task's container, None while it has none."""
    return _container(raw).get("ContainerID") or None


def task_view(raw: Raw, nodes: Mapping[str, str], container: Raw | None = None) -> TaskView:
    """One task. ``container`` is the node's own word on its container, where that could be had: only it knows the start and the end
    to the millisecond, and whether memory ran out; else the task's last change must do for both."""
    status: Raw = raw.get("Status") or {}
    state = str(status.get("State", ""))
    phase = _phase(raw, state, nodes)
    started, finished = _moments(raw, phase, container)
    ended = phase is Phase.ENDED
    return TaskView(
        id=str(raw["ID"]),
        service_id=str(raw.get("ServiceID", "")),
        phase=phase,
        state=state,
        message=str(status.get("Err") or status.get("Message") or ""),
        end=_end(raw, state, container) if ended else None,
        exit_code=_exit_code(raw, state, started) if ended else None,
        container_id=container_id(raw),
        node_id=raw.get("NodeID") or None,
        changed_at=_changed_at(raw),
        started_at=started,
        finished_at=finished,
    )


def _phase(raw: Raw, state: str, nodes: Mapping[str, str]) -> Phase:
    phase = _PHASES.get(state, Phase.UNKNOWN)
    node = raw.get("NodeID")
    lost = bool(node) and nodes.get(str(node)) != READY
    return Phase.UNKNOWN if lost and phase is not Phase.ENDED else phase


def _end(raw: Raw, state: str, container: Raw | None) -> End:
    if state == "complete":
        return End.EXITED
    if state == "rejected":
        return End.IMAGE if "No such image" in str(raw["Status"].get("Err", "")) else End.REJECTED
    if state != "failed" or _called_off(raw):
        return End.SHUTDOWN
    if container is not None and container.get("State", {}).get("OOMKilled"):
        return End.OOM
    return End.EXITED if _code(raw) not in {None, 0, KILLED_CODE} else End.KILLED


def _exit_code(raw: Raw, state: str, started: int | None) -> int | None:
    code = _code(raw)
    if state == "failed":
        return None if _called_off(raw) else code or None
    if state == "complete":
        return code
    return code if state == "shutdown" and started is not None else None


def _called_off(raw: Raw) -> bool:
    """Whether a shutdown (our stop's, most often) met the engine as it was about to start the container, which then never ran."""
    error = str((raw.get("Status") or {}).get("Err", ""))
    return error.startswith("starting container failed") and "context canceled" in error


def _code(raw: Raw) -> int | None:
    found = _container(raw)
    code = found.get("ExitCode", 0)
    return int(code) if found.get("ContainerID") and code >= 0 else None


def _moments(raw: Raw, phase: Phase, container: Raw | None) -> tuple[int | None, int | None]:
    """When its container started and finished, milliseconds."""
    if phase not in {Phase.RUNNING, Phase.ENDED}:
        return None, None
    changed = _changed_at(raw)
    if container is None:
        ran = container_id(raw) is not None and not str(raw["Status"].get("Err", "")).startswith("starting container failed")
        return changed if ran else None, changed if phase is Phase.ENDED else None
    state: Raw = container.get("State") or {}
    started = milliseconds(state.get("StartedAt"))
    if phase is not Phase.ENDED:
        return started, None
    finished = milliseconds(state.get("FinishedAt")) or changed
    return started, max(finished, started or 0)  # an engine may note a short container's end a little before its start


def _changed_at(raw: Raw) -> int:
    return milliseconds((raw.get("Status") or {}).get("Timestamp")) or 0


def _container(raw: Raw) -> Raw:
    return (raw.get("Status") or {}).get("ContainerStatus") or {}
