"""Many jobs, each with a log of its own: every byte of each comes back over HTTP, and nothing of them stays on the engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.permissive import containers_of, is_clean, permissive
from tests.support.installation import Installation
from tests.support.waiting import wait_until

LINES = 1000
WRITE = "i=0; while [ $i -lt {lines} ]; do echo {number} out $i; echo {number} err $i >&2; i=$((i+1)); done; sleep 0.2"
"""A busy engine may lose what a container wrote that ends in the very moment of its start: hence the pause."""


def script(number: int, lines: int) -> str:
    """Writes numbered lines to both streams."""
    return WRITE.format(number=number, lines=lines)


def output(number: int, lines: int, stream: str) -> bytes:
    return b"".join(b"%d %s %d\n" % (number, stream.encode(), line) for line in range(lines))


@pytest.fixture
def crowd(engine: str, tmp_path: Path) -> Iterator[Installation]:
    """Thirty jobs at once."""
    with permissive(tmp_path, engine, most=30) as fastlane:
        yield fastlane


def run_all(fastlane: Installation, jobs: int, lines: int, patience: float) -> None:
    replies = [fastlane.run("sh", "-c", script(number, lines), task=f"crowd-{number % 10}") for number in range(jobs)]
    for number, reply in enumerate(replies):
        ended = fastlane.ends(reply, patience)
        assert (ended["status"], ended["exitCode"], ended["attempt"]) == ("done", 0, 1), ended
        expected = {stream: output(number, lines, word) for stream, word in (("stdout", "out"), ("stderr", "err"))}
        for stream, text in expected.items():
            assert fastlane.output(reply, stream) == text, (number, stream)
        sizes = {"stdoutBytes": len(expected["stdout"]), "stderrBytes": len(expected["stderr"]), "truncated": False}
        assert {name: ended["logInfo"][name] for name in sizes} == sizes
    wait_until(lambda: not fastlane.services(), "the services to go", patience)
    wait_until(lambda: not containers_of(fastlane), f"the containers to go: {containers_of(fastlane)}", patience)
    assert is_clean(fastlane)


@pytest.mark.thorough
def test_a_hundred_jobs_of_a_thousand_lines_each_have_every_byte_of_them_and_leave_nothing(crowd: Installation) -> None:
    run_all(crowd, 100, LINES, 110)


@pytest.mark.thorough
@pytest.mark.repeated
@pytest.mark.timeout(1200)
def test_a_thousand_jobs_have_every_byte_of_their_logs_and_leave_nothing(crowd: Installation) -> None:
    run_all(crowd, 1000, 10, 1000)
