"""How many calls of an engine a job costs, by kind: on a simulated engine, by ``fastlane worker`` with the executor for Docker Swarm.

Looks at an engine happen by the clock, whatever runs. There are so many jobs that those come to nothing in a job's share.
"""

from collections.abc import Mapping

import uvloop

from benchmarks.hosts import ground, pool, simulated

JOBS, WARM_UP = 40, 10


def count() -> Mapping[str, int]:
    """The calls of a job, from its entry in the queue until its service is removed."""
    return uvloop.run(_count())


async def _count() -> Mapping[str, int]:
    with simulated(1) as hosts:
        async with ground([pool("all", hosts)], hosts) as made:
            await made.placed(WARM_UP)
            shares = (await made.placed(JOBS)).kinds
    return {kind: round(share) for kind, share in sorted(shares.items()) if round(share)}
