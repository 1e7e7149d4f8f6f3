"""The values of a chain: which ends of other jobs a job follows, what it has taken in of them, and what an execution follows. ``chain`` has
the rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fastlane.models.status import Status

MAX_UPSTREAM = 20
"""Jobs that a job may follow together."""
MAX_LINKS = 32
"""Links of a chain at most. Two writes can close a circle at the same time, which then ends after these."""
REMEMBERED_ENDS = 32
"""Ends that a job has taken in and still knows, so that a repeat of one changes nothing even when its tick is gone from the ledger."""


class AfterOn(StrEnum):
    """Which ends of an upstream job count: as for webhooks, a failure is also an execution that timed out or expired."""

    SUCCEEDS = "succeeds"
    FAILS = "fails"
    FINISHES = "finishes"


@dataclass(frozen=True, slots=True)
class AfterJobs:
    """The jobs that a job follows, by id, and on which ends. Between a body and the store they may be names (``services.chains``)."""

    jobs: tuple[str, ...]
    on: AfterOn = AfterOn.SUCCEEDS


@dataclass(frozen=True, slots=True)
class UpstreamEnd:
    """The end of an execution of an upstream job. ``links``: how many links of the chain lie before that execution; ``sequence``: the
    execution's, by which the newest of a job is known."""

    job_id: str
    execution_id: str
    status: Status
    links: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class ChainState:
    """What a job has taken in of its upstream jobs. ``arrived``: the newest end of each that counts, since the last tick that they made;
    ``seen``: the executions whose ends it knows, newest last."""

    arrived: tuple[UpstreamEnd, ...] = ()
    seen: tuple[str, ...] = ()


Upstream = tuple[UpstreamEnd, ...]
"""The ends that an execution follows, in the order of the job's ``after``."""


def links_of(upstream: Upstream | None) -> int:
    """How many links of its chain lie before an execution that follows these ends."""
    return 1 + max(end.links for end in upstream) if upstream else 0


def upstream_variables(upstream: Upstream | None) -> Mapping[str, str]:
    """The variables by which a container knows what it follows: the ids of the executions and how they ended, both in the order of
    ``after``, with commas between them."""
    if not upstream:
        return {}
    return {
        "FASTLANE_AFTER_EXECUTIONS": ",".join(end.execution_id for end in upstream),
        "FASTLANE_AFTER_STATUSES": ",".join(end.status for end in upstream),
    }


def upstream_to_stored(upstream: Sequence[UpstreamEnd]) -> list[list[object]]:
    """Ends as JSON takes them."""
    return [[end.job_id, end.execution_id, end.status, end.links, end.sequence] for end in upstream]


def upstream_from_stored(stored: Sequence[Sequence[object]]) -> Upstream:
    """The ends that ``upstream_to_stored`` wrote. Raises ValueError or TypeError for what it cannot be."""
    return tuple(_end(*values) for values in stored)


def _end(job_id: object, execution_id: object, status: object, links: object, sequence: object) -> UpstreamEnd:
    if not (isinstance(job_id, str) and isinstance(execution_id, str) and isinstance(links, int) and isinstance(sequence, int)):
        raise TypeError("an end of an upstream execution has two ids, a status and two numbers")
    return UpstreamEnd(job_id, execution_id, Status(str(status)), links, sequence)
