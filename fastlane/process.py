"""The processes that fastlane runs in: the event loop, signals, garbage collection and limit of open files of one, and groups of several
that serve together (``run_together``).

SIGTERM and SIGINT end it in order. A second one ends it at once. SIGHUP makes it read its pools again; at a terminal, which sends it
when it is closed, SIGHUP ends it.
"""

import asyncio
import ctypes
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

import structlog
import uvloop

log = structlog.get_logger()

SECOND_SIGNAL_EXIT_CODE = 130
STOP = signal.SIGUSR1
"""The signal that a process sends to the processes that it watches. It ends them in order too, but does not count as one of the two
signals, since a supervisor like systemd may signal all of them itself."""
SWITCH_INTERVAL = 0.0001
"""Seconds for which a thread may keep the interpreter. With Python's default of 5 ms, a busy event loop starved the store's threads: single
calls waited 1 to 3 s (measured)."""
YOUNG_OBJECTS = 20_000
"""New objects between two collections of young garbage. With Python's default, 700 or 2,000, a busy worker's event loop spent a sixth of
its time on collections, which find next to nothing, because tasks and rows are freed when their last reference goes (measured)."""

MAX_FILES = 65_536
RESERVED_FILES = 200
"""Open files that are reserved for uses other than client connections."""
MIN_CONNECTIONS = 50


class Reloadable(Protocol):
    """The parts that run in the process."""

    async def reload(self) -> None:
        """Reads the pools again. Never raises."""


def run(parts: AbstractAsyncContextManager[Reloadable]) -> int:
    """Opens ``parts`` in a new event loop, and closes them when a signal comes, even while they are being opened. Returns the exit code."""

    async def until_signal() -> None:
        stop, signalled, hang_up, opened = (asyncio.Event() for _ in range(4))
        main = asyncio.current_task()

        def on_signal(number: int) -> None:
            if number != STOP:
                if signalled.is_set():
                    os._exit(SECOND_SIGNAL_EXIT_CODE)
                signalled.set()
            if stop.is_set():
                return
            log.info("process.stopping", signal=signal.Signals(number).name)
            stop.set()
            if main is not None and not opened.is_set():
                main.cancel()

        for number in (signal.SIGTERM, signal.SIGINT, STOP):
            asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
        loop = asyncio.get_running_loop()
        if sys.stderr is not None and sys.stderr.isatty():
            loop.add_signal_handler(signal.SIGHUP, on_signal, signal.SIGHUP)
        else:
            loop.add_signal_handler(signal.SIGHUP, hang_up.set)
        async with parts as running:
            opened.set()
            freeze_loaded()
            reloading = asyncio.create_task(_reload_again(running, hang_up), name="reload")
            await stop.wait()
            reloading.cancel()
            await asyncio.gather(reloading, return_exceptions=True)

    tune_interpreter()
    with suppress(asyncio.CancelledError):
        uvloop.run(until_signal())
    return 0


def tune_interpreter() -> None:
    """Sets how long a thread keeps the interpreter while others wait for it, and how often garbage is collected."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(YOUNG_OBJECTS)


def freeze_loaded() -> None:
    """Leaves everything that a process has loaded by its start out of garbage collections. A full collection looked at 120,000 objects and
    stopped the event loop for 83 ms; without them it takes 5 ms (measured, while lists of 1,000 jobs were read)."""
    gc.collect()
    gc.freeze()
    give_back_memory()


def give_back_memory() -> None:
    """Gives freed memory back to the kernel, where the C library is glibc; elsewhere it does nothing. Imports leave 10 MiB of it between
    what stays, which malloc gives back only from the end of the heap (measured, Debian 13)."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


async def _reload_again(running: Reloadable, hang_up: asyncio.Event) -> None:
    while True:
        await hang_up.wait()
        hang_up.clear()
        await running.reload()


def connection_limit() -> int:
    """How many client connections this process can hold, after raising its limit of open files as far as the system allows."""
    return max(MIN_CONNECTIONS, _raise_file_limit() - RESERVED_FILES)


def _raise_file_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS enforces a lower limit than the one it reports
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return MAX_FILES if soft == resource.RLIM_INFINITY else soft


ENDS = frozenset({signal.SIGTERM, signal.SIGINT})
WATCHED = ENDS | {signal.SIGCHLD, signal.SIGHUP}
PR_SET_PDEATHSIG = 1
MIN_LIFE = 1.0
"""Seconds from the start of a process to the earliest start of one in its place."""
BUG_EXIT_CODE = 1

Work = Callable[[int], int]
"""Runs the process of this number, counted from 0; returns its exit code."""


def run_together(count: int, work: Work) -> int:
    """Starts ``count`` processes, and returns the exit code when all have ended. SIGTERM and SIGINT end them in order, a second
    one at once; SIGHUP is passed on to them.

    A process that was ended from outside (``kill``, too little memory) is replaced. When one ends by itself with an error, which it has
    reported, the others are ended too. Call this before the process has threads or an event loop.
    """
    return _Group(count, work).run()


class _Group:
    def __init__(self, count: int, work: Work) -> None:
        self._count = count
        self._work = work
        self._running: dict[int, tuple[int, float]] = {}
        self._ending = False
        self._code = 0

    def run(self) -> int:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        try:
            for number in range(self._count):
                self._start(number)
            while self._running:
                came = signal.Signals(signal.sigwait(WATCHED))
                if came is not signal.SIGCHLD:
                    self._pass_on(came)
                self._collect()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self._code

    def _start(self, number: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            _become(number, self._work, parent)
        self._running[pid] = (number, time.monotonic())

    def _pass_on(self, number: signal.Signals) -> None:
        passed = number
        if number in ENDS:
            passed = signal.SIGKILL if self._ending else STOP
            self._code = SECOND_SIGNAL_EXIT_CODE if self._ending else self._code
            self._ending = True
        for pid in self._running:  # none is collected yet, so each id is its own
            os.kill(pid, passed)

    def _collect(self) -> None:
        """Notes all processes that have ended. The first process of a container collects other processes' children as well."""
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid in self._running:
                self._ended(pid, os.waitstatus_to_exitcode(status))

    def _ended(self, pid: int, code: int) -> None:
        number, started = self._running.pop(pid)
        if self._ending:
            stopped_early = code == -STOP  # before it could listen
            self._code = self._code or (0 if stopped_early else abs(code))
        elif code > 0:
            self._pass_on(signal.SIGTERM)
            self._code = code
        elif not signal.sigpending() & ENDS:
            log.warning("process.replaced", number=number, ended_by=signal.Signals(-code).name if code else None)
            time.sleep(max(0.0, started + MIN_LIFE - time.monotonic()))
            self._start(number)


def _become(number: int, work: Work, parent: int) -> None:
    """Makes this process one of the group. Never returns."""
    code = BUG_EXIT_CODE
    try:
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches only the parent, which passes it on: twice would end this process at once
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, STOP, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        if os.getppid() == parent:
            code = work(number)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else BUG_EXIT_CODE
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
