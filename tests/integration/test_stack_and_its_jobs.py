"""The stack of docs/stacks.md on three nodes: deployed, changed and removed while workers are killed. Each due time of its jobs, those
below ``x-jobs`` and those in labels, is in the ledger once, with one container that a witness outside of Docker counted, or with a reason.
"""

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.scripted_jobs import ScriptedJobs, scripted_jobs
from tests.support.docs import ROOT, blocks
from tests.support.nodes import image_of
from tests.support.process_options import ProcessOptions
from tests.support.redis import RealRedis
from tests.support.start_witness import TELL
from tests.support.swarms import Swarms
from tests.support.waiting import LONG_PATIENCE, wait_until

PAGE = (ROOT / "docs/stacks.md").read_text("utf-8")
BY_LABEL = ("web-sessions", "web-mails")
BY_FILE = ("migrate", "backup", "report")
FINAL = {"done", "failed", "stopped", "timedout", "expired", "rejected"}
GONE_AFTER = 5_000
"""Milliseconds for which a service must be missing: a minute would add a due time."""
AT_ONCE = 2
"""Workers that run at any time."""


@pytest.fixture
def image(three_managers: Swarms) -> Iterator[str]:
    with image_of(three_managers) as reference:
        yield reference


class ShopStack:
    """The page's stack as a file, and the commands that are typed beside it. Its jobs are due each minute, and tell the witness."""

    def __init__(self, work: ScriptedJobs, bed: Swarms, image: str, folder: Path) -> None:
        self._work, self._image, self._folder = work, image, folder
        self._hosts = itertools.cycle(bed.urls)
        self._mount = work.fastlane.witness.mount
        folder.mkdir()

    def write(self, change: str) -> None:
        """The file, in which each job also writes this word."""
        text = next(block for block in blocks(PAGE, "yaml") if block.startswith("# shop.yaml"))
        tell = f"{TELL}echo {change}; ".replace("$", "$$").replace('"', "")
        labels = "".join(
            f"        fastlane.job.{name.removeprefix('web-')}.{field}: {value}\n"
            for name in BY_LABEL
            for field, value in (("cron", '"* * * * *"'), ("command", f"""'sh -c "{tell}true"'"""))
        )
        deploy = f"    deploy:\n      endpoint_mode: dnsrr\n      labels:\n{labels}"
        web = f"image: {self._image}\n    command: [sleep, infinity]\n    stop_grace_period: 1s\n{deploy}"
        text = text.replace("image: nginx:latest\n", web).replace("image: ubuntu:latest", f"image: {self._image}")
        text = re.sub(r'schedule: \["[^"]+"\]|cron: "[^"]+"', lambda found: re.sub('"[^"]+"', '"* * * * *"', found[0]), text)
        text = text.replace('[sh, -c, "', f'[sh, -c, "{tell}').replace("[ls, -l, /backup]", f'[sh, -c, "{tell}ls -l /backup"]')
        text = re.sub(r'volumes: \["', f'volumes: ["{self._mount}", "', text)
        assert text.count(tell) == len(BY_FILE) + len(BY_LABEL)
        (self._folder / "shop.yaml").write_text(text)

    def types(self, command: str) -> str:
        """What a command prints; it ends well."""
        done = self._typed(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _typed(self, command: str) -> subprocess.CompletedProcess[str]:
        """How a command ends, each on the next manager."""
        fastlane = self._work.fastlane
        environment = {
            **{"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(self._folder), "DOCKER_HOST": next(self._hosts)},
            **{"FASTLANE_URL": fastlane.url, "FASTLANE_TOKEN": str(fastlane.token)},
        }
        script = f'fastlane() {{ {shlex.quote(sys.executable)} -m fastlane "$@"; }}\n{command}'
        words, patience = ["bash", "-c", script], LONG_PATIENCE
        return subprocess.run(words, check=False, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=patience)

    def deploy(self, change: str) -> None:
        """The stack and its jobs, new or changed."""
        self.write(change)
        self.types("docker stack deploy -c shop.yaml shop")
        self.types("fastlane apply -f shop.yaml --project shop")

    def remove(self) -> None:
        """No service and no network of the stack. Docker refuses to remove a network while a run uses it."""
        command = "docker stack rm shop"
        wait_until(lambda: self._typed(command).returncode == 0, f"{command}: {self._typed(command).stderr}", 2 * LONG_PATIENCE)


class Workers:
    """The workers of an installation, of which one is killed now and then."""

    def __init__(self, work: ScriptedJobs) -> None:
        self._work = work
        for _ in range(AT_ONCE):
            work.fastlane.start("worker")

    def kill_one(self) -> None:
        """Kills the oldest, and starts one in its place."""
        process = self._work.fastlane.workers[0]
        process.kill()
        process.wait()
        self._work.fastlane.start("worker")

    def kill_at_each_of(self, starts: int) -> None:
        """Kills one each time that so many more containers have started: while others are parked, are activated, run, and end."""
        witness = self._work.fastlane.witness
        before = witness.starts().total()
        for more in range(1, starts + 1):
            wait_until(lambda more=more: witness.starts().total() >= before + more, f"{more} starts after {before}", 2 * LONG_PATIENCE)
            self.kill_one()


def jobs_of(work: ScriptedJobs) -> dict[str, dict[str, Any]]:
    """The jobs of the stack, by name; none while there is no such task."""
    answer = work.fastlane.get("/tasks/shop/jobs?perPage=100")
    return {row["name"]: row for row in answer.json["items"]} if answer.status == 200 else {}


def ledger(work: ScriptedJobs, job: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of its due times and of the runs that somebody asked for, the first one first."""
    rows: list[dict[str, Any]] = work.fastlane.get(f"/tasks/shop/jobs/{job['id']}/ticks?perPage=100").json["items"]
    return rows[::-1]


def executions(work: ScriptedJobs, job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A job's executions, by id."""
    rows = work.fastlane.get(f"/tasks/shop/jobs/{job['id']}/executions?perPage=100").json["items"]
    return {row["executionId"]: row for row in rows}


def minutes_of(ticks: list[dict[str, Any]]) -> list[int]:
    """The minutes of the schedule that a ledger accounts for, those of runs of missed ticks one by one."""
    spans = [(_minute(tick["due"]), _minute(tick["until"] or tick["due"])) for tick in ticks if _is_scheduled(tick)]
    return [minute for first, last in spans for minute in range(first, last + 1)]


def _is_scheduled(tick: dict[str, Any]) -> bool:
    return datetime.fromisoformat(tick["due"]).timestamp() % 60 == 0


def _minute(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() // 60)


def check_once_or_with_a_reason(work: ScriptedJobs, *names: str) -> int:
    """Compares the ledger with the witness. Returns how many executions ended by themselves."""
    found, witness, known, started = jobs_of(work), work.fastlane.witness, set[str](), 0
    assert set(names) == set(found)
    for name, job in found.items():
        wait_until(lambda job=job: all(row["status"] in FINAL for row in executions(work, job).values()), f"the ends of {name}", 180)
        rows, ticks = executions(work, job), ledger(work, job)
        minutes = minutes_of(ticks)
        assert minutes == list(range(minutes[0], minutes[-1] + 1)) if minutes else name == "migrate", (name, ticks)
        for tick in ticks:
            assert tick["execution"] or tick["reason"], (name, tick)
        done = {id for id, row in rows.items() if row["status"] == "done"}
        unexplained = {
            id: row["status"] for id, row in rows.items() if id not in done and not row["failure"] and row["status"] != "stopped"
        }
        assert unexplained == {}, name
        starts = {id: len(witness.containers_of(id)) for id in rows}
        assert {id: starts[id] for id in done} == dict.fromkeys(done, 1), (name, rows)
        assert max(starts.values(), default=0) <= 1, (name, rows)
        known |= set(rows)
        started += len(done)
    assert set(witness.starts()) <= known
    return started


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("minutes", [1, pytest.param(5, marks=pytest.mark.repeated)])
def test_each_due_time_of_a_stack_starts_once_while_it_is_deployed_changed_and_removed_and_workers_are_killed(
    three_managers: Swarms, image: str, tmp_path: Path, minutes: int
) -> None:
    rules = {"services": ["shop_*"], "policy": {"networks": "shop_*", "mounts": [f"{tmp_path}/f/witness", "volume:shop_*"]}}
    settings = {"service_labels": "true", "listen": "127.0.0.1"}
    options = ProcessOptions(reconcile=2.0, labels_gone_after_ms=GONE_AFTER)
    with (
        RealRedis() as redis,
        scripted_jobs(tmp_path / "f", three_managers, image, redis=redis.url, pool=rules, options=options, **settings) as work,
    ):
        work.fastlane.serve("api")
        workers, shop = Workers(work), ShopStack(work, three_managers, image, tmp_path / "typed")
        work.fastlane.until_healthy()
        shop.deploy("first")
        workers.kill_one()
        wait_until(lambda: set(jobs_of(work)) == {*BY_FILE, *BY_LABEL}, f"the jobs of the stack: {list(jobs_of(work))}")
        for number in range(minutes):
            workers.kill_at_each_of(3)
            shop.deploy(f"change-{number}")
            workers.kill_one()
            runs_as_it_is_deployed(work, shop, f"change-{number}")
        shop.remove()
        workers.kill_one()
        for name in BY_LABEL:
            wait_until(lambda name=name: jobs_of(work)[name]["status"] == "stopped", f"the stop of {name}", 4 * LONG_PATIENCE)
        shop.types("fastlane stop --all shop")
        assert check_once_or_with_a_reason(work, *BY_FILE, *BY_LABEL) >= 4 * minutes
        shop.types("fastlane rm --stop --all shop")
        assert work.fastlane.get("/tasks/shop").status == 404


def runs_as_it_is_deployed(work: ScriptedJobs, shop: ShopStack, change: str) -> None:
    """Returns once a run by hand of a job below ``x-jobs``, and one of a job in labels, wrote this word."""
    for name in ("migrate", "web-mails"):

        def wrote(name: str = name) -> bool:
            return change in shop.types(f"fastlane run-now shop/{name} && fastlane logs -f shop/{name} || true")

        wait_until(wrote, f"{name} to run as it was changed", 2 * LONG_PATIENCE)
