"""Measures the disk of an engine on the worker's own machine: no call of its API tells how much is free there.

The engine says where its folder is. That path means something only on the engine's machine, in the same mount namespace. So a folder counts
as the engine's when it holds the engine's own id, or when only root may look into it, as engines leave it.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from fastlane.clock import Clock
from fastlane.executors.swarm.probe import EngineFacts
from fastlane.models.placement.disk import Disk, Refusals, Reserve, Space, judge
from fastlane.models.placement.endpoint import Endpoint

log = structlog.get_logger()

ENGINE_ID = "engine-id"
"""The file in an engine's folder that holds its id."""
MEASURED_WITHIN = 1.0
"""Seconds that a look at a disk may take: that of a file server may hang."""
NO_RESERVE = Reserve()


class EngineDisk:
    """What is known of the disk of one engine. It calls ``on_change`` when the engine becomes short of disk, or is no longer."""

    def __init__(self, endpoint: Endpoint, reserve: Reserve, clock: Clock, on_change: Callable[[], None]) -> None:
        self._host = endpoint.address
        self._may_be_here = endpoint.scheme == "unix"
        self._reserve = reserve
        self._clock = clock
        self._on_change = on_change
        self._space: Space | None = None
        self._refusals: Refusals | None = None
        self._disk: Disk | None = None

    def now(self) -> Disk | None:
        """What is known of it now; None when that is nothing."""
        if self._disk is not None and self._disk.until is not None and self._clock.now() >= self._disk.until:
            self._judge()
        return self._disk

    @property
    def short(self) -> str | None:
        """Why the engine gets no new work, in words that follow its name; None when it has room."""
        disk = self.now()
        return None if disk is None else disk.short

    async def measure(self, facts: EngineFacts) -> None:
        """Measures it, if it is a disk of this machine."""
        if not self._may_be_here or not facts.folder:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MEASURED_WITHIN):
                self._space = await asyncio.to_thread(measure, facts.folder, facts.engine_id)
        self._judge()

    def refused(self, refusals: Refusals | None) -> None:
        """Takes in which starts the engine refused because its disk was full, unless it knows of later ones."""
        if refusals is not None and (self._refusals is None or refusals.last > self._refusals.last):
            self._refusals = refusals
            self._judge()

    def refused_at(self, moment: int) -> None:
        """Takes in one more."""
        self.refused(Refusals(moment, moment) if self._refusals is None else self._refusals.and_at(moment))

    def _judge(self) -> None:
        was, self._disk = self._disk, judge(self._space, self._refusals, self._reserve, self._disk, self._clock.now())
        before, words = was.short if was else None, self._disk.short if self._disk else None
        if (before is None) is (words is None):
            return
        free = self._disk.free if self._disk is not None else None
        if words is not None:
            log.warning("host.disk_short", host=self._host, reason=words, free=free)
        else:
            log.info("host.disk_enough", host=self._host, free=free)
        self._on_change()


def measure(folder: str, engine_id: str) -> Space | None:
    """The space of the disk that an engine's folder is on; None when the engine is elsewhere."""
    try:
        with_id = (Path(folder) / ENGINE_ID).read_text(encoding="ascii").strip()
    except PermissionError:
        with_id = engine_id
    except (OSError, ValueError):
        return None
    if with_id != engine_id:
        return None
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
