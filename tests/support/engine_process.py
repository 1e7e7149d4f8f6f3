"""The executor that ends at once, in a process of its own: an engine that several workers share, and that outlives each of them.

``python -m tests.support.engine_process SOCKET WITNESS HOST…`` is that process: it writes the id of each execution that starts into the
file WITNESS, one line a start. A start and what comes before it takes it a moment, as it takes a real one: so a worker that dies has
left many of them half done. ``SharedExecutor`` is a worker's way to it, ``EngineProcess`` a test's.
"""

import asyncio
import contextlib
import itertools
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import uvloop

from fastlane.errors import FastlaneError
from fastlane.executors.port import Activation, ClusterSnapshot, EngineService, EngineTask, Image, Order, ServiceTemplate
from fastlane.models.host import HostView
from fastlane.models.log import Mark, Portion
from fastlane.models.pool import KnownHost, Pull
from tests.support.instant import InstantExecutor
from tests.support.waiting import wait_until

LENGTH = 4
SLOW = {"park", "activate"}
MOMENT = 0.05
"""Seconds that a slow call waits before it is carried out, and again before it is answered."""
PATIENCE = 30.0
"""Seconds for which a call of the engine may wait; it is never paused, but a machine may be busy."""


async def read(reader: asyncio.StreamReader) -> Any:
    """The next message."""
    length = int.from_bytes(await reader.readexactly(LENGTH), "big")
    return pickle.loads(await reader.readexactly(length))


def write(writer: asyncio.StreamWriter, message: object) -> None:
    """Sends one message."""
    data = pickle.dumps(message)
    writer.write(len(data).to_bytes(LENGTH, "big") + data)


class SharedExecutor:
    """An ``Executor`` whose services live in the engine's process at ``path``. A log is not followed beyond what it has already."""

    def __init__(self, path: str, hosts: Sequence[str]) -> None:
        self._path = path
        self._views = [HostView(name, usable=True, swarm_id=f"swarm of {name}") for name in hosts]
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def open(self) -> None:
        """Connects."""
        reader, self._writer = await asyncio.open_unix_connection(self._path)
        self._reading = asyncio.create_task(self._read(reader), name="engine")

    async def close(self) -> None:
        """Ends the connection."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Its hosts never change."""

    def hosts(self) -> Sequence[HostView]:
        return self._views

    async def use_hosts(self, hosts: Sequence[KnownHost]) -> None:
        """Its hosts never change."""

    async def resolve(self, host: str, image: str, pull: Pull) -> Image:
        answer: Image = await self._call("resolve", host, image, pull)
        return answer

    async def service_template(self, host: str, name: str) -> ServiceTemplate:
        answer: ServiceTemplate = await self._call("service_template", host, name)
        return answer

    async def park(self, host: str, order: Order, image: Image) -> str:
        answer: str = await self._call("park", host, order, image)
        return answer

    async def activate(self, host: str, service_id: str) -> Activation:
        answer: Activation = await self._call("activate", host, service_id)
        return answer

    async def stop(self, host: str, service_id: str, why: str = "") -> None:
        await self._call("stop", host, service_id, why)

    async def inspect(self, host: str, service_id: str) -> EngineService:
        answer: EngineService = await self._call("inspect", host, service_id)
        return answer

    def just_activated(self, host: str, service_id: str) -> EngineService | None:
        """It remembers nothing."""
        return None

    async def detail(self, host: str, task: EngineTask) -> EngineTask | None:
        answer: EngineTask | None = await self._call("detail", host, task)
        return answer

    async def snapshot(self, watched: Collection[str] | None = None) -> ClusterSnapshot:
        answer: ClusterSnapshot = await self._call("snapshot")
        return answer

    async def services(self, host: str) -> Sequence[EngineService]:
        answer: Sequence[EngineService] = await self._call("services", host)
        return answer

    async def remove(self, host: str, service_id: str) -> None:
        await self._call("remove", host, service_id)

    async def logs(self, host: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool) -> AsyncGenerator[Portion, None]:
        for portion in await self._call("logs", host, task_id, dict(marks)):
            yield portion
        if follow:
            await asyncio.Event().wait()

    async def _call(self, verb: str, *arguments: object) -> Any:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        write(self._writer, (number, verb, arguments))
        try:
            return await asyncio.wait_for(self._waiting[number], PATIENCE)
        finally:
            del self._waiting[number]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            number, answer, error = await read(reader)
            waiting = self._waiting.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer) if error is None else waiting.set_exception(error)


class EngineProcess:
    """The engine's process. Used as a context manager."""

    def __init__(self, folder: Path, *hosts: str) -> None:
        self.socket = folder / "engine"
        self.option = f"instant:{self.socket}"
        """The ``ProcessOptions.executor`` of a worker on it."""
        self._witness = folder / "starts"
        self._hosts = hosts
        self._log = folder / "engine.log"

    def __enter__(self) -> "EngineProcess":
        command = [sys.executable, "-m", "tests.support.engine_process", str(self.socket), str(self._witness), *self._hosts]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=output, stderr=output)
        wait_until(self.socket.exists, "the engine's socket")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def starts(self) -> Counter[str]:
        """How often each execution has started."""
        return Counter(self._witness.read_text().split()) if self._witness.exists() else Counter()

    def services(self) -> list[str]:
        """The services that are still there."""
        return asyncio.run(self._services())

    async def _services(self) -> list[str]:
        executor = SharedExecutor(str(self.socket), self._hosts)
        await executor.open()
        found = [service.id for host in self._hosts for service in await executor.services(host)]
        await executor.close()
        return found


async def serve(path: str, witness: str, hosts: Sequence[str]) -> None:
    """Answers forever."""
    executor = InstantExecutor(hosts, witness=Path(witness))
    tasks: set[asyncio.Task[None]] = set()

    async def carry(verb: str, arguments: Sequence[Any]) -> Any:
        if verb == "logs":
            return [portion async for portion in executor.logs(*arguments, follow=False)]
        return await getattr(executor, verb)(*arguments)

    async def answer(writer: asyncio.StreamWriter, number: int, verb: str, arguments: Sequence[Any]) -> None:
        await asyncio.sleep(MOMENT if verb in SLOW else 0)
        found: tuple[int, Any, FastlaneError | None]
        try:
            found = (number, await carry(verb, arguments), None)
        except FastlaneError as error:
            found = (number, None, error)
        await asyncio.sleep(MOMENT if verb in SLOW else 0)
        write(writer, found)

    def begin(work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                begin(answer(writer, *await read(reader)))
        writer.close()

    server = await asyncio.start_unix_server(lambda reader, writer: begin(client(reader, writer)), path)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2], sys.argv[3:]))
