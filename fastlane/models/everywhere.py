"""The rules of a job that runs everywhere. A tick makes one execution, the lead. The worker that meets it first fixes the targets in its
row and inserts an execution for each of the others, under ids that derive from the tick and the target. From then on each goes its own way,
with attempts of its own. The tick has ended when all have, and one of them stands for it: the one that ended worst. Pure.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fastlane.models.host import HostView
from fastlane.models.job import Execution, Spec, retry_due
from fastlane.models.pool import Pool
from fastlane.models.run_target import MAX_TARGETS, Everywhere, RunPlan, RunTarget
from fastlane.models.status import Status
from fastlane.models.tick import execution_id

NOT_PROBED = "is not probed yet"
"""Why a host cannot be used that is asked for the first time just now."""
TOO_MANY = f"is one too many: a tick runs on {MAX_TARGETS} targets at most"
MAX_NAMED = 10
"""Targets without an execution that a row of the ledger names."""
WORST = (Status.FAILED, Status.TIMEDOUT, Status.EXPIRED, Status.STOPPED, Status.DONE)
"""Final statuses, the worst first."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What a tick runs on, and why it does not run on the others, by name. ``unknown``: hosts that are asked for the first time just now,
    so that the targets cannot be fixed yet."""

    chosen: tuple[RunTarget, ...]
    left_out: Mapping[str, str]
    unknown: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The targets in words, for the ledger."""
        count = len(self.chosen)
        found = f"runs on {count} target{'' if count == 1 else 's'}"
        if not self.left_out:
            return found
        named = [f"{name}, which {why}" for name, why in list(self.left_out.items())[:MAX_NAMED]]
        more = len(self.left_out) - len(named)
        return f"{found}, and not on {'; '.join(named)}{f'; and {more} more' if more else ''}"


def choose(everywhere: Everywhere, pool: Pool, hosts: Sequence[HostView]) -> Targets:
    """The targets of a tick in a pool with these hosts: each swarm with a host that gets new work, or each node of these that takes work.
    A host of a swarm stands in for the others."""
    known = {host.name: host for host in hosts}
    managers: dict[str, HostView] = {}
    for name in pool.hosts:
        if (host := known.get(name)) is not None and host.is_open:
            managers.setdefault(host.swarm, host)
    left_out: dict[str, str] = {}
    unknown: list[str] = []
    for name in pool.hosts:
        host = known.get(name)
        if host is None:
            left_out[name] = "is not known yet"
        elif host.swarm not in managers:
            left_out[name] = host.closed or host.reason or "cannot be used"
            unknown += [name] if host.reason == NOT_PROBED else []
    found = [target for host in managers.values() for target in _targets_of(everywhere, host, left_out)]
    left_out |= {target.name: TOO_MANY for target in found[MAX_TARGETS:]}
    return Targets(_numbered(found[:MAX_TARGETS]), left_out, tuple(unknown))


def _targets_of(everywhere: Everywhere, host: HostView, left_out: dict[str, str]) -> list[RunTarget]:
    """The targets in the swarm of this host, in which each node that takes no work is ``left_out``."""
    if everywhere is Everywhere.SWARMS or not host.members:
        return [RunTarget(host.swarm, host.name)]
    for node in host.members:
        if not node.takes_work:
            state = f"is {node.state}" if node.state != "ready" else "is ready, but not active"
            left_out[f"node {node.name or node.id} of {host.name}"] = f"{state} (docker node ls)"
    counts = Counter(node.name for node in host.members)
    return [
        RunTarget(host.swarm, node.name if node.name and counts[node.name] == 1 else node.id, node.id)
        for node in host.members
        if node.takes_work
    ]


def _numbered(targets: Sequence[RunTarget]) -> tuple[RunTarget, ...]:
    """The targets with their places. Names that several swarms have are made different."""
    counts = Counter(target.name for target in targets)
    return tuple(
        replace(target, place=place, name=target.name if counts[target.name] == 1 else f"{target.name} ({target.node or target.swarm})")
        for place, target in enumerate(targets)
    )


def is_unplanned(execution: Execution) -> bool:
    """Whether it is the lead of a tick whose other executions are not all there."""
    return execution.spec.everywhere is not None and (execution.spec.target is None or execution.spec.plan is not None)


def is_one_of_many(execution: Execution) -> bool:
    """Whether other executions belong to the same tick, so that its end is not the tick's end."""
    return execution.spec.everywhere is not None


def planned(lead: Execution, targets: Targets) -> Spec:
    """The spec of the lead with the targets: its own one, and those whose executions are to be made."""
    own, *others = (replace(target, first=lead.sequence) for target in targets.chosen)
    return replace(lead.spec, target=own, plan=RunPlan(tuple(others), targets.words))


def others_of(lead: Execution) -> list[Execution]:
    """The first attempts at the other targets of a lead, whatever has become of the lead. Every process derives the same ones."""
    plan = lead.spec.plan
    return [
        Execution(
            id=execution_id(lead.tick_id, 1, target),
            task_id=lead.task_id,
            job_id=lead.job_id,
            tick_id=lead.tick_id,
            attempt=1,
            sequence=target.first + target.place,
            spec=replace(lead.spec, target=target, plan=None),
            scheduled_for=lead.scheduled_for,
            created_at=lead.created_at,
            expires_at=lead.expires_at,
            requested_by=lead.requested_by,
            incarnation=lead.incarnation,
            upstream=lead.upstream,
        )
        for target in (() if plan is None else plan.others)
    ]


def alone(spec: Spec) -> Spec:
    """The spec of one target's execution, for a run at that target only."""
    return replace(spec, everywhere=None, plan=None) if spec.everywhere is not None else spec


def anew(spec: Spec) -> Spec:
    """The spec of one target's execution, for a run at all of the targets that there are then."""
    return replace(spec, target=None, plan=None) if spec.everywhere is not None else spec


def goes_on(execution: Execution) -> bool:
    """Whether the last attempt at a target has not ended for good: it is under way, or nobody has settled yet whether another follows."""
    return not execution.status.final or (not execution.settled and retry_due(execution) is not None)


def waits_for(ended: Execution, other: Execution) -> bool:
    """Whether the settling of an execution that no attempt follows, because of a stop, waits until the ``other`` one is settled. It does
    when both may be followed as far as their rows say: of two that left the tick's end to each other, neither would bring it about."""
    if ended.spec.target is None or other.spec.target is None or not other.status.final or retry_due(ended) is None:
        return False
    return other.spec.target.place < ended.spec.target.place


def has_started_any(executions: Sequence[Execution]) -> bool:
    """Whether any container of a tick has started."""
    return any(execution.has_started for execution in executions)


def last_attempts(executions: Sequence[Execution]) -> Mapping[int, Execution]:
    """The last of these attempts at each target, by the target's place."""
    return {
        0 if one.spec.target is None else one.spec.target.place: one for one in sorted(executions, key=lambda execution: execution.attempt)
    }


def worst_of(executions: Sequence[Execution]) -> Execution:
    """Which execution of a tick that has ended stands for it: of the last attempts at each target, the one that ended worst; among equals,
    the one whose target comes first."""
    return min(last_attempts(executions).items(), key=lambda item: (WORST.index(item[1].status), item[0]))[1]


def stands_for_tick(execution: Execution) -> bool:
    """Whether it was found to stand for its tick, which has ended."""
    target = execution.spec.target
    return is_one_of_many(execution) and target is not None and execution.sequence == target.last
