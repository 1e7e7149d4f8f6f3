"""Calls that may hang, as a network's do: each is made in a thread, is given up after a time, and few are made at once."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

from fastlane.errors import ArchiveDown

AT_ONCE = 8
"""Calls that are made at the same time, and so threads that may hang."""
THREADS = "archive"
"""The name of these threads."""
PATIENCE = 10.0
"""Seconds that a call may take, beside a second for each ``RATE`` bytes."""
RATE = 1024 * 1024
BLOCK = 256 * 1024
"""Bytes that are copied or read at once."""

T = TypeVar("T")


def time_for(size: int, patience: float) -> float:
    """Seconds that a call may take that moves ``size`` bytes."""
    return patience + size / RATE


class TimedCalls:
    """Makes calls in threads, ``most`` at once. A call that takes too long keeps its thread and its place until it returns; waiting for a
    place counts, too. No thread keeps the process from ending."""

    def __init__(self, most: int) -> None:
        self._places = asyncio.Semaphore(most)

    async def call(self, work: Callable[[], T], seconds: float, what: str) -> T:
        """The result of the work. Raises ArchiveDown, which says ``what``, when there is none in time, and for an OSError."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
                self._start(threading.Thread(target=self._run, args=(loop, work, done), name=THREADS, daemon=True))
                return await done
        except TimeoutError as error:
            raise ArchiveDown(f"{what} did not answer within {seconds:.0f} s") from error
        except OSError as error:
            raise ArchiveDown(f"{what} failed: {error.strerror or error}") from error

    def _start(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError as error:  # too many processes
            self._places.release()
            raise ArchiveDown(f"no thread can be started for the archive: {error}") from error

    def _run(self, loop: asyncio.AbstractEventLoop, work: Callable[[], T], done: "asyncio.Future[T]") -> None:
        result: T | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 (its caller gets it)
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._end, done, result, failure)

    def _end(self, done: "asyncio.Future[T]", result: T | None, failure: Exception | None) -> None:
        self._places.release()
        if done.done():
            return
        if failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(cast(T, result))
