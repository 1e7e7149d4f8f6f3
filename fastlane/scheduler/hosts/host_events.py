"""Records when a host can no longer be used, as this worker sees it, and when it can be again."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastlane.clock import Clock
from fastlane.models.event import Event, EventKind
from fastlane.models.placement.host import HostView
from fastlane.storage.base import EventStore

MOST_WAITING = 1_000
"""Events that wait while the store is away; the first ones are kept."""


class HostEvents:
    """Compares what is known of hosts with what was known before. A host that was never usable has not been lost."""

    def __init__(self, store: EventStore, clock: Clock, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._usable: dict[str, bool] = {}
        self._waiting: list[Event] = []

    async def note(self, views: Iterable[HostView]) -> None:
        """Records what has changed. Raises StoreDown; it is then recorded with the next call."""
        now, known = self._clock.now(), {view.name: view for view in views}
        for name in self._usable.keys() - known.keys():
            del self._usable[name]
        for name, view in known.items():
            before = self._usable.get(name)
            if view.usable is before or (before is None and not view.usable):
                continue
            self._usable[name] = view.usable
            if before is not None and len(self._waiting) < MOST_WAITING:
                self._waiting.append(self._event(view, now))
        if self._waiting:
            told = list(self._waiting)
            await self._store.add_events(told)
            del self._waiting[: len(told)]

    def _event(self, view: HostView, now: int) -> Event:
        kind = EventKind.HOST_USABLE if view.usable else EventKind.HOST_UNUSABLE
        detail: Mapping[str, Any] = {} if view.usable else {"reason": view.reason, "circuit": view.circuit}
        return Event.now(kind, now, host=view.name, worker=self._owner, **detail)
