"""What to submit for an image reference: a registry's digest of it, or the id of a local image on a swarm of one node.

A tag is resolved once, before the service is made: retries then run the same image, and no node pulls a tag that a registry
has moved, or waits for one that swallows packets. Registries' answers are remembered for a minute; what is on the engine itself
is asked each time, so that a freshly built image is what runs.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from docker.errors import APIError, InvalidRepository, NotFound

from fastlane.clock import Clock
from fastlane.errors import FastlaneError, HostDown, ImageRefused, RegistryDown
from fastlane.executors.base import Image
from fastlane.executors.client import Api, Client
from fastlane.executors.faults import Silent, Uncounted, plain, refusal
from fastlane.models.pool import Pull

REMEMBERED = 60_000
MOST_REMEMBERED = 1000

_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")
_REFUSALS = ("unauthorized", "denied", "manifest unknown", "name unknown", "not found", "does not exist", "no such", "invalid reference")
_UNREACHABLE = (
    "dial tcp",
    "lookup ",
    "timeout",
    "deadline",
    "tls",
    "x509",
    "eof",
    "toomanyrequests",
    "connection re",
    "unexpected http status",
)
_HOPELESS = ("invalid port", "no manifest found for full image id")
"""What no registry will ever answer otherwise, though the words look like a network's fault: a port over 65535, a bare id of an image."""
_NAMELESS = re.compile(r"\blookup \S+|no such host", re.IGNORECASE)


class Images:
    """Resolves images by one host: ``engine`` makes a call that asks the engine for its own; ``registry`` (with threads and patience of its
    own, since a registry may hang) makes it ask a registry."""

    def __init__(self, engine: Callable[[Callable[[Api], Any]], Awaitable[Any]], registry: Client, clock: Clock) -> None:
        self._engine = engine
        self._registry = registry
        self._clock = clock
        self._known: OrderedDict[str, tuple[int, Image]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Image]] = {}

    async def resolve(self, image: str, pull: Pull, *, one_node: bool) -> Image:
        """What to submit. Raises ImageRefused, RegistryDown (a later call may succeed), HostDown."""
        if any(part in {"", ".", ".."} for part in image.split("/")):
            raise ImageRefused(f"{image!r} is not an image reference")
        if found := _DIGEST.search(image):
            return Image(image, found.group(1))
        if one_node and pull is Pull.MISSING and (local := await self._local(image)):
            return local
        try:
            return await self._remote(image)
        except (ImageRefused, RegistryDown):
            if one_node and pull is Pull.ALWAYS and (local := await self._local(image)):
                return local
            raise

    async def close(self) -> None:
        """Gives up what is being asked."""
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def _local(self, image: str) -> Image | None:
        def inspect(api: Api) -> Any:
            try:
                return api.inspect_image(image)
            except NotFound:
                return None
            except APIError as error:
                if error.status_code == 400:
                    raise ImageRefused(plain(error.explanation or "")) from error
                raise

        raw = await self._engine(inspect)
        return Image(str(raw["Id"]), str(raw["Id"])) if raw else None

    async def _remote(self, image: str) -> Image:
        """Asks the registry, once however many wait for the answer."""
        known = self._known.get(image)
        if known is not None and self._clock.now() - known[0] < REMEMBERED:
            return known[1]
        task = self._asked.get(image)
        if task is None:
            task = asyncio.create_task(self._ask(image))
            self._asked[image] = task
            task.add_done_callback(lambda done: self._answered(image, done))
        return await asyncio.shield(task)

    async def _ask(self, image: str) -> Image:
        def distribution(api: Api) -> Any:
            try:
                return api.inspect_distribution(image)
            except InvalidRepository as error:
                raise ImageRefused(str(error)) from error
            except APIError as error:
                raise registry_fault(error.status_code or 0, error.explanation or "", image, self._registry.host) from error

        try:
            raw = await self._registry.call(distribution)
        except (Silent, Uncounted):
            raise RegistryDown(f"the registry of {image} did not answer in time") from None
        digest = str(raw["Descriptor"]["digest"])
        return Image(f"{image}@{digest}", digest)

    def _answered(self, image: str, task: "asyncio.Task[Image]") -> None:
        self._asked.pop(image, None)
        if not task.cancelled() and task.exception() is None:
            self._known[image] = (self._clock.now(), task.result())
            self._known.move_to_end(image)
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)


def registry_fault(status: int, explanation: str, image: str, host: str) -> FastlaneError:
    """Whose fault it is that an engine could not resolve an image: nobody's (it does not exist), the registry's, or the host's."""
    words = plain(explanation)
    lower = words.lower()
    host_fault = refusal(status, explanation, host)
    unreachable = any(word in lower for word in _UNREACHABLE)
    if isinstance(host_fault, HostDown) and not unreachable:
        return host_fault
    hopeless = any(word in lower for word in _HOPELESS)
    if hopeless or status in {400, 401, 403, 404} or (not unreachable and any(word in lower for word in _REFUSALS)):
        return ImageRefused(words or f"{image} cannot be had: status {status}")
    return RegistryDown(words or f"the registry of {image} answered {status}", nameless=_NAMELESS.search(words) is not None)
