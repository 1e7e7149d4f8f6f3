"""Resolves image references to what is submitted: a registry's digest, or the id of a local image on a swarm of one node.

A tag is resolved once, before the service is made: so retries run the same image, and no node pulls a tag that has moved, or waits for a
registry that does not answer. Registries' answers are cached for a minute. The engine is asked each time about its own images, so that a
freshly built image runs. A registry that hangs takes only a few connections, and holds up no caller for long: the question continues
without its caller, who finds the answer when it asks again. A reference with a digest needs no registry.

This module also asks an engine why it could not pull an image for a task (``FailedPulls``), and removes images that nothing uses any more.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError, HostDown, ImageRefused, RefusedForNow, RegistryDown, ServiceGone
from fastlane.executors.port import Image
from fastlane.executors.swarm.client import EngineClient, Request
from fastlane.executors.swarm.faults import NO_SPACE, DiskFull, HostTimeout, InUse, Malformed, NotHostsFault, plain, readable, refusal
from fastlane.executors.swarm.registries import KeyedSemaphore, Registries
from fastlane.models.image import ImageRemoval, is_image_id, registry_of
from fastlane.models.pool import Pull

FIRST_PAUSE, LONGEST_PAUSE = 1_000, 30_000
"""Bounds, in milliseconds, of the time for which a registry that failed is not asked. It doubles with each failure."""
MOST = 1_000
"""Registries whose outages are remembered."""


@dataclass(slots=True)
class _Outage:
    error: RegistryDown
    pause: int
    until: int
    on_trial: bool = False


class RegistryOutages:
    """The outages that one host's questions to registries have shown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._outages: OrderedDict[str, _Outage] = OrderedDict()

    def is_away(self, registry: str) -> bool:
        """Whether its last answer was a failure, or is overdue."""
        return registry in self._outages

    def check(self, registry: str) -> None:
        """Returns when the registry may be asked now. Raises RegistryDown while it is away; one caller may ask after each pause."""
        outage, now = self._outages.get(registry), self._clock.now()
        if outage is None:
            return
        if 0 < outage.until - now <= outage.pause:  # longer, once the clock was set back
            raise RegistryDown(str(outage.error), nameless=outage.error.nameless)
        outage.until, outage.on_trial = now + outage.pause, True

    def failed(self, registry: str, error: RegistryDown) -> None:
        """Records a failure of the registry, or that its answer is overdue."""
        before, now = self._outages.get(registry), self._clock.now()
        if before is not None and not before.on_trial:
            before.error = error  # it was asked before the first failure came, and says nothing new
            return
        pause = FIRST_PAUSE if before is None else min(before.pause * 2, LONGEST_PAUSE)
        self._outages[registry] = _Outage(error, pause, now + pause)
        while len(self._outages) > MOST:
            self._outages.popitem(last=False)

    def answered(self, registry: str) -> None:
        """Records that the registry answered, even with a refusal."""
        self._outages.pop(registry, None)


REMEMBERED = 60_000
MAX_REMEMBERED = 1000
ASKED_AT_ONCE, ASKED_OF_ONE = 8, 2
"""How many questions wait for registries at once, and how many of them for the same registry."""
PLACE_WITHIN = 30.0
"""Seconds for which a question waits for its turn."""
ANSWER_WITHIN, TRIAL_WITHIN = 3.0, 0.25
"""Seconds for which a caller, who holds a slot, waits for a registry that is well, and for one that failed lately."""
OVERDUE_AFTER = 2.5
"""Seconds after which a registry that has been asked counts as away when a caller gives up. A caller begins to wait somewhat earlier."""

_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")
_NO_ACCESS = ("unauthorized", "denied", "no basic auth credentials", "authentication required")
_NOT_THERE = ("manifest unknown", "name unknown", "not found", "does not exist", "no such", "no manifest found")
_MALFORMED = ("invalid reference", "invalid port")
_REFUSALS = (*_NO_ACCESS, *_NOT_THERE, "invalid reference")
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
"""Errors that no retry can mend, although the words look like a network fault: a port over 65535, a bare image id."""
_NAMELESS = re.compile(r"\blookup \S+|no such host", re.IGNORECASE)
_QUERY = re.compile(r"(https?://[^\s\"?]*)\?[^\s\"]*")
_URL = re.compile(r"\"https?://[^\"]*\"")


@dataclass(slots=True)
class _Question:
    """A question that is under way. ``asked_at``: since when, by the monotonic clock, its answer is due; None while it waits its turn."""

    asked_at: float | None
    task: "asyncio.Task[Image]" = field(init=False)

    @property
    def is_overdue(self) -> bool:
        return self.asked_at is not None and time.monotonic() - self.asked_at >= OVERDUE_AFTER


def image_path(image: str, of: str = "images") -> str:
    """The path of an engine's API for an image of its own, or for the one that a registry has (``of``: ``distribution``)."""
    return f"/{of}/{quote(image, safe='/:@')}/json"


class Images:
    """Resolves images on one host: ``engine`` GETs a path of the engine; ``registry`` (with its own connections and timeouts, since
    a registry may hang) makes the engine ask a registry, with the credentials that ``registries`` finds."""

    def __init__(self, engine: Callable[[str], Awaitable[Any]], registry: EngineClient, registries: Registries, clock: Clock) -> None:
        self._engine = engine
        self._registry = registry
        self._registries = registries
        self._places = KeyedSemaphore(ASKED_OF_ONE, ASKED_AT_ONCE, PLACE_WITHIN)
        self._outages = RegistryOutages(clock)
        self._clock = clock
        self._known: OrderedDict[str, tuple[int, Image]] = OrderedDict()
        self._asked: dict[str, _Question] = {}

    async def resolve(self, image: str, pull: Pull, *, one_node: bool) -> Image:
        """The image to submit. Raises ImageRefused, RegistryDown (a later call may succeed), HostDown."""
        if any(part in {"", ".", ".."} for part in image.split("/")):
            raise ImageRefused(f"{image!r} is not an image reference")
        if found := _DIGEST.search(image):
            return Image(image, found.group(1))
        if is_image_id(image):
            return await self._by_id(image, one_node=one_node)
        if one_node and pull is Pull.MISSING and (local := await self._local(image)):
            return local
        try:
            return await self._remote(image)
        except (ImageRefused, RegistryDown):
            if one_node and pull is Pull.ALWAYS and (local := await self._local(image)):
                return local
            raise

    async def close(self) -> None:
        """Cancels the calls that are under way."""
        asked = [question.task for question in self._asked.values()]
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def _by_id(self, id: str, *, one_node: bool) -> Image:
        if not one_node:
            raise ImageRefused("an image's id means something on one node only, and the swarm has more: push the image, and give its name")
        if found := await self._local(id):
            return found
        raise ImageRefused(f"there is no image {id} on {self._registry.host}")

    async def _local(self, image: str) -> Image | None:
        try:
            raw = await self._engine(image_path(image))
        except ServiceGone:
            return None
        except Malformed as error:
            raise ImageRefused(str(error)) from error
        if not raw or _is_part_of_id(image, str(raw["Id"])):
            return None
        return Image(str(raw["Id"]), str(raw["Id"]))

    async def _remote(self, image: str) -> Image:
        """Asks the registry, once for all callers that wait for the same image. Fails at once while the registry is known to be away."""
        known = self._known.get(image)
        if known is not None and 0 <= self._clock.now() - known[0] < REMEMBERED:
            return known[1]
        registry = registry_of(image) or ""
        away = self._outages.is_away(registry)
        self._outages.check(registry)
        question = self._asked.get(image)
        if question is None:
            question = self._asked[image] = _Question(time.monotonic())
            question.task = asyncio.create_task(self._ask(question, image, registry, on_trial=away))
            question.task.add_done_callback(lambda done: self._answered(image, done))
        await asyncio.wait({question.task}, timeout=TRIAL_WITHIN if away else ANSWER_WITHIN)
        if not question.task.done():
            late = RegistryDown(f"the registry of {image} did not answer in time")
            if away or question.is_overdue:  # or else it is busy with the questions before this one
                self._outages.failed(registry, late)
            raise late
        return question.task.result()

    async def _ask(self, question: _Question, image: str, registry: str, *, on_trial: bool) -> Image:
        request = Request(
            image_path(image, of="distribution"),
            credentials=await self._registries.credentials(image),
            refused=lambda status, explanation, host: registry_fault(status, explanation, image, host),
        )
        question.asked_at = None
        try:
            async with self._places.hold(registry):
                if not on_trial:
                    self._outages.check(registry)  # it may have failed while this waited for its turn
                question.asked_at = time.monotonic()
                raw = await self._registry.send(request)
        except (NotHostsFault, TimeoutError):  # it waited for other questions, to this registry or to others
            raise RegistryDown(f"the registry of {image} could not be asked in time") from None
        except HostTimeout:
            fault = RegistryDown(f"the registry of {image} did not answer in time")
            self._outages.failed(registry, fault)
            raise fault from None
        except RegistryDown as error:
            self._outages.failed(registry, error)
            raise
        except ImageRefused:
            self._outages.answered(registry)
            raise
        self._outages.answered(registry)
        with readable(self._registry.host):
            digest = str(raw["Descriptor"]["digest"])
        return Image(f"{image}@{digest}", digest)

    def _answered(self, image: str, task: "asyncio.Task[Image]") -> None:
        self._asked.pop(image, None)
        if not task.cancelled() and task.exception() is None:
            self._known[image] = (self._clock.now(), task.result())
            self._known.move_to_end(image)
            while len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)


def _is_part_of_id(image: str, id: str) -> bool:
    """Whether an engine found this image by the beginning of its id, not by its name: an engine takes ``cafe`` for both."""
    return not is_image_id(image) and id.removeprefix("sha256:").startswith(image.removeprefix("sha256:"))


def without_queries(words: str) -> str:
    """An engine's words without the queries of their URLs, which may contain the account."""
    return _QUERY.sub(r"\1", words)


def registry_fault(status: int, explanation: str, image: str, host: str) -> FastlaneError:
    """The reason for which an engine could not resolve an image: it does not exist, or the registry or the host is at fault."""
    words = without_queries(plain(explanation))
    lower = _URL.sub("", words).lower()  # an image's own name says nothing
    host_fault = refusal(status, explanation, host)
    unreachable = any(word in lower for word in _UNREACHABLE)
    if isinstance(host_fault, HostDown) and not unreachable:
        return host_fault
    hopeless = any(word in lower for word in _HOPELESS)
    if hopeless or status in {400, 401, 403, 404} or (not unreachable and any(word in lower for word in _REFUSALS)):
        return ImageRefused(f"{_why_refused(status, lower, image)}: {words or f'status {status}'}")
    return RegistryDown(words or f"the registry of {image} answered {status}", nameless=_NAMELESS.search(words) is not None)


def _why_refused(status: int, lower: str, image: str) -> str:
    """The meaning of a registry's refusal of an image. ``lower``: its words in lower case."""
    registry = registry_of(image) or "its registry"
    if any(word in lower for word in _MALFORMED):
        return f"{image} is not an image reference"
    if status in {401, 403} or any(word in lower for word in _NO_ACCESS):
        return f"the image {image} does not exist, or {registry} requires a login that fastlane does not have for it"
    if status == 404 or any(word in lower for word in _NOT_THERE):
        return f"there is no image {image} in {registry}"
    return f"{registry} refuses the image {image}"


log = structlog.get_logger()

PULL_WITHIN = 25.0
"""Seconds that the second pull may take. A pull that takes longer is given up, and explains nothing."""
FAILED_PULL_WITHIN = 60.0
"""Seconds that a caller waits: other images of its engine may have their turn first."""
FAILURE_REMEMBERED = 30.0
"""Seconds for which one answer explains all tasks that failed with the same image."""


class FailedPulls:
    """Asks one engine by ``registry``, a client that may wait for a registry, with the credentials that ``registries`` finds: for one image
    at a time."""

    def __init__(self, registry: EngineClient, registries: Registries) -> None:
        self._registry = registry
        self._registries = registries
        self._turn = asyncio.Lock()
        self._known: dict[str, tuple[float, str | None]] = {}

    async def cause(self, reference: str) -> str | None:
        """Why the engine cannot pull ``NAME@sha256:…``, in its own words. None when it does not say, or can pull it by now."""
        try:
            async with asyncio.timeout(FAILED_PULL_WITHIN), self._turn:
                now = time.monotonic()
                self._known = {image: known for image, known in self._known.items() if now - known[0] < FAILURE_REMEMBERED}
                if reference not in self._known:
                    self._known[reference] = (time.monotonic(), await self._pull(reference))
                return self._known[reference][1]
        except (FastlaneError, TimeoutError) as error:  # a proxy may refuse it
            log.info("image.cause_unknown", host=self._registry.host, image=reference, error=str(error))
            return None

    async def _pull(self, reference: str) -> str | None:
        name, _, digest = reference.rpartition("@")
        credentials = await self._registries.credentials(reference)
        request = Request("/images/create", "POST", params={"fromImage": name, "tag": digest}, credentials=credentials, lines=True)
        try:
            said = await self._registry.send(request, PULL_WITHIN)
        except (ServiceGone, RefusedForNow) as error:
            return without_queries(str(error))
        except DiskFull:
            return NO_SPACE
        with readable(self._registry.host):
            return next((without_queries(plain(str(line["error"]))) for line in said if "error" in line), None)


async def remove_image(engine: EngineClient, reference: str) -> ImageRemoval:
    """Removes an image. Images that it was built from stay. Raises HostDown, OrderRefused."""
    digest = reference.rpartition("@")[2]
    services = await engine.get("/services")
    with readable(engine.host):
        if any(_runs(service, digest) for service in services):
            return ImageRemoval.IN_USE
    try:
        image = await engine.get(image_path(reference))
        with readable(engine.host):
            if image.get("RepoTags"):
                return ImageRemoval.NAMED
        await engine.send(Request(image_path(reference).removesuffix("/json"), "DELETE", params={"noprune": "1"}))
    except ServiceGone:
        return ImageRemoval.GONE
    except InUse:
        return ImageRemoval.IN_USE
    return ImageRemoval.REMOVED


def _runs(service: Mapping[str, Any], digest: str) -> bool:
    """Whether a service runs this image, or would after a rollback."""
    specs = (service.get("Spec") or {}, service.get("PreviousSpec") or {})
    return any(digest in str(((spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}).get("Image", "")) for spec in specs)
