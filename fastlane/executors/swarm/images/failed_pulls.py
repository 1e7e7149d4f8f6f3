"""Why an engine could not pull an image for a task.

A swarm only tells "No such image" then, whatever the engine met: a full disk, a registry that its node does not reach, a wrong password. So
the engine is asked to pull the image once more, and says it.
"""

import asyncio
import time

import structlog
from docker.auth import encode_header

from fastlane.errors import FastlaneError, RefusedForNow, ServiceGone
from fastlane.executors.swarm.client.client import Client
from fastlane.executors.swarm.client.faults import NO_SPACE, DiskFull, plain, readable
from fastlane.executors.swarm.client.http import Request
from fastlane.executors.swarm.images.images import without_queries
from fastlane.executors.swarm.images.registries import Registries

log = structlog.get_logger()

PULL_WITHIN = 25.0
"""Seconds that the second pull may take. One that takes longer is given up, and tells nothing."""
ANSWER_WITHIN = 60.0
"""Seconds that a caller waits: other images of its engine may have their turn first."""
REMEMBERED = 30.0
"""Seconds for which an answer is that of all tasks that failed with the same image."""


class FailedPulls:
    """Asks one engine by ``registry``, a client that may wait for a registry, with the credentials that ``registries`` finds: for one image
    at a time."""

    def __init__(self, registry: Client, registries: Registries) -> None:
        self._registry = registry
        self._registries = registries
        self._turn = asyncio.Lock()
        self._known: dict[str, tuple[float, str | None]] = {}

    async def cause(self, reference: str) -> str | None:
        """Why the engine cannot pull ``NAME@sha256:…``, in its own words. None when it does not tell, or can by now."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN), self._turn:
                now = time.monotonic()
                self._known = {image: known for image, known in self._known.items() if now - known[0] < REMEMBERED}
                if reference not in self._known:
                    self._known[reference] = (time.monotonic(), await self._pull(reference))
                return self._known[reference][1]
        except (FastlaneError, TimeoutError) as error:  # a proxy may refuse it
            log.info("image.cause_unknown", host=self._registry.host, image=reference, error=str(error))
            return None

    async def _pull(self, reference: str) -> str | None:
        name, _, digest = reference.rpartition("@")
        credentials = dict(await self._registries.credentials(reference))
        headers = {"X-Registry-Auth": encode_header(credentials).decode()} if credentials else {}
        request = Request("/images/create", "POST", params={"fromImage": name, "tag": digest}, headers=headers, lines=True)
        try:
            said = await self._registry.send(request, PULL_WITHIN)
        except (ServiceGone, RefusedForNow) as error:
            return without_queries(str(error))
        except DiskFull:
            return NO_SPACE
        with readable(self._registry.host):
            return next((without_queries(plain(str(line["error"]))) for line in said if "error" in line), None)
