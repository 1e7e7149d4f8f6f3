"""The worker's price: the processor time and the memory of one ``fastlane worker`` while containers run.

The containers are those of a simulated engine in a process of its own, whose cost does not count (``tests.support.simulated_engine``), and,
where an engine is named, some real ones. They write nothing, and then each writes a line of 80 bytes a second, which the worker reads and
stores.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import uvloop

from benchmarks.figures import Comparison, Figure
from benchmarks.hosts import HOLD, Ground, ground, pool, simulated
from benchmarks.processes import resident_bytes
from fastlane.models.job import Execution, Spec
from tests.support.engine import remove_all

Say = Callable[[str], None]

SLEEPS = Spec("ubuntu:latest", ("sleep", "3600"))
WRITES = Spec("ubuntu:latest", ("sh", "-c", f"while sleep 1; do echo {'0' * 79}; done"))
QUIET, LINES = "no lines", "a line a second each"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many simulated containers run, in steps, and how many real ones; for how many seconds costs are taken."""

    running: Sequence[int] = (0, 100, 1_000)
    real: int = 20
    seconds: float = 10.0


QUICK = Sizes((0, 5, 20), 2, 2.0)


@dataclass(slots=True)
class Price:
    """The percentage of a core, the MiB in memory, and (of a simulated engine) the engine's calls a second, window by window."""

    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)

    def told(self) -> str:
        """The last window."""
        calls = f", {self.calls[-1]:.1f} calls/s" if self.calls else ""
        return f"{self.cpu[-1]:.2f} % of a core, {self.memory[-1]:.1f} MiB{calls}"


Prices = dict[tuple[int, str], Price]


def measure(engine: str, rounds: int, say: Say, sizes: Sizes) -> list[Figure]:
    """Measures on the simulated engine, and on the real one if there is one; ``rounds``: windows of each."""
    known = _figures(uvloop.run(_on_simulated(rounds, say, sizes)), "simulated")
    return known if not engine else [*known, *_figures(uvloop.run(_on_real(engine, rounds, say, sizes)), "real")]


async def _on_simulated(rounds: int, say: Say, sizes: Sizes) -> Prices:
    found: Prices = {}
    with simulated(1) as names:
        async with ground([pool("all", names)], names) as made:
            for count in sizes.running:
                started = await made.start(HOLD, count - max((running for running, _ in found), default=0))
                await _windows(made, found, (count, QUIET), rounds, say, sizes.seconds, simulation=True)
                if started:
                    made.control(names[0], "lines")
                    await _windows(made, found, (count, LINES), rounds, say, sizes.seconds, simulation=True)
                    made.control(names[0], "quiet")
                    await _check_stored(made, started)
    return found


async def _on_real(engine: str, rounds: int, say: Say, sizes: Sizes) -> Prices:
    found: Prices = {}
    for kind, spec in ((QUIET, SLEEPS), (LINES, WRITES)):
        installation = ""
        try:
            async with ground([pool("all", [engine])], [engine]) as made:
                installation = made.installation
                if kind == QUIET:
                    await _windows(made, found, (0, QUIET), rounds, say, sizes.seconds, simulation=False)
                started = await made.start(spec, sizes.real)
                await _windows(made, found, (sizes.real, kind), rounds, say, sizes.seconds, simulation=False)
                if kind == LINES:
                    await _check_stored(made, started)
        finally:
            if installation:
                remove_all(engine, installation)
    return found


async def _windows(made: Ground, found: Prices, key: tuple[int, str], rounds: int, say: Say, seconds: float, *, simulation: bool) -> None:
    price = found.setdefault(key, Price())
    for _ in range(rounds):
        before = made.calls() if simulation else Counter[str]()
        price.cpu.append(await made.cpu(seconds))
        if simulation:
            kinds = made.calls() - before
            price.calls.append(kinds.total() / seconds)
            say(f"calls a second: {', '.join(f'{kind} {count / seconds:.1f}' for kind, count in kinds.most_common())}")
        price.memory.append(resident_bytes(made.pids[0]) / 2**20)
    say(f"{key[0]:,} containers run, {key[1]}: {price.told()}")


async def _check_stored(made: Ground, executions: Sequence[Execution]) -> None:
    for execution in executions:
        if (await made.store.log_head(execution.id)).offset == 0:
            raise RuntimeError(f"the lines of {execution.id} were not stored")


def _figures(found: Prices, kind: str) -> list[Figure]:
    none = found[0, QUIET]
    figures = []
    for (count, lines), price in found.items():
        name, beside = (f"a worker, {count:,} {kind} containers, {lines}", "none run") if count else (f"a worker, no {kind} containers", "")
        for what, unit, side in (("", "% of a core", "cpu"), (", memory", "MiB", "memory"), (", calls", "calls/s", "calls")):
            if ours := getattr(price, side):
                figures.append(Figure(f"{name}{what}", unit, ours, getattr(none, side) if count else [], beside, Comparison.ALONE))
    return figures
