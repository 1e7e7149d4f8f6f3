"""A job that the labels of a service declare, on a real swarm: from the service's creation to the loss of its labels."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fastlane.clock import SystemClock
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.hosts import HostRules
from fastlane.models.host import Endpoint
from tests.support.engine_views import DockerEngine
from tests.support.installation import LINGER, Installation, installed
from tests.support.waiting import LONG_PATIENCE, until as eventually, wait_until

SERVICE = "shop_web"


@pytest.fixture
def fastlane(engine: str, tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path, engine, pool={"services": ["shop_*"]}, with_token=True, SERVICE_LABELS="true") as installation:
        installation.serve("up")
        installation.until_healthy()
        try:
            yield installation
        finally:
            if SERVICE in installation.engine.docker("service", "ls", "--format", "{{.Name}}").split():
                installation.engine.docker("service", "rm", SERVICE)


def shown(fastlane: Installation) -> dict[str, Any] | None:
    """The job of the service in full; None while there is none."""
    rows = fastlane.get("/tasks/shop/jobs")
    if rows.status != 200 or not rows.json["items"]:
        return None
    (row,) = rows.json["items"]
    job: dict[str, Any] = fastlane.get(f"/tasks/shop/jobs/{row['id']}").json["job"]
    return job


def until(fastlane: Installation, **wanted: object) -> dict[str, Any]:
    """The job once these of its values are as wanted."""

    def reached() -> dict[str, Any] | None:
        job = shown(fastlane)
        return job if job is not None and {name: job[name] for name in wanted} == wanted else None

    return wait_until(reached, f"{wanted} of {shown(fastlane)}: {fastlane.log('up')}", LONG_PATIENCE)


def test_a_service_with_labels_is_a_job_that_runs_as_its_container_until_it_loses_them(fastlane: Installation) -> None:
    docker = fastlane.engine.docker
    stack = ("--label", "com.docker.stack.namespace=shop")
    command = f"fastlane.command=sh -c 'echo $GREETING{LINGER}'"
    service = ("--replicas", "0", "--env", "GREETING=hello", "--label", command, "--label", "fastlane.manual=true")
    docker("service", "create", "-d", "--name", SERVICE, *stack, *service, "ubuntu:latest")
    job = until(fastlane, status="idle", name="web")
    run = fastlane.post(f"/tasks/shop/jobs/{job['id']}/run").json
    ended = fastlane.ends(run)
    assert (ended["status"], fastlane.output(run)) == ("done", b"hello\n"), fastlane.log("up")

    docker("service", "update", "-d", "--label-rm", "fastlane.manual", "--label-add", "fastlane.cron=0 3 * * *", SERVICE)
    changed = until(fastlane, status="scheduled")
    assert (changed["id"], changed["schedule"]["cron"], changed["executionCount"]) == (job["id"], "0 3 * * *", 1)

    docker("service", "update", "-d", "--label-add", "fastlane.cron=61 3 * * *", SERVICE)
    faulty = wait_until(lambda: (found := shown(fastlane)) and found["source"]["fault"] and found, "the fault", LONG_PATIENCE)
    assert faulty["schedule"] == changed["schedule"]

    docker("service", "update", "-d", "--label-rm", "fastlane.cron", "--label-rm", "fastlane.command", SERVICE)
    assert until(fastlane, status="stopped")["source"]["gone"] == f"the service {SERVICE} has no labels of this job any more"


CRONJOBS = """
version: "3.8"
services:
  date:
    image: ubuntu:latest
    command: sh -c "date; sleep 0.1"
    deploy: &never
      mode: replicated
      replicas: 0
      labels:
        - "swarm.cronjob.enable=true"
        - "swarm.cronjob.schedule=* * * * *"
        - "swarm.cronjob.skip-running=false"
      restart_policy: {condition: none}
  report:
    image: ubuntu:latest
    command: sh -c "sleep 0.1"
    configs: [{source: words, target: /words}]
    deploy:
      <<: *never
      labels:
        swarm.cronjob.enable: "true"
        swarm.cronjob.schedule: "0 */5 * * * *"
        swarm.cronjob.skip-running: "true"
        swarm.cronjob.registry-auth: "true"
  tokyo:
    image: ubuntu:latest
    command: [sleep, "0.1"]
    deploy:
      <<: *never
      labels: ["swarm.cronjob.enable=true", "swarm.cronjob.schedule=CRON_TZ=Asia/Tokyo 30 3 * * *", "swarm.cronjob.replicas=2"]
  prune:
    image: ubuntu:latest
    command: [sleep, "0.1"]
    deploy:
      mode: global
      labels: ["swarm.cronjob.enable=true", "swarm.cronjob.schedule=@weekly"]
      restart_policy: {condition: none}
      endpoint_mode: dnsrr
configs:
  words: {file: ./words}
"""
"""Services as swarm-cronjob's pages write them. (``endpoint_mode``: the kernel has no IPVS.)"""


@pytest.mark.thorough
def test_a_stack_that_was_written_for_swarm_cronjob_runs_as_it_is(fastlane: Installation, engine: str, tmp_path: Path) -> None:
    (tmp_path / "cronjobs.yaml").write_text(CRONJOBS)
    (tmp_path / "words").write_text("on\n")
    docker = fastlane.engine.docker
    try:
        docker("stack", "deploy", "-c", str(tmp_path / "cronjobs.yaml"), "shop")
        jobs = wait_until(lambda: (found := by_name(fastlane)).keys() >= {"date", "report", "tokyo", "prune"} and found, "the jobs")
        assert isinstance(jobs, dict)
        starts = {name: (job["schedule"]["cron"], job["schedule"]["timezone"], job["schedule"]["overlap"]) for name, job in jobs.items()}
        assert starts == {
            "date": ("* * * * *", "UTC", "replace"),
            "report": ("*/5 * * * *", "UTC", "skip"),
            "tokyo": ("30 3 * * *", "Asia/Tokyo", "replace"),
            "prune": ("@weekly", "UTC", "replace"),
        }
        events = {row["detail"]["service"]: row["detail"]["reason"] for row in fastlane.get("/events?kind=labels.limited").json["items"]}
        assert {name: words.partition(" ")[0] for name, words in events.items()} == {
            "shop_tokyo": "swarm.cronjob.replicas",
            "shop_prune": "deploy.mode",
        }
        assert fastlane.get("/events?kind=labels.refused").json["items"] == []
        runs = [fastlane.post(f"/tasks/shop/jobs/{jobs[name]['id']}/run").json for name in ("report", "prune")]
        assert [fastlane.ends(run)["status"] for run in runs] == ["done", "done"]
        of_date = {"taskId": "shop", "jobId": jobs["date"]["id"], "jobUrl": jobs["date"]["url"]}
        assert fastlane.ends(of_date, patience=180)["status"] == "done"
        tick = fastlane.get(f"/tasks/shop/jobs/{jobs['date']['id']}/ticks").json["items"][-1]
        assert (tick["outcome"], tick["due"][17:19]) == ("started", "00")
        rows = docker(
            "service", "ls", "--filter", "label=com.docker.stack.namespace=shop", "--format", "{{.Name}} {{.Replicas}}"
        ).splitlines()
        assert {row.split()[0]: row.split()[1] for row in rows if "prune" not in row} == dict.fromkeys(
            ("shop_date", "shop_report", "shop_tokyo"), "0/0"
        )
    finally:
        remove = ("docker", "-H", engine, "stack", "rm", "shop")
        wait_until(lambda: subprocess.run(remove, check=False, capture_output=True, timeout=60).returncode == 0, "the stack to go")


def by_name(fastlane: Installation) -> dict[str, dict[str, Any]]:
    """The jobs of the stack in full, by their names."""
    rows = fastlane.get("/tasks/shop/jobs")
    found = [] if rows.status != 200 else [fastlane.get(f"/tasks/shop/jobs/{row['id']}").json["job"] for row in rows.json["items"]]
    return {job["name"]: job for job in found}


async def test_an_executor_lists_services_tells_of_their_changes_and_knows_which_are_gone(engine: str) -> None:
    executor, docker = SwarmExecutor([Endpoint(engine)], "labels", SystemClock(), HostRules(5, 60.0)), DockerEngine(engine).docker
    name, changed = f"labels-{uuid4().hex[:8]}", asyncio.Event()
    await executor.open()
    try:
        await eventually(lambda: executor.hosts()[0].usable, "the host")
        watch = asyncio.create_task(executor.watch_services(engine, changed.set))

        async def told() -> bool:
            """Until the stream is open, changes are not told of."""
            await asyncio.to_thread(docker, "service", "update", "-d", "--label-add", f"fastlane.name={uuid4().hex}", name)
            return changed.is_set()

        id = (await asyncio.to_thread(docker, "service", "create", "-d", "--name", name, "--replicas", "0", "ubuntu:latest")).strip()
        await eventually(told, "an event")
        (service,) = [service for service in await executor.labelled(engine) if service.name == name]
        assert (service.id, set(service.labels), await executor.lacks(engine, id)) == (id, {"fastlane.name"}, False)
        await asyncio.to_thread(docker, "service", "rm", name)
        assert await executor.lacks(engine, id)
        watch.cancel()
    finally:
        await executor.close()
