"""Removes images that only executions used, a while after their last use.

An image counts as pulled for executions when an engine did not have it just before the first one. The store has a row for it on that engine
(``models/container/pulled_image.py``). Each use moves the time until which it is kept. A worker that is about to remove it says so in the
row first, so there is one at a time, and whoever needs the image meanwhile waits for the outcome.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.base import Executor, Image
from fastlane.models.container.pulled_image import ImageRemoval, PulledImage, may_need, pulled_name
from fastlane.models.placement.host import HostView
from fastlane.models.placement.pool import Pull
from fastlane.scheduler.repair.by_host import side_by_side
from fastlane.storage.base import ImageStore

log = structlog.get_logger()

BATCH = 8
"""Images of one engine that a worker removes in a round."""
REMOVE_WITHIN, ONE_WITHIN = 120_000, 40_000
"""Milliseconds in which a worker may remove a batch, and which it needs for one at most: an engine has 30 s for that."""
FOREIGN_FOR = 60_000
"""Milliseconds for which an image that was there before is not asked about again."""
MAX_KNOWN = 10_000
LOOK_AGAIN = 0.2
"""Seconds between two looks at an image that is being removed."""
LONGEST_ROUND = 600.0


class ImageKeeper:
    """Keeps and removes images. ``unused_after``: seconds after their last use; None: it does nothing. ``hosts``: as the worker sees
    them."""

    def __init__(
        self, store: ImageStore, executor: Executor, hosts: Callable[[], Sequence[HostView]], clock: Clock, unused_after: float | None
    ) -> None:
        self._store = store
        self._executor = executor
        self._hosts = hosts
        self._clock = clock
        self._after = None if unused_after is None else round(unused_after * 1000)
        self._known: dict[tuple[str, str], int] = {}

    async def run(self) -> None:
        """Makes rounds, forever."""
        while True:
            await self._clock.sleep(LONGEST_ROUND if self._after is None else min(LONGEST_ROUND, self._after / 4000))
            with suppress(FastlaneError):  # each host's part has logged its own
                await self.remove_unused()

    # keeping

    async def note_use(self, host: str, image: Image) -> None:
        """To be called before a service with this image is made on a host. Raises StoreDown, and HostDown."""
        reference = pulled_name(image.reference)
        own = next((view for view in self._hosts() if view.name == host), None)
        if self._after is None or reference is None or own is None:
            return
        await self._keep(own, reference, self._after)
        for view in self._hosts():  # the swarm may choose any of its nodes
            if view.usable and view.name != host and view.has(host, own.swarm_id):
                with suppress(HostDown):
                    await self._keep(view, reference, self._after)

    async def _keep(self, view: HostView, reference: str, after: int) -> None:
        engine = view.engine_id
        if engine is None:
            return
        while True:
            now = self._clock.now()
            if now < self._known.get((engine, reference), 0):
                return
            image = next((row for row in await self._store.pulled_images(engine) if row.reference == reference), None)
            if image is None and await self._executor.has_image(view.name, reference):
                return self._remember(engine, reference, now + FOREIGN_FOR)
            if image is not None and image.is_being_removed(now):
                await self._clock.sleep(LOOK_AGAIN)
                continue
            kept = PulledImage(engine, reference, now + after) if image is None else image.kept(now + after)
            if await self._store.write_image(kept):
                return self._remember(engine, reference, now + after // 2)

    def _remember(self, engine: str, reference: str, until: int) -> None:
        """Asks nothing about an image until then: nobody begins to remove it before."""
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[engine, reference] = until

    # removing

    async def remove_unused(self) -> None:
        """Makes one round over all usable hosts."""
        if self._after is not None:
            usable = {view.name: view for view in self._hosts() if view.usable and view.engine_id is not None}
            await side_by_side("remove_unused", {name: partial(self._remove_of, view, self._after) for name, view in usable.items()})

    async def _remove_of(self, view: HostView, after: int) -> None:
        now = self._clock.now()
        unused = [image for image in await self._store.pulled_images(view.engine_id or "") if image.is_unused(now)]
        taken = [taken for image in unused[:BATCH] if await self._store.write_image(taken := image.taken(now + REMOVE_WITHIN))]
        # Read after the marks: what begins to need one of them from now on waits for the outcome.
        names = await self._store.images_under_way() if taken else frozenset()
        for image in taken:
            if self._clock.now() + ONE_WITHIN > now + REMOVE_WITHIN:
                return
            needed = await self._is_needed(view, image, names)
            done = ImageRemoval.IN_USE if needed else await self._executor.remove_image(view.name, image.reference)
            if done is ImageRemoval.IN_USE:
                await self._store.write_image(image.kept(self._clock.now() + after))
                continue
            if done is ImageRemoval.REMOVED:
                log.info("image.removed", host=view.name, image=image.reference)
            await self._store.drop_image(image)

    async def _is_needed(self, view: HostView, image: PulledImage, names: frozenset[str]) -> bool:
        """Whether an execution under way needs the image. Where only a registry can tell, it is asked; without an answer, one does."""
        needed, unsure = may_need(image, names)
        for name in unsure:
            if needed:
                break
            try:
                needed = pulled_name((await self._executor.resolve(view.name, name, Pull.ALWAYS)).reference) == image.reference
            except FastlaneError:
                needed = True
        return needed
