"""The queue in Redis: each verb of the port is one script of ``scripts/``, called through one pipeline.

A script may only touch keys that were declared to it. Which lane an entry stands in is known to the script alone, so one that meets
a lane which was not declared says so, changes nothing, and is called again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import orjson

from fastlane.errors import QueueDown
from fastlane.models.note import Note, Obstacle
from fastlane.models.placement.host import HostView
from fastlane.models.placement.pool import Pauses
from fastlane.queue.base import TICKS, Cancelled, Claim, Entry, EntryKind, Identity, Lane, LaneCounts, Lease, Renewal, Report
from fastlane.queue.redis.coalescer import Coalescer
from fastlane.queue.redis.connections import Connections
from fastlane.queue.redis.keys import Keys
from fastlane.queue.redis.pipeline import Pipeline
from fastlane.queue.redis.script import Script
from fastlane.queue.redis.signals import Listener

MOST_IN_A_CALL = 128
MOST_IN_A_CLAIM = 256
MOST_REPEATS = 8
REMEMBERED = 10_000
CHECK_TTL = 60_000
WATCH = "watch"
NAMES = (
    "put",
    "claim",
    "renew",
    "release",
    "requeue",
    "cancel",
    "finish",
    "pause",
    "restore",
    "wipe",
    "set_generation",
    "counts",
    "announce",
    "reports",
)
SHORT = {EntryKind.JOB: "j", EntryKind.EXECUTION: "e"}
KINDS = {short: kind for kind, short in SHORT.items()}
OBSTACLES = {obstacle.value: obstacle for obstacle in Obstacle}

T = TypeVar("T")


def _slices(things: Sequence[T]) -> Iterator[Sequence[T]]:
    """A long sequence as several calls, so that no script holds Redis up."""
    for start in range(0, len(things), MOST_IN_A_CALL):
        yield things[start : start + MOST_IN_A_CALL]


class RedisQueue:
    """The port's ``Queue`` on the Redis or Valkey that a URL names, for one installation's entries.

    ``deadline`` (seconds) bounds each call to Redis. A method that takes many entries makes a call for each 128 of them.
    """

    def __init__(self, url: str, installation: str, *, deadline: float = 2.0) -> None:
        self._keys = Keys(installation)
        self._deadline = deadline
        self._connections = [Connections(url, deadline) for _ in range(2)]
        self._scripts = {name: Script.read(name) for name in NAMES}
        self._pipeline = Pipeline(self._connections[0].make, deadline)
        self._listener: Listener | None = None
        self._puts = Coalescer(self._put)
        self._finishes = Coalescer(self._finish)
        self._renewals = Coalescer(self._renew)
        self._lanes: dict[str, str] = {}
        self._turn = 0

    async def open(self) -> None:
        """Makes ready to be used; does not fail when Redis is away."""
        self._pipeline.open()
        if self._listener is not None:
            self._listener.open()

    async def close(self) -> None:
        """Ends every connection and task of it."""
        if self._listener is not None:
            await self._listener.close()
        await self._pipeline.close()
        for gather in (self._puts, self._finishes, self._renewals):
            await gather.close()
        for connections in self._connections:
            await connections.close()

    async def check(self) -> None:
        """Returns when Redis answers and would accept a write: it writes a key that expires."""
        await self._pipeline.call("SET", self._keys.check, "1", "PX", CHECK_TTL)

    def subscribe(self, on_wake: Callable[[], None], on_stop: Callable[[str], None]) -> None:
        """Calls back on wake-ups and stops; to be called before ``open``."""
        self._listener = Listener(self._connections[1].make, self._keys.channel, self._deadline, on_wake, on_stop)

    async def put(self, entries: Sequence[Entry], *, now: int | None = None) -> None:
        """Inserts or moves entries, as the port says; those of one loop turn in one call."""
        if now is None:
            await self._puts.bring(entries)
        else:
            await self._put(entries, now)

    async def _put(self, entries: Sequence[Entry], now: int | None = None) -> Sequence[None]:
        for part in _slices(entries):
            await self._run("put", {entry.lane for entry in part}, _told(part), now)
        return ()

    async def claim(
        self,
        generation: str,
        owner: str,
        lanes: Sequence[Lane],
        count: int,
        *,
        lease: int,
        watch: Sequence[str] = (),
        now: int | None = None,
    ) -> Claim:
        """Leases entries, at most 256. The lanes take turns at being first."""
        limits = {name: WATCH for name in watch} | {one.name: "" if one.limit is None else str(one.limit) for one in lanes}
        self._turn += 1
        first = self._turn % max(1, len(limits))
        turned = [*limits][first:] + [*limits][:first]
        arguments: list[str | int] = [generation, owner, min(count, MOST_IN_A_CLAIM), lease, *map(limits.__getitem__, turned)]
        moment, next_at, cold, given, micros = await self._run("claim", turned, arguments, now, self._keys.pauses)
        leases = tuple(
            Lease(id, KINDS[kind], lane, int(revision), resume == 1, stop == 1, expired == 1)
            for id, kind, lane, revision, resume, stop, expired in zip(*[iter(given)] * 7, strict=True)
        )
        for one in leases:
            self._remember(one.id, one.lane)
        return Claim(leases, None if next_at < 0 else next_at, moment, cold == 1, micros)

    async def renew(self, generation: str, owner: str, ids: Sequence[str], *, lease: int, now: int | None = None) -> Mapping[str, Renewal]:
        """Extends leases, as the port says; those of one loop turn in one call."""
        asked = [((generation, owner, lease), id) for id in ids]
        words = await (self._renewals.bring(asked) if now is None else self._renew(asked, now))
        return dict(zip(ids, words, strict=True))

    async def _renew(self, asked: Sequence[tuple[tuple[str, str, int], str]], now: int | None = None) -> Sequence[Renewal]:
        answers: list[Renewal] = []
        for terms, same in groupby(asked, key=itemgetter(0)):
            for part in _slices([id for _, id in same]):
                answers += map(Renewal, await self._run("renew", (), [*terms, *part], now))
        return answers

    async def release(self, owner: str, ids: Sequence[str], *, now: int | None = None) -> None:
        """Ends leases and keeps their slots; the owner has lost them from then on."""
        for part in _slices(ids):
            await self._run("release", (), [owner, *part], now)

    async def requeue(self, owner: str, id: str, due: int, *, lane: str | None = None, now: int | None = None) -> None:
        """Gives an entry back; nothing happens when the lease is not the owner's. What was put meanwhile goes before."""
        known = self._known([id]) | ({lane} if lane else set())
        await self._run("requeue", known, [owner, id, due, lane or ""], now)
        self._lanes.pop(id, None)

    async def cancel(self, id: str, *, revision: int | None = None, now: int | None = None) -> Cancelled:
        """Removes an entry or tells its owner."""
        return Cancelled(await self._run("cancel", self._known([id]), [id, "" if revision is None else revision], now))

    async def pause(self, pauses: Pauses) -> None:
        """Pauses lanes, as the port says."""
        await self._run("pause", (), [pauses.revision, *sorted(pauses.names)], None, self._keys.pauses)

    async def finish(self, ids: Mapping[str, int], *, now: int | None = None) -> None:
        """Removes entries, as the port says; those of one loop turn in one call."""
        if now is None:
            await self._finishes.bring(list(ids.items()))
        else:
            await self._finish(list(ids.items()), now)

    async def _finish(self, ids: Sequence[tuple[str, int]], now: int | None = None) -> Sequence[None]:
        for part in _slices(ids):
            arguments: list[str | int] = []
            for pair in part:
                arguments += pair
            await self._run("finish", self._known([id for id, _ in part]), arguments, now)
            for id, _ in part:
                self._lanes.pop(id, None)
        return ()

    async def identity(self) -> Identity:
        """The generation, and the server's run id."""
        generation = await self._pipeline.call("GET", self._keys.generation)
        about = dict(line.split(":", 1) for line in (await self._pipeline.call("INFO", "server")).splitlines() if ":" in line)
        return Identity(generation, about.get("run_id", ""))

    async def wipe(self, *, generation: str | None = None) -> None:
        """Removes every key of this installation, and says at once of which generation it is then."""
        lanes = await self._pipeline.call("SMEMBERS", self._keys.lanes)
        own = (self._keys.workers, self._keys.reports, self._keys.check, self._keys.pauses)
        await self._run("wipe", lanes, [generation or ""], None, *own)
        self._lanes.clear()

    async def restore(self, entries: Sequence[Entry], limits: Sequence[Lane], *, now: int | None = None) -> None:
        """Puts entries back as leases that have run out; each holds a slot, but in ``@ticks`` and in lanes whose limit is None."""
        slotless = {TICKS} | {lane.name for lane in limits if lane.limit is None}
        for part in _slices(entries):
            lanes = {entry.lane for entry in part}
            await self._run("restore", [*(lanes - slotless), *(lanes & slotless)], [len(lanes - slotless), *_told(part)], now)

    async def set_generation(self, generation: str, *, before: str | None = None) -> bool:
        """Says which generation this queue is of from now on; False when it is not of ``before`` any more."""
        return bool(await self._run("set_generation", (), [generation, before or ""], None) == 1)

    async def counts(self, lanes: Sequence[str]) -> Mapping[str, LaneCounts]:
        """How many entries stand where; what is due but was not claimed yet still counts as timed."""
        numbers = await self._run("counts", lanes, [], None)
        return {lane: LaneCounts(*numbers[4 * place : 4 * place + 4]) for place, lane in enumerate(lanes)}

    async def announce(self, report: Report, *, ttl: int, now: int | None = None) -> None:
        """Keeps a worker's report for ``ttl`` milliseconds."""
        text = orjson.dumps(report).decode()
        await self._run("announce", (), [report.worker, ttl, text], now, self._keys.workers, self._keys.reports)

    async def reports(self, *, now: int | None = None) -> Sequence[Report]:
        """The reports of all workers that are alive."""
        texts = await self._run("reports", (), [], now, self._keys.workers, self._keys.reports)
        return [_report(orjson.loads(text)) for text in texts if text is not None]

    async def leave_ticket(self, digest: str, text: str, *, ttl: int) -> bool:
        """Keeps a text for ``ttl`` milliseconds; False when there is one already."""
        answer = await self._pipeline.call("SET", self._keys.ticket(digest), text, "PX", ttl, "NX")
        return answer is not None

    async def take_ticket(self, digest: str) -> str | None:
        """The text, which only one caller gets."""
        text: str | None = await self._pipeline.call("GETDEL", self._keys.ticket(digest))
        return text

    async def show_ticket(self, digest: str) -> str | None:
        """The text, which stays."""
        text: str | None = await self._pipeline.call("GET", self._keys.ticket(digest))
        return text

    async def _run(self, name: str, lanes: Sequence[str] | set[str], arguments: Sequence[str | int], now: int | None, *own: str) -> Any:
        """Calls a script with these lanes' keys declared, and again with those that it asks for."""
        declared = list(lanes)
        moment = "" if now is None else now
        for _ in range(MOST_REPEATS):
            keys = self._keys.declared(declared, *own)
            head = (self._keys.channel, moment, len(declared), *declared)
            answer = await self._pipeline.run(self._scripts[name], keys, (*head, *arguments))
            if not (isinstance(answer, list) and answer and answer[0] == "LANE"):
                return answer
            declared += answer[1:]
        raise QueueDown(f"an entry moved from lane to lane during all of {MOST_REPEATS} attempts at {name}")

    def _remember(self, id: str, lane: str) -> None:
        """Notes where a lease came from: its finish then needs no second call. A note may be missing or old; the script tells."""
        self._lanes[id] = lane
        if len(self._lanes) > REMEMBERED:
            del self._lanes[next(iter(self._lanes))]

    def _known(self, ids: Sequence[str]) -> set[str]:
        return {self._lanes[id] for id in ids if id in self._lanes}


def _told(entries: Sequence[Entry]) -> list[str | int]:
    """Entries as the scripts are told of them."""
    arguments: list[str | int] = []
    for e in entries:
        expires = "" if e.expires is None else e.expires
        arguments += (e.id, SHORT[e.kind], e.lane, e.due, e.revision, e.priority, e.group, e.concurrency, expires)
    return arguments


def _report(values: Mapping[str, Any]) -> Report:
    """A report as another version may have written it: what this one does not know is left out."""
    hosts = tuple(HostView(**_known_of(HostView, host)) for host in values["hosts"])
    notes = tuple(
        Note(**_known_of(Note, note) | {"obstacle": obstacle})
        for note in values.get("notes", ())
        if (obstacle := OBSTACLES.get(note["obstacle"])) is not None
    )
    return Report(values["worker"], values["started_at"], hosts, notes)


def _known_of(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in kind.__dataclass_fields__}
