"""A commit ends between any two of its writes, or the answer to any of them is lost: over a real wire, with a real server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fastlane.errors import StoreDown
from fastlane.models import transitions
from fastlane.models.delivery import Delivery, MailQuota, Receiver
from fastlane.models.event import Event, EventKind
from fastlane.models.host import HostRecord
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import Execution, ExpectedVersions, Job
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.pool import PoolsRevision
from fastlane.models.status import Status
from fastlane.models.tick import Tick, next_execution
from fastlane.storage.base import Counts, Deletion, Generation, Store
from fastlane.storage.mongo import commits, database, idempotency
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.overtaking import once
from tests.support.factories import chunk, first_of, new, new_job
from tests.support.ledger import ticks_of
from tests.support.mongo import RealMongo
from tests.support.mongo_wire import MongoWire, mongo_wire
from tests.support.waiting import PATIENCE

ENDED = {"status": Status.DONE, "finished_at": 5, "settled": True, "cleaned": True}
SHORT = 0.8
"""Seconds that a call of a process may take that is to be cut off."""


@dataclass
class Bed:
    """A store whose calls go through a proxy, and another process's store."""

    wire: MongoWire
    url: str
    other: MongoStore

    async def opened(self, deadline: float = PATIENCE) -> MongoStore:
        """One more process's store, behind the proxy."""
        store = MongoStore(self.url, deadline=deadline)
        await store.open()
        self.wire.reset()
        return store


@pytest.fixture
async def bed(mongo_server: RealMongo, own_mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bed]:
    monkeypatch.setattr(idempotency, "PATIENCE", 0.1)
    monkeypatch.setattr(commits, "LEFT_AFTER", 0)  # who was cut off has been away for a while
    async with mongo_wire(mongo_server.port) as wire:
        other = MongoStore(own_mongo_url, deadline=PATIENCE)
        await other.open()
        yield Bed(wire, mongo_server.url("test", f"127.0.0.1:{wire.port}"), other)
        await other.close()


class Act:
    """One commit: what is there before it, the call, and what must be there once it is made."""

    def __init__(self) -> None:
        self.job: Job = new_job("t", at=2_000, sequence=0)
        self.tick: Tick
        self.execution: Execution
        self.tick, self.execution = first_of(self.job, key="r:1", sequence=1)
        self.record = IdempotencyRecord("key", "body", 1_000, "t", self.job.id, self.tick.id, self.execution.id)

    async def prepare(self, store: Store) -> None:
        """Makes what is there before."""

    async def __call__(self, store: Store) -> Any:
        """Makes the commit."""
        raise NotImplementedError

    async def is_made(self, store: Store) -> bool:
        """Whether it was made, wholly; fails when only a part of it was."""
        ticks, executions = await ticks_of(store, self.job.id), await store.executions_of(self.job.id, 10)
        record = await store.idempotency_record("key", 0)
        assert (len(ticks), len(executions), record) in ((0, 0, None), (1, 1, self.record))
        assert executions == ([self.execution] if ticks else [])
        assert await store.execution(self.execution.id) == (self.execution if ticks else None)
        assert (await store.counts()).executions[Status.ENQUEUED] == len(executions)
        return bool(ticks)


class Create(Act):
    async def __call__(self, store: Store) -> Any:
        await store.create(replace(self.job, next_tick=None), self.tick, self.execution, self.record)
        return True

    async def is_made(self, store: Store) -> bool:
        made = await super().is_made(store)
        job, task = await store.job(self.job.id), await store.task("t")
        assert (job is not None, task is not None) == (made, made)
        assert (await store.counts()).tasks == made
        return made


class Advance(Act):
    async def prepare(self, store: Store) -> None:
        await store.create(self.job, None, None)

    async def __call__(self, store: Store) -> Any:
        after = replace(self.job, sequence=1, next_tick=None, modified_at=7_000)
        return await store.advance(self.job, after, [self.tick], self.execution, self.record)

    async def is_made(self, store: Store) -> bool:
        made = await super().is_made(store)
        job, task = await store.job(self.job.id), await store.task("t")
        assert job is not None
        assert task is not None
        assert (job.sequence, job.next_tick, task.modified_at) == ((1, None, 7_000) if made else (0, 2_000, 1_000))
        return made


class Stop(Act):
    async def prepare(self, store: Store) -> None:
        await store.create(self.job, None, None)

    async def __call__(self, store: Store) -> Any:
        return await store.stop_job(self.job.id, 5_000)

    async def is_made(self, store: Store) -> bool:
        job, ticks = await store.job(self.job.id), await ticks_of(store, self.job.id)
        assert job is not None
        assert (job.stop_sequence, job.next_tick, len(ticks)) in ((0, 2_000, 0), (1, None, 1))
        return bool(ticks)


class Delete(Act):
    async def prepare(self, store: Store) -> None:
        self.job = replace(self.job, next_tick=None, sequence=1)
        await store.create(self.job, self.tick, replace(self.execution, epoch=1, **ENDED))
        assert await store.append(chunk(self.execution.id, Head(), [Piece(STDOUT, 1, b"x")]))

    async def __call__(self, store: Store) -> Any:
        while (step := await store.delete_job(self.job.id, self.job.incarnation, 9_000)) is Deletion.MORE:
            pass
        return step

    async def is_made(self, store: Store) -> bool:
        job, task = await store.job(self.job.id), await store.task("t")
        assert task is not None
        if job is not None:  # half a deletion is one that can be repeated
            assert await store.execution(self.execution.id) is None or not self.execution.belongs_to(job) or job.floor == 0
            return False
        assert (task.modified_at, task.jobs_count) == (9_000, 0)
        assert (await store.counts()).executions == dict.fromkeys(Status, 0)
        assert await store.was_deleted(self.execution.id)
        assert (await store.log_head(self.execution.id)).offset == 0
        return True


WRITES = {Create: 7, Advance: 8, Stop: 5, Delete: 13}
"""How many writes each commit consists of, with what completes it."""
EACH = [(kind, number) for kind, count in WRITES.items() for number in range(1, count + 1)]


@pytest.mark.parametrize(("kind", "number"), EACH)
async def test_a_commit_whose_answer_is_lost_is_made_once(bed: Bed, kind: type[Act], number: int) -> None:
    act = kind()
    await act.prepare(bed.other)
    store = await bed.opened()
    bed.wire.lose = {number}
    assert await act(store)
    await store.close()
    assert len(bed.wire.writes) == WRITES[kind] + 1
    assert await act.is_made(bed.other)
    if isinstance(act, Create | Advance | Stop):
        counts = await bed.other.counts()
        assert (counts.jobs, counts.tasks) == (1, 1)


@pytest.mark.parametrize(("kind", "others"), [("with a tick", 17), ("with an event", 17), ("a stop", 17), ("of the job alone", 15)])
async def test_a_commit_whose_answer_is_lost_is_known_however_many_others_came_between(
    bed: Bed, kind: str, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the job alone leaves nothing else behind by which it is known: the job remembers 16."""
    act, event = Advance(), Event.now(EventKind.JOB_RUN, 1_000, task_id="t")
    await act.prepare(bed.other)
    event = replace(event, job_id=act.job.id)
    store = await bed.opened()
    between: list[int] = []

    async def overtake() -> None:
        job = await bed.other.job(act.job.id)
        assert job is not None
        between.append(job.sequence)
        for _ in range(others):
            after = replace(job, sequence=job.sequence + 1)
            assert await bed.other.advance(job, after, [], None)
            job = after

    monkeypatch.setattr(database, "_paused", once(overtake, database._paused, before=True))
    bed.wire.lose = {1}
    after = replace(act.job, sequence=1)
    if kind == "a stop":
        stopped = await store.stop_job(act.job.id, 5_000, ExpectedVersions(frozenset({act.job.version})), event)
        assert stopped is not None
    elif kind == "with a tick":
        assert await store.advance(act.job, after, [act.tick], act.execution)
        assert await store.executions_of(act.job.id, 10) == [act.execution]
    else:
        assert await store.advance(act.job, after, [], None, None, [event] if kind == "with an event" else ())
    await store.close()
    assert between == [1]
    job = await bed.other.job(act.job.id)
    assert job is not None
    assert job.sequence == 1 + others


@pytest.mark.parametrize(
    ("kind", "edge", "number"), [*((kind, "die_before", 1) for kind in WRITES), *((kind, "die_after", number) for kind, number in EACH)]
)
async def test_a_commit_that_ends_half_way_is_made_wholly_or_not_at_all(bed: Bed, kind: type[Act], edge: str, number: int) -> None:
    act = kind()
    await act.prepare(bed.other)
    store = await bed.opened(SHORT)
    setattr(bed.wire, edge, number)
    try:
        answered = bool(await act(store))
    except StoreDown:
        answered = False
    made = await act.is_made(bed.other)
    assert made or not answered
    closing = store.close()
    bed.wire.dead = True
    await closing
    bed.wire.reset()
    again = await bed.opened()
    if not made:
        assert await act(again)
    assert await act.is_made(again)
    await again.close()


class CreateAgain(Create):
    """A job under the id of one that is gone."""

    async def prepare(self, store: Store) -> None:
        gone = replace(self.job, incarnation="gone", next_tick=None)
        await store.create(gone, None, None)
        assert await store.delete_job(gone.id, gone.incarnation, 500) is Deletion.DONE
        assert await store.delete_task("t")


async def test_a_commit_over_a_tombstone_whose_answer_is_lost_is_made_once(bed: Bed) -> None:
    act = CreateAgain()
    await act.prepare(bed.other)
    store = await bed.opened()
    bed.wire.lose = {2}
    assert await act(store)
    await store.close()
    assert bed.wire.writes[1] == "jobs"
    assert await act.is_made(bed.other)


CHANGES: dict[str, Callable[[Store, Job, Tick, Execution], Awaitable[Any]]] = {
    "insert": lambda store, job, tick, execution: store.insert(next_execution(execution, due=1, now=1)),
    "change": lambda store, job, tick, execution: store.change(transitions.claim(execution, host="h", pool="p", now=1)),
    "append": lambda store, job, tick, execution: store.append(chunk(execution.id, Head(), [Piece(STDOUT, 1, b"x")])),
    "insert_deliveries": lambda store, job, tick, execution: put_delivery(store, DELIVERY),
    "change_generation": lambda store, job, tick, execution: store.change_generation(
        Generation(0, "", None, 0), Generation(1, "r", "w", 1)
    ),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_write_whose_answer_is_lost_is_recognised(bed: Bed, name: str) -> None:
    job, tick, execution = new("t")
    await bed.other.create(job, tick, execution)
    store = await bed.opened()
    bed.wire.lose = {1}
    assert await CHANGES[name](store, job, tick, execution)
    assert len(bed.wire.writes) >= 2
    await store.close()
    assert isinstance(await bed.other.counts(), Counts)


HOST = HostRecord("h", "10.0.0.7:2376", engine_id="E")
REMOVED = HOST.changed(removed_at=7, lost_until=7)
IMAGE = PulledImage("engine", "registry:5000/name@sha256:1", 5)
POOLS, NEW_POOLS = PoolsRevision(1, "a", 5), PoolsRevision(2, "b", 6, reload=True)
WEBHOOK = Webhook(NotificationTrigger.FAILS, "https://example.com/x", {}, 3)
DELIVERY = Delivery("d", "t", "j", "e", "execution.failed", WEBHOOK, False, 5, 5, 4)
RECEIVER = Receiver("r", "https://example.com:443", 10, 10, "it said no")
QUOTA = MailQuota("q", "e", 5)


@dataclass(frozen=True)
class Versioned:
    """A write of the next version of what the store has one of: what is written, and how. ``before``: the version before it."""

    write: Callable[[Store, Any], Awaitable[bool]]
    read: Callable[[Store], Awaitable[Any]]
    version: Any
    before: Any = None


async def the_host(store: Store) -> HostRecord:
    (host,) = await store.hosts()
    return host


async def the_image(store: Store) -> PulledImage:
    (image,) = await store.pulled_images("engine")
    return image


async def put_delivery(store: Store, delivery: Delivery) -> bool:
    if delivery.version > 1:
        return await store.write_delivery(delivery)
    await store.insert_deliveries([delivery])
    return True


async def the_delivery(store: Store) -> Delivery | None:
    return await store.delivery("d")


async def the_receiver(store: Store) -> Receiver | None:
    return await store.receiver("r")


async def the_quota(store: Store) -> MailQuota | None:
    return await store.mail_quota("q")


VERSIONED = {
    "registered host": Versioned(MongoStore.write_host, the_host, HOST),
    "host removed by force": Versioned(MongoStore.write_host, the_host, REMOVED, HOST),
    "first pools": Versioned(MongoStore.record_pools, MongoStore.pools_revision, POOLS),
    "new pools": Versioned(MongoStore.record_pools, MongoStore.pools_revision, NEW_POOLS, POOLS),
    "pulled image": Versioned(MongoStore.write_image, the_image, IMAGE),
    "image about to be removed": Versioned(MongoStore.write_image, the_image, IMAGE.taken(9), IMAGE),
    "delivery with a lease": Versioned(put_delivery, the_delivery, DELIVERY.taken(9, 1), DELIVERY),
    "receiver that fails": Versioned(MongoStore.write_receiver, the_receiver, RECEIVER),
    "receiver that fails again": Versioned(MongoStore.write_receiver, the_receiver, RECEIVER.failed("it said so", 20), RECEIVER),
    "first mail about a failure": Versioned(MongoStore.write_mail_quota, the_quota, QUOTA),
    "mail that is held back": Versioned(MongoStore.write_mail_quota, the_quota, QUOTA.holding("f"), QUOTA),
}


@pytest.mark.parametrize(("name", "number"), [*((name, 1) for name in VERSIONED), ("first pools", 2), ("new pools", 2)])
async def test_a_version_whose_answer_is_lost_is_written_once(bed: Bed, name: str, number: int) -> None:
    tried = VERSIONED[name]
    if tried.before is not None:
        assert await tried.write(bed.other, tried.before)
    store = await bed.opened()
    bed.wire.lose = {number}
    assert await tried.write(store, tried.version)
    assert len(bed.wire.writes) > number
    await store.close()
    assert await tried.read(bed.other) == tried.version
    assert not await tried.write(bed.other, tried.version)


@pytest.mark.parametrize("name", VERSIONED)
async def test_of_two_that_write_a_version_the_second_is_told_so_although_the_answer_to_the_first_is_lost(bed: Bed, name: str) -> None:
    tried = VERSIONED[name]
    if tried.before is not None:
        assert await tried.write(bed.other, tried.before)
    assert await tried.write(bed.other, tried.version)
    store = await bed.opened()
    bed.wire.lose = {1}
    assert not await tried.write(store, tried.version)
    assert len(bed.wire.writes) > 1
    await store.close()
    assert await tried.read(bed.other) == tried.version
