"""The meaning of a Swarm task's raw state: from the engine's states, errors and exit codes to phases and ends. Pure.

========== ====================================================== ========= =============================================
state      with                                                   end       exit code
========== ====================================================== ========= =============================================
complete                                                          EXITED    the container's
failed     its container says that memory ran out                 OOM       the container's
failed     code 137                                               KILLED    137
failed     code 143 or 255, from before its node came back        KILLED    143; of 255 none: the engine did not see it
failed     ``starting container failed: context canceled``        SHUTDOWN  none: it was called off amid its start (128)
failed     ``starting container failed: … no space left …``       NO_SPACE  none: it never started (128)
failed     ``starting container failed: …``, of the engine        ENGINE    none: it never started (128)
failed     another code than 0                                    EXITED    that one (126 to 128: it could not start)
failed     code 0, or none (``No such container``)                KILLED    none: the engine went away under it
rejected   ``assigned node no longer meets constraints``          SHUTDOWN  the container's, if its node reports it
rejected   ``context canceled``                                   SHUTDOWN  none: it was called off before its start
rejected   ``No such image``, and other words of a failed pull    IMAGE     none
rejected   ``… no space left on device``                          NO_SPACE  none
rejected   anything else                                          REJECTED  none
shutdown   (by our stop, a drained node, a changed service)       SHUTDOWN  the container's, if it had one that started
orphaned   (its node was removed, or down for a day)              LOST      none: the container may still run
remove     (its service was removed)                              SHUTDOWN  none
========== ====================================================== ========= =============================================

An engine gives 128 where a start failed without a code of its own. The words of the runtime (a bad option, too little memory) and words
about a user or group blame the container; all others, such as a network or a runtime that fails without a word, blame the engine.

A failed pull has only these words, whatever its cause; ``FailedPulls`` (``images.py``) finds the cause.

Code 137 is an engine's report of a kill. A command that exits with 137 by itself looks the same, and counts as killed.

When an engine that was killed is back, it ends the containers that it left: 143 is the code of one that obeyed, 255 of one whose end it
missed. Then it joins its swarm again, which changes its node, and only then records the ends. A running engine records an end at once.

A task is ``rejected`` by the constraint enforcer of Swarm when its node changes in the moment in which our stop has put its constraint on
the service, or when someone removes a label from a node. Its container ends later, by its signal and its grace, and only its node
reports how: until then the task is ``lingering``.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastlane.executors.port import EngineTask, Phase, TaskEnd
from fastlane.executors.swarm.clocks import NO_SKEW, Clocks, milliseconds
from fastlane.executors.swarm.faults import NO_SPACE, without_values

Raw = Mapping[str, Any]

_BY_MANAGERS = frozenset({"new", "allocated", "pending", "assigned", "orphaned", "remove"})
"""The states that a manager writes; a task's node writes the others."""
_PHASES: Mapping[str, Phase] = {
    **dict.fromkeys(("new", "allocated", "pending", "assigned", "accepted"), Phase.WAITING),
    **dict.fromkeys(("preparing", "ready", "starting"), Phase.PREPARING),
    "running": Phase.RUNNING,
    **dict.fromkeys(("complete", "failed", "rejected", "shutdown", "orphaned", "remove"), Phase.ENDED),
}
KILLED_CODE = 137
MISSED_CODE = 255
AT_RETURN = frozenset({143, MISSED_CODE})
LATE = 200
"""Milliseconds within which a running engine records a container's end."""
EVICTED = "assigned node no longer meets constraints"
START_FAILED = "starting container failed"
FAILED_CODE = 128
OF_CONTAINER = re.compile(
    r"OCI runtime|unable to find (user|group)|no matching entries in (passwd|group)|no users found|uids and gids|error mounting"
)
"""Words of a start that failed by the container's own settings, although its code means a failure of the engine."""
SILENT_RUNTIME = re.compile(r"runc did not terminate successfully: exit status \d+(: unknown)?$")
"""The end of the words of a start whose runtime failed without a word about the container, as it does where the disk is full."""
PULL_FAILED = re.compile(
    r"No such image|pull access denied|manifest (for .* not found|unknown)|failed to resolve reference|no matching manifest"
    r"|unauthorized: |no basic auth credentials|toomanyrequests"
)
READY = "ready"
NO_NAMES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class NodeDetails:
    """A swarm's report about a node in addition to its state: whether it is drained, and when it last changed (milliseconds)."""

    drained: bool = False
    changed_at: int = 0


def task_views(
    raws: Iterable[Raw],
    nodes: Mapping[str, str],
    containers: Mapping[str, Raw] | None = None,
    details: Mapping[str, NodeDetails] | None = None,
    clocks: Clocks = NO_SKEW,
    names: Mapping[str, str] = NO_NAMES,
) -> tuple[EngineTask, ...]:
    """Tasks in order of creation. ``nodes``: each node's state; ``containers``: containers as inspected, by id; ``details``: what else is
    known of the nodes; ``clocks`` and ``names``: theirs."""
    known, more = containers or {}, details or {}
    ordered = sorted(raws, key=lambda raw: (str(raw.get("CreatedAt", "")), str(raw["ID"])))
    return tuple(
        task_view(raw, nodes, known.get(container_id(raw) or ""), more.get(str(raw.get("NodeID"))), clocks, names) for raw in ordered
    )


def by_service(
    raws: Sequence[Raw], nodes: Mapping[str, str], clocks: Clocks = NO_SKEW, names: Mapping[str, str] = NO_NAMES
) -> dict[str, tuple[EngineTask, ...]]:
    """The tasks of each service, in order of creation, by the service's id."""
    grouped: dict[str, list[Raw]] = {}
    for raw in raws:
        grouped.setdefault(str(raw.get("ServiceID", "")), []).append(raw)
    return {service: task_views(tasks, nodes, clocks=clocks, names=names) for service, tasks in grouped.items()}


def node_states(raws: Iterable[Raw]) -> dict[str, str]:
    """Each node's state (``ready``, ``down``, ``unknown``, ``disconnected``) by its id."""
    return {str(raw["ID"]): str(raw.get("Status", {}).get("State", "unknown")) for raw in raws}


def node_names(raws: Iterable[Raw]) -> dict[str, str]:
    """The name of each node's machine, by the node's id."""
    found = ((str(raw["ID"]), str((raw.get("Description") or {}).get("Hostname") or "")) for raw in raws)
    return {id: name for id, name in found if name}


def node_details(raws: Iterable[Raw]) -> dict[str, NodeDetails]:
    """What else is known of each node, by its id."""
    return {str(raw["ID"]): _details(raw) for raw in raws}


def _details(raw: Raw) -> NodeDetails:
    drained = (raw.get("Spec") or {}).get("Availability") == "drain"
    return NodeDetails(drained, milliseconds(raw.get("UpdatedAt")) or 0)


def container_id(raw: Raw) -> str | None:
    """The id of the task's container, None while it has none."""
    return _container(raw).get("ContainerID") or None


def task_view(
    raw: Raw,
    nodes: Mapping[str, str],
    container: Raw | None = None,
    node: NodeDetails | None = None,
    clocks: Clocks = NO_SKEW,
    names: Mapping[str, str] = NO_NAMES,
) -> EngineTask:
    """One task, with its times by this process's clock. ``container`` is its container as the node shows it, if the node could be asked:
    only that has the start and the end to the millisecond, and whether memory ran out. Without it the task's last change stands for both.
    """
    status: Raw = raw.get("Status") or {}
    state = str(status.get("State", ""))
    phase = _phase(raw, state, nodes)
    started, finished = _moments(raw, phase, container, clocks)
    ended = phase is Phase.ENDED
    missed = _is_missed(raw, container, node, clocks)
    return EngineTask(
        id=str(raw["ID"]),
        service_id=str(raw.get("ServiceID", "")),
        phase=phase,
        state=state,
        message=without_values(str(status.get("Err") or status.get("Message") or "")),
        end=_end(raw, state, container, missed=missed) if ended else None,
        exit_code=_exit_code(raw, state, started, container, missed=missed) if ended else None,
        container_id=container_id(raw),
        node_id=raw.get("NodeID") or None,
        changed_at=_changed_at(raw, clocks),
        started_at=started,
        finished_at=finished,
        lingering=ended and _is_evicted(raw) and (container is None or bool(_container_state(container).get("Running"))),
        drained=node is not None and node.drained,
        node=names.get(raw.get("NodeID") or ""),
    )


def with_times(task: EngineTask, container: Raw, skew: int) -> EngineTask:
    """A running or completed task with the start and the end of its container, as its node shows it, by this process's clock. A
    running task's container may have ended already. ``skew``: how far the node's clock is ahead, in milliseconds."""
    state = _container_state(container)
    started, finished = (
        None if moment is None else moment - skew for moment in map(milliseconds, (state.get("StartedAt"), state.get("FinishedAt")))
    )
    if task.phase is not Phase.ENDED and (finished is None or state.get("Running")):
        return replace(task, started_at=started)
    return replace(task, started_at=started, finished_at=max(finished or task.changed_at, started or 0))


def _had_no_space(raw: Raw) -> bool:
    """Whether its container was not made or started because the disk is full. A command's own words about that are only in its log."""
    error = _error(raw)
    return NO_SPACE in error and (_state(raw) == "rejected" or error.startswith(START_FAILED))


def _failed_by_engine(raw: Raw) -> bool:
    """Whether its engine could not start its container, for a reason that lies in the engine."""
    error = _error(raw)
    if _state(raw) != "failed" or not error.startswith(START_FAILED) or _code(raw) != FAILED_CODE:
        return False
    return not OF_CONTAINER.search(error) or SILENT_RUNTIME.search(error) is not None


def wait_for_engine(task: EngineTask, silent_nodes: Collection[str]) -> EngineTask:
    """The task, lingering where its exit code may come from an engine that came back, and that engine does not answer yet."""
    unsure = task.end is TaskEnd.EXITED and task.exit_code in AT_RETURN and task.node_id in silent_nodes
    return replace(task, lingering=True) if unsure else task


def _phase(raw: Raw, state: str, nodes: Mapping[str, str]) -> Phase:
    phase = _PHASES.get(state, Phase.UNKNOWN)
    node = raw.get("NodeID")
    lost = bool(node) and nodes.get(str(node)) != READY
    return Phase.UNKNOWN if lost and phase is not Phase.ENDED else phase


def _end(raw: Raw, state: str, container: Raw | None, *, missed: bool) -> TaskEnd:
    if state == "complete":
        return TaskEnd.EXITED
    if state == "orphaned":
        return TaskEnd.LOST
    if state not in {"failed", "rejected"} or _is_called_off(raw) or _is_evicted(raw):
        return TaskEnd.SHUTDOWN
    if _had_no_space(raw):
        return TaskEnd.NO_SPACE
    if _failed_by_engine(raw):
        return TaskEnd.ENGINE
    if state == "rejected":
        return TaskEnd.IMAGE if PULL_FAILED.search(_error(raw)) else TaskEnd.REJECTED
    if container is not None and _container_state(container).get("OOMKilled"):
        return TaskEnd.OOM
    return TaskEnd.KILLED if missed or _code(raw) in {None, 0, KILLED_CODE} else TaskEnd.EXITED


def _exit_code(raw: Raw, state: str, started: int | None, container: Raw | None, *, missed: bool) -> int | None:
    code = _code(raw)
    if _is_evicted(raw):
        found = _container_state(container or {})
        return int(found.get("ExitCode", 0)) if started is not None and found.get("Status") == "exited" else None
    if state == "failed":
        never_started = _is_called_off(raw) or _had_no_space(raw) or _failed_by_engine(raw)
        return None if never_started or (missed and code == MISSED_CODE) else code or None
    if state == "complete":
        return code
    return code if state == "shutdown" and started is not None else None


def _is_called_off(raw: Raw) -> bool:
    """Whether a shutdown (most often by our stop) came as the engine was about to start the container, which then never ran."""
    state, error = _state(raw), _error(raw)
    return "context canceled" in error and (state == "rejected" or error.startswith(START_FAILED))


def _is_evicted(raw: Raw) -> bool:
    """Whether Swarm's constraint enforcer ended the task; its container may still run."""
    return _state(raw) == "rejected" and _error(raw) == EVICTED


def _is_missed(raw: Raw, container: Raw | None, node: NodeDetails | None, clocks: Clocks) -> bool:
    """Whether its engine was away at the container's end, or ended it as it came back."""
    finished = _at_node(_container_state(container or {}).get("FinishedAt"), raw, clocks)
    if finished is None or node is None or _code(raw) not in AT_RETURN:
        return False
    return _changed_at(raw, clocks) - finished > LATE and clocks.of_leader(node.changed_at) > finished


def _state(raw: Raw) -> str:
    return str((raw.get("Status") or {}).get("State", ""))


def _error(raw: Raw) -> str:
    return str((raw.get("Status") or {}).get("Err", ""))


def _container_state(container: Raw) -> Raw:
    return container.get("State") or {}


def _code(raw: Raw) -> int | None:
    found = _container(raw)
    code = found.get("ExitCode", 0)
    return int(code) if found.get("ContainerID") and code >= 0 else None


def _moments(raw: Raw, phase: Phase, container: Raw | None, clocks: Clocks) -> tuple[int | None, int | None]:
    """When its container started and finished, milliseconds."""
    if phase not in {Phase.RUNNING, Phase.ENDED}:
        return None, None
    changed = _changed_at(raw, clocks)
    if container is None:
        ran = container_id(raw) is not None and not _error(raw).startswith(START_FAILED)
        return changed if ran else None, changed if phase is Phase.ENDED else None
    state = _container_state(container)
    started = _at_node(state.get("StartedAt"), raw, clocks)
    if phase is not Phase.ENDED:
        return started, None
    finished = _at_node(state.get("FinishedAt"), raw, clocks) or changed
    return started, max(finished, started or 0)  # an engine may record a short container's end a little before its start


def _changed_at(raw: Raw, clocks: Clocks) -> int:
    """When its state last changed; 0 when the engine does not say."""
    at = (raw.get("Status") or {}).get("Timestamp")
    if not raw.get("NodeID") or _state(raw) in _BY_MANAGERS or _is_evicted(raw):
        return clocks.of_leader(milliseconds(at) or 0)
    return _at_node(at, raw, clocks) or 0


def _at_node(time: str | None, raw: Raw, clocks: Clocks) -> int | None:
    """A time of the clock of a task's node as this process's."""
    moment = milliseconds(time)
    return None if moment is None else moment - clocks.at_node(raw)


def _container(raw: Raw) -> Raw:
    return (raw.get("Status") or {}).get("ContainerStatus") or {}
