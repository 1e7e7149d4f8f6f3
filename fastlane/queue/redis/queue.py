"""The queue in Redis: each method of a port is one script of ``scripts/``, or one command.

``RedisQueue`` is the timed queue. It has the connection, and the other ports (``generation``, ``reports``, ``tickets``) share it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from secrets import token_hex
from typing import Any, TypeVar

import orjson

from fastlane.errors import QueueUnfit
from fastlane.models.event import Note, Obstacle
from fastlane.models.host import Disk, HostView, Node
from fastlane.models.pool import HOLDS, Pauses
from fastlane.models.store_version import StoreVersion
from fastlane.queue.port import (
    TICKS,
    AuditPage,
    Cancelled,
    Claim,
    Entry,
    EntryKind,
    Identity,
    Lane,
    LaneCounts,
    LanePage,
    Lease,
    Renewal,
    Report,
    Turns,
)
from fastlane.queue.redis.connection import Coalescer, Connections, Pipeline
from fastlane.queue.redis.hints import SignalListener
from fastlane.queue.redis.scripts import TURNS, Keys, ScriptRunner, TimeSource, redis_time

MAX_CALL_ITEMS = 128
LETTERS = {EntryKind.JOB: "j", EntryKind.EXECUTION: "e"}
KINDS = {letter: kind for kind, letter in LETTERS.items()}

T = TypeVar("T")


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in order, as many at a time as one call may carry."""
    for start in range(0, len(items), MAX_CALL_ITEMS):
        yield items[start : start + MAX_CALL_ITEMS]


def entry_arguments(entries: Sequence[Entry]) -> list[str | int]:
    """The entries as ``entry_argument`` of ``entries.lua`` reads them."""
    arguments: list[str | int] = []
    for e in entries:
        expires = "" if e.expires is None else e.expires
        group = f"{e.group}\0{e.task}" if e.task else e.group
        arguments += (e.id, LETTERS[e.kind], e.lane, e.due, e.revision, e.priority, group, e.concurrency, expires)
    return arguments


NO_EVICTION = "noeviction"


class RedisGeneration:
    """The port's ``QueueGeneration``."""

    def __init__(self, pipeline: Pipeline, scripts: ScriptRunner, keys: Keys) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._keys = keys
        self._audited: Sequence[str] = ()

    async def identity(self) -> Identity:
        """Reads the generation, the server's run id, and the store's version."""
        generation = await self._pipeline.call("GET", self._keys.generation)
        id, commits = await self._pipeline.call("HMGET", self._keys.store, "id", "commits")
        seen = None if id is None else StoreVersion(id, int(commits or 0))
        return Identity(generation, (await self._info("server")).get("run_id", ""), seen)

    async def remember_store(self, version: StoreVersion) -> None:
        """Keeps how far the store has come."""
        await self._scripts.run("remember_store", (), [version.store, version.commits], self._keys.store)

    async def refuse_eviction(self) -> None:
        """Reads the server's policy; a server that does not give it is trusted."""
        policy = (await self._info("memory")).get("maxmemory_policy", NO_EVICTION)
        if policy != NO_EVICTION:
            raise QueueUnfit(
                f"Redis drops entries when its memory is full, because its maxmemory-policy is {policy}: "
                f"set it to {NO_EVICTION} (CONFIG SET maxmemory-policy {NO_EVICTION}, and in its configuration)"
            )

    async def audit(self, generation: str, page: str | None = None) -> AuditPage:
        """Looks at some 256 members of the sets. The lanes are read with the first page; the script asks for one that is new since."""
        if page is None:
            self._audited = await self._pipeline.call("SMEMBERS", self._keys.lanes)
        following, wrong, is_rest = await self._scripts.run("audit", self._audited, [generation, page or ""])
        return AuditPage(wrong or None, following or None, is_rest == 1)

    async def wipe(self, *, generation: str | None = None, lanes: Sequence[str] = ()) -> None:
        """Removes all keys of this installation but the tickets', and sets the generation in the same step."""
        known = {*await self._pipeline.call("SMEMBERS", self._keys.lanes), *lanes}
        known |= {f"{lane}{TURNS}" for lane in known}
        own = (self._keys.workers, self._keys.reports, self._keys.check, self._keys.pauses, self._keys.store)
        await self._scripts.run("wipe", known, [generation or ""], *own)

    async def restore(self, entries: Sequence[Entry], limits: Sequence[Lane]) -> None:
        """Puts entries back as leases that have run out, with their slots."""
        slotless = {TICKS} | {lane.name for lane in limits if lane.limit is None}
        for batch in batches(entries):
            lanes = {entry.lane for entry in batch}
            declared = [*(lanes - slotless), *(lanes & slotless)]
            await self._scripts.run("restore", declared, [len(lanes - slotless), *entry_arguments(batch)])

    async def set_generation(self, generation: str, *, before: str | None = None) -> bool:
        """Sets the generation if the queue is of the one ``before``, or if none is given."""
        return bool(await self._scripts.run("set_generation", (), [generation, before or ""]) == 1)

    async def _info(self, section: str) -> dict[str, str]:
        lines = (await self._pipeline.call("INFO", section)).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


class RedisTickets:
    """The port's ``TicketStore``."""

    def __init__(self, pipeline: Pipeline, keys: Keys) -> None:
        self._pipeline = pipeline
        self._keys = keys

    async def put(self, digest: str, text: str, *, ttl: int) -> bool:
        """Keeps a text for ``ttl`` milliseconds; returns False when the digest is in use."""
        return await self._pipeline.call("SET", self._keys.ticket(digest), text, "PX", ttl, "NX") is not None

    async def take(self, digest: str) -> str | None:
        """Returns the text to one caller, and removes it."""
        text: str | None = await self._pipeline.call("GETDEL", self._keys.ticket(digest))
        return text

    async def peek(self, digest: str) -> str | None:
        """Returns the text and leaves it."""
        text: str | None = await self._pipeline.call("GET", self._keys.ticket(digest))
        return text


OBSTACLES = {obstacle.value: obstacle for obstacle in Obstacle}
WHOLE = "WHOLE"


@dataclass(frozen=True, slots=True)
class Sent:
    """The hosts of a worker as Redis has them from its last report. ``number`` identifies that report, and is empty while Redis may have
    anything. It is random, so that it cannot match a lost call that is carried out late."""

    number: str = ""
    hosts: Mapping[str, HostView] = field(default_factory=dict)


NOTHING = Sent()


class RedisReports:
    """The port's ``WorkerReports``."""

    def __init__(self, scripts: ScriptRunner, keys: Keys) -> None:
        self._scripts = scripts
        self._own = (keys.workers, keys.reports)
        self._sent: dict[str, Sent] = {}
        self._read: dict[str, tuple[str, HostView]] = {}

    async def announce(self, report: Report, *, ttl: int) -> None:
        """Keeps a worker's report for ``ttl`` milliseconds."""
        sent = self._sent.pop(report.worker, NOTHING)  # if the answer is lost, the content of Redis is unknown
        hosts, number = {view.name: view for view in report.hosts}, token_hex(8)
        if await self._announce(report, ttl, sent, hosts, number) == WHOLE:
            await self._announce(report, ttl, NOTHING, hosts, number)
        if ttl > 0:
            self._sent[report.worker] = Sent(number, hosts)

    async def _announce(self, report: Report, ttl: int, sent: Sent, hosts: Mapping[str, HostView], number: str) -> Any:
        gone = [name for name in sent.hosts if name not in hosts]
        changed = [(name, view) for name, view in hosts.items() if (old := sent.hosts.get(name)) is not view and old != view]
        fields = [text for name, view in changed for text in (name, orjson.dumps(view).decode())]
        head = orjson.dumps(replace(report, hosts=())).decode()
        arguments: list[str | int] = [report.worker, ttl, head, sent.number, number, len(gone), *gone, *fields]
        return await self._scripts.run("announce", (), arguments, *self._own)

    async def current(self) -> Sequence[Report]:
        """Reads the reports of all live workers. A host whose text has not changed is not read again."""
        alive, pairs = await self._scripts.run("reports", (), [], *self._own)
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        hosts: dict[str, list[HostView]] = {worker: [] for worker in alive}
        read: dict[str, tuple[str, HostView]] = {}
        for name, text in fields.items():
            worker, _, host = name.partition("\n")
            if host and worker in hosts:
                known = self._read.get(name)
                read[name] = known if known is not None and known[0] == text else (text, _host(orjson.loads(text)))
                hosts[worker].append(read[name][1])
        self._read = read
        return [_report(orjson.loads(fields[worker]), hosts[worker]) for worker in alive if worker in fields]


def _report(values: Mapping[str, Any], hosts: Sequence[HostView]) -> Report:
    """Reads a report that another version may have written. Fields that this version does not know are left out."""
    notes = tuple(
        Note(**_known_fields(Note, note) | {"obstacle": obstacle})
        for note in values.get("notes", ())
        if (obstacle := OBSTACLES.get(note["obstacle"])) is not None
    )
    pools = values.get("pools")
    rules = None if pools is None else tuple(map(tuple, pools))
    more: dict[str, Any] = {name: values.get(name) for name in ("clock_skew", "room", "pools_digest", "version")}
    labels: dict[str, Any] = {"reads_labels": bool(values.get("reads_labels")), "labels_unread": tuple(values.get("labels_unread", ()))}
    return Report(values["worker"], values["started_at"], tuple(hosts), notes, pools=rules, **labels, **more)


def _host(values: Mapping[str, Any]) -> HostView:
    disk = values.get("disk")
    parts = {
        "disk": None if disk is None else Disk(**_known_fields(Disk, disk)),
        "members": tuple(Node(**_known_fields(Node, node)) for node in values.get("members", ())),
    }
    return HostView(**_known_fields(HostView, values) | parts)


def _known_fields(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in kind.__dataclass_fields__}


def _limit(lane: Lane) -> str:
    return ("" if lane.limit is None else str(lane.limit)) + ("t" if lane.fair else "")


MAX_CLAIM_ITEMS = 256
REMEMBERED_LANES = 10_000
MAX_TURNS = 10
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
        """Inserts or moves entries; the entries of one loop turn go in one call."""
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
        limits = {name: WATCHED for name in watch} | {lane.name: _limit(lane) for lane in lanes}
        self._claims += 1
        first = self._claims % max(1, len(limits))
        order = [*limits][first:] + [*limits][:first]
        arguments: list[str | int] = [generation, owner, min(count, MAX_CLAIM_ITEMS), lease, ahead, *map(limits.__getitem__, order)]
        declared = [*order, *(f"{lane.name}{TURNS}" for lane in lanes if lane.fair)]
        now, next_at, cold, given, micros = await self._scripts.run("claim", declared, arguments, self._keys.pauses)
        leases = tuple(
            Lease(id, KINDS[kind], lane, int(revision), resume == 1, stop == 1, expired == 1, due or None)
            for id, kind, lane, revision, resume, stop, expired, due in zip(*[iter(given)] * 8, strict=True)
        )
        for given_lease in leases:
            self._remember(given_lease.id, given_lease.lane)
        return Claim(leases, None if next_at < 0 else next_at, now, cold == 1, micros)

    async def renew(self, generation: str, owner: str, ids: Sequence[str], *, lease: int) -> Mapping[str, Renewal]:
        """Extends leases; the leases of one loop turn go in one call."""
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
        """Removes an entry, or notifies its owner to stop it."""
        return Cancelled(await self._scripts.run("cancel", self._known([id]), [id, "" if revision is None else revision]))

    async def pause(self, pauses: Pauses) -> None:
        """Replaces the set of paused lanes."""
        names = sorted({ALL if name in HOLDS else name for name in pauses.names})
        await self._scripts.run("pause", (), [pauses.revision, *names], self._keys.pauses)

    async def finish(self, ids: Mapping[str, int]) -> None:
        """Removes entries; the entries of one loop turn go in one call."""
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

    async def turns(self, lane: str, id: str) -> Turns | None:
        """What comes before an entry in line."""
        found = await self._scripts.run("turns", [lane, f"{lane}{TURNS}"], [id, MAX_TURNS])
        return None if found is None else Turns(found[0], found[1], tuple(found[2]))

    def _remember(self, id: str, lane: str) -> None:
        """Remembers the lane of a leased entry, so that its finish needs only one call. It may be forgotten or outdated: the script then
        names the right lane."""
        self._lanes[id] = lane
        if len(self._lanes) > REMEMBERED_LANES:
            del self._lanes[next(iter(self._lanes))]

    def _known(self, ids: Sequence[str]) -> set[str]:
        return {self._lanes[id] for id in ids if id in self._lanes}
