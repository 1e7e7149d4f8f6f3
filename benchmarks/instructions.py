"""How many instructions of the processor a job costs in fastlane's own processes, counted by Valgrind (callgrind).

The process starts uncounted, since counting makes it some fifty times as slow, and is warm before it is counted. Its own time stands still
(``counted_process``), and requests and jobs come one after another. So a count hardly depends on the machine or on its load; it does depend
on the version of Python and on the kind of processor.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import uvloop

from benchmarks.dispatch import POOL, accepted
from benchmarks.enqueue import BODY
from benchmarks.processes import settings_for, started
from fastlane.queue.port import execution_entry
from fastlane.queue.redis.queue import RedisQueue
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.ports import free_port
from tests.support.redis import RealRedis

WARM_UP, COUNTED_WARM_UP, JOBS = 60, 5, 40
PATIENCE = 60.0
VALGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no")
ALIKE = {"PYTHONHASHSEED": "0", "UV_USE_IO_URING": "0"}
"""The same order of sets in each run; and no system call that Valgrind does not know."""


class Counter:
    """Counts the instructions of a process that callgrind runs, which writes to this folder."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid = pid
        self._folder = folder

    def restart(self) -> None:
        """Counts from zero, from now on."""
        self._tell("instrumentation", "on")
        self._tell("zero")

    def total(self) -> int:
        """How many there were."""
        self._tell("dump")
        newest = max(self._folder.glob("counts.*"), key=lambda path: path.stat().st_mtime_ns)
        (line,) = [line for line in newest.read_text().splitlines() if line.startswith("totals:")]
        return int(line.split()[1])

    def _tell(self, *words: str) -> None:
        subprocess.run(["vgdb", f"--pid={self._pid}", *words], capture_output=True, timeout=PATIENCE, check=True)


def count() -> dict[str, int]:
    """The instructions of an enqueue, and those from an entry in the queue until its execution is settled and clean. Of both processes at
    once: there are two processors at least."""
    with ThreadPoolExecutor() as pool:
        enqueue, others = pool.submit(_of_enqueue), pool.submit(uvloop.run, _of_dispatch_and_end())
        return {"enqueue": enqueue.result(), "dispatch and end": others.result()}


def _of_enqueue() -> int:
    port = free_port()
    with _counted("api", FASTLANE_PORT=str(port), FASTLANE_LISTEN="127.0.0.1") as (counter, _):
        with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            for times in (WARM_UP, COUNTED_WARM_UP, JOBS):
                if times != WARM_UP:
                    counter.restart()
                for _ in range(times):
                    connection.request("POST", "/tasks/bench", BODY)
                    answer = connection.getresponse()
                    answer.read()
                    assert answer.status == 200
        return counter.total() // JOBS


async def _of_dispatch_and_end() -> int:
    with _counted("worker") as (counter, settings):
        store = SqliteStore(Path(settings["FASTLANE_DATA_DIR"]) / "fastlane.db")
        queue = RedisQueue(settings["FASTLANE_REDIS_URL"], settings["FASTLANE_INSTALLATION"])
        await store.open()
        await queue.open()
        try:
            for times in (WARM_UP, COUNTED_WARM_UP, JOBS):
                if times != WARM_UP:
                    counter.restart()
                for execution in await accepted(store, times):
                    await queue.put([execution_entry(execution, [POOL])])
                    await _until_clean(store, execution.id)
            return counter.total() // JOBS
        finally:
            await queue.close()
            await store.close()


async def _until_clean(store: SqliteStore, execution_id: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not ((row := await store.execution(execution_id)) and row.settled and row.cleaned):
        if time.monotonic() > give_up:
            raise TimeoutError(f"a job did not end within {PATIENCE:g} s")
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def _counted(role: str, **variables: str) -> Iterator[tuple[Counter, dict[str, str]]]:
    """What counts the instructions of a process of that role, and the process's settings."""
    with tempfile.TemporaryDirectory() as name, RealRedis() as redis:
        folder = Path(name)
        settings = {**settings_for(folder, redis.url), **ALIKE, **variables, "FASTLANE_LOG_FORMAT": "console"}
        command = [*VALGRIND, f"--callgrind-out-file={folder / 'counts'}", sys.executable, "-m", "benchmarks.counted_process", role]
        with started(command, settings) as (process, said):
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"{role} did not start: {said.read_text()[-2000:]}")
            yield Counter(process.pid, folder), settings
