"""Several processes that do the same work, and the one that started them, which only watches them.

They share what was made before they started, above all the sockets that they serve on: the system gives each new connection to one of them.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

WATCHED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
PR_SET_PDEATHSIG = 1
MIN_LIFE = 1.0
"""Seconds from the start of a process to the earliest start of one in its place."""
BUG_EXIT_CODE = 1

Work = Callable[[int], int]
"""What the process of this number does, from 0; returns its exit code."""


def run_together(count: int, work: Work) -> int:
    """Starts so many processes, and returns the exit code when all have ended. Passes SIGTERM, SIGINT and SIGHUP on to them.

    A process that a signal ended (``kill -9``, too little memory) is replaced. When one ends by itself, with an error that it has told, the
    others are told to end too. Call this before the process has threads or an event loop.
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
        self._ending = self._ending or number is not signal.SIGHUP
        for pid in self._running:
            os.kill(pid, number)  # it is not collected yet, so the id is its own

    def _collect(self) -> None:
        """Takes note of all processes that have ended. The first of a container collects those of others as well."""
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid in self._running:
                self._ended(pid, os.waitstatus_to_exitcode(status))

    def _ended(self, pid: int, code: int) -> None:
        number, started = self._running.pop(pid)
        if self._ending:
            self._code = self._code or abs(code)
        elif code < 0:
            log.warning("process.replaced", number=number, ended_by=signal.Signals(-code).name)
            time.sleep(max(0.0, started + MIN_LIFE - time.monotonic()))
            self._start(number)
        elif code > 0:
            self._code = code
            self._pass_on(signal.SIGTERM)


def _become(number: int, work: Work, parent: int) -> None:
    """Makes this process one of the group. Never returns."""
    code = BUG_EXIT_CODE
    try:
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches only the parent, which passes it on: twice would end this process at once
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        if os.getppid() == parent:
            code = work(number)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else BUG_EXIT_CODE
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
