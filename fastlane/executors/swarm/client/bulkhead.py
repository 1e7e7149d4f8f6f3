"""A bulkhead: a small pool of threads for one host's blocking calls, so that a host that hangs cannot use up another's threads.

Its threads are daemons: one that hangs in a call does not keep the process from ending. (Those of ``concurrent.futures`` are
joined when the interpreter ends.)
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from fastlane.errors import FastlaneError

T = TypeVar("T")
log = structlog.get_logger()


class BulkheadFull(Exception):
    """The call was not made: too many calls wait, or no thread became free in time."""


class BlockingCall:
    """One call and the future of its answer. A call that is ``abandoned`` before it began is never made."""

    def __init__(self, call: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.begun = False
        self.abandoned = False

    def settle(self, answer: Any, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(answer)
        else:
            self.future.set_exception(error)


class Bulkhead:
    """Makes at most ``threads`` calls at once, while at most ``waiting`` more wait. For use from one event loop."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._name = name
        self._most = threads
        self._limit = threads + waiting
        self._accepted = 0
        self._calls: queue.SimpleQueue[BlockingCall | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    async def run(self, call: Callable[[], T], deadline: float) -> T:
        """What the call returns or raises. Raises TimeoutError when it takes longer than ``deadline`` seconds with its wait (its thread
        then goes on until the call ends by itself), and BulkheadFull when the call never began."""
        if self._accepted >= self._limit:
            raise BulkheadFull(f"{self._accepted} calls are under way")
        pending = BlockingCall(call, asyncio.get_running_loop())
        self._accept(pending)
        try:
            async with asyncio.timeout(deadline):  # on Python 3.11 wait_for swallows a cancellation that comes with the answer
                answer: T = await pending.future
        except TimeoutError:
            if not pending.begun:
                raise BulkheadFull(f"no thread became free within {deadline:g} s") from None
            raise
        finally:
            pending.abandoned = True
        return answer

    def _accept(self, pending: BlockingCall) -> None:
        self._accepted += 1
        self._calls.put(pending)
        if len(self._threads) < min(self._most, self._accepted):
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (pending := self._calls.get()) is not None:
            answer: Any = None
            error: Exception | None = None
            pending.begun = not pending.abandoned
            try:
                answer = None if pending.abandoned else pending.call()
            except FastlaneError as raised:
                error = raised
            except Exception as raised:
                log.exception("bulkhead.call_raised", bulkhead=self._name)
                error = raised
            if not self._answer(pending, answer, error):
                return

    def _answer(self, pending: BlockingCall, answer: Any, error: Exception | None) -> bool:
        def settle() -> None:
            self._accepted -= 1
            pending.settle(answer, error)

        try:
            pending.loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop has ended, so no caller waits for the answer
            return False
        return True

    async def close(self, patience: float = 1.0) -> None:
        """Ends the threads. One that still hangs in a call after ``patience`` seconds ends with its call."""
        for _ in self._threads:
            self._calls.put(None)
        await asyncio.to_thread(self._join, time.monotonic() + patience)

    def _join(self, until: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
