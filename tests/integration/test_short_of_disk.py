"""Hosts whose disk is full, or nearly: engines whose data is on a small file system, filled for real."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.outages import small_disk
from tests.support.engine import IMAGE, connect, script
from tests.support.installation import Installation, installed
from tests.support.registry import Registry
from tests.support.relay import ThreadRelay
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.thorough

MEBIBYTE = 2**20
TRIES = 4


@dataclass(frozen=True)
class SmallEngine:
    """An engine with all its data on a disk of 300 MiB."""

    url: str
    disk: Path

    def fill(self, left: int) -> Path:
        """Takes the space of the disk until only this many MiB are free. Returns the file to remove."""
        filler = self.disk / "filler"
        with filler.open("ab") as file:
            found = os.statvfs(self.disk)
            os.posix_fallocate(file.fileno(), filler.stat().st_size, found.f_bavail * found.f_frsize - left * MEBIBYTE)
        return filler


@pytest.fixture(scope="module")
def small_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallEngine]:
    folder = Path("/tmp") / f"fld{os.getpid()}"  # short: a socket's path holds 107 bytes
    with small_disk(folder, 300):
        url = script("start", str(folder), "--private")
        try:
            script("image", url, IMAGE)
            yield SmallEngine(url, folder)
        finally:
            script("stop", str(folder))
    folder.rmdir()


@pytest.fixture(autouse=True)
def emptied(small_engine: SmallEngine) -> Iterator[None]:
    """A test that fails leaves the disk full for no other one."""
    yield
    (small_engine.disk / "filler").unlink(missing_ok=True)


def host(fastlane: Installation) -> dict[str, Any]:
    """The row of its one host in /status."""
    (row,) = fastlane.get("/status").json["hosts"]
    found: dict[str, Any] = row
    return found


def becomes(fastlane: Installation, *, available: bool) -> dict[str, Any]:
    """The same, once the host may or may not get new work."""
    return wait_until(lambda: row if (row := host(fastlane))["available"] is available else None, f"available to be {available}")


def events(fastlane: Installation, role: str) -> list[str]:
    """What its log says of disks, in order."""
    return [event for event in map(_event, fastlane.log(role).splitlines()) if event.startswith("host.disk")]


def _event(line: str) -> str:
    return str(json.loads(line).get("event", "")) if line.startswith("{") else ""


def test_a_host_short_of_disk_gets_no_new_work_and_says_so_until_there_is_room(small_engine: SmallEngine, tmp_path: Path) -> None:
    with installed(tmp_path, small_engine.url, min_free_disk="20%", log_format="json") as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        # The first rebuild of the queue drops the first report.
        row = wait_until(lambda: row if (row := host(fastlane))["disk"] else None, "the disk to be measured")
        assert row["disk"]["totalBytes"] == 300 * MEBIBYTE
        assert 100 * MEBIBYTE < row["disk"]["freeBytes"] < 250 * MEBIBYTE
        assert (row["disk"]["short"], row["disk"]["since"], row["since"]) == (False, None, None)
        running = fastlane.run("sh", "-c", "sleep 2; echo went on")
        fastlane.reaches(running, "running")

        filler = small_engine.fill(left=40)
        row = becomes(fastlane, available=False)
        assert "is short of disk: less than 60 MiB of 300 MiB is free (min_free_disk)" in row["error"]
        assert row["disk"]["short"] is True
        assert row["since"] == row["disk"]["since"] is not None
        reply = fastlane.run("sh", "-c", "echo at last; sleep 0.1")
        why = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/why"
        (wait,) = wait_until(lambda: fastlane.get(why).json["waitingFor"], "the reason of its wait")
        assert wait["reason"] == "no-host"
        assert "is short of disk" in wait["message"]
        assert wait["since"] == row["since"]
        health = fastlane.get("/healthcheck")
        assert health.status == 503
        assert "is short of disk" in health.body.decode()
        assert fastlane.ends(running)["status"] == "done"  # what runs there goes on
        assert fastlane.output(running) == b"went on\n"
        assert fastlane.execution(reply)["status"] == "enqueued"

        filler.unlink()
        assert becomes(fastlane, available=True)["since"] is None
        assert fastlane.ends(reply)["status"] == "done"
        assert fastlane.output(reply) == b"at last\n"
        assert events(fastlane, "up") == ["host.disk_short", "host.disk_enough"]


def refused(fastlane: Installation, engine: SmallEngine) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fills the disk until the engine says that it has no space for a job, and makes room again. Returns the enqueue reply and the host's
    row. An engine that cannot even write what became of a task says nothing (docs/decisions/0027): then it gets another job."""
    for _ in range(TRIES):
        filler = engine.fill(left=0)
        reply = fastlane.run("true")
        with contextlib.suppress(AssertionError):
            row = wait_until(lambda: row if not (row := host(fastlane))["available"] else None, "a refusal", PATIENCE)
            filler.unlink()
            return reply, row
        filler.unlink()
        fastlane.ends(reply)
    raise AssertionError(f"the engine refused none of {TRIES} jobs")


def is_noted(fastlane: Installation) -> bool:
    """Whether the store keeps when its one host had no space."""
    with contextlib.closing(sqlite3.connect(fastlane.folder / "fastlane.db")) as db:
        return db.execute("SELECT 1 FROM hosts WHERE disk_refused_last IS NOT NULL").fetchone() is not None


def test_a_host_elsewhere_that_had_no_space_for_a_start_is_left_alone_by_every_worker(small_engine: SmallEngine, tmp_path: Path) -> None:
    """It is reached by TCP, so no worker looks at its disk. A worker that begins later knows what the first one saw."""
    rules = {"pool": {"insecure": True}, "log_format": "json"}
    with ThreadRelay(0, small_engine.url) as relay, installed(tmp_path, relay.url, **rules) as fastlane:
        first = fastlane.serve("up")
        fastlane.until_healthy()
        assert host(fastlane)["disk"] is None
        reply, row = refused(fastlane, small_engine)
        execution = fastlane.execution(reply)  # its node refused its container or, with no room for that, its swarm its service
        assert execution["status"] in ("failed", "enqueued", "pulling")
        if execution["status"] == "failed":
            assert execution["failure"]["reason"] == "host-lost"
            assert "no space left on device" in execution["failure"]["message"]
        assert "is short of disk: it had no space left for a start" in row["error"]
        assert row["disk"]["freeBytes"] is None
        assert row["disk"]["until"] > row["disk"]["since"] == row["since"]
        wait_until(lambda: is_noted(fastlane), "the refusal to be noted for later workers")
        fastlane.terminate(first)
        fastlane.serve("up")
        again = wait_until(lambda: host(fastlane)["disk"], "the new worker to see the host")
        assert (again["short"], again["until"]) == (True, row["disk"]["until"])
        reply = fastlane.run("true")
        why = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/why"
        wait_until(lambda: "is short of disk" in str(fastlane.get(why).json), "the reason of its wait")


def push_large(engine: SmallEngine, registry: Registry, mebibytes: int) -> str:
    """Pushes an image that takes so much space, and leaves none of it on the engine."""
    name, script = f"{registry.address}/large", f"head -c {mebibytes * MEBIBYTE} /dev/urandom >/large"
    with contextlib.closing(connect(engine.url)) as api:
        container = api.create_container(IMAGE, ["sh", "-c", script])["Id"]
        api.start(container)
        assert api.wait(container)["StatusCode"] == 0
        api.commit(container, name, "1")
        api.remove_container(container)
        said = list(api.push(name, "1", stream=True, decode=True))
        assert not any("error" in line for line in said), said
        api.remove_image(f"{name}:1")
    return f"{name}:1"


def test_an_image_for_which_a_node_has_no_space_is_the_host_s_trouble_and_is_tried_again(small_engine: SmallEngine, tmp_path: Path) -> None:
    """The swarm only tells that there is no such image."""
    rules = {"pool": {"insecure": True}, "log_format": "json"}
    with (
        Registry.beside(small_engine.url) as registry,
        ThreadRelay(0, small_engine.url) as relay,
        installed(tmp_path, relay.url, **rules) as fastlane,
    ):
        fastlane.serve("up")
        fastlane.until_healthy()
        image = push_large(small_engine, registry, 60)
        filler = small_engine.fill(left=40)
        reply = fastlane.run("true", image=image, retries=1, retryDelay=1)
        first = wait_until(lambda: attempt(fastlane, reply, 1, "failed"), "the first attempt to end")
        assert (first["status"], first["exitCode"]) == ("failed", None)
        assert first["failure"]["reason"] == "host-lost"
        assert "no space left on device" in first["failure"]["message"]
        row = becomes(fastlane, available=False)
        assert "is short of disk: it had no space left for a start" in row["error"]
        second = wait_until(lambda: attempt(fastlane, reply, 2, "enqueued"), "the second attempt, which waits for the host")
        filler.unlink()
        fastlane.stop(reply)
        assert second["host"] is None


def attempt(fastlane: Installation, reply: dict[str, Any], number: int, status: str) -> dict[str, Any] | None:
    """An attempt of a job, once it has this status."""
    rows = fastlane.get(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/executions").json["items"]
    return next((row for row in rows if (row["attempt"], row["status"]) == (number, status)), None)
