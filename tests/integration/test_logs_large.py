"""Large logs: 50 MB of one job, and forty jobs that log at once, whole and in bounded memory. Real processes on a real engine."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, installed
from tests.support.redis import RealRedis

PAD = "x" * 80
PATIENCE = 300
ONE = 50_000_000
AT_ONCE = 40
MAX_MEMORY = 100 * 1024 * 1024
"""How much a worker may grow, with 40 logs at once and what else it does; and an API."""

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(2 * PATIENCE)]


class Process:
    """How much memory a process takes at most from now on, beyond what it has now."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._folder = Path(f"/proc/{process.pid}")
        (self._folder / "clear_refs").write_text("5")
        self._before = self._peak()

    def grown(self) -> int:
        """In bytes."""
        return self._peak() - self._before

    def _peak(self) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.fixture
def fastlane(engine: str, tmp_path: Path) -> Iterator[Installation]:
    pools = json.dumps([{"name": "default", "match": "", "hosts": [engine], "maxRunning": AT_ONCE}])
    with (
        RealRedis() as redis,
        installed(tmp_path, engine, redis=redis.url, listen="127.0.0.1", pools=pools, lease="15s", renew="5s") as fastlane,
    ):
        fastlane.serve("api")
        fastlane.start("worker")
        fastlane.ends(fastlane.run("true"))  # everything is loaded now
        yield fastlane


def writer(size: int, mark: int) -> str:
    """A script that writes that many bytes of numbered lines to stdout, and a line to stderr before and after."""
    return f"echo begin {mark} >&2; seq {mark} 1000000000 | sed s/$/{PAD}/ | head -c {size}; echo end {mark} >&2"


def written(size: int, mark: int) -> str:
    """What that writes to stdout, hashed."""
    digest, left, number = hashlib.sha256(), size, mark
    while left:
        lines = b"".join(b"%d%s\n" % (one, PAD.encode()) for one in range(number, number + 1_000))[:left]
        digest.update(lines)
        left, number = left - len(lines), number + 1_000
    return digest.hexdigest()


def read(fastlane: Installation, reply: dict[str, Any], stream: str) -> tuple[int, str]:
    """A stream's length and hash, taken from the API as it comes."""
    connection = HTTPConnection("127.0.0.1", fastlane.port, timeout=PATIENCE)
    connection.request("GET", f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/{stream}")
    answer = connection.getresponse()
    assert answer.status == 200
    digest, size = hashlib.sha256(), 0
    while data := answer.read(65_536):
        digest.update(data)
        size += len(data)
    connection.close()
    return size, digest.hexdigest()


def check(fastlane: Installation, reply: dict[str, Any], size: int, mark: int) -> None:
    """The whole log of a writer."""
    ended = fastlane.ends(reply, patience=PATIENCE)
    errors = f"begin {mark}\nend {mark}\n".encode()
    assert (ended["status"], ended["logInfo"]) == ("done", {"stdoutBytes": size, "stderrBytes": len(errors), "truncated": False})
    assert read(fastlane, reply, "stdout") == (size, written(size, mark))
    assert fastlane.output(reply, "stderr") == errors


def test_fifty_megabytes_of_one_job_are_whole_and_pass_through_little_memory(fastlane: Installation) -> None:
    api, worker = map(Process, fastlane.processes)
    check(fastlane, fastlane.run("sh", "-c", writer(ONE, 1)), ONE, 1)
    assert worker.grown() < MAX_MEMORY / 2
    assert api.grown() < MAX_MEMORY / 2


@pytest.mark.parametrize("size", [pytest.param(500_000, marks=pytest.mark.repeated), 2_000_000])
def test_forty_jobs_that_log_at_once_are_whole_and_pass_through_little_memory(fastlane: Installation, size: int) -> None:
    api, worker = map(Process, fastlane.processes)
    replies = [fastlane.run("sh", "-c", writer(size, number)) for number in range(AT_ONCE)]
    for number, reply in enumerate(replies):
        check(fastlane, reply, size, number)
    assert worker.grown() < MAX_MEMORY
    assert api.grown() < MAX_MEMORY
