"""Counts the files that one job takes through fastlane: ``python -m tests.support.paths``.

An API and a worker run in this process, on SQLite, a real Redis and the executor that ends at once. For each part of a job's way, it counts
the files of the package in which the body of a function runs:

- enqueue: from the request to its answer;
- claim: from the worker's call of the queue to the activation of the service;
- end: from the end of the container to the removal of its service;
- stop: from the request to the worker's stop of the service.

Each part is taken ``TIMES`` times, and what counts runs each time: so no loop counts that runs meanwhile by chance. A file touches the
datum when one of the functions that run names ``Job`` or ``Execution``, or is a method of these.
"""

import ast
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import click

import fastlane
from fastlane.queue.redis.queue import RedisQueue
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

TIMES = 5
PACKAGE = Path(fastlane.__file__).parent
DATUM = frozenset({"Job", "Execution"})
TOOL = sys.monitoring.PROFILER_ID
STARTS = sys.monitoring.events.PY_START | sys.monitoring.events.PY_RESUME


Function = tuple[str, int]
"""The file of a function, and its first line."""


class Functions:
    """The functions of the package whose bodies run between ``begin`` and ``end``."""

    def __init__(self) -> None:
        self._seen: set[Function] | None = None
        self.taken = asyncio.Event()
        self.found: set[Function] = set()

    def begin(self) -> None:
        """Begins, unless it has begun."""
        if self._seen is None:
            self._seen = set()

    def drop(self) -> None:
        """Forgets what has begun."""
        self._seen = None

    def end(self) -> None:
        """Ends what has begun."""
        if self._seen is not None:
            self.found, self._seen = self._seen, None
            self.taken.set()

    def run(self, code: CodeType, _offset: int) -> None:
        """Notes a function that begins, or goes on after an await. A module's own code is no function's."""
        if self._seen is not None and code.co_name != "<module>" and code.co_filename.startswith(str(PACKAGE)):
            self._seen.add((code.co_filename.removeprefix(f"{PACKAGE}/"), code.co_firstlineno))


@contextmanager
def watched(functions: Functions) -> Iterator[None]:
    """Tells it of all functions that run, in all threads."""
    sys.monitoring.use_tool_id(TOOL, "paths")
    for event in (sys.monitoring.events.PY_START, sys.monitoring.events.PY_RESUME):
        sys.monitoring.register_callback(TOOL, event, functions.run)
    sys.monitoring.set_events(TOOL, STARTS)
    try:
        yield
    finally:
        sys.monitoring.set_events(TOOL, 0)
        sys.monitoring.free_tool_id(TOOL)


def around(owner: Any, name: str, before: Callable[[], None]) -> None:
    """Calls ``before`` at the beginning of each call of a method."""
    real = getattr(owner, name)

    async def call(*arguments: Any, **named: Any) -> Any:
        before()
        return await real(*arguments, **named)

    setattr(owner, name, call)


async def enqueue(server: Fastlane, functions: Functions) -> None:
    functions.begin()
    await server.enqueue(command=["exit", "0"])
    functions.end()


async def claim(server: Fastlane, functions: Functions) -> None:
    begins = [functions.begin]  # only the claims from here on
    around(server.executor, "activate", functions.end)
    real = RedisQueue.claim

    async def call(self: RedisQueue, *arguments: Any, **named: Any) -> Any:
        begins[0]()
        answer = await real(self, *arguments, **named)
        if not answer.leases:
            functions.drop()
        return answer

    RedisQueue.claim = call  # type: ignore[method-assign]
    try:
        await server.enqueue(command=["hold"])
        await functions.taken.wait()
    finally:
        RedisQueue.claim = real  # type: ignore[method-assign]


async def running(server: Fastlane) -> Any:
    reply = await server.enqueue(command=["hold"])

    async def runs() -> bool:
        row = await server.store.execution(reply["executionId"])
        return row is not None and row.status.value == "running"

    await server.until(runs, "it runs")
    await asyncio.sleep(0.3)  # what follows a start is over
    return reply


async def end(server: Fastlane, functions: Functions) -> None:
    reply = await running(server)
    around(server.executor, "remove", functions.end)
    functions.begin()
    server.executor.release(reply["executionId"])
    await functions.taken.wait()


async def stop(server: Fastlane, functions: Functions) -> None:
    reply = await running(server)
    around(server.executor, "stop", functions.end)
    functions.begin()
    await server.post(f"{reply['jobUrl']}stop")
    await functions.taken.wait()


PARTS: tuple[tuple[Callable[[Fastlane, Functions], Awaitable[None]], int], ...] = ((enqueue, 0), (claim, 1), (end, 1), (stop, 1))
"""Each part, and how many workers it takes."""


def touching(file: str) -> set[int]:
    """The first lines of the file's functions that name the datum, or are its methods."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.ClassDef) and node.name in DATUM:
            lines |= {_first_line(one) for one in node.body if isinstance(one, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(_names, ast.walk(node))):
            lines.add(_first_line(node))
    return lines


def _names(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in DATUM


def _first_line(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min(node.lineno for node in (function, *function.decorator_list))


async def functions_of(part: Callable[[Fastlane, Functions], Awaitable[None]], workers: int, redis_url: str) -> set[Function]:
    """The functions that run each time."""
    common: set[Function] | None = None
    with tempfile.TemporaryDirectory() as folder:
        async with Fastlane(Path(folder), redis_url, workers=workers, reconcile=3600) as server:
            for number in range(TIMES + 1):
                functions = Functions()
                with watched(functions):
                    async with asyncio.timeout(60):
                        await part(server, functions)
                if number:  # the first one makes what is made once
                    common = functions.found if common is None else common & functions.found
    return common or set()


async def count() -> None:
    with RealRedis() as redis:
        for part, workers in PARTS:
            functions = await functions_of(part, workers, redis.url)
            files = sorted({file for file, _ in functions})
            touched = {file for file, line in functions if line in touching(file)}
            click.echo(f"{part.__name__}: {len(touched)} files that touch a job or an execution, {len(files)} in all")
            for file in files:
                click.echo(f"  {'*' if file in touched else ' '} {file}")


if __name__ == "__main__":
    asyncio.run(count())
