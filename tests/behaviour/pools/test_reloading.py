"""Pools that are read again while fastlane runs: all of them or none, in every process whose settings have the same."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.request import urlopen

import pytest

from fastlane.errors import Fault, Invalid
from fastlane.models.pool import HostRule, Pool
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, Died, intercepted
from tests.support.ports import free_port
from tests.support.waiting import wait_until

OLD = (Pool("default", "", (HOST,), 2),)
NEW = (Pool("fast", "fast-", ("10.0.0.8:2375",), 3, insecure=True), Pool("default", "", (HOST,), 4, rules={HOST: HostRule(2, 5)}))


class File:
    """What the settings' file has now."""

    def __init__(self) -> None:
        self.pools: Sequence[Pool] | None = OLD

    def read(self) -> Sequence[Pool]:
        if self.pools is None:
            raise Invalid([Fault("fastlane.toml: pools", "pool 1: has no name"), Fault("fastlane.toml: lease", "is not a duration")])
        return self.pools


@pytest.fixture
def file() -> File:
    return File()


@pytest.fixture
async def server(shared_redis, tmp_path, file):
    async with Fastlane(tmp_path, shared_redis.url, pools=OLD, workers=1, read_pools=file.read) as server:
        yield server


async def status(server: Fastlane) -> Any:
    return (await server.get("/status")).json


async def test_new_pools_are_in_force_in_every_process(server: Fastlane, file: File, shared_redis, tmp_path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=OLD, installation=server.installation, read_pools=file.read) as another:
        waiting = await server.submit("hold", task="fast-task")
        await server.reaches(waiting, "running")
        file.pools = NEW
        answer = await server.post("/pools/reload")
        assert (answer.status, answer.json["revision"]) == (200, 2)

        async def current() -> bool:
            shown = await status(another)
            at = (shown["pools"]["revision"], shown["pools"]["current"])
            return at == (2, True) and [row["poolsCurrent"] for row in shown["workers"]["items"]] == [True]

        await another.until(current, "the new pools in every process")
        for process in (server, another):
            shown = (await process.get("/pools")).json["items"]
            assert [(pool["name"], pool["maxRunning"], pool["hosts"][0]["weight"]) for pool in shown] == [("fast", 3, 1), ("default", 4, 2)]
        execution = await server.reaches(await server.submit(task="fast-task"), "done")
        assert (execution.pool, execution.host) == ("fast", "10.0.0.8:2375")
        assert (await server.latest_execution(waiting)).status.value == "running"


async def test_what_waits_in_a_pool_moves_with_its_task(server: Fastlane, file: File) -> None:
    holding = [await server.submit("hold", task="fast-task") for _ in range(2)]
    for job in holding:
        await server.reaches(job, "running")
    waiting = await server.submit(task="fast-task")
    file.pools = NEW
    assert (await server.post("/pools/reload")).status == 200
    assert (await server.reaches(waiting, "done")).pool == "fast"


async def test_a_fault_anywhere_in_the_settings_changes_nothing_and_is_told(server: Fastlane, file: File) -> None:
    before = await status(server)
    file.pools = None
    answer = await server.post("/pools/reload")
    assert answer.status == 400
    assert [fault["field"] for fault in answer.json["errors"]] == ["fastlane.toml: pools", "fastlane.toml: lease"]
    after = await status(server)
    assert (after["pools"], after["queues"].keys()) == (before["pools"], before["queues"].keys())


async def test_a_process_with_other_settings_keeps_its_pools_and_says_so(server: Fastlane, file: File, shared_redis, tmp_path) -> None:
    stale = File()
    async with Fastlane(tmp_path, shared_redis.url, pools=OLD, installation=server.installation, read_pools=stale.read) as another:
        file.pools = NEW
        assert (await server.post("/pools/reload")).status == 200

        async def told() -> bool:
            return bool((await status(another))["pools"]["error"])

        await another.until(told, "what the other process says")
        shown = (await status(another))["pools"]
        assert (shown["current"], shown["error"]) == (False, "its settings have other pools than the last reload read")
        assert [pool["name"] for pool in (await another.get("/pools")).json["items"]] == ["default"]
        stale.pools = NEW
        assert (await another.post("/pools/reload")).status == 200
        assert (await status(another))["pools"] | {"revision": 0, "recordedAt": None} == {
            "revision": 0,
            "recordedAt": None,
            "current": True,
            "error": None,
        }


async def test_a_process_that_begins_with_other_pools_is_the_one_that_the_others_differ_from(
    server: Fastlane, file: File, shared_redis, tmp_path
) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=NEW, installation=server.installation) as newer:
        assert (await status(newer))["pools"]["current"]

        async def told() -> bool:
            return not (await status(server))["pools"]["current"]

        await server.until(told, "what the older process says")
        assert [row["poolsCurrent"] for row in (await status(newer))["workers"]["items"]] == [False]
        assert [pool["name"] for pool in (await server.get("/pools")).json["items"]] == ["default"]  # nobody asked it to reload


async def test_a_process_without_settings_to_read_refuses(shared_redis, tmp_path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as server:
        assert (await server.post("/pools/reload")).status == 409


def test_sighup_reads_the_file_again_unless_it_has_a_fault(shared_redis, tmp_path) -> None:
    port, file = free_port(), tmp_path / "fastlane.toml"

    def write(most: int, more: str = "") -> None:
        file.write_text(f'{more}\n[[pools]]\nname = "default"\nmatch = ""\nhosts = ["unix:///nowhere"]\nmaxRunning = {most}\n')

    def shown() -> int | None:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/pools", timeout=5) as answer:
            return int(json.load(answer)["items"][0]["maxRunning"])
        return None

    write(3)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FASTLANE_")},
        "FASTLANE_REDIS_URL": shared_redis.url,
        "FASTLANE_INSTALLATION": f"test-{port}",
        "FASTLANE_DATA_DIR": str(tmp_path / "data"),
    }
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-m", "fastlane", "api", "--listen", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log) as api:
        try:
            wait_until(lambda: shown() == 3, "the first pools")
            write(7)
            api.send_signal(signal.SIGHUP)
            wait_until(lambda: shown() == 7, "the pools that were read again")
            write(9, 'lease = "x"')
            api.send_signal(signal.SIGHUP)
            wait_until(lambda: "is not a duration" in (tmp_path / "log").read_text(), "the fault in the log")
            assert shown() == 7
        finally:
            api.terminate()
    assert api.returncode == 0


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_process_that_ends_as_it_records_new_pools_has_told_all_the_others_or_none(
    server: Fastlane, file: File, shared_redis, tmp_path, when: str
) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=OLD, installation=server.installation, read_pools=file.read) as another:
        file.pools = NEW

        async def dying(call: Call) -> object:
            if when == "after":
                await call.carry()
            raise Died

        with intercepted(server.store, "record_pools", dying), pytest.raises(Died):
            await server.api.directory.reload()
        if when == "before":
            await another.api.directory.refresh()
            assert (another.api.directory.revision.number, another.api.directory.pools.settings) == (1, OLD)
            assert (await server.post("/pools/reload")).status == 200

        async def current() -> bool:
            return another.api.directory.pools.settings == NEW

        await another.until(current, "the new pools in the other process")
        assert another.api.directory.revision.number == 2
        assert (await status(another))["pools"]["current"]
