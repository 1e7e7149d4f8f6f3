"""The way to the engine is cut, hangs and comes back, again and again, while jobs run: each runs once and keeps all it wrote."""

import random
import time
from pathlib import Path

import pytest

from tests.integration.outages import EngineEvents, PostedJobs, ProcessWatch, check_reads
from tests.support.installation import installed
from tests.support.relay import ThreadRelay

SEED = 20261125
SECONDS = 60
LINES = "i=0; while [ $i -lt {count} ]; do echo line $i; i=$((i+1)); sleep {pause}; done"


def lines(count: int, pause: float) -> tuple[str, bytes]:
    """A script that writes a line every so often, and what it writes."""
    return LINES.format(count=count, pause=pause), b"".join(b"line %d\n" % number for number in range(count))


def trouble(relay: ThreadRelay, dice: random.Random) -> None:
    """One misfortune: the connections are cut, the engine is gone for a while, or it takes everything and answers nothing."""
    match dice.choice(("cut", "cut", "gone", "hang", "hang", "calm")):
        case "cut":
            relay.cut()
            time.sleep(dice.uniform(0.05, 1))
        case "gone":
            relay.stop()
            time.sleep(dice.uniform(0.1, 3))
            relay.start()
        case "hang":
            relay.hang()
            time.sleep(dice.uniform(0.1, 4))
            relay.flow()
        case "calm":
            time.sleep(dice.uniform(0.5, 3))


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_twenty_jobs_on_a_network_that_breaks_all_the_time_each_run_once(engine: str, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with (
        EngineEvents(engine, tmp_path / "starts") as witness,
        ThreadRelay(tmp_path / "e", engine) as relay,
        installed(tmp_path, relay.url) as fastlane,
    ):
        fastlane.serve("up")
        fastlane.until_healthy()
        posted, watch = PostedJobs(fastlane), ProcessWatch(fastlane, "up")
        first = posted.post(*lines(400, 0.05)).json
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if len(posted.accepted) < 20:
                posted.post(*dice.choice((lines(1, 0), lines(30, 0.1), lines(100, 0.1), lines(3, 5))))
            trouble(relay, dice)
            check_reads(fastlane, first)
        watch.check()
        assert len(posted.accepted) == 20
        assert not posted.refused
        posted.check_ends(witness)
        fastlane.until_healthy()
        watch.check()
