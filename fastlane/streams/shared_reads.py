"""What all followers of this process share: one reader for each execution, and one poll for each thing that is waited for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastlane.models.logs.following import Progress
from fastlane.storage.base import Store
from fastlane.streams.batch import BatchCache
from fastlane.streams.hub import Hub
from fastlane.streams.reader import Reader
from fastlane.streams.shared_poll import SharedPoll, Snapshot

MAX_CACHED = 32 * 1024 * 1024
"""Bytes of memory for what followers want who are at the same place: some 3 MB of a log with ordinary lines."""

ReadProgress = Callable[[], Awaitable[Snapshot[Progress]]]


class SharedReads:
    """Opens readers and polls for the first user, and closes them after the last."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._cache = BatchCache(MAX_CACHED)
        self._readers: dict[str, tuple[Reader, int]] = {}
        self._polls: dict[str, tuple[SharedPoll[Progress], int]] = {}

    def open_reader(self, execution_id: str) -> Reader:
        """The one reader of an execution, until ``close_reader``. A context manager would take half a kilobyte for each follower."""
        reader, users = self._readers.get(execution_id) or (Reader(self._store, self._hub, self._cache, execution_id), 0)
        self._readers[execution_id] = (reader, users + 1)
        return reader

    async def close_reader(self, execution_id: str) -> None:
        """A user of this execution's reader is done with it."""
        reader, users = self._readers.pop(execution_id)
        if users > 1:
            self._readers[execution_id] = (reader, users - 1)
        else:
            await reader.close()

    @asynccontextmanager
    async def poll(self, key: str, read: ReadProgress) -> AsyncIterator[SharedPoll[Progress]]:
        """The one poll of this key; the first user's ``read`` is used."""
        poll, users = self._polls.get(key) or (SharedPoll(self._hub, read), 0)
        self._polls[key] = (poll, users + 1)
        try:
            yield poll
        finally:
            poll, users = self._polls.pop(key)
            if users > 1:
                self._polls[key] = (poll, users - 1)
            else:
                await poll.close()
