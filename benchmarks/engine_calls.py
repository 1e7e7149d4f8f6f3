"""How many calls of an engine a job costs, by kind: on a simulated engine, by ``fastlane worker`` with the executor for Docker Swarm.

Two kinds of jobs are counted: one that has ended before anyone looks, and one that is seen running, as nearly all are on a real engine.
Looks and probes happen by the clock, whatever runs. There are so many jobs that those come to nothing in a job's share, and looks are left
out.
"""

from collections.abc import Mapping

import uvloop

from benchmarks.hosts import ground, pool, simulated

JOBS, WARM_UP = 40, 10
BY_THE_CLOCK = "look"

Calls = Mapping[str, int]


def count() -> Mapping[str, Calls]:
    """The calls of a job, from its entry in the queue until its service is removed, by how it went."""
    return uvloop.run(_count())


async def _count() -> Mapping[str, Calls]:
    with simulated(1) as hosts:
        async with ground([pool("all", hosts)], hosts) as made:
            await made.placed(WARM_UP)
            return {"engine, ended at once": _whole((await made.placed(JOBS)).kinds), "engine, seen running": _whole(await made.ran(JOBS))}


def _whole(shares: Mapping[str, float]) -> Calls:
    return {kind: round(share) for kind, share in sorted(shares.items()) if kind != BY_THE_CLOCK and round(share)}
