"""Removes leftovers from hosts. ``Cleaner`` removes the services of settled rows, ``Leftovers`` services that can never be used, and
``ImageKeeper`` images that nothing uses any more.

Each host gets its own part of a round, which ends early when the host fails, so a host that is away delays no other.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog

from fastlane.clock import unless_cancelled
from fastlane.errors import FastlaneError, HostDown, TransientError, Unreadable
from fastlane.executors.port import EngineService, Image
from fastlane.metrics import Repair
from fastlane.models.host import HostView, reachable_manager, view_of
from fastlane.models.image import ImageRemoval, PulledImage, may_need, pulled_name
from fastlane.models.job import Execution
from fastlane.models.pool import Pull
from fastlane.scheduler.known_workers import WorkerHosts
from fastlane.scheduler.ports import Ports
from fastlane.scheduler.settler import Settler

log = structlog.get_logger()

WITHIN = 30.0
"""Seconds after which a host's part of a round ends, finished or not. The next round continues with it."""
MAX_KNOWN = 10_000
"""Images, and services, that a worker remembers to have asked about, or reported."""
AT_ONCE = 16
"""Services of a host that are looked at, and removed, at once."""

HostWork = Callable[[], Awaitable[object]]


async def side_by_side(part: str, work: Mapping[str, HostWork]) -> None:
    """Does each host's work, for a limited time. A fault of one host is logged, and neither ends nor delays another one's work."""
    found = await asyncio.gather(*(_bounded(one) for one in work.values()), return_exceptions=True)
    for host, fault in zip(work, found, strict=True):
        if isinstance(fault, FastlaneError | TimeoutError):
            log.warning("reconciler.waiting", part=part, host=host, error=str(fault) or f"took over {WITHIN:g} s")
        elif fault is not None:
            raise fault


async def _bounded(work: HostWork) -> None:
    async with asyncio.timeout(WITHIN):
        await work()


PAGE, PAGES = 500, 4
"""Rows of a page, and pages of a round."""
FAULTS = 3
"""Rows of a host that may fail before the rest of them wait for a later round."""


class Cleaner:
    """Removes the services of settled rows that are still there, and marks the rows clean. It reads the rows a page at a time. Each round
    goes on after the rows of the round before, so that the rows of a host that is away do not hold up the others."""

    def __init__(self, ports: Ports, settler: Settler) -> None:
        self._store = ports.store
        self._executor = ports.executor
        self._metrics = ports.metrics
        self._settler = settler
        self._after: tuple[int, str] | None = None

    async def clean(self) -> None:
        """Makes a round. The rows after its last page come in the next round."""
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
        """Cleans rows of one host, in another order each time, so that a few rows that always fail cannot keep the others waiting."""
        faults = 0
        for row in random.sample(rows, len(rows)):
            if await self._settler.clean(row):
                self._metrics.repaired(Repair.SERVICE, 1)
            else:
                faults += 1
                if faults == FAULTS:
                    return


UNKNOWN_AFTER = 3_600_000
"""Milliseconds for which a service of this installation is left alone although the store has never heard of its execution. After that it is
removed if it is parked, and reported otherwise: once by each worker."""


class Leftovers:
    """Removes services that can never be used: their execution is settled, or bound to another service."""

    def __init__(self, ports: Ports) -> None:
        self._store = ports.store
        self._executor = ports.executor
        self._clock = ports.clock
        self._metrics = ports.metrics
        self._reported: set[str] = set()

    async def remove_leftovers(self) -> None:
        """Removes the leftovers of all usable hosts."""
        usable = [view.name for view in self._executor.hosts() if view.usable]
        await side_by_side("remove_leftovers", {host: partial(self.remove_of, host) for host in usable})

    async def clear(self, host: str, hosts: WorkerHosts) -> None:
        """Removes the leftovers of a host that is about to get work. Raises TransientError while a container that was given up may still
        run there: an execution that is lost with its host has not ended yet, or a removal fails through the host's own fault."""
        rows, left = await self.remove_of(host)
        for row in rows:
            left += row.exit_code is None if row.status.final else hosts.lost(row) is not None
        if left:
            raise TransientError(f"{left} of the services that were given up there are not removed yet")

    async def remove_of(self, host: str) -> tuple[list[Execution], int]:
        """Removes the leftovers of one host, some at a time, in another order each time: a few removals that hang must not keep the others
        waiting. Returns the executions whose services are needed, and how many removals failed through the host's own fault."""
        services, needed, failed = await self._executor.services(host), list[Execution](), 0
        order = random.sample(services, len(services))
        for start in range(0, len(order), AT_ONCE):
            async with asyncio.timeout(WITHIN):
                kept = await unless_cancelled(asyncio.gather(*(self._look_at(host, one) for one in order[start : start + AT_ONCE])))
            needed += [row for row in kept if isinstance(row, Execution)]
            failed += kept.count(False)
        return needed, failed

    async def _look_at(self, host: str, service: EngineService) -> Execution | bool:
        """Removes a service if it is a leftover, and returns whether that has not failed through the host's own fault; the execution if its
        service is needed."""
        try:
            row = await self._store.execution(service.execution_id)
        except Unreadable as error:
            log.warning("service.left_alone", host=host, service_id=service.id, error=str(error))
            return True
        if row is None:
            return await self._remove_unknown(host, service)
        if not is_leftover(row, service) and (not row.status.final or await self._can_be_settled(row)):
            return row
        return await self._remove(host, service)

    async def _can_be_settled(self, row: Execution) -> bool:
        """Whether a worker can settle an ended execution: not while its job cannot be read, which may be forever. Nothing that follows the
        end needs its service."""
        try:
            await self._store.job(row.job_id)
        except Unreadable as error:
            log.warning("execution.not_settled", **row.names, error=str(error))
            return False
        return True

    async def _remove(self, host: str, service: EngineService) -> bool:
        """Removes a service. Returns False when that failed through the host's own fault. (An engine may refuse a removal forever.)"""
        log.info("service.leftover_removed", host=host, service_id=service.id, execution_id=service.execution_id)
        try:
            await self._executor.remove(host, service.id)
            self._metrics.repaired(Repair.SERVICE, 1)
        except FastlaneError as error:
            log.warning("service.not_removed", host=host, service_id=service.id, error=str(error))
            return not isinstance(error, HostDown)
        return True

    async def _remove_unknown(self, host: str, service: EngineService) -> bool:
        """Handles a service whose execution the store does not have. It goes at once if the execution was deleted, since that had ended. A
        parked one goes after an hour. If it names no execution, fastlane did not make it, whatever its labels say. Returns what ``_remove``
        does."""
        named = bool(service.execution_id)
        if named and await self._store.was_deleted(service.execution_id):
            return await self._remove(host, service)
        if self._clock.now() - service.created_at <= UNKNOWN_AFTER:
            return True
        if named and not service.activated:
            return await self._remove(host, service)
        if service.id not in self._reported:
            if len(self._reported) >= MAX_KNOWN:
                self._reported.clear()
            self._reported.add(service.id)
            log.error("service.unknown", host=host, service_id=service.id, execution_id=service.execution_id)
        return True


def is_leftover(row: Execution, service: EngineService) -> bool:
    """Whether a service of this execution will never be activated, or is no longer needed."""
    if row.service_id is not None and row.service_id != service.id:
        return True
    return row.status.final and row.settled


BATCH = 8
"""Images of one engine that a worker removes in a round."""
REMOVE_WITHIN, ONE_WITHIN = 120_000, 40_000
"""Milliseconds in which a worker may remove a batch, and the most that it needs for one image: an engine has 30 s for that."""
FOREIGN_FOR = 60_000
"""Milliseconds until a worker asks again about an image that was there before."""
LOOK_AGAIN = 0.2
"""Seconds between two looks at an image that is being removed."""
LONGEST_ROUND = 600.0


class ImageKeeper:
    """Keeps and removes images. ``unused_after``: seconds after their last use; None: it does nothing."""

    def __init__(self, ports: Ports, hosts: WorkerHosts, unused_after: float | None) -> None:
        self._store = ports.store
        self._executor = ports.executor
        self._clock = ports.clock
        self._hosts = hosts
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
        """Records that an image is used. Call it before a service with the image is made on a host. Raises StoreDown and HostDown."""
        reference = pulled_name(image.reference)
        own = view_of(self._hosts.views(), host)
        if self._after is None or reference is None or own is None:
            return
        await self._keep(own, reference, self._after)
        for view in self._hosts.views():  # the swarm may choose any of its nodes
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
        """Records that no worker begins to remove the image before ``until``, so no further question about it is needed."""
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[engine, reference] = until

    # removing

    async def remove_unused(self) -> None:
        """Makes one round over all usable hosts."""
        if self._after is not None:
            usable = {view.name: view for view in self._hosts.views() if view.usable and view.engine_id is not None}
            await side_by_side("remove_unused", {name: partial(self._remove_of, view, self._after) for name, view in usable.items()})

    async def _remove_of(self, view: HostView, after: int) -> None:
        now = self._clock.now()
        unused = [image for image in await self._store.pulled_images(view.engine_id or "") if image.is_unused(now)]
        taken = [taken for image in unused[:BATCH] if await self._store.write_image(taken := image.taken(now + REMOVE_WITHIN))]
        # Read after the marks: an execution that needs one of them from now on waits for the outcome.
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
        """Whether an execution under way needs the image. If only a registry can say, it is asked; without its answer, the image counts
        as needed."""
        needed, unsure = may_need(image, names)
        for name in unsure:
            if needed:
                break
            try:
                needed = pulled_name((await self._executor.resolve(view.name, name, Pull.ALWAYS)).reference) == image.reference
            except FastlaneError:
                needed = True
        return needed
