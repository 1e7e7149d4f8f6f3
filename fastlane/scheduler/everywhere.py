"""Ticks that run everywhere: makes the executions of a tick from its lead, and finds the one that stands for the tick when all have ended.
Both are safe to repeat, by any worker and from any point.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from fastlane.clock import unless_cancelled
from fastlane.errors import TransientError
from fastlane.models import transitions
from fastlane.models.everywhere import (
    Targets,
    choose,
    goes_on,
    has_started_any,
    is_one_of_many,
    last_attempts,
    others_of,
    planned,
    stands_for_tick,
    waits_for,
    worst_of,
)
from fastlane.models.host import HostView
from fastlane.models.job import Execution
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.models.tick import execution_id
from fastlane.queue.port import execution_entry
from fastlane.scheduler.ports import Ports

log = structlog.get_logger()

TOGETHER = 16
"""Executions that are inserted together."""


class TickPlanner:
    """Fixes the targets of a tick in the row of its lead, which is enqueued, and inserts the executions of the other targets before a
    worker claims the lead: while the lead waits, its tick cannot end."""

    def __init__(self, ports: Ports) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._pools = ports.pools

    def targets(self, lead: Execution, pool: Pool, hosts: Sequence[HostView]) -> Targets | None:
        """The targets that the tick would have now; None when they are fixed."""
        everywhere = lead.spec.everywhere
        return None if everywhere is None or lead.spec.target is not None else choose(everywhere, pool, hosts)

    async def plan(self, lead: Execution, targets: Targets | None) -> None:
        """Writes the targets, if they are not fixed yet, and makes what follows from them. Another worker may do the same."""
        if targets is not None:
            fixed = await self._store.change(transitions.plan(lead, planned(lead, targets)))
            if fixed is None:
                return
            lead = fixed
            log.info("tick.planned", **lead.names, tick_id=lead.tick_id, targets=len(targets.chosen), left_out=dict(targets.left_out))
        if lead.spec.plan is not None:
            await self._describe(lead.tick_id, lead.spec.plan.words)
            await self._make_others(lead)

    async def _describe(self, tick_id: str, words: str) -> None:
        """Lets the tick's row say what it runs on, unless another process has changed the row."""
        tick = await self._store.tick(tick_id)
        if tick is not None and not (tick.reason or "").endswith(words):
            reason = words if tick.reason is None else f"{tick.reason}; {words}"
            await self._store.change_tick(tick, replace(tick, reason=reason))

    async def _make_others(self, lead: Execution) -> None:
        await self._insert_others(lead)
        await self._store.change(transitions.plan(lead, replace(lead.spec, plan=None)))

    async def complete(self, lead: Execution) -> None:
        """Makes what is missing of a tick whose lead ended before all were there, so that each target has an execution, and no worker that
        slept brings one after the tick's end. What is made now ends as the lead did, unless that had a fault of its own."""
        for execution in await self._insert_others(lead):
            now = lead.created_at if lead.finished_at is None else lead.finished_at
            if lead.status is Status.STOPPED:
                await self._store.change(transitions.cancel(execution, now=now))
            elif lead.status is Status.EXPIRED:
                await self._store.change(transitions.expire(execution, now=now))

    async def _insert_others(self, lead: Execution) -> list[Execution]:
        """Inserts the executions of the other targets; those that were not there."""
        others, new = others_of(lead), list[Execution]()
        for start in range(0, len(others), TOGETHER):
            page = others[start : start + TOGETHER]
            made = await unless_cancelled(asyncio.gather(*(self._store.insert(execution) for execution in page)))
            new += [execution for execution, is_new in zip(page, made, strict=True) if is_new]
            await self._queue.put([execution_entry(execution, self._pools) for execution in page])
        return new


class TickEnds:
    """Finds which execution's end is the end of its tick."""

    def __init__(self, ports: Ports) -> None:
        self._store = ports.store

    async def of(self, ended: Execution) -> Execution | None:
        """The execution that stands for the tick of one that has ended for good; None while others of the tick go on. For most jobs it is
        the same one.

        Whichever ends last finds that no other goes on, because it reads the others after its own end was written. When several do so at
        once, the row of the tick decides which execution stands for it."""
        target = ended.spec.target
        if not is_one_of_many(ended) or target is None:  # None: it ended before its targets were fixed
            return ended
        if await self._store.under_way_between(ended.job_id, target.first, target.last):
            return None
        found = await self._store.executions_between(ended.job_id, target.first, target.last)
        of_tick = [one for one in found if one.tick_id == ended.tick_id and one.incarnation == ended.incarnation]
        if all(one.id != ended.id for one in of_tick):
            of_tick.append(ended)
        pending = [one for one in last_attempts(of_tick).values() if one.id != ended.id and goes_on(one)]
        if any(waits_for(ended, one) for one in pending):
            raise TransientError(f"whether another attempt follows is not settled yet at another target of the tick {ended.tick_id}")
        if pending:
            return None
        chosen = await self._chosen(of_tick, ended)
        if chosen.sequence == target.last:
            return chosen
        return await self._store.change(transitions.stand_for(chosen, sequence=target.last)) or chosen

    async def _chosen(self, of_tick: Sequence[Execution], ended: Execution) -> Execution:
        known = next((one for one in of_tick if stands_for_tick(one)), None)
        tick = await self._store.tick(ended.tick_id)
        if known is not None or tick is None:
            return known or worst_of(of_tick)
        worst, lead_id = worst_of(of_tick), execution_id(tick.id, 1)
        if tick.execution_id == lead_id != worst.id:
            await self._store.change_tick(tick, replace(tick, execution_id=worst.id))
            tick = await self._store.tick(tick.id)
        named = None if tick is None else tick.execution_id
        return next((one for one in of_tick if one.id == named and named != lead_id), worst)

    async def never_ran(self, end: Execution) -> bool:
        """Whether no container of the tick has started that has ended with this."""
        target = end.spec.target
        if not is_one_of_many(end) or target is None:
            return not end.has_started
        found = await self._store.executions_between(end.job_id, target.first, target.last)
        return not has_started_any([one for one in found if one.tick_id == end.tick_id])
