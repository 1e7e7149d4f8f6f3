"""The pools in force now, and how a process keeps them as the store and its settings have them. Everything that asks for the pools reads
them here, so that a change takes effect everywhere at once."""

import asyncio
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol, overload

import structlog

from fastlane.clock import Clock, end_if_cancelled
from fastlane.errors import Conflict, FastlaneError
from fastlane.models.access import Requester
from fastlane.models.calendar import Calendar
from fastlane.models.event import Event, EventKind
from fastlane.models.host import HostRecord, place_of
from fastlane.models.pool import DirectoryMark, KnownHost, Pool, PoolsRevision, by_address, hosts_to_know, pools_digest, pools_in_force
from fastlane.storage.base import EventStore, HostStore


class CurrentPools(Sequence[Pool]):
    """A sequence of pools whose content is replaced as a whole. ``settings``: the pools as the settings have them; ``records``: the hosts
    that the store keeps; ``calendars``: the calendars of the settings, which stay."""

    def __init__(self, settings: Sequence[Pool], records: Sequence[HostRecord] = (), calendars: Sequence[Calendar] = ()) -> None:
        self.calendars = tuple(calendars)
        self._listeners: list[Callable[[], None]] = []
        self._settings, self._records = tuple(settings), tuple(records)
        self._by_address = by_address(self._records)
        self._pools = pools_in_force(self._settings, self._records)
        self._digest = pools_digest(self._settings)

    @classmethod
    def of(cls, pools: Sequence[Pool]) -> "CurrentPools":
        """These pools themselves when they are the ones in force; else pools that nothing changes."""
        return pools if isinstance(pools, cls) else cls(pools)

    @property
    def settings(self) -> tuple[Pool, ...]:
        """The pools as the settings have them."""
        return self._settings

    @property
    def digest(self) -> str:
        """The digest of the pools as the settings have them."""
        return self._digest

    @property
    def records(self) -> tuple[HostRecord, ...]:
        """The hosts that the store keeps, as last read."""
        return self._records

    def records_of(self, address: str) -> Sequence[HostRecord]:
        """The records of an address, removed ones too."""
        return self._by_address.get(address, ())

    def replace(self, *, settings: Sequence[Pool] | None = None, records: Sequence[HostRecord] | None = None) -> None:
        """Puts what is given in place of what was in force."""
        self._settings = self._settings if settings is None else tuple(settings)
        if records is not None:
            self._records = tuple(records)
            self._by_address = by_address(self._records)
        self._pools = pools_in_force(self._settings, self._records)
        self._digest = pools_digest(self._settings)
        for listener in self._listeners:
            listener()

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Calls ``on_change`` after each replacement."""
        self._listeners.append(on_change)

    @overload
    def __getitem__(self, index: int) -> Pool: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pool]: ...
    def __getitem__(self, index: int | slice) -> Pool | Sequence[Pool]:
        return self._pools[index]

    def __len__(self) -> int:
        return len(self._pools)

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools)


log = structlog.get_logger()

EVERY = 0.4
"""Seconds between two looks."""
WHOLE_EVERY = 60_000
"""Milliseconds after which the hosts are read although their mark is the same: a process of an earlier version does not change it, nor does
one that ends amid a change."""
TRIES = 8


class DirectoryStore(HostStore, EventStore, Protocol):
    """What a directory needs of the store."""


class Directory:
    """Keeps one process's pools as the store has their hosts, and its settings have them. ``open`` it before anything asks for the pools.
    ``read`` reads them from the settings again, in a thread; None: they cannot change."""

    def __init__(self, store: DirectoryStore, pools: CurrentPools, clock: Clock, read: Callable[[], Sequence[Pool]] | None = None) -> None:
        self.pools = pools
        self.revision = PoolsRevision()
        """The revision that was recorded last."""
        self.fault: str | None = None
        """Why this process could not take over the pools of that revision."""
        self._read = read
        self._store = store
        self._clock = clock
        self._mark: DirectoryMark | None = None
        self._read_at = 0
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Reads the hosts, and again whenever they change. Records the revision of its pools, since it is the latest to begin."""
        await self._look()
        with suppress(FastlaneError):
            await self._record(reload=False)
        self._task = asyncio.create_task(self._run(), name="directory")

    async def close(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def hosts(self) -> Sequence[KnownHost]:
        """The hosts that a worker connects to."""
        return hosts_to_know(self.pools, self.pools.records)

    @property
    def digest(self) -> str:
        """The digest of the pools in this process's settings."""
        return self.pools.digest

    async def reload(self, by: Requester | None = None) -> PoolsRevision:
        """Reads the pools from the settings, and puts all of them in force if none has a fault. Every other process then does so too.
        Raises Invalid with every fault, Conflict, and StoreDown: then this process has the new pools, and the other processes do not hear
        of them."""
        if self._read is None:
            raise Conflict("this process was not started from settings that can be read again")
        found = await asyncio.to_thread(self._read)
        digest = pools_digest(found)
        await self._store.add_events([Event.now(EventKind.POOLS_RELOADED, self._clock.now(), by, digest=digest)])
        self._apply(found)
        await self._record(reload=True)
        return self.revision

    async def refresh(self) -> None:
        """Reads the hosts if they have changed. Raises StoreDown."""
        mark = await self._store.directory_mark()  # read first: what changes after it is found at the next look
        now = self._clock.now()
        is_stale = not 0 <= now - self._read_at < WHOLE_EVERY
        if mark != self._mark or is_stale:
            before = self.pools.records
            changed = None if is_stale or self._mark is None else mark.hosts.since(self._mark.hosts)
            records = await self._store.hosts(before) if changed is None else await self._with(before, changed)
            revision = await self._store.pools_revision()
            if records is not before:
                self.pools.replace(records=records)
            if revision != self.revision:
                self.revision = revision
                await self._follow()
            self._mark, self._read_at = mark, now if changed is None else self._read_at

    async def _with(self, records: Sequence[HostRecord], changed: Sequence[str]) -> Sequence[HostRecord]:
        """The records, with these replaced."""
        if not changed:
            return records
        ids = frozenset(changed)
        found = [record for record in records if record.id not in ids]
        for record in await self._store.hosts_of(sorted(ids)):
            insort(found, record, key=place_of)
        return found

    def _apply(self, pools: Sequence[Pool]) -> None:
        if tuple(pools) != self.pools.settings:
            self.pools.replace(settings=pools)
            log.info("pools.reloaded", digest=self.digest, pools=[pool.name for pool in pools])
        self.fault = None

    async def _record(self, *, reload: bool) -> None:
        """Records this process's pools. Unless the other processes are to ``reload`` theirs, the last revision stays."""
        for _ in range(TRIES):
            self.revision = await self._store.pools_revision()
            if self.revision.digest == self.digest and not reload:
                return
            wanted = PoolsRevision(self.revision.number + 1, self.digest, self._clock.now(), reload)
            if await self._store.record_pools(wanted):
                self.revision = wanted
                return

    async def _follow(self) -> None:
        """Takes over the pools of a new revision, if a person asked for it and this process's settings have the same pools."""
        if self._read is None or not self.revision.reload or self.revision.digest == self.digest:
            return
        try:
            found = await asyncio.to_thread(self._read)
        except FastlaneError as error:
            self.fault = str(error)
            log.error("pools.not_reloaded", error=self.fault)
            return
        if pools_digest(found) == self.revision.digest:
            self._apply(found)
        else:
            self.fault = "its settings have other pools than the last reload read"
            log.error("pools.not_reloaded", error=self.fault)

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self._look()

    async def _look(self) -> None:
        try:
            await self.refresh()
        except FastlaneError as error:
            log.debug("directory.not_read", error=str(error))
        except Exception:
            log.exception("directory.failed")
        end_if_cancelled()
