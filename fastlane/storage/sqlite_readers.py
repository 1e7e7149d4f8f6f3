"""The connections that read the SQLite file, each on a thread: reads never wait for the writer, nor it for them."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastlane.errors import StoreDown
from fastlane.storage.sqlite_writer import translated

Answer = TypeVar("Answer")

THREADS = 4
MAX_WAITING = 1024


class Readers:
    """Owns the threads and their connections. ``deadline`` bounds each call, in seconds; at most ``MAX_WAITING`` reads wait or run."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], deadline: float) -> None:
        self._connect = connect
        self._deadline = deadline
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sqlite-reader")
        self._free = threading.BoundedSemaphore(MAX_WAITING)
        self._closed = False

    async def run(self, query: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """The query's answer, or StoreDown."""
        if self._closed:
            raise StoreDown("the store is closed")
        if not self._free.acquire(blocking=False):
            raise StoreDown(f"{MAX_WAITING} reads wait for the store already")
        work = self._pool.submit(self._read, query)
        work.add_done_callback(lambda _: self._free.release())
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.wrap_future(work)
        except TimeoutError:
            raise StoreDown(f"the store did not answer within {self._deadline:g} s") from None

    async def close(self) -> None:
        """Lets what runs end, for ``deadline`` seconds at most, and closes the connections."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline):
                await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _read(self, query: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """There are as many connections as threads at most: each takes an idle one, or makes one, and gives it back."""
        try:
            db = self._take()
            try:
                return query(db)
            finally:
                self._idle.put(db)
        except sqlite3.Error as error:
            raise translated(error) from error

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            db = self._connect()
            db.execute("PRAGMA query_only = ON")
            return db
