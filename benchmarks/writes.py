"""A line's latency from its container to a follower: ``fastlane up`` and its WebSocket against ``docker logs -f`` of the same container.

Both follow the same lines at the same time. A line's time runs from the engine's timestamp, which it gets as the container writes
it, to its arrival at each follower. The container writes a line every 20 ms.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import aiohttp

from benchmarks.figures import Comparison, Figure, Target, percentile
from tests.support.installation import Installation, installed
from tests.support.waiting import wait_until

LINES = 500
PAUSE_US = 20_000
UNCOUNTED = 25
"""The number of warm-up lines, which do not count, after both have begun to follow."""
PATIENCE = 120.0
BARE = "docker logs -f"

Arrivals = Mapping[int, float]
"""When each line arrived, in milliseconds, by its number."""


def measure(engine: str, rounds: int, say: Callable[[str], None], *, lines: int = LINES) -> list[Figure]:
    """The times of both sides, on the same lines."""
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder), engine) as fastlane:
        fastlane.serve("up")
        for turn in range(rounds):
            both = asyncio.run(_round(fastlane, lines))
            ours.append(both[0])
            theirs.append(both[1])
            sides = [f"p50 {percentile(side, 50):.1f} ms, p99 {percentile(side, 99):.1f} ms" for side in both]
            say(f"round {turn + 1}: {sides[0]} against {sides[1]}, of {len(both[0])} lines")

    def figure(percent: float, target: Target | None = None) -> Figure:
        sides = [[percentile(values, percent) for values in side] for side in (ours, theirs)]
        name = f"a container's write to who follows, p{percent:g}"
        return Figure(name, "ms", sides[0], sides[1], BARE, Comparison.DIFFERENCE, target)

    return [figure(50, Target(15.0, at_least=False)), figure(99)]


async def _round(fastlane: Installation, lines: int) -> tuple[list[float], list[float]]:
    """One job; the milliseconds of each of its lines that both followed from the moment when it was written, ours and theirs."""
    script = f"n=0; while [ $n -lt {lines} ]; do echo $n; n=$((n + 1)); usleep {PAUSE_US}; done"
    reply = await asyncio.to_thread(fastlane.run, "sh", "-c", script, task="bench")
    container = await asyncio.to_thread(wait_until, lambda: fastlane.execution(reply).get("containerId"), "the container")
    begun: list[float] = []
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        ours = group.create_task(_by_socket(reply["jobUrl"], begun))
        theirs = group.create_task(_by_docker(fastlane.engine.hosts[0], container, begun))
    stamps, arrived = theirs.result()
    first = max(begun) + UNCOUNTED * PAUSE_US / 1_000
    counted = [number for number, stamp in stamps.items() if stamp > first and number in ours.result()]
    if not counted:
        raise RuntimeError(f"none of {len(stamps)} lines reached both followers while they were written")
    late = [[side[number] - stamps[number] for number in counted] for side in (ours.result(), arrived)]
    return late[0], late[1]


async def _by_socket(job_url: str, begun: list[float]) -> Arrivals:
    """Follows through fastlane."""
    arrived: dict[int, float] = {}
    rest = ""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{job_url.replace('http', 'ws', 1)}ws") as socket:
        async for message in socket:
            now = _now()
            if not arrived:
                begun.append(now)
            *whole, rest = (rest + message.data).split("\n")
            arrived |= {int(line): now for line in whole}
        if socket.close_code != 1000:
            raise RuntimeError(f"the socket was closed with {socket.close_code}")
    return arrived


async def _by_docker(engine: str, container: str, begun: list[float]) -> tuple[Arrivals, Arrivals]:
    """Follows with Docker's client; returns the engine's timestamp of each line, and its arrival."""
    stamps: dict[int, float] = {}
    arrived: dict[int, float] = {}
    async with _client(engine, container) as output:
        async for line in output:
            now = _now()
            if not arrived:
                begun.append(now)
            stamp, number = line.split()
            arrived[int(number)] = now
            stamps[int(number)] = _moment(stamp.decode())
    return stamps, arrived


@asynccontextmanager
async def _client(engine: str, container: str) -> AsyncIterator[asyncio.StreamReader]:
    command = ("docker", "-H", engine, "logs", "-f", "-t", container)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _now() -> float:
    return time.time() * 1_000


def _moment(stamp: str) -> float:
    """RFC 3339 with up to nanoseconds, as milliseconds."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() * 1_000 + float(f"0.{fraction or 0}") * 1_000
