"""What a real container used, by a real engine: a command that takes a known amount of memory and of processor time."""

from pathlib import Path

import pytest

from tests.support.installation import installed
from tests.support.waiting import LONG_PATIENCE

pytestmark = [pytest.mark.thorough]

MEMORY, TICKS = 30_000_000, 150
BUSY = f"""
x=$(head -c {MEMORY} /dev/zero | tr '\\0' x)
while read -r line </proc/$$/stat; do set -- $line; [ $((${{14}} + ${{15}})) -ge {TICKS} ] && break; done
echo busy
sleep 6
"""
"""Holds that much memory, uses that many hundredths of a processor second, and lives for a few samples more."""


def test_a_container_that_takes_a_known_amount_shows_it_and_a_short_one_shows_nothing(engine: str, tmp_path: Path) -> None:
    with installed(tmp_path, engine) as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        busy = fastlane.run("sh", "-c", BUSY, resources={"memory": "100m"})
        short = fastlane.run("true")
        used = fastlane.ends(busy, patience=LONG_PATIENCE)["usage"]
        assert MEMORY <= used["memoryPeakBytes"] <= 100 * 2**20
        assert TICKS / 100 <= used["cpuSeconds"] <= 3 * TICKS / 100
        assert fastlane.ends(short)["usage"] is None
        figures = fastlane.get("/metrics").body.decode()
        assert 'fastlane_task_measured_total{task="test"} 1.0' in figures
