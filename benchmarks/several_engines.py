"""100 jobs at once on three engines against one of them: that fastlane spreads them and loses none.

The engines are three swarms of one node on this machine (``scripts/swarms``), which share its processors. So three are no faster than one
where the processors are what is short. ``fastlane up`` is the same on both sides but for its pool.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.containers import AT_ONCE, Client
from benchmarks.figures import Comparison, Figure, Target
from tests.support.installation import installed
from tests.support.swarms import Swarms

ENGINES = 3
FAIR = 40
"""How many of a hundred jobs the busiest of three engines may have got: a fifth more than its share."""

Say = Callable[[str], None]


def measure(rounds: int, say: Say, *, jobs: int = AT_ONCE) -> list[Figure]:
    """Measures both. A job that is lost, or does not end as done, raises RuntimeError."""
    rates: list[tuple[float, float]] = []
    busiest: list[float] = []
    with Swarms("separate", ENGINES) as swarms, _up(swarms.urls) as three, _up(swarms.urls[:1]) as one:
        three.one()
        one.one()
        for turn in range(rounds):
            rates.append((three.many(jobs), one.many(jobs)))
            counts = three.placed(jobs)
            busiest.append(max(counts.values()))
            shares = ", ".join(str(count) for count in sorted(counts.values()))
            say(f"round {turn + 1}: {rates[-1][0]:.2f}/s on {ENGINES} engines ({shares}) against {rates[-1][1]:.2f}/s on one")
    return [
        Figure(
            f"{jobs} jobs at once on {ENGINES} engines of one machine",
            "jobs/s",
            [pair[0] for pair in rates],
            [pair[1] for pair in rates],
            "fastlane on one of them",
        ),
        Figure(
            f"{jobs} jobs at once on {ENGINES} engines: the busiest one's",
            "jobs",
            busiest,
            comparison=Comparison.ALONE,
            target=Target(FAIR * jobs / 100, at_least=False),
        ),
    ]


@contextlib.contextmanager
def _up(hosts: Sequence[str]) -> Iterator[Client]:
    pools = json.dumps([{"name": "default", "match": "", "hosts": list(hosts), "maxRunning": AT_ONCE}])
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder), hosts[0], pools=pools, lease="15s", renew="5s") as fastlane:
        fastlane.serve("up")
        with contextlib.closing(Client(fastlane.port)) as client:
            yield client
