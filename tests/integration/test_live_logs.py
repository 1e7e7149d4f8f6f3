"""Live logs of real containers: lines appear while the job runs, soon after they were written, and the end is told with its exit code."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from tests.support.followers import Socket
from tests.support.installation import Installation, installed


@pytest.fixture
def fastlane(engine: str, tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path, engine) as installation:
        installation.serve("up")
        installation.until_healthy()
        yield installation


async def test_lines_appear_before_the_job_ends_and_done_comes_with_its_code(fastlane: Installation) -> None:
    script = "for n in 1 2 3 4 5 6 7 8; do echo out $n; echo err $n >&2; sleep 0.3; done; exit 3"
    reply = fastlane.run("sh", "-c", script, task="live")
    late: list[float] = []
    async with (
        aiohttp.ClientSession() as session,
        Socket(session, reply["jobUrl"] + "ws") as plain,
        Socket(session, reply["jobUrl"] + "ws?format=json") as client,
    ):
        for number in range(1, 9):
            got = await client.until(lambda got, word=f"out {number}\n": word in got.log)
            moment = next(event["time"] for event in got.events if event["text"] == f"out {number}\n")
            late.append(time.time() - datetime.fromisoformat(moment).timestamp())
            if number == 2:
                assert fastlane.execution(reply)["status"] == "running"
        got, text = await client.closed(), await plain.closed()
    assert (got.code, got.reason, text.reason) == (1000, "done", "done")
    assert got.events[-1] == {"event": "end", "status": "failed", "exitCode": 3}
    assert "".join(event["text"] for event in got.events[:-1] if event["stream"] == "stdout") == "".join(f"out {n}\n" for n in range(1, 9))
    assert sorted(text.text.splitlines()) == sorted(f"{word} {n}" for word in ("out", "err") for n in range(1, 9))
    assert text.text == got.log
    assert sorted(late)[4] < 20.0, late  # it takes some 30 ms; a busy engine may stall for seconds


def test_curl_follows_a_log_to_its_end(fastlane: Installation) -> None:
    reply = fastlane.run("sh", "-c", "echo one; sleep 1; echo two", task="live")
    answer = fastlane.get(f"/tasks/live/jobs/{reply['jobId']}/logs?follow=1")
    assert (answer.status, answer.body) == (200, b"one\ntwo\n")
    assert fastlane.execution(reply)["status"] == "done"
