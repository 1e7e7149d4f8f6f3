"""The processes that ``make bench`` measures start from today's parts."""

from pathlib import Path

import pytest

from benchmarks.processes import child, settings_for
from tests.support.ports import free_port
from tests.support.redis import RealRedis

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("words", [("lateness_worker",), ("dispatch_worker",), ("dispatch_worker", "up"), ("followers_writer", "100")])
def test_a_measured_process_starts(words: tuple[str, ...], tmp_path: Path) -> None:
    with RealRedis() as redis:
        settings = settings_for(tmp_path, redis.url, tmp_path / "starts")
        with child(*words, env={**settings, "FASTLANE_PORT": str(free_port()), "FASTLANE_LISTEN": "127.0.0.1"}) as process:
            assert process.poll() is None
