"""The process that fastlane runs in: its event loop, its signals, and how many files it may open.

SIGTERM and SIGINT end it in order. A second one ends it at once. SIGHUP makes it read its pools again; at a terminal, which sends it
when it is closed, SIGHUP ends it.
"""

import asyncio
import gc
import os
import resource
import signal
import sys
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

import structlog
import uvloop

log = structlog.get_logger()

SECOND_SIGNAL_EXIT_CODE = 130
STOP = signal.SIGUSR1
"""What a process sends those that it watches: it ends them in order as well, and does not count. A supervisor such as systemd signals them
all by itself, too."""
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
    """What runs in the process."""

    async def reload(self) -> None:
        """Reads the pools again. Never raises."""


def run(parts: AbstractAsyncContextManager[Reloadable]) -> int:
    """Opens ``parts`` in a new event loop, and closes them when a signal comes, also while they are still being opened. Returns the exit
    code."""

    async def until_signal() -> None:
        stop, told, hang_up, opened = (asyncio.Event() for _ in range(4))
        main = asyncio.current_task()

        def on_signal(number: int) -> None:
            if number != STOP:
                if told.is_set():
                    os._exit(SECOND_SIGNAL_EXIT_CODE)
                told.set()
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
    """Leaves all that a process has loaded by its start out of garbage collections. A full one looked at 120,000 objects, in which the
    event loop stood still for 83 ms; without them it takes 5 (measured, while lists of 1,000 jobs were read)."""
    gc.collect()
    gc.freeze()


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
