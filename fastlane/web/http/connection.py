"""Keeps track of a server's requests and connections. ``ActiveRequests`` lets a closing server wait for the requests under way.
``HeldMemory`` bounds what all connections hold together: heads that are not complete, bodies, and answers that their clients do not take.
``RequestBody`` receives a body within it. ``ListTurns`` lets a few lists be made at once. ``ClientDeadlines`` closes connections whose
clients are too slow, and ``Heartbeats`` calls functions at regular intervals.
"""

import asyncio
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from tornado.http1connection import HTTP1ServerConnection
from tornado.iostream import IOStream, SSLIOStream

log = structlog.get_logger()


class ActiveRequests:
    """The requests under way, so that a server can wait for them before it closes."""

    def __init__(self) -> None:
        self._handlers: set[object] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._handlers)

    def add(self, handler: object) -> None:
        """Adds a request."""
        self._handlers.add(handler)
        self._idle.clear()

    def discard(self, handler: object) -> None:
        """Removes a request that is answered or abandoned."""
        self._handlers.discard(handler)
        if not self._handlers:
            self._idle.set()

    async def wait_until_idle(self, seconds: float) -> None:
        """Returns when no request is under way, or after that many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()


DRAIN_LIMIT = 64 * 1024 * 1024
"""Unread request bodies are drained up to this size, in bytes; then the connection is closed."""
UNCOUNTED = 16 * 1024
"""The first bytes of each body do not count against the shared memory, so an ordinary job, which is far smaller, is always accepted."""
MAX_HELD = 96 * 1024 * 1024
"""Bytes that all connections may hold: the parts of heads and bodies that have arrived, and the parts of answers that were not taken."""
BODIES = 3 / 4
"""The part of it that bodies may have, so that they leave room for heads and answers."""
NOT_COUNTED = 4 * 1024
"""What a connection holds of heads and answers counts when it is more than this, which most requests are not."""


LOG_EVERY = 1.0
"""Seconds, at least, between two log lines about connections that were closed to make room."""


class HeldMemory:
    """What connections hold, each for its owner. ``held`` is all of it and ``bodies`` the part of bodies, in bytes.

    A body is refused when its owner would hold more than is then left for the bodies of others. A head or an answer cannot be refused: when
    the sum is too large, the owner of most of it loses the connection that holds the most. An answer that is alone may be of any size.
    """

    def __init__(self) -> None:
        self.held = 0
        self.bodies = 0
        self._buffered: dict[IOStream, int] = {}
        self._bodies_of: Counter[IOStream] = Counter()
        self._of_owner: Counter[object] = Counter()
        self._owners: weakref.WeakKeyDictionary[IOStream, str] = weakref.WeakKeyDictionary()
        self._closed, self._logged = 0, float("-inf")

    def watch(self, stream: IOStream, owner: str | None) -> None:
        """Counts what a new connection holds. ``owner``: whose it is; None: its own, where several may share an address."""
        if owner is not None:
            self._owners[stream] = owner
        stream.__class__ = CountedSslStream if isinstance(stream, SSLIOStream) else CountedStream
        vars(stream)["memory"] = self

    def set_owner(self, stream: IOStream | None, owner: str | None) -> None:
        """Says whose request a connection has now. (Tornado has None for one that was given away.)"""
        if stream is None or self._owners.get(stream) == owner:
            return
        size = self._buffered.get(stream, 0) + self._bodies_of[stream]
        self._add(stream, -size)
        if owner is None:
            self._owners.pop(stream, None)
        else:
            self._owners[stream] = owner
        self._add(stream, size)

    def count(self, stream: IOStream, size: int) -> None:
        """Notes what a connection holds of heads and answers now, in bytes."""
        before = self._buffered.get(stream, 0)
        now = size if size > NOT_COUNTED else 0
        if now == before:
            return
        if now:
            self._buffered[stream] = now
        else:
            del self._buffered[stream]
        self._add(stream, now - before)
        if now > before:
            self._make_room(stream)

    def reserve(self, stream: IOStream | None, size: int) -> bool:
        """Takes more for the body of a connection's request; False when there is not enough left for its owner."""
        left = MAX_HELD * BODIES - self.bodies - size
        owner = None if stream is None else self._owners.get(stream)
        if left < 0 or (owner is not None and self._of_owner[owner] + size > left):
            return False
        self.bodies += size
        if stream is None:
            self.held += size
        else:
            self._bodies_of[stream] += size
            self._add(stream, size)
            self._make_room(stream)
        return True

    def release(self, stream: IOStream | None, size: int) -> None:
        """Gives back what a body had."""
        if stream is None:
            self.held -= size
        else:
            size = min(size, self._bodies_of[stream])  # less when the connection was closed to make room
            self._take_body(stream, size)
        self.bodies -= size

    def _take_body(self, stream: IOStream, size: int) -> None:
        self._bodies_of[stream] -= size
        if not self._bodies_of[stream]:
            del self._bodies_of[stream]
        self._add(stream, -size)

    def _add(self, stream: IOStream, more: int) -> None:
        owner = self._owners.get(stream, stream)
        self.held += more
        self._of_owner[owner] += more
        if not self._of_owner[owner]:
            del self._of_owner[owner]

    def _make_room(self, current: IOStream) -> None:
        while self.held > MAX_HELD and len(self._buffered.keys() | self._bodies_of.keys()) > 1:
            self._close_one(current)

    def _close_one(self, current: IOStream) -> None:
        """Closes a connection: at once, unless it is the current one, which is being read or written."""
        ((owner, _),) = self._of_owner.most_common(1)
        mine = [one for one in self._buffered.keys() | self._bodies_of.keys() if self._owners.get(one, one) == owner]
        largest = max(mine, key=lambda one: self._buffered.get(one, 0) + self._bodies_of[one])
        self._add(largest, -self._buffered.pop(largest, 0))
        if body := self._bodies_of[largest]:
            self.bodies -= body
            self._take_body(largest, body)
        loop = asyncio.get_running_loop()
        self._closed += 1
        if loop.time() >= self._logged + LOG_EVERY:
            log.warning("http.memory_full", owner=owner if isinstance(owner, str) else None, closed=self._closed)
            self._logged, self._closed = loop.time(), 0
        if largest is current:
            loop.call_soon(largest.close)
        else:
            largest.close()


class RequestBody:
    """Receives one request's body. With a ``limit`` (in bytes) it keeps the body; without one it only drains it. ``stream`` is its
    connection, and ``find_owner`` tells whose it is, as in ``HeldMemory``.

    ``data`` is what was kept so far. ``out_of_memory`` says that a part is missing because other requests use the shared memory.
    """

    __slots__ = ("_find_owner", "_limit", "_memory", "_received", "_reserved", "_stream", "data", "out_of_memory")

    def __init__(
        self, memory: HeldMemory, limit: int | None, stream: IOStream | None = None, find_owner: Callable[[], str | None] = lambda: None
    ) -> None:
        self._memory = memory
        self._limit = limit
        self._stream = stream
        self._find_owner = find_owner
        self._received = 0
        self._reserved = 0
        self.data = bytearray()
        self.out_of_memory = False

    @property
    def too_large(self) -> bool:
        """Whether more than the limit has arrived."""
        return self._limit is not None and self._received > self._limit

    @property
    def undrainable(self) -> bool:
        """Whether the body is larger than ``DRAIN_LIMIT``: the connection is then closed instead of drained."""
        return self._received > DRAIN_LIMIT

    def exceeds_limit(self, content_length: str) -> bool:
        """Whether a body announced with this Content-Length is larger than the limit."""
        is_number = content_length.isascii() and content_length.isdigit()
        return self._limit is not None and is_number and int(content_length[:20]) > self._limit

    def receive(self, chunk: bytes) -> None:
        """Counts a chunk, and keeps it if the limit and the shared memory allow."""
        self._received += len(chunk)
        if self._limit is not None and not self.too_large and self._reserve():
            self.data.extend(chunk)

    def release(self) -> None:
        """Gives the shared memory back. Safe to repeat."""
        if self._reserved:
            self._memory.release(self._stream, self._reserved)
        self._reserved = 0

    def _reserve(self) -> bool:
        if self.out_of_memory:
            return False
        more = max(0, self._received - UNCOUNTED) - self._reserved
        if more > 0 and self._reserved == 0:
            self._memory.set_owner(self._stream, self._find_owner())
        if more > 0 and not self._memory.reserve(self._stream, more):
            self.out_of_memory = True
            return False
        self._reserved += max(0, more)
        return True


class CountedStream(IOStream):
    """A connection whose buffers are counted."""

    memory: HeldMemory
    answer = 0
    """Bytes of an answer that is not taken whole: they are free together, at its end."""

    def holds(self, answer: bytes, written: "asyncio.Future[None]") -> None:
        """Counts all of an answer until it is written."""
        self.answer = len(answer)
        self._count(0)
        written.add_done_callback(self._is_free)

    def _is_free(self, _written: "asyncio.Future[None]") -> None:
        self.answer = 0
        if not self.closed():
            self._count(0)

    @property
    def unread(self) -> int:
        """Bytes that have arrived and nobody has read."""
        return self._read_buffer_size

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """See Tornado, which adds what was read to its buffer afterwards."""
        size = super().read_from_fd(buf)
        self._count(size or 0)
        return size

    def write_to_fd(self, data: memoryview) -> int:
        """See Tornado, which removes what was written from its buffer afterwards."""
        size = super().write_to_fd(data)
        self._count(-size)
        return size

    def close_fd(self) -> None:
        """See Tornado."""
        super().close_fd()
        self.memory.count(self, 0)

    def _count(self, more: int) -> None:
        unread, unwritten = self._read_buffer_size + max(0, more), len(self._write_buffer) + min(0, more)
        self.memory.count(self, unread + max(unwritten, self.answer))


class CountedSslStream(CountedStream, SSLIOStream):
    """The same with TLS."""


TURNS, LARGE_TURN, OF_OWNER = 20, 8, 12
"""Turns that there are, how many a list takes whose last answer was large, or is not known, and how many one owner may have. A page has up
to 16 MiB of specs, as rows, as objects and as JSON."""
SMALL, MAX_KNOWN = 64 * 1024, 4_096
"""Bytes up to which an answer is small, and how many URLs with a small answer are remembered."""
TURN_WITHIN = 5.0
"""Seconds that a request waits for its turn."""
MAX_WAITING, MAX_WAITING_OF_OWNER = 2_000, 200
"""Requests that wait for their turn, in all and of one owner."""


@dataclass(eq=False, slots=True)
class Turn:
    """A request's turn: whose it is, and how many turns it takes. ``called`` is done when it has come."""

    owner: str | None
    size: int
    called: asyncio.Future[None] | None = None


class ListTurns:
    """Lets a few lists be read and rendered at once: 2 that may be large and 4 small ones, or 20 small ones. One owner has one large
    and 4 small ones at most; ``None`` stands for owners that cannot be told apart."""

    def __init__(self) -> None:
        self.taken: Counter[str | None] = Counter()
        self.waiting: list[Turn] = []
        self._waiting_of: Counter[str | None] = Counter()
        self._small: OrderedDict[int, None] = OrderedDict()  # hashes of URLs

    def note(self, url: str, size: int) -> None:
        """Remembers how large the answer to a URL was, in bytes."""
        key = hash(url)
        if size > SMALL:
            self._small.pop(key, None)
            return
        self._small[key] = None
        self._small.move_to_end(key)
        if len(self._small) > MAX_KNOWN:
            self._small.popitem(last=False)

    async def take(self, owner: str | None, url: str) -> Turn | None:
        """Waits for the turn of a request, which ``give_back`` ends. None when it does not come in time, or too many wait."""
        turn = Turn(owner, 1 if hash(url) in self._small else LARGE_TURN)
        if self._is_free_for(turn) and not any(map(self._may_have_more, self.waiting)):
            self.taken[owner] += turn.size
            return turn
        if len(self.waiting) >= MAX_WAITING or (owner is not None and self._waiting_of[owner] >= MAX_WAITING_OF_OWNER):
            return None
        turn.called = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        self._waiting_of[owner] += 1
        try:
            async with asyncio.timeout(TURN_WITHIN):
                await turn.called
        except BaseException as error:
            if turn.called.done() and not turn.called.cancelled():
                self.give_back(turn)
            else:
                self.waiting.remove(turn)
                self._call()  # what came after it may fit
            if isinstance(error, TimeoutError):
                return None
            raise
        finally:
            self._waiting_of[owner] -= 1
            if not self._waiting_of[owner]:
                del self._waiting_of[owner]
        return turn

    def give_back(self, turn: Turn) -> None:
        """Ends a turn."""
        self.taken[turn.owner] -= turn.size
        if not self.taken[turn.owner]:
            del self.taken[turn.owner]
        self._call()

    def _call(self) -> None:
        """Calls those who may have a turn: first of the owner that has the fewest, then who has waited longest. One that waits for room
        keeps later ones from taking it."""
        for turn in sorted(self.waiting, key=lambda one: self.taken[one.owner]):
            if not self._may_have_more(turn) or (turn.called is not None and turn.called.done()):
                continue  # its owner has its part; or its request has given up, and removes it as soon as it runs
            if not self._is_free_for(turn):
                return
            self.waiting.remove(turn)
            self.taken[turn.owner] += turn.size
            if turn.called is not None:
                turn.called.set_result(None)

    def _may_have_more(self, turn: Turn) -> bool:
        return turn.owner is None or self.taken[turn.owner] + turn.size <= OF_OWNER

    def _is_free_for(self, turn: Turn) -> bool:
        return self.taken.total() + turn.size <= TURNS and self._may_have_more(turn)


SWEEP_EVERY = 5.0
"""Seconds between two sweeps. A connection is closed at most this long after its deadline."""
HEAD_WITHIN = 10.0
"""Seconds that a request's head has at least, from its first bytes to its last. They count from the sweep that finds it begun, so a late
one is closed after at most two sweeps more."""


class ClientDeadlines:
    """The connections that wait for their client, and until when. Late ones are closed, and soon those that have sent a part of a head, and
    not the rest."""

    def __init__(self) -> None:
        self._until: dict[object, float] = {}
        self._heads: dict[object, float | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._until)

    def set(self, connection: object, seconds: float, *, for_head: bool = False) -> None:
        """Gives the client this long from now, for the head of its next request (``for_head``) or for something else. Replaces an earlier
        deadline. A closed connection gets none."""
        self._heads.pop(connection, None)
        if isinstance(connection, HTTP1ServerConnection) and connection.stream.closed():
            return
        loop = asyncio.get_running_loop()
        self._until[connection] = loop.time() + seconds
        if for_head:
            self._heads[connection] = None
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_EVERY, self._sweep)

    def clear(self, connection: object) -> None:
        """Removes the deadline: it is the server's turn, or the client is gone."""
        self._until.pop(connection, None)
        self._heads.pop(connection, None)

    def close_longest_waiting(self) -> IOStream | None:
        """Closes the connection that has waited longest for its client, and returns its stream. None when none waits."""
        while self._until:
            connection = next(iter(self._until))
            self.clear(connection)
            if isinstance(connection, HTTP1ServerConnection) and isinstance(connection.stream, IOStream):
                connection.stream.close()
                return connection.stream
        return None

    def close(self) -> None:
        """Stops sweeping."""
        self._until.clear()
        self._heads.clear()
        if self._timer is not None:
            self._timer.cancel()

    def sweep(self, now: float) -> None:
        """Closes the connections whose time is over at this moment (seconds of the loop), and notes the heads that have begun."""
        for connection, since in self._heads.items():
            stream = connection.stream if isinstance(connection, HTTP1ServerConnection) else None
            if since is None and isinstance(stream, CountedStream) and stream.unread:
                self._heads[connection] = now
        begun = [one for one, since in self._heads.items() if since is not None and since + HEAD_WITHIN <= now]
        for connection in [*begun, *(one for one, until in self._until.items() if until <= now)]:
            self.clear(connection)
            if isinstance(connection, HTTP1ServerConnection):
                connection.stream.close()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self.sweep(loop.time())
        self._timer = loop.call_later(SWEEP_EVERY, self._sweep) if self._until else None


PING_EVERY = 20.0
"""Seconds between pings of a WebSocket, or comments of an event stream, while nothing else is sent."""
AT_ONCE = 0.01
"""The part of the interval by which a beat may be late, so that beats that are due together need only one timer."""


class Heartbeats:
    """Calls each function every ``every`` seconds. Tests set ``every``."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._due: dict[Callable[[], None], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, beat: Callable[[], None]) -> None:
        """Calls the function from now on; the first time after a whole interval."""
        self._due[beat] = asyncio.get_running_loop().time() + self.every
        self._set_timer()

    def stop(self, beat: Callable[[], None]) -> None:
        """Stops calling the function. Safe to repeat."""
        self._due.pop(beat, None)

    def close(self) -> None:
        """Stops calling all functions."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        first = next(iter(self._due.values()), None)  # all have the same interval, so they are in the order of their times
        if self._timer is None and first is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(first, loop.time() + AT_ONCE * self.every), self._beat)

    def _beat(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for beat, due in list(self._due.items()):
            if due > now:
                break
            if self._due.pop(beat, None) is not None:  # it was not stopped by one before it
                self._due[beat] = now + self.every
                beat()
        self._set_timer()
