"""A real Docker engine for the tests, in a swarm of one node: the one that FASTLANE_TEST_ENGINE names, else one started for the session."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from fastlane.executors.port import EngineTask, Executor, Phase
from tests.support.waiting import LONG_PATIENCE, until

SCRIPT = Path(__file__).parents[2] / "scripts" / "engine"
IMAGE = "ubuntu:latest"
PATIENCE = 120


def script(*words: str) -> str:
    """Runs ``scripts/engine``; the last line that it printed."""
    done = subprocess.run([str(SCRIPT), *words], stdout=subprocess.PIPE, timeout=PATIENCE, check=True, text=True)
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else ""


@contextlib.contextmanager
def private_engine() -> Iterator[str]:
    """An engine that no other test uses: its URL. It has the image ``ubuntu:latest``, and no way to a registry."""
    folder = tempfile.mkdtemp(prefix="fl", dir="/tmp")  # short: a socket's path holds 107 bytes
    try:
        url = script("start", folder, "--private")
        script("image", url, IMAGE)
        yield url
    finally:
        script("stop", folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def engine() -> Iterator[str]:
    """The engine's URL (``unix://…``). It has the image ``ubuntu:latest``, and no way to a registry."""
    given = os.environ.get("FASTLANE_TEST_ENGINE")
    if given:
        yield given
        return
    with private_engine() as url:
        yield url


def connect(url: str) -> docker.APIClient:
    """A plain client, to look at an engine from outside of fastlane; to be closed by who asked for it."""
    client = docker.APIClient(base_url=url, version="1.41", timeout=30)
    client.trust_env = False
    return client


def update(client: docker.APIClient, service: dict[str, Any], spec: dict[str, Any]) -> requests.Response:
    """Sends a spec at the version that was inspected; the engine's answer."""
    url = f"{client.base_url}/v{client.api_version}/services/{service['ID']}/update"
    return client.post(url, params={"version": service["Version"]["Index"]}, json=spec, timeout=30)


def remove_all(url: str, installation: str) -> None:
    """Removes the services of an installation."""
    client = connect(url)
    try:
        for service in client.services(filters={"label": f"fastlane.installation={installation}"}):
            with contextlib.suppress(docker.errors.NotFound):  # a worker that has just ended has removed it
                client.remove_service(service["ID"])
    finally:
        client.close()


def remove_images(url: str, port: str) -> None:
    """Removes what the engine has pulled from the registry at this port."""
    client = connect(url)
    try:
        for image in client.images():
            for reference in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
                if f":{port}/" in reference:
                    with contextlib.suppress(docker.errors.APIError):  # its last name took the others with it
                        client.remove_image(reference, force=True)
    finally:
        client.close()


async def open_probed(executor: Executor) -> None:
    """Opens an executor, and returns once each of its hosts was probed: on a busy machine that takes longer than a start waits."""
    await executor.open()
    await first_probes(executor)


async def first_probes(executor: Executor) -> None:
    """Returns once each host of an open executor was probed."""
    await until(lambda: all(view.reason != "is not probed yet" for view in executor.hosts()), "the first probes", LONG_PATIENCE)


async def task_in(phase: Phase, executor: Executor, host: str, service: str) -> EngineTask:
    """The service's first task, once it is in this phase."""

    async def found() -> EngineTask | None:
        tasks = (await executor.inspect(host, service)).tasks
        return tasks[0] if tasks and tasks[0].phase is phase else None

    return await until(found, f"the first task of {service} to be {phase}", LONG_PATIENCE)
