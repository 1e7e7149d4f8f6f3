"""How much a worker holds at once, and what it may claim next: each kind of work has a bound of its own, so none of them keeps the others
from being claimed. Pure.

Executions are held for as long as they run. Ticks of jobs are short, and so are errands: the end of an execution that will not start, a
settlement. Few ticks are under way at once: ten thousand that are due together become executions no faster than these start, so that a job
that comes meanwhile does not wait behind all of them. An errand that turns out to have a service, which must be watched, counts as an
execution from then on, and a tick that fails as an errand. What another worker's lease ran out on is always taken over, since nobody would
watch it otherwise: its number is bounded by what the workers together were allowed to start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fastlane.models.placement.host import HostView
from fastlane.models.placement.place import has_place, slots_of
from fastlane.models.placement.pool import Pool
from fastlane.queue.base import TICKS, EntryKind, Lane, Lease

MAX_EXECUTIONS = 2_000
"""Executions that a worker holds before it starts no more."""
MAX_ERRANDS = 500
"""Errands that a worker has under way before it claims no more."""
MAX_TICKS = 32
"""Ticks that a worker has under way before it claims no more; one claim may go beyond that."""
BATCH = 64
"""The most entries of one claim."""


class Work(StrEnum):
    """What a lease is for."""

    EXECUTION = "execution"
    ERRAND = "errand"
    TICK = "tick"


def work_of(lease: Lease) -> Work:
    """What this lease is for. An execution that is taken over may run on, in whatever lane it is."""
    if lease.kind is EntryKind.JOB:
        return Work.TICK
    is_short = lease.expired or (lease.lane == TICKS and not lease.resume)
    return Work.ERRAND if is_short else Work.EXECUTION


@dataclass(frozen=True, slots=True)
class Room:
    """How many more executions, errands and ticks a worker takes; below 1: none."""

    executions: int
    errands: int
    ticks: int


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What to claim: from these lanes, at most ``count`` entries in all; of the lanes to ``watch`` only what has expired. Leases that ran
    out are claimed whatever it says."""

    lanes: tuple[Lane, ...]
    watch: tuple[str, ...]
    count: int


def claim_request(pools: Sequence[Pool], hosts: Sequence[HostView], room: Room) -> ClaimRequest:
    """What a worker with these hosts and this room claims. Ticks are asked for whatever the hosts do; a pool is served while one of its
    hosts may get work, however many ticks are under way."""
    if room.errands < 1:
        return ClaimRequest((), (), BATCH)
    served = [pool for pool in pools if room.executions > 0 and has_place(pool, hosts)]
    ticks = (Lane(TICKS, None),) if room.ticks > 0 else ()
    lanes = (*ticks, *(Lane(pool.name, slots_of(pool, hosts)) for pool in served))
    watch = tuple(pool.name for pool in pools if pool not in served)
    return ClaimRequest(lanes, watch, min(BATCH, room.errands, *([room.executions] if served else [])))


def workers_needed(pools: Sequence[Pool], most: int) -> int:
    """How many workers it takes to hold as many executions as the pools may run, when each holds ``most``."""
    return -(-sum(pool.max_running for pool in pools) // most)
