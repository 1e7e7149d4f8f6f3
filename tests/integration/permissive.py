"""An installation whose jobs may ask for anything of their containers, and what is left of them on its engine."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.engine_views import DockerEngine
from tests.support.installation import Installation, installed
from tests.support.policies import EVERY_OPTION


@contextlib.contextmanager
def permissive(folder: Path, engine: str, *, most: int = 10, **settings: str) -> Iterator[Installation]:
    """An installation that runs as ``fastlane up``, ``most`` jobs at once. All of it is gone after the block."""
    with installed(folder, engine, pool={"maxRunning": most, "policy": EVERY_OPTION}, with_token=True, **settings) as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        yield fastlane


def engine_of(fastlane: Installation) -> DockerEngine:
    """The engine of an installation that has one."""
    (url,) = fastlane.engine.hosts
    return DockerEngine(url)


def service_of(fastlane: Installation, reply: dict[str, Any]) -> str:
    """The name of the service of a job's first execution."""
    found = [name for name in fastlane.services() if name.startswith(f"fastlane-{reply['executionId']}")]
    assert len(found) == 1, found
    return found[0]


def containers_of(fastlane: Installation) -> list[str]:
    """The names of all containers of an installation's executions, running or not."""
    known = _executions(fastlane)
    return [name for name in engine_of(fastlane).containers() if _execution_in(name) in known]


def is_gone(fastlane: Installation, reply: dict[str, Any]) -> bool:
    """Whether nothing of a job's executions is on its engine."""
    path = f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}/executions?perPage=100"
    ids = {row["executionId"] for row in fastlane.get(path).json["items"]}
    return not any(_execution_in(name) in ids for name in fastlane.services() + engine_of(fastlane).containers())


def is_clean(fastlane: Installation) -> bool:
    """Whether nothing of an installation is on its engine."""
    return not fastlane.services() and not containers_of(fastlane) and not engine_of(fastlane).networks(fastlane.name)


def _execution_in(name: str) -> str:
    return name.removeprefix("fastlane-")[:36]


def _executions(fastlane: Installation) -> set[str]:
    """The ids of all its executions."""
    known: set[str] = set()
    page = 1
    while (answer := fastlane.get(f"/executions?perPage=100&page={page}")).status == 200 and answer.json["items"]:
        known.update(row["executionId"] for row in answer.json["items"])
        page += 1
    return known
