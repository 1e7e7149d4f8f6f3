"""The scenarios of a worker that falls while it writes what the labels of a service declare."""

import asyncio
from collections.abc import Mapping
from typing import Any

import docker

from fastlane.models.job import Job
from tests.crash.ground import COMMAND, IMAGE, Ground
from tests.crash.scenarios import Scenario, ended, nothing


class Declared(Scenario):
    """A service declares a job that is run by hand. The first worker makes it as it should be; then the labels are ``changed``."""

    settings: Mapping[str, str] = {"SERVICE_LABELS": "true"}
    labels: Mapping[str, str] = {"fastlane.manual": "true"}
    changed: Mapping[str, str] | None = None

    def __init__(self) -> None:
        self.service = ""
        self.ran = False

    async def before(self, ground: Ground) -> None:
        self.service = f"trial_{ground.name}"
        with ground.config.open("a") as config:
            config.write(f'services = ["{self.service}"]\n')
        engine = ground.world.docker
        container = docker.types.ContainerSpec(IMAGE, command=list(COMMAND))
        made = await asyncio.to_thread(
            engine.create_service,
            docker.types.TaskTemplate(container),
            name=self.service,
            labels=self._named(self.labels),
            mode=docker.types.ServiceMode("replicated", replicas=0),
        )
        ground.leaving.push_async_callback(asyncio.to_thread, engine.remove_service, made["ID"])
        if self.changed is None:
            return
        first = await ground.start()
        await ground.until(lambda: self.job(ground), "the job of the labels")
        first.running.kill()
        await first.running.wait()
        raw: dict[str, Any] = await asyncio.to_thread(engine.inspect_service, made["ID"])
        await asyncio.to_thread(
            engine.update_service,
            made["ID"],
            raw["Version"]["Index"],
            task_template=raw["Spec"]["TaskTemplate"],
            name=self.service,
            labels=self._named(self.changed),
            mode=docker.types.ServiceMode("replicated", replicas=0),
        )

    @staticmethod
    def _named(labels: Mapping[str, str]) -> dict[str, str]:
        return {"com.docker.stack.namespace": "trial", **labels}

    async def job(self, ground: Ground) -> Job | None:
        """The declared job; None while there is none. There is never another one."""
        jobs = await ground.store.jobs_of("trial", 10)
        assert len(jobs) <= 1, await ground.told()
        return next(iter(jobs), None)

    async def as_declared(self, ground: Ground) -> Job | None:
        """The job, once it is as the labels say."""
        job = await self.job(ground)
        return job if job is not None and job.is_declared and not job.stopped else None

    async def check(self, ground: Ground) -> None:
        """It is there once, and a run of it starts once."""
        job = await ground.until(lambda: self.as_declared(ground), "the job to be as the labels say")
        assert job is not None
        if not self.ran:
            self.ran = True
            await ground.services.manual_runs.run("trial", job.id, None)
            await ground.over()
        await ended(ground)


class Redeclared(Declared):
    """A label of it is changed."""

    changed: Mapping[str, str] | None = {"fastlane.manual": "true", "fastlane.timeout": "5m"}

    async def as_declared(self, ground: Ground) -> Job | None:
        job = await super().as_declared(ground)
        return job if job is not None and job.spec.timeout == 300_000 else None


class GivenUp(Declared):
    """Its labels go."""

    changed: Mapping[str, str] | None = {}

    async def check(self, ground: Ground) -> None:
        async def given_up() -> bool:
            job = await self.job(ground)
            return job is not None and job.source is not None and job.source.gone is not None

        await ground.until(given_up, "the job to be given up")
        await nothing(ground)
