"""Removes the services of settled rows that are still there, and marks the rows clean.

It reads the rows a page at a time. Each round goes on after the rows that the one before it looked at, so that those of a host that is away
keep no others from their turn. A host gets its own part of each round, which ends early when the host fails.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.port import Executor, Image
from fastlane.metrics import Repair, Repaired, uncounted
from fastlane.models.execution import Execution
from fastlane.models.host import HostView, reachable_manager
from fastlane.models.image import ImageRemoval, PulledImage, may_need, pulled_name
from fastlane.models.pool import Pull
from fastlane.scheduler.settler import Settler
from fastlane.storage.base import ExecutionStore, ImageStore

log = structlog.get_logger()

WITHIN = 30.0
"""Seconds after which a host's part of a round ends, finished or not. The next round goes on with it."""

Work = Callable[[], Awaitable[None]]


async def side_by_side(part: str, work: Mapping[str, Work]) -> None:
    """Does each host's work, for a limited time. A fault of one host is logged, and neither ends nor delays another one's work."""
    found = await asyncio.gather(*(_bounded(one) for one in work.values()), return_exceptions=True)
    for host, fault in zip(work, found, strict=True):
        if isinstance(fault, FastlaneError | TimeoutError):
            log.warning("reconciler.waiting", part=part, host=host, error=str(fault) or f"took over {WITHIN:g} s")
        elif fault is not None:
            raise fault


async def _bounded(work: Work) -> None:
    async with asyncio.timeout(WITHIN):
        await work()


PAGE, PAGES = 500, 4
"""Rows of a page, and pages of a round."""
FAULTS = 3
"""Rows of a host that may fail before the rest of them wait for a later round."""


class Cleaner:
    """Cleans in rounds."""

    def __init__(self, store: ExecutionStore, executor: Executor, settler: Settler, repaired: Repaired = uncounted) -> None:
        self._store = store
        self._executor = executor
        self._settler = settler
        self._repaired = repaired
        self._after: tuple[int, str] | None = None

    async def clean(self) -> None:
        """Makes a round. The rows after the last page of it have their turn in the next one."""
        rows: dict[str, list[Execution]] = {}
        hosts = self._executor.hosts()
        for _ in range(PAGES):
            page = await self._store.uncleaned(PAGE, self._after)
            for row in page:
                manager = reachable_manager(hosts, row.host or "", row.swarm_id)
                rows.setdefault(manager, []).append(row)
            self._after = (page[-1].finished_at or 0, page[-1].id) if len(page) == PAGE else None
            if self._after is None:
                break
        await side_by_side("clean", {host: partial(self._clean_all, some) for host, some in rows.items()})

    async def _clean_all(self, rows: Sequence[Execution]) -> None:
        """Cleans rows of one host, in another order each time: no few of them that always fail can keep the others waiting."""
        faults = 0
        for row in random.sample(rows, len(rows)):
            if await self._settler.clean(row):
                self._repaired(Repair.SERVICE, 1)
            else:
                faults += 1
                if faults == FAULTS:
                    return


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
