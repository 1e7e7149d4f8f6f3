"""Every change that may be made to an execution: a table of compare-and-sets.

An ``ExecutionChange`` is a condition and new values. The store applies it in one step or refuses it; nothing else writes an execution.
Statuses only move forward, a final one never changes, and every write of an owner requires its epoch, so a worker that wakes from a pause
can change nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from fastlane.models.ids import nonce
from fastlane.models.job import Ending, Execution, ServiceVersion, Spec, Started
from fastlane.models.status import FINAL, STARTING, Status


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: the statuses that it leads from and to (no target: the status stays), and what else must hold.

    ``fenced``: the epoch must be the writer's. ``bound``: a service must (True) or must not (False) be bound. ``unstopped``: the
    execution has no stop flag. ``settled``: it must, or must not, be settled.
    """

    sources: frozenset[Status]
    targets: frozenset[Status] = frozenset()
    fenced: bool = False
    bound: bool | None = None
    unstopped: bool = False
    settled: bool | None = None


RULES: Mapping[str, Rule] = {
    "claim": Rule(frozenset({Status.ENQUEUED}), frozenset({Status.PULLING}), fenced=True, unstopped=True),
    "cancel": Rule(frozenset({Status.ENQUEUED}), frozenset({Status.STOPPED})),
    "release": Rule(frozenset({Status.ENQUEUED})),
    "expire": Rule(frozenset({Status.ENQUEUED}), frozenset({Status.EXPIRED})),
    "plan": Rule(frozenset({Status.ENQUEUED}), fenced=True),
    "take-over": Rule(STARTING, fenced=True),
    "re-place": Rule(frozenset({Status.PULLING}), fenced=True, bound=False),
    "bind": Rule(frozenset({Status.PULLING}), fenced=True, bound=False, unstopped=True),
    "give-up": Rule(frozenset({Status.PULLING}), frozenset({Status.STOPPED, Status.FAILED, Status.EXPIRED}), fenced=True, bound=False),
    "flag-stop": Rule(STARTING, unstopped=True),
    "run": Rule(frozenset({Status.PULLING}), frozenset({Status.RUNNING}), fenced=True, bound=True),
    "end": Rule(STARTING, FINAL, fenced=True, bound=True),
    "end-by-hand": Rule(STARTING, frozenset({Status.STOPPED})),
    "settle": Rule(FINAL, settled=False),
    "clean": Rule(FINAL, settled=True),
    "stand-for": Rule(FINAL),
}


@dataclass(frozen=True, slots=True)
class ExecutionChange:
    """A compare-and-set on one execution: ``values`` are written where ``rule`` (and ``epoch``, when fenced) holds.

    The keys of ``values`` are fields of ``Execution``. ``op`` is random, so that a write whose answer was lost is recognised on reading.
    ``at`` is when it is written (milliseconds): a container's start and end are known later than they happen. ``seen`` is the row that its
    writer read; while the stored row has the same ``op``, it is the same row, and the store need not read it.
    """

    name: str
    execution_id: str
    values: Mapping[str, Any]
    epoch: int | None
    op: str
    at: int | None = None
    seen: Execution | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, name: str, execution: Execution, *, at: int | None = None, **values: Any) -> Self:
        """The named change to this execution. Raises ValueError when the rule does not lead to the status in ``values``."""
        rule = RULES[name]
        target = values.get("status")
        if (target in rule.targets) if rule.targets else (target is None):
            epoch = execution.epoch if rule.fenced else None
            return cls(name, execution.id, values, epoch, nonce(), at, execution)
        raise ValueError(f"a change {name!r} cannot make an execution {target!r}")

    @property
    def rule(self) -> Rule:
        """The row of the table that governs the change."""
        return RULES[self.name]

    @property
    def noted(self) -> Mapping[str, int]:
        """When the store learned that the execution started or ended, if it learns that by this change. Events are in this order."""
        status = self.values.get("status")
        names = {"start_noted_at": self.values.get("started_at") is not None, "end_noted_at": status in FINAL}
        return {} if self.at is None else {name: self.at for name, is_noted in names.items() if is_noted}

    @property
    def settles_an_end(self) -> bool:
        """Whether it ends and settles an execution in one write. While a job follows the execution's job, the store makes it
        ``without_settling``, since the ticks that follow come first."""
        return self.name == "end" and "settled" in self.values

    def without_settling(self) -> Self:
        """The same change, which leaves the execution to be settled."""
        return replace(self, values={name: value for name, value in self.values.items() if name != "settled"})

    def applied_to(self, execution: Execution) -> Execution:
        """The execution after this change of it."""
        return execution.changed({**self.values, "op": self.op})

    def permitted(self, execution: Execution) -> bool:
        """Whether its condition holds for the execution. The store compares the same."""
        rule = self.rule
        return (
            execution.status in rule.sources
            and (self.epoch is None or execution.epoch == self.epoch)
            and (rule.bound is None or (execution.service_id is not None) is rule.bound)
            and not (rule.unstopped and execution.stop_requested_at is not None)
            and (rule.settled is None or execution.settled is rule.settled)
        )


def claim(execution: Execution, *, host: str | None, pool: str | None, now: int) -> ExecutionChange:
    """enqueued → pulling: a worker takes an execution that no worker holds, for the host that it chose (None: no pool matches its task).

    Whether a stop of its job covers it is read from the job afterwards, before a service is bound.
    """
    return ExecutionChange.of(
        "claim",
        execution,
        status=Status.PULLING,
        epoch=execution.epoch + 1,
        host=host,
        pool=pool,
        placed_at=now,
    )


def cancel(execution: Execution, *, now: int) -> ExecutionChange:
    """enqueued → stopped: a stop came before a worker took it."""
    return ExecutionChange.of("cancel", execution, at=now, status=Status.STOPPED, stop_requested_at=now, finished_at=now, cleaned=True)


def expire(execution: Execution, *, now: int) -> ExecutionChange:
    """enqueued → expired: its time to start passed before a worker took it."""
    return ExecutionChange.of("expire", execution, at=now, status=Status.EXPIRED, finished_at=now, cleaned=True)


def release(execution: Execution) -> ExecutionChange:
    """Ends its wait for other executions of its job: a worker may take it."""
    return ExecutionChange.of("release", execution, waits=None)


def plan(execution: Execution, spec: Spec) -> ExecutionChange:
    """Writes which targets its tick has, or that all of their executions are there. It raises the epoch: of two workers one writes."""
    return ExecutionChange.of("plan", execution, spec=spec, epoch=execution.epoch + 1)


def take_over(execution: Execution) -> ExecutionChange:
    """A worker takes an execution whose owner lost its lease. The old owner's epoch no longer permits anything."""
    return ExecutionChange.of("take-over", execution, epoch=execution.epoch + 1)


def re_place(execution: Execution, *, host: str) -> ExecutionChange:
    """Moves an execution without a bound service to another host. A service parked on the old one does no harm."""
    return ExecutionChange.of("re-place", execution, host=host)


def bind(
    execution: Execution,
    *,
    service_id: str,
    swarm_id: str,
    image_digest: str | None,
    now: int,
    image_reference: str | None = None,
    service_version: ServiceVersion | None = None,
) -> ExecutionChange:
    """Makes this parked service the execution's only one: no other service of it is ever activated."""
    return ExecutionChange.of(
        "bind",
        execution,
        service_id=service_id,
        swarm_id=swarm_id,
        image_digest=image_digest,
        image_reference=image_reference,
        bound_at=now,
        service_version=service_version,
    )


def give_up(execution: Execution, ending: Ending) -> ExecutionChange:
    """pulling, none bound → stopped, expired or failed: no service of it could start.

    A parked service may remain; the reconciler finds and removes it.
    """
    return ExecutionChange.of("give-up", execution, at=ending.finished_at, **ending.values(), cleaned=True)


def flag_stop(execution: Execution, *, now: int) -> ExecutionChange:
    """Asks its owner to stop it. Refused when a stop was asked for before, so that the first moment is kept."""
    return ExecutionChange.of("flag-stop", execution, stop_requested_at=now)


def run(execution: Execution, started: Started, *, now: int | None = None) -> ExecutionChange:
    """pulling → running: its container was seen running."""
    at = started.started_at if now is None else now
    return ExecutionChange.of("run", execution, at=at, status=Status.RUNNING, **started.values())


def end(execution: Execution, ending: Ending, *, settled: bool = False, now: int | None = None) -> ExecutionChange:
    """pulling or running → final: the engine said how it ended, and its whole log is stored. ``settled``: nothing but the release of its
    slot is to follow, unless a job follows its job, which the store looks at."""
    at = ending.finished_at if now is None else now
    return ExecutionChange.of("end", execution, at=at, **ending.values(), **({"settled": True} if settled else {}))


def end_by_hand(execution: Execution, ending: Ending, *, now: int) -> ExecutionChange:
    """pulling or running → stopped: an operator says so, because it does not end by itself. Its owner meets a final row, and can change
    nothing any more. Without a bound service there is nothing to remove."""
    unbound = {"cleaned": True} if execution.service_id is None else {}
    return ExecutionChange.of("end-by-hand", execution, at=now, **ending.values(), **unbound)


def settle(execution: Execution) -> ExecutionChange:
    """Records that what must follow its final state (the next attempt, its tick's row) has been done."""
    return ExecutionChange.of("settle", execution, settled=True)


def stand_for(execution: Execution, *, sequence: int) -> ExecutionChange:
    """Makes it the last of its tick's executions, whose ends are the tick's end: so it is the one that its job shows."""
    return ExecutionChange.of("stand-for", execution, sequence=sequence)


def clean(execution: Execution) -> ExecutionChange:
    """Records that the removal of its service was verified."""
    return ExecutionChange.of("clean", execution, cleaned=True)
