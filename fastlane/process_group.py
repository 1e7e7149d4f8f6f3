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

from fastlane.process import SECOND_SIGNAL_EXIT_CODE, STOP

log = structlog.get_logger()

ENDS = frozenset({signal.SIGTERM, signal.SIGINT})
WATCHED = ENDS | {signal.SIGCHLD, signal.SIGHUP}
PR_SET_PDEATHSIG = 1
MIN_LIFE = 1.0
"""Seconds from the start of a process to the earliest start of one in its place."""
BUG_EXIT_CODE = 1

Work = Callable[[int], int]
"""What the process of this number does, from 0; returns its exit code."""


def run_together(count: int, work: Work) -> int:
    """Starts so many processes, and returns the exit code when all have ended. SIGTERM and SIGINT end them in order, a second
    one at once; SIGHUP is passed on to them.

    A process that someone else ended (``kill``, too little memory) is replaced. When one ends by itself, with an error that it has told,
    the others are told to end too. Call this before the process has threads or an event loop.
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
            was_told_early = code == -STOP  # before it could listen
            self._code = self._code or (0 if was_told_early else abs(code))
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
