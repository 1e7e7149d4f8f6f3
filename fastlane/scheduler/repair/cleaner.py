"""Removes the services of settled rows that are still there, and marks the rows clean.

It reads the rows a page at a time. Each round goes on after the rows that the one before it looked at, so that those of a host that is away
keep no others from their turn. A host gets its own part of each round, which ends early when the host fails.
"""

import random
from collections.abc import Sequence
from functools import partial

from fastlane.executors.base import Executor
from fastlane.metrics.metrics import Repair, Repaired, uncounted
from fastlane.models.execution import Execution
from fastlane.models.placement.host import reachable_manager
from fastlane.scheduler.repair.by_host import side_by_side
from fastlane.scheduler.settler import Settler
from fastlane.storage.base import ExecutionStore

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
