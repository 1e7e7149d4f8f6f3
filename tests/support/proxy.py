"""A proxy before a unix socket that a test starts, stops, and makes silent: a host that goes away, comes back, or hangs."""

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any


class Proxy:
    """Passes on to ``target`` what comes to the socket at ``path``."""

    def __init__(self, path: Path, target: str) -> None:
        self.url = f"unix://{path}"
        self._path = path
        self._target = target.removeprefix("unix://")
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def start(self) -> None:
        """Listens."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, str(self._path))

    async def stop(self) -> None:
        """Cuts every connection and listens no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._path.unlink(missing_ok=True)
        await self.cut()

    async def cut(self) -> None:
        """Cuts every connection that is there now."""
        passing, writers = list(self._passing), list(self._writers)
        for task in passing:
            task.cancel()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*passing, *(writer.wait_closed() for writer in writers), return_exceptions=True)
        self._writers.difference_update(writers)

    def hang(self) -> None:
        """Takes connections and bytes, and passes on nothing."""
        self._flowing.clear()

    def flow(self) -> None:
        """Ends a hang."""
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._begin(self._connect(reader, writer))

    def _begin(self, way: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(way)
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._target)
        self._writers.add(back)
        self._begin(self._copy(there, writer))
        await self._copy(reader, back)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(sink):
            while data := await source.read(65536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
