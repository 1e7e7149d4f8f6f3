"""Sums what executions used of the hosts, by a label's value, by task or by pool: a bounded number of executions for each request.

Executions are read along an index, the latest due first, in steps that other requests come between. No store sums them: what is summed
stands in their specs and in the pools' limits of now.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import count

from fastlane.errors import Fault, Invalid
from fastlane.models.job import Execution
from fastlane.models.paging import After, Page, Wanted, Window
from fastlane.models.status import FINAL
from fastlane.models.usage import UsageSum, UsedBy, read_grouping, value_of
from fastlane.services.parts import Service
from fastlane.services.reads.fitting import fitting

STEPS = (500, 50, 5, 1)
"""Executions that are read at a time; fewer when they are large."""
STEPS_OF_PIECE, STEPS_KEPT = 20, 100
"""Steps after which a piece of large executions ends; and after which a table tries larger ones again."""
ADDED = 100
"""Executions that are added up between two turns of others."""
MOST_VALUES = 1_000
"""Values of a piece: it ends before one more."""
MOST_IN_TABLE, MOST_VALUES_IN_TABLE = 200_000, 10_000
"""Executions and values of a whole table."""
TABLES_AT_ONCE, TABLES_OF_CALLER = 4, 2
"""Tables that are made at once in one process, and for one caller."""
GoOn = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class WantedUsage:
    """Which executions to sum: those that were due from ``since`` to before ``until`` (milliseconds), of one task, and of tasks whose id
    matches ``visible``. ``by``: what to sum them by, as ``read_grouping`` reads it."""

    by: str
    since: int
    until: int
    task_id: str | None = None
    visible: str | None = None


@dataclass(frozen=True, slots=True)
class UsagePiece:
    """A part of what was wanted: the sums of its executions, how many these are, and the due time of the first of them (None: there is
    none). ``next``: the key after which the next part begins; None: this is the last."""

    wanted: WantedUsage
    rows: Sequence[UsedBy]
    executions: int
    earliest: int | None
    next: tuple[int, str] | None


class UsageSums(Service):
    """Sums executions that have ended. Raises StoreDown."""

    async def piece(self, wanted: WantedUsage, most: int, after: tuple[int, str] | None = None) -> UsagePiece:
        """The sums of the next executions, ``most`` of them and ``MOST_VALUES`` values at most; of large ones, a few steps."""
        total, executions, last = self._sum(wanted, MOST_VALUES), 0, after
        earliest = None
        async with aclosing(self._ended(wanted, after, most + 1)) as rows:
            async for step, one in rows:
                if executions >= min(most, step * STEPS_OF_PIECE) or not total.add(one):
                    return UsagePiece(wanted, total.rows, executions, earliest, last)
                executions, earliest, last = executions + 1, one.scheduled_for, (one.scheduled_for, one.id)
        return UsagePiece(wanted, total.rows, executions, earliest, None)

    async def table(self, wanted: WantedUsage, go_on: GoOn) -> Sequence[UsedBy] | None:
        """All sums. None when it may not ``go_on``. Raises Invalid when there are too many executions or values."""
        counts = [
            (await self._page(wanted, Window(1, 1), since=moment)).total for moment in (wanted.since, wanted.until)
        ]  # due before the end of the range: no index counts between two moments
        if counts[0] - counts[1] > MOST_IN_TABLE:
            words = f"there are more than {MOST_IN_TABLE:,} executions; ask for shorter ranges, whose sums add up, or for JSON, in pieces"
            raise Invalid([Fault("since", words)])
        total = self._sum(wanted, MOST_VALUES_IN_TABLE)
        async with aclosing(self._ended(wanted, None)) as rows:
            async for _, one in rows:
                if not go_on():
                    return None
                if not total.add(one):
                    words = f"there are more than {MOST_VALUES_IN_TABLE:,} values; sum by another label, or ask for a shorter range"
                    raise Invalid([Fault("by", words)])
        return total.rows

    def _sum(self, wanted: WantedUsage, most: int) -> UsageSum:
        return UsageSum(value_of(*read_grouping(wanted.by)), self._pools, most)

    async def _ended(
        self, wanted: WantedUsage, after: tuple[int, str] | None, most: int = MOST_IN_TABLE
    ) -> AsyncGenerator[tuple[int, Execution], None]:
        """The executions that have ended, the latest due first: ``most`` at least, if there are as many. Each with the step in which it was
        read: a step that was small enough is kept, since each larger one is read in vain."""
        place: After | None = After(0, (wanted.until, "") if after is None else after)
        for steps in count():
            if place is None:
                return
            if steps % STEPS_KEPT == 0:
                step = min(STEPS[0], most)
            page = await fitting(partial(self._page, wanted), Window(1, step, place), STEPS)
            step, place = page.window.per_page, page.next
            for number, one in enumerate(page.rows, 1):
                yield step, one
                if number % ADDED == 0:
                    await asyncio.sleep(0)

    async def _page(self, wanted: WantedUsage, window: Window, since: int | None = None) -> Page[Execution]:
        first = wanted.since if since is None else since
        return await self._store.list_executions(Wanted(FINAL, wanted.task_id, first, wanted.visible), window)
