"""The store's disk is full, Redis is full or hangs, SQLite is locked, the engine is away: what is refused, and that nothing is lost.

Real processes on a real engine. Jobs are accepted before, at the edges of the outage, and after: each must end once, with its output.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.outages import EngineEvents, PostedJobs, ProcessWatch, check_health, check_reads, fill, small_disk
from tests.support.installation import Installation, installed
from tests.support.redis import RealRedis
from tests.support.relay import ThreadRelay
from tests.support.waiting import outlast, wait_until

WRITE_WITHIN = 10.0
"""Seconds within which a write is refused: SQLite's waiting (5 s), its grace (2 s), and a busy machine."""

COUNT = "i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); [ $((i % {burst})) = 0 ] && sleep 1; done; true"
"""Writes lines, a second's pause after each burst."""


def counting(lines: int, seconds: int) -> tuple[str, bytes]:
    """A script that writes so many lines in about so many seconds; and what it writes."""
    return COUNT.format(lines=lines, burst=lines // seconds), b"".join(b"line %d\n" % number for number in range(lines))


@pytest.fixture
def witness(engine: str, tmp_path: Path) -> Iterator[EngineEvents]:
    with EngineEvents(engine, tmp_path / "starts") as witness:
        yield witness


@pytest.fixture
def apart(engine: str, tmp_path: Path, own_redis: RealRedis) -> Iterator[Installation]:
    """An API and a worker on a Redis that the test may break."""
    with installed(tmp_path, engine, redis=own_redis.url, listen="127.0.0.1") as fastlane:
        fastlane.serve("api")
        fastlane.start("worker")
        fastlane.until_healthy()
        yield fastlane


@pytest.mark.thorough
def test_a_full_disk_refuses_writes_and_loses_nothing(engine: str, tmp_path: Path, witness: EngineEvents) -> None:
    with small_disk(tmp_path / "data", 32) as disk, installed(tmp_path, engine, data_dir=str(disk)) as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        posted, watch = PostedJobs(fastlane), ProcessWatch(fastlane, "up")
        first = posted.post().json
        for _ in range(4):
            posted.post("sleep 3; echo slept", b"slept\n")
        with posted.posting():
            filler = fill(disk)
            wait_until(lambda: posted.refused, "a refusal", 30)
            filler = fill(disk)
            words = check_health(fastlane, "store")
            check_reads(fastlane, first)
            outlast(8)  # longer than the jobs that were begun before
            assert check_health(fastlane, "store") == words
            watch.check()
            filler.unlink()
            fastlane.until_healthy()
        assert "full" in words
        posted.check_refusals(WRITE_WITHIN)
        assert posted.post().status == 200
        posted.check_ends(witness)
        posted.check_refused_are_nowhere()
        watch.check()


@pytest.mark.thorough
def test_a_log_is_whole_after_its_pump_met_a_full_disk(engine: str, tmp_path: Path, own_redis: RealRedis, witness: EngineEvents) -> None:
    with (
        small_disk(tmp_path / "data", 32) as disk,
        installed(tmp_path, engine, redis=own_redis.url, listen="127.0.0.1", data_dir=str(disk)) as fastlane,
    ):
        fastlane.serve("api")
        fastlane.start("worker")
        fastlane.until_healthy()
        posted, watch = PostedJobs(fastlane), ProcessWatch(fastlane, "api", "worker")
        long = posted.post(*counting(40_000, 16)).json
        short = posted.post(*counting(20_000, 4)).json
        for reply in (long, short):
            fastlane.reaches(reply, "running")
            wait_until(lambda reply=reply: fastlane.output(reply), "the first lines")
        filler = fill(disk)
        wait_until(lambda: fastlane.get("/healthcheck").json["store"] is False, "the disk to be full", 30)
        before = len(fastlane.output(long))
        outlast(8)  # the short one ends meanwhile
        assert fastlane.execution(short)["status"] in ("pulling", "running")
        assert len(fastlane.output(long)) <= before + 64 * 1024
        watch.check()
        filler.unlink()
        posted.check_ends(witness)
        watch.check()


@pytest.mark.thorough
def test_a_full_redis_refuses_jobs_and_loses_nothing(apart: Installation, own_redis: RealRedis, witness: EngineEvents) -> None:
    posted, watch = PostedJobs(apart), ProcessWatch(apart, "api", "worker")
    first = posted.post().json
    for _ in range(3):
        posted.post("sleep 8; echo slept", b"slept\n")
    with own_redis.client() as client, posted.posting():
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        wait_until(lambda: posted.refused, "a refusal", 30)
        assert "maxmemory" in check_health(apart, "redis")
        check_reads(apart, first)
        outlast(6)  # longer than a lease
        check_health(apart, "redis")
        watch.check()
        client.config_set("maxmemory", 0)
        apart.until_healthy(30)
    assert "maxmemory" in posted.refused[0][1].json["detail"]
    posted.check_refusals(WRITE_WITHIN)
    assert posted.post().status == 200
    posted.check_ends(witness)
    posted.check_refused_are_nowhere()
    watch.check()


@pytest.mark.thorough
@pytest.mark.parametrize("seconds", [4, 30])
def test_a_redis_that_hangs_refuses_jobs_and_loses_nothing(
    apart: Installation, own_redis: RealRedis, witness: EngineEvents, seconds: int
) -> None:
    posted, watch = PostedJobs(apart), ProcessWatch(apart, "api", "worker")
    first = posted.post().json
    for _ in range(3):
        posted.post("sleep 5; echo slept", b"slept\n")
    with posted.posting():
        own_redis.pause()
        began = time.monotonic()
        wait_until(lambda: posted.refused, "a refusal", 30)
        assert "answer" in check_health(apart, "redis")
        check_reads(apart, first)
        outlast(began + seconds - time.monotonic())
        check_reads(apart, first)
        watch.check()
        own_redis.go_on()
        apart.until_healthy(30)
    posted.check_refusals(5)
    assert posted.post().status == 200
    posted.check_ends(witness)
    posted.check_refused_are_nowhere()
    watch.check()


HOLD = """import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.thorough
def test_a_store_that_another_process_locks_refuses_writes_and_loses_nothing(
    apart: Installation, tmp_path: Path, witness: EngineEvents
) -> None:
    posted, watch = PostedJobs(apart), ProcessWatch(apart, "api", "worker")
    first = posted.post().json
    for _ in range(3):
        posted.post("sleep 4; echo slept", b"slept\n")
    with posted.posting():
        command = [sys.executable, "-c", HOLD, str(tmp_path / "fastlane.db")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            check_health(apart, "store")
            check_reads(apart, first)
            wait_until(lambda: posted.refused, "a refusal", 30)
            outlast(8)
            check_health(apart, "store")
            check_reads(apart, first)
            watch.check()
            assert holder.stdin is not None
            holder.stdin.close()
        apart.until_healthy(30)
    posted.check_refusals(WRITE_WITHIN)
    assert posted.post().status == 200
    posted.check_ends(witness)
    posted.check_refused_are_nowhere()
    watch.check()


@pytest.mark.thorough
@pytest.mark.parametrize(("how", "says"), [("stop", "is the engine running"), ("hang", "did not answer")])
def test_while_the_engine_is_away_jobs_wait_and_health_says_why(
    engine: str, tmp_path: Path, witness: EngineEvents, how: str, says: str
) -> None:
    with ThreadRelay(tmp_path / "e", engine) as relay, installed(tmp_path, relay.url) as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        posted, watch = PostedJobs(fastlane), ProcessWatch(fastlane, "up")
        first = posted.post(*counting(1_000, 10)).json
        posted.post("sleep 3; echo slept", b"slept\n")
        wait_until(lambda: fastlane.output(first), "the first lines")
        with posted.posting(every=1):
            getattr(relay, how)()
            wait_until(lambda: says in fastlane.get("/healthcheck").body.decode(), "the engine to be missed", 60)
            assert says in check_health(fastlane, "docker")
            check_reads(fastlane, first)
            assert posted.post().status == 200
            outlast(5)
            watch.check()
            (relay.start if how == "stop" else relay.flow)()
            fastlane.until_healthy()
        assert not posted.refused
        posted.check_ends(witness)
        watch.check()
