"""A relay before a server, on a unix socket or TCP: a test ends its listening, cuts or silences its connections, or takes parts out of
what passes. So a host goes away, comes back, hangs, or loses an answer (``tests/support/lost_answers.py``)."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

Filter = Callable[[bytes], bytes | None]
"""Given some bytes of one direction, says what to pass on; None cuts the connection, and ``Last`` does after these bytes."""

Filters = Callable[[], tuple[Filter, Filter]]
"""Makes the filters of a new connection: of what the client sends, and of what it gets."""

Target = str | int | tuple[str, int]
"""``unix://PATH``, a port of this machine, or an address and a port."""

UNIX = "unix://"
DRIP = 0.05
"""Seconds between two bytes of a connection that drips."""

TURNS = 10
"""Turns of the event loop between the removal of the socket's file and the end of the server: asyncio leaks a connection whose server
closes just as it is accepted."""


class Last(bytes):
    """The last bytes that pass."""


def unfiltered() -> tuple[Filter, Filter]:
    """Passes on everything."""
    return bytes, bytes


class Relay:
    """Passes on to ``target`` what comes to ``place``, which is ``unix://PATH`` or a port of this machine; port 0 takes any that is free,
    and keeps it. Used as an async context manager, or by ``start`` and ``stop``."""

    def __init__(self, place: str | int, target: Target, filters: Filters = unfiltered) -> None:
        self.place = place
        self._target = target
        self._filters = filters
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.drips = False
        """Whether it passes on answers one byte at a time, slowly."""
        self.delay = 0.0
        """Seconds for which it holds back whatever it has read."""

    async def __aenter__(self) -> "Relay":
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens."""
        self._unlink()
        if isinstance(self.place, str):
            self._server = await asyncio.start_unix_server(self._accept, self.place.removeprefix(UNIX))
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.place)
            self.place = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening and cuts every connection."""
        self._unlink()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Cuts every connection that is open now."""
        tasks, writers = list(self._tasks), list(self._writers)
        for task in tasks:
            task.cancel()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks, *(writer.wait_closed() for writer in writers), return_exceptions=True)
        self._writers.difference_update(writers)

    def hang(self) -> None:
        """Goes on taking connections and bytes, and passes on nothing."""
        self._flowing.clear()

    def flow(self) -> None:
        """Ends a hang."""
        self._flowing.set()

    def _unlink(self) -> None:
        if isinstance(self.place, str):
            Path(self.place.removeprefix(UNIX)).unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._begin(self._connect(reader, writer))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        sent, got = self._filters()
        self._begin(self._copy(there, writer, got, (writer, back), answers=True))
        await self._copy(reader, back, sent, (writer, back))

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target.removeprefix(UNIX))
        return await asyncio.open_connection(*(self._target if isinstance(self._target, tuple) else ("127.0.0.1", self._target)))

    async def _copy(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        filter: Filter,
        sides: tuple[asyncio.StreamWriter, ...],
        *,
        answers: bool = False,
    ) -> None:
        with contextlib.suppress(OSError), contextlib.closing(sink):
            while data := await source.read(65_536):
                await self._flowing.wait()
                await asyncio.sleep(self.delay)
                passed = filter(data)
                for part in [bytes([byte]) for byte in passed or b""] if self.drips and answers else [passed or b""]:
                    sink.write(part)
                    await sink.drain()
                    await asyncio.sleep(DRIP if self.drips else 0)
                if passed is None or isinstance(passed, Last):
                    for side in sides:
                        if side is not sink or passed is None:
                            side.transport.abort()
                    return


class ThreadRelay:
    """A ``Relay`` with an event loop of its own, for tests without one. Used as a context manager."""

    def __init__(self, place: Path | int, target: Target) -> None:
        self._relay = Relay(place if isinstance(place, int) else f"{UNIX}{place}", target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Its socket or, once it listens, its address and port."""
        return self._relay.place if isinstance(self._relay.place, str) else f"127.0.0.1:{self._relay.place}"

    def __enter__(self) -> "ThreadRelay":
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self.cut()  # what was accepted while it stopped
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def start(self) -> None:
        """Listens."""
        self._do(self._relay.start())

    def stop(self) -> None:
        """Stops listening and cuts every connection."""
        self._do(self._relay.stop())

    def cut(self) -> None:
        """Cuts every connection; new ones go through."""
        self._do(self._relay.cut())

    def hang(self) -> None:
        """Passes on nothing."""
        self._loop.call_soon_threadsafe(self._relay.hang)

    def flow(self) -> None:
        """Ends a hang."""
        self._loop.call_soon_threadsafe(self._relay.flow)

    def slow(self, seconds: float) -> None:
        """Holds back for so long whatever it reads from now on."""
        self._relay.delay = seconds

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
