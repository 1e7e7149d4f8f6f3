"""The notes of a worker's report, which say what delays each of its executions. Pure.

A note is for people who ask why. No decision depends on one.
"""

from collections.abc import Iterable, Sequence

from fastlane.errors import FastlaneError, HostDown, NoHost, OrderRefused, RegistryDown, StoreDown
from fastlane.executors.base import EngineTask, Phase
from fastlane.log import one_line, scrub
from fastlane.models.execution import Execution
from fastlane.models.note import Note, Obstacle
from fastlane.models.status import Status
from fastlane.scheduler.limits import Limits, registry_deadline
from fastlane.scheduler.watch.verdict import wait_ends

MAX_NOTES = 500
"""Notes in one report. An answer to why reads the reports of all workers, so each must stay small: this is about 200 KB at most."""
MAX_WORDS = 300
"""The longest words of a note, in bytes."""
UNSUITABLE = "no suitable node"
"""What a swarm says of a task once it has looked for a node in vain."""
MET = (
    (RegistryDown, Obstacle.REGISTRY),
    (NoHost, Obstacle.NO_HOST),
    (HostDown, Obstacle.HOST_AWAY),
    (OrderRefused, Obstacle.REFUSED),
    (StoreDown, Obstacle.STORE),
)
"""The obstacle that an error means; the first that fits."""


def note(execution: Execution, obstacle: Obstacle, words: str, since: int, until: int | None = None) -> Note:
    """A note about an execution of this worker, with words that may be shown."""
    return Note(execution.id, execution.epoch or None, obstacle, shown(words), since, until)


def of_error(error: FastlaneError, execution: Execution, before: Note | None, now: int, limits: Limits) -> Note | None:
    """The note for an error after which a step is tried again; None when a note cannot describe it. ``before``: the note until then."""
    obstacle = next((met for kind, met in MET if isinstance(error, kind)), None)
    if obstacle is None:
        return None
    until = registry_deadline(execution, error, limits) if isinstance(error, RegistryDown) else None
    since = before.since if before is not None and before.obstacle is obstacle else now
    if obstacle is Obstacle.REGISTRY:
        since = execution.placed_at or now
    return note(execution, obstacle, str(error), since, _or_expiry(execution, until))


def of_fault(execution_id: str, epoch: int | None, before: Note | None, now: int) -> Note:
    """The note for an unexpected fault; the details are in the log."""
    since = before.since if before is not None and before.obstacle is Obstacle.FAULT else now
    return Note(execution_id, epoch, Obstacle.FAULT, "", since)


def of_tasks(execution: Execution, tasks: Sequence[EngineTask], limits: Limits) -> Note | None:
    """The note for a started service's task that waits for a node, or for the image on its node."""
    if execution.status is not Status.PULLING or execution.stop_requested_at is not None or not tasks:
        return None
    task = tasks[0]
    if task.phase not in {Phase.WAITING, Phase.PREPARING} or (not task.node_id and UNSUITABLE not in task.message):
        return None  # it starts or has ended, or the swarm has not looked for a node yet
    obstacle = Obstacle.IMAGE if task.node_id else Obstacle.NO_NODE
    since = max(execution.bound_at or 0, task.changed_at if task.node_id else 0)  # a task without a node changes at each try
    return note(execution, obstacle, task.message or task.state, since, _or_expiry(execution, wait_ends(execution, task, limits)))


def oldest(notes: Iterable[Note | None]) -> tuple[Note, ...]:
    """As many notes as a report holds, those of the longest waits first."""
    return tuple(sorted((one for one in notes if one is not None), key=lambda one: one.since)[:MAX_NOTES])


def _or_expiry(execution: Execution, until: int | None) -> int | None:
    """This moment, or the execution's own expiration if that is sooner."""
    return min((moment for moment in (until, execution.expires_at) if moment is not None), default=None)


def shown(words: str) -> str:
    """Another system's words in a form that may be shown: one line, of bounded length, without the secrets of a URL."""
    line = one_line(scrub(words))
    data = line.encode(errors="replace")
    return line if len(data) <= MAX_WORDS else data[: MAX_WORDS - 3].decode(errors="ignore") + "…"
