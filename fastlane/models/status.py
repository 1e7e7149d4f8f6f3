"""The statuses of an execution, and every change that may be made to one: a table of compare-and-sets.

A ``Change`` is a condition and new values. The store applies it in one step, or refuses it; nothing else writes an execution.
Statuses only move forward, a final one never changes, and each write of an owner requires its epoch: a worker that
wakes from a pause can change nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from fastlane.models.ids import nonce

if TYPE_CHECKING:
    from fastlane.models.execution import Ending, Execution, Started
    from fastlane.models.logs.chunk import Head


class Status(StrEnum):
    """An execution's status. ``enqueued``, ``pulling`` and ``running`` are under way; the others are final."""

    ENQUEUED = "enqueued"
    PULLING = "pulling"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    TIMEDOUT = "timedout"
    STOPPED = "stopped"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Whether it never changes again."""
        return self in FINAL


UNDER_WAY = frozenset({Status.ENQUEUED, Status.PULLING, Status.RUNNING})
FINAL = frozenset(Status) - UNDER_WAY
STARTING = frozenset({Status.PULLING, Status.RUNNING})


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: from which statuses, to which (none: the status stays), and what else must hold.

    ``fenced``: the epoch must be the writer's. ``bound``: a service must (True) or must not (False) be bound to it.
    ``unstopped``: nobody asked for its stop. ``uncovered``: nor does a stop of its job cover it. ``settled``: what must have followed its
    final state, or must not yet.
    """

    sources: frozenset[Status]
    targets: frozenset[Status] = frozenset()
    fenced: bool = False
    bound: bool | None = None
    unstopped: bool = False
    uncovered: bool = False
    settled: bool | None = None


RULES: Mapping[str, Rule] = {
    "claim": Rule(frozenset({Status.ENQUEUED}), frozenset({Status.PULLING}), fenced=True, unstopped=True, uncovered=True),
    "cancel": Rule(frozenset({Status.ENQUEUED}), frozenset({Status.STOPPED})),
    "expire": Rule(frozenset({Status.ENQUEUED}), frozenset({Status.EXPIRED})),
    "take-over": Rule(STARTING, fenced=True),
    "re-place": Rule(frozenset({Status.PULLING}), fenced=True, bound=False),
    "bind": Rule(frozenset({Status.PULLING}), fenced=True, bound=False, unstopped=True),
    "give-up": Rule(frozenset({Status.PULLING}), frozenset({Status.STOPPED, Status.FAILED, Status.EXPIRED}), fenced=True, bound=False),
    "flag-stop": Rule(STARTING, unstopped=True),
    "run": Rule(frozenset({Status.PULLING}), frozenset({Status.RUNNING}), fenced=True, bound=True),
    "end": Rule(STARTING, FINAL, fenced=True, bound=True),
    "settle": Rule(FINAL, settled=False),
    "clean": Rule(FINAL, settled=True),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A compare-and-set on one execution: where ``rule`` (and ``epoch``, when fenced) holds, ``values`` are written.

    ``values`` has names of ``Execution``'s fields. ``op`` is random: a write whose answer was lost is recognised by it.
    """

    name: str
    execution_id: str
    values: Mapping[str, Any]
    epoch: int | None
    op: str

    @classmethod
    def of(cls, name: str, execution: "Execution", **values: Any) -> Self:
        """The change of this name to this execution, as far as the table allows it at all; raises ValueError if not."""
        rule = RULES[name]
        target = values.get("status")
        if (target in rule.targets) if rule.targets else (target is None):
            epoch = execution.epoch if rule.fenced else None
            return cls(name, execution.id, values, epoch, nonce())
        raise ValueError(f"a change {name!r} cannot make an execution {target!r}")

    @property
    def rule(self) -> Rule:
        """The row of the table that it stands under."""
        return RULES[self.name]

    def permitted(self, execution: "Execution", stop_sequence: int = 0) -> bool:
        """Whether its condition holds for the execution as it is, and the last stop of its job: the store's compare, as a pure function."""
        rule = self.rule
        return (
            execution.status in rule.sources
            and (self.epoch is None or execution.epoch == self.epoch)
            and (rule.bound is None or (execution.service_id is not None) is rule.bound)
            and not (rule.unstopped and execution.stop_requested_at is not None)
            and not (rule.uncovered and stop_sequence > execution.sequence)
            and (rule.settled is None or execution.settled is rule.settled)
        )


def claim(execution: "Execution", *, host: str | None, pool: str | None, now: int) -> Change:
    """enqueued → pulling: a worker takes an execution that nobody had, and chose this host (None: no pool is left for it)."""
    return Change.of(
        "claim",
        execution,
        status=Status.PULLING,
        epoch=execution.epoch + 1,
        host=host,
        pool=pool,
        placed_at=now,
    )


def cancel(execution: "Execution", *, now: int) -> Change:
    """enqueued → stopped: a stop that came before anybody took it."""
    return Change.of("cancel", execution, status=Status.STOPPED, stop_requested_at=now, finished_at=now, cleaned=True)


def expire(execution: "Execution", *, now: int) -> Change:
    """enqueued → expired: its moment has passed, and nobody took it."""
    return Change.of("expire", execution, status=Status.EXPIRED, finished_at=now, cleaned=True)


def take_over(execution: "Execution") -> Change:
    """A worker takes an execution whose owner lost its lease; the old owner's epoch is worth nothing from here on."""
    return Change.of("take-over", execution, epoch=execution.epoch + 1)


def re_place(execution: "Execution", *, host: str) -> Change:
    """Another host for an execution to which no service is bound; a parked one elsewhere is harmless."""
    return Change.of("re-place", execution, host=host)


def bind(
    execution: "Execution", *, service_id: str, swarm_id: str, image_digest: str | None, now: int, image_reference: str | None = None
) -> Change:
    """This parked service, and no other, is the execution's: only a bound one is ever activated."""
    return Change.of(
        "bind",
        execution,
        service_id=service_id,
        swarm_id=swarm_id,
        image_digest=image_digest,
        image_reference=image_reference,
        bound_at=now,
    )


def give_up(execution: "Execution", ending: "Ending") -> Change:
    """pulling, none bound → stopped, expired or failed: it never had a service that could start.

    A parked one may be left; the cleaner finds it among the host's services.
    """
    return Change.of("give-up", execution, **ending.values(), cleaned=True)


def flag_stop(execution: "Execution", *, now: int) -> Change:
    """Somebody asked for its stop; the owner acts on it. Refused where it was asked for before: kept as first asked."""
    return Change.of("flag-stop", execution, stop_requested_at=now)


def run(execution: "Execution", started: "Started") -> Change:
    """pulling → running: its container was seen running."""
    return Change.of("run", execution, status=Status.RUNNING, **started.values())


def end(execution: "Execution", ending: "Ending", *, settled: bool = False) -> Change:
    """pulling or running → final: the engine said how it ended, and its whole log is stored. ``settled`` with it where nothing but its
    slot is to follow."""
    return Change.of("end", execution, **ending.values(), **({"settled": True} if settled else {}))


def with_log(ending: "Ending", head: "Head", *, lost: bool) -> "Ending":
    """The ending with what its log came to; ``lost``: the engine had no log any more, so some of it may be missing."""
    return replace(ending, stdout_bytes=head.stdout, stderr_bytes=head.stderr, truncated=head.truncated or lost)


def settle(execution: "Execution") -> Change:
    """What must follow a final state (the attempt after it, its tick's row) has followed, where it was not settled as it ended."""
    return Change.of("settle", execution, settled=True)


def clean(execution: "Execution") -> Change:
    """Its service's removal was verified."""
    return Change.of("clean", execution, cleaned=True)
