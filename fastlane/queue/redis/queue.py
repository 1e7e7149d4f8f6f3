"""The timed queue in Redis: each verb of the port is one script of ``scripts/``.

The other ports of the queue share its connection: ``generation``, ``reports`` and ``tickets``.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from fastlane.models.placement.pool import HOLDS, Pauses
from fastlane.queue.base import Cancelled, Claim, Entry, Lane, LaneCounts, LanePage, Lease, Renewal
from fastlane.queue.redis.arguments import KINDS, batches, entry_arguments
from fastlane.queue.redis.coalescer import Coalescer
from fastlane.queue.redis.connections import Connections
from fastlane.queue.redis.generation import RedisGeneration
from fastlane.queue.redis.keys import Keys
from fastlane.queue.redis.pipeline import Pipeline
from fastlane.queue.redis.reports import RedisReports
from fastlane.queue.redis.runner import ScriptRunner, TimeSource, redis_time
from fastlane.queue.redis.signals import SignalListener
from fastlane.queue.redis.tickets import RedisTickets

MAX_CLAIM_ITEMS = 256
REMEMBERED_LANES = 10_000
CHECK_TTL = 60_000
WATCHED = "watch"
ALL = "*"
EMPTY = LaneCounts(0, 0, 0)


class RedisQueue:
    """The port's ``TimedQueue`` on the Redis or Valkey that a URL names, for the entries of one installation.

    ``deadline`` (seconds) bounds each call to Redis. A method that takes many entries makes one call for every 128 of them. ``time`` says
    what the scripts take for now.
    """

    def __init__(self, url: str, installation: str, *, deadline: float = 2.0, time: TimeSource = redis_time) -> None:
        self._keys = Keys(installation)
        self._deadline = deadline
        self._connections = [Connections(url, deadline) for _ in range(2)]
        self._pipeline = Pipeline(self._connections[0].make, deadline)
        self._time = time
        self._scripts = ScriptRunner(self._pipeline, self._keys, time)
        self.generation = RedisGeneration(self._pipeline, self._scripts, self._keys)
        self.reports = RedisReports(self._scripts, self._keys)
        self.tickets = RedisTickets(self._pipeline, self._keys)
        self._listener: SignalListener | None = None
        self._puts = Coalescer(self._put)
        self._finishes = Coalescer(self._finish)
        self._renewals = Coalescer(self._renew)
        self._lanes: dict[str, str] = {}
        self._claims = 0

    async def open(self) -> None:
        """Prepares for use; succeeds even when Redis is away."""
        self._pipeline.open()
        if self._listener is not None:
            self._listener.open()

    async def close(self) -> None:
        """Ends all connections and tasks."""
        if self._listener is not None:
            await self._listener.close()
        await self._pipeline.close()
        for coalescer in (self._puts, self._finishes, self._renewals):
            await coalescer.close()
        for connections in self._connections:
            await connections.close()

    async def time(self) -> int:
        """The time that the scripts take for now."""
        given = self._time()
        if given != "":
            return int(given)
        seconds, micros = await self._pipeline.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def check(self) -> None:
        """Writes a key that expires: a full or read-only server answers a read but not this."""
        await self._pipeline.call("SET", self._keys.check, "1", "PX", CHECK_TTL)

    def subscribe(self, on_wake: Callable[[], None], on_stop: Callable[[str], None]) -> None:
        """Calls back on wake-ups and stops. Call this before ``open``."""
        self._listener = SignalListener(self._connections[1].make, self._keys.channel, self._deadline, on_wake, on_stop)

    async def put(self, entries: Sequence[Entry]) -> int:
        """Inserts or moves entries, those of one loop turn in one call."""
        return sum(await self._puts.call(entries))

    async def _put(self, entries: Sequence[Entry]) -> Sequence[bool]:
        absent = ""
        for batch in batches(entries):
            absent += await self._scripts.run("put", {entry.lane for entry in batch}, entry_arguments(batch))
        return [answer == "1" for answer in absent]

    async def claim(
        self, generation: str, owner: str, lanes: Sequence[Lane], count: int, *, lease: int, watch: Sequence[str] = (), ahead: int = 0
    ) -> Claim:
        """Leases at most 256 entries. The lanes take turns at being first."""
        limits = {name: WATCHED for name in watch} | {lane.name: "" if lane.limit is None else str(lane.limit) for lane in lanes}
        self._claims += 1
        first = self._claims % max(1, len(limits))
        order = [*limits][first:] + [*limits][:first]
        arguments: list[str | int] = [generation, owner, min(count, MAX_CLAIM_ITEMS), lease, ahead, *map(limits.__getitem__, order)]
        now, next_at, cold, given, micros = await self._scripts.run("claim", order, arguments, self._keys.pauses)
        leases = tuple(
            Lease(id, KINDS[kind], lane, int(revision), resume == 1, stop == 1, expired == 1, due or None)
            for id, kind, lane, revision, resume, stop, expired, due in zip(*[iter(given)] * 8, strict=True)
        )
        for given_lease in leases:
            self._remember(given_lease.id, given_lease.lane)
        return Claim(leases, None if next_at < 0 else next_at, now, cold == 1, micros)

    async def renew(self, generation: str, owner: str, ids: Sequence[str], *, lease: int) -> Mapping[str, Renewal]:
        """Extends leases, those of one loop turn in one call."""
        requests = [((generation, owner, lease), id) for id in ids]
        return dict(zip(ids, await self._renewals.call(requests), strict=True))

    async def _renew(self, requests: Sequence[tuple[tuple[str, str, int], str]]) -> Sequence[Renewal]:
        answers: list[Renewal] = []
        for terms, group in groupby(requests, key=itemgetter(0)):
            for batch in batches([id for _, id in group]):
                answers += map(Renewal, await self._scripts.run("renew", (), [*terms, *batch]))
        return answers

    async def release(self, owner: str, ids: Sequence[str]) -> None:
        """Ends leases and keeps their slots: from now on they are lost to the owner."""
        for batch in batches(ids):
            await self._scripts.run("release", (), [owner, *batch])

    async def requeue(self, owner: str, id: str, due: int, *, lane: str | None = None, strict: bool = False) -> None:
        """Gives an entry back and frees its slot."""
        lanes = self._known([id]) | ({lane} if lane else set())
        await self._scripts.run("requeue", lanes, [owner, id, due, lane or "", int(strict)])
        self._lanes.pop(id, None)

    async def cancel(self, id: str, *, revision: int | None = None) -> Cancelled:
        """Removes an entry, or tells its owner to stop it."""
        return Cancelled(await self._scripts.run("cancel", self._known([id]), [id, "" if revision is None else revision]))

    async def pause(self, pauses: Pauses) -> None:
        """Replaces the set of paused lanes."""
        names = sorted({ALL if name in HOLDS else name for name in pauses.names})
        await self._scripts.run("pause", (), [pauses.revision, *names], self._keys.pauses)

    async def finish(self, ids: Mapping[str, int]) -> None:
        """Removes entries, those of one loop turn in one call."""
        await self._finishes.call(list(ids.items()))

    async def _finish(self, ids: Sequence[tuple[str, int]]) -> Sequence[None]:
        for batch in batches(ids):
            arguments: list[str | int] = [value for pair in batch for value in pair]
            await self._scripts.run("finish", self._known([id for id, _ in batch]), arguments)
            for id, _ in batch:
                self._lanes.pop(id, None)
        return ()

    async def adopt(self, entries: Sequence[Entry], lanes: Sequence[str] | None = None) -> int:
        """Moves entries of renamed or removed pools to the lanes in which they belong now."""
        moved = 0
        if lanes is not None and not lanes:
            return moved
        for batch in batches(entries):
            pairs = [word for entry in batch for word in (entry.id, entry.lane)]
            arguments: list[str | int] = [len(lanes or ()), *(lanes or ()), *pairs]
            moved += await self._scripts.run("adopt", {entry.lane for entry in batch}, arguments)
        return moved

    async def lane_of(self, id: str) -> str | None:
        """The lane of an entry."""
        lane: str | None = await self._scripts.run("lane_of", (), [id])
        return lane

    async def members(self, lane: str, page: str | None = None) -> LanePage:
        """Some 256 entries of a lane."""
        following, ids = await self._scripts.run("members", [lane], [page or ""])
        return LanePage(tuple(ids), following or None)

    async def counts(self, lanes: Sequence[str] | None = None) -> Mapping[str, LaneCounts]:
        """How many entries are in each place, per lane."""
        names = sorted(await self._pipeline.call("SMEMBERS", self._keys.lanes)) if lanes is None else lanes
        numbers = await self._scripts.run("counts", names, [])
        counts = {lane: LaneCounts(*numbers[4 * place : 4 * place + 4]) for place, lane in enumerate(names)}
        return counts if lanes is not None else {lane: row for lane, row in counts.items() if row != EMPTY}

    async def oldest_waiting(self, lanes: Sequence[str]) -> Mapping[str, int]:
        """For how long the entry that has waited longest has been due, per lane."""
        return dict(zip(lanes, await self._scripts.run("oldest", lanes, []), strict=True))

    def _remember(self, id: str, lane: str) -> None:
        """Remembers the lane of a leased entry, so that its finish needs only one call. It may be forgotten or outdated: the script then
        names the right lane."""
        self._lanes[id] = lane
        if len(self._lanes) > REMEMBERED_LANES:
            del self._lanes[next(iter(self._lanes))]

    def _known(self, ids: Sequence[str]) -> set[str]:
        return {self._lanes[id] for id in ids if id in self._lanes}
