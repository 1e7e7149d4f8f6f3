"""Reads the pools: what the settings say of each, how its hosts are, and how much runs and waits there."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastlane.models.host import EngineIdentity, HostRecord, HostView
from fastlane.models.pool import ANY, HostRule, Pool
from fastlane.queue.port import Report
from fastlane.services.parts import Service


@dataclass(frozen=True, slots=True)
class HostRow:
    """A host of a pool as a worker sees it, and what goes for it there; ``view`` is None when no worker sees it. ``drained``: it gets no
    new work. ``id``: that of its record, None while it has none."""

    pool: str
    name: str
    view: HostView | None
    rule: HostRule = ANY
    drained: bool = False
    id: str | None = None

    @property
    def fault(self) -> str | None:
        """Why it gets no new work, as far as the worker that sees it knows; None when it does."""
        return None if self.view is None or self.view.is_open else (self.view.reason or self.view.closed)

    @property
    def fault_since(self) -> int | None:
        """Since when (milliseconds) it gets no new work, where that is known."""
        return None if self.view is None or self.view.is_open else self.view.closed_since


def host_rows(pools: Iterable[Pool], reports: Sequence[Report], records: Sequence[HostRecord] = ()) -> tuple[HostRow, ...]:
    """Each pool's hosts as the workers see them: one row for each engine that answers at an address."""
    views: dict[str, list[HostView]] = {}
    for view in distinct_views(reports):
        views.setdefault(view.name, []).append(view)
    own: dict[str, list[HostRecord]] = {}
    for record in records:
        own.setdefault(record.address, []).append(record)
    return tuple(_row(pool, name, view, own.get(name, ())) for pool in pools for name in pool.hosts for view in views.get(name, [None]))


def _row(pool: Pool, name: str, view: HostView | None, records: Sequence[HostRecord]) -> HostRow:
    record = next((record for record in records if view is not None and record.id == view.record), records[0] if records else None)
    drained = record is not None and record.drained and record.removed_at is None
    return HostRow(pool.name, name, view, pool.rule(name), drained, record.id if record else None)


def distinct_views(reports: Sequence[Report]) -> list[HostView]:
    """Each host that a worker sees: one for each engine at an address. Where workers disagree about one, a worker that can use it is
    believed."""
    seen: dict[tuple[str, EngineIdentity | None], HostView] = {}
    for report in reports:
        for view in report.hosts:
            key = (view.name, identity_of(view))
            if key not in seen or (view.usable and not seen[key].usable):
                seen[key] = view
    known = {name for name, identity in seen if identity is not None}
    return [view for (name, identity), view in seen.items() if identity is not None or name not in known]


def identity_of(view: HostView) -> EngineIdentity | None:
    """The engine that a worker sees; None when it has not reached any."""
    return EngineIdentity(view.engine_id or "", view.swarm_id) if view.swarm_id else None


def views_of(reports: Sequence[Report], record: HostRecord) -> list[HostView]:
    """How workers see the host of a record: first those that have recognized it."""
    views = [view for view in distinct_views(reports) if view.name == record.address and view.record in (None, record.id)]
    return sorted(views, key=lambda view: (view.record is None, not view.usable))


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool now. ``running``: its executions that hold a slot. ``waiting``: those that will want one: for a free slot, for other
    executions of their task, or for their next try."""

    pool: Pool
    hosts: tuple[HostRow, ...]
    running: int
    waiting: int
    paused: bool


class PoolReader(Service):
    """Raises StoreDown and QueueDown."""

    async def read(self) -> tuple[PoolView, ...]:
        """Every pool, in the order in which a task looks for its own."""
        pauses, reports, lanes = await asyncio.gather(
            self._store.paused_pools(), self._reports.current(), self._queue.counts([pool.name for pool in self._pools])
        )
        return tuple(
            PoolView(
                pool=pool,
                hosts=host_rows([pool], reports),
                running=lanes[pool.name].running,
                waiting=lanes[pool.name].ready + lanes[pool.name].timed + lanes[pool.name].blocked,
                paused=pool.name in pauses.names,
            )
            for pool in self._pools
        )
