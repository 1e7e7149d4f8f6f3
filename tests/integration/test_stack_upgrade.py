"""The stack goes from the release before this one to today's and back, by the commands of docs/install.md, while a job runs, a cron is due
each minute, and another job is due much later. The older program is real: ``tests/support/previous_release.py`` says where it comes from.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from fastlane.client import Client
from tests.support.images import NAME, BuiltImage, docker
from tests.support.previous_release import unpack
from tests.support.stack.deployed import Stack, three_nodes
from tests.support.stack.starts import Starts
from tests.support.waiting import LONG_PATIENCE, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.repeated, pytest.mark.timeout(2400)]

ROLES = ("api", "worker")
PREVIOUS = "fastlane:previous"
TURN = 100.0
"""Seconds within which a cron of every minute is due, and its job has ended."""
SLOW = ["sh", "-c", "echo begun; sleep 400; echo whole; sleep 0.1"]


def make_previous(engine: str, folder: Path) -> None:
    """Makes an image of the older program, with the packages of today's: its own lists would need a registry of packages."""
    container = docker(engine, "create", NAME)
    docker(engine, "cp", f"{unpack(folder)}/.", f"{container}:/previous")
    docker(engine, "commit", "-c", "ENV PYTHONPATH=/previous", container, PREVIOUS)
    docker(engine, "rm", container)


@pytest.fixture
def stack(built_image: BuiltImage, tmp_path: Path) -> Iterator[Stack]:
    """The stack of the release before, as the page's commands leave it."""
    with three_nodes(built_image) as stack:
        stack.type_in("Prepare the swarm")
        make_previous(stack.nodes[0].url, tmp_path)
        stack.push("1", PREVIOUS)
        stack.type_in("Deploy it", "IMAGE=")
        stack.until_up()
        yield stack


def said(client: Client, reply: dict[str, Any]) -> bytes:
    parts = client.logs(reply["taskId"], reply["jobId"], reply["executionId"], follow=False)
    return b"".join(part.data for part in parts)


def ticks(client: Client, job: dict[str, Any]) -> list[dict[str, Any]]:
    return list(client.jobs.ticks("upgraded", job["jobId"]))


def goes_on(client: Client, cron: dict[str, Any]) -> dict[str, Any]:
    """Returns when the cron has fired once more; a job that was run meanwhile, which has ended."""
    count = len(ticks(client, cron))
    reply = client.submit("upgraded", image="ubuntu", command=["sh", "-c", "echo short; sleep 0.1"])
    assert client.wait("upgraded", reply["jobId"], reply["executionId"])["status"] == "done"
    assert said(client, reply) == b"short\n"
    wait_until(lambda: len(ticks(client, cron)) > count, "the cron to fire", TURN)
    return reply


def version(stack: Stack) -> Any:
    with urlopen(f"{stack.url}/livez", timeout=LONG_PATIENCE) as answer:
        return answer.headers["X-Fastlane-Version"]


def test_the_stack_goes_from_the_release_before_to_today_s_and_back_and_repeats_nothing(stack: Stack) -> None:
    with stack.client() as client, Starts(stack.nodes) as starts:
        older = version(stack)
        cron = client.submit("upgraded", image="ubuntu", command=["sh", "-c", "echo tick; sleep 0.1"], cron="* * * * *")
        later = client.submit("upgraded", image="ubuntu", command="true", startIn="300d")
        slow = client.submit("upgraded", image="ubuntu", command=SLOW)
        wait_until(lambda: said(client, slow) == b"begun\n", "the slow job to write", LONG_PATIENCE)
        runs = [goes_on(client, cron)]
        stack.type_in("Back it up")

        stack.push("2")
        stack.type_in("Upgrade it, change it", "IMAGE=")
        stack.until_updated(*ROLES)
        assert version(stack) != older
        runs.append(goes_on(client, cron))

        stack.type_in("Deploy it", "IMAGE=")
        stack.until_updated(*ROLES)
        assert version(stack) == older
        runs.append(goes_on(client, cron))

        assert client.wait("upgraded", slow["jobId"], slow["executionId"])["attempt"] == 1
        assert [said(client, reply) for reply in (slow, *runs)] == [b"begun\nwhole\n", *[b"short\n"] * len(runs)]
        assert client.jobs.get("upgraded", later["jobId"])["status"] == "scheduled"
        client.jobs.pause("upgraded", cron["jobId"])
        fired = ticks(client, cron)
    ours = {reply["executionId"] for reply in (slow, *runs)} | {tick["execution"]["id"] for tick in fired if tick["execution"]}
    assert {id: starts.of[id] for id in ours} == dict.fromkeys(ours, 1)
    due = sorted(datetime.fromisoformat(tick["due"]).timestamp() for tick in fired)
    assert [after - before for before, after in pairwise(due)] == [60] * (len(due) - 1)
