"""How many round trips a job costs: commands that go one after another over the network. Those that are under way at once count as one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import structlog
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandStartedEvent

from fastlane.models import transitions
from fastlane.models.job import Ending, Job
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from fastlane.storage.base import Deletion
from fastlane.storage.mongo import commits, database, jobs
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.rows import EXECUTIONS, JOBS, TICKS
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.overtaking import once
from tests.contract.statuses import ruled_statuses, stored_statuses
from tests.support.factories import new
from tests.support.fastlane import Fastlane
from tests.support.ledger import ticks_of
from tests.support.recorded_calls import Commands
from tests.support.redis import RealRedis
from tests.support.waiting import PATIENCE, until

ENQUEUE, WITH_A_KEY, DISPATCH, END = 3, 5, 4, 3


@dataclass
class Call:
    """A call of the driver: after how many others, which were over when it began; and what it sent."""

    depth: int
    sent: list[str] = field(default_factory=list)


_CALL: ContextVar[Call] = ContextVar("call")


class RoundTrips(Commands):
    """Counts how many commands of one store went one after another. ``takes`` says which of them count."""

    def __init__(self, takes: Callable[[str], bool]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._takes = takes
        self._over = 0

    def started(self, event: CommandStartedEvent) -> None:
        text = repr(event.command)
        if self._takes(text) and "intent.op" not in text:  # an intent is taken off in the background
            _CALL.get().sent.append(f"{event.command_name} {event.command[event.command_name]}")

    @property
    def longest(self) -> int:
        return max([call.depth for call in self.calls if call.sent], default=0)

    @property
    def names(self) -> list[tuple[int, list[str]]]:
        return [(call.depth, call.sent) for call in self.calls if call.sent]

    def reset(self) -> None:
        self.calls.clear()
        self._over = 0

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Records the calls of all databases that are opened in the block, or are open."""
        real, listener = Database._repeated, self

        async def repeated(db: Database, act: Callable[[], Awaitable[Any]]) -> tuple[Any, bool]:
            call = Call(listener._over + 1)
            listener.calls.append(call)
            token = _CALL.set(call)
            try:
                return await real(db, act)
            finally:
                _CALL.reset(token)
                if call.sent:
                    listener._over = max(listener._over, call.depth)

        def client(url: str, **options: Any) -> AsyncIOMotorClient[Any]:
            return AsyncIOMotorClient(url, event_listeners=[listener], **options)

        with patch.object(database, "AsyncIOMotorClient", client), patch.object(Database, "_repeated", repeated):
            yield


def of_a_request(_text: str) -> bool:
    return "request_id" in structlog.contextvars.get_contextvars()


async def test_an_enqueue_takes_three_round_trips_before_its_answer(mongo_url: str, shared_redis: RealRedis, tmp_path: Path) -> None:
    trips = RoundTrips(of_a_request)
    with trips.recording():
        async with Fastlane(tmp_path, shared_redis.url, store_url=mongo_url) as server:
            for headers, most in (({}, ENQUEUE), ({"Idempotency-Key": "key"}, WITH_A_KEY)):
                trips.reset()
                answer = await server.post("/tasks/t", {"image": "ubuntu:latest"}, headers=headers)
                assert answer.status == 200, answer.body
                assert trips.longest == most, trips.names


async def test_a_dispatch_takes_four_round_trips_and_an_end_three(mongo_url: str) -> None:
    """The calls of a worker (``Launcher``, ``ExecutionWatch``, ``Runner``), which removes the service while it looks for what waits."""
    job, tick, execution = new("t")
    trips = RoundTrips(lambda text: execution.id in text or job.id in text)
    with trips.recording():
        store = MongoStore(mongo_url, deadline=PATIENCE)
        await store.open()
        await store.create(job, tick, execution)
        await store._rows.finisher.finished(job.id)
        trips.reset()
        claimed = await store.claim(execution.id, lambda row: transitions.claim(row, host="h", pool="p", now=1))
        assert claimed is not None
        bound = await store.change(
            transitions.bind(claimed.execution, service_id="s", swarm_id="w", image_digest=None, image_reference=None, now=2)
        )
        assert bound is not None
        assert await store.execution(execution.id) == bound
        assert trips.longest == DISPATCH, trips.names
        trips.reset()
        ended = await store.change(transitions.end(bound, Ending(Status.DONE, 3, 0), settled=True, now=3))
        assert ended is not None
        await asyncio.gather(store.waiting(job.id), store.change(transitions.clean(ended)))
        assert trips.longest == END, trips.names
        await store.close()


async def test_an_enqueue_a_claim_and_an_end_are_answered_before_the_intent_is_taken_off(
    stores: tuple[MongoStore, MongoStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for that, however long it takes: here it waits for the answers."""
    clear, answered, came_first = commits.clear, asyncio.Event(), list[bool]()

    async def wait(db: Database, row: Any, seal: str | None) -> None:
        came_first.append(False)
        await answered.wait()  # at most as long as the store's deadline
        came_first[-1] = True
        await clear(db, row, seal)

    monkeypatch.setattr(commits, "clear", wait)
    monkeypatch.setattr(commits, "PATIENCE", 2 * PATIENCE)
    store = stores[0]
    job, tick, execution = new("t")
    await store.create(job, tick, execution)
    claimed = await store.claim(execution.id, lambda row: transitions.claim(row, host="h", pool="p", now=1))
    assert claimed is not None
    assert await store.change(transitions.give_up(claimed.execution, Ending(Status.FAILED, 2)))
    answered.set()
    await store._rows.finisher.close()
    assert came_first == [True]


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    """Until this is set, no intent is taken off its job by the process that made the commit."""
    go_on, clear = asyncio.Event(), commits.clear
    in_background = {"intent"}

    async def hold(db: Database, job: Any, seal: str | None) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name() in in_background:
            await go_on.wait()
        await clear(db, job, seal)

    monkeypatch.setattr(commits, "clear", hold)
    monkeypatch.setattr(commits, "ALONE", 0.01)
    yield go_on
    go_on.set()


async def end_all(store: MongoStore, job: Job) -> None:
    for execution in await store.executions_of(job.id, 10):
        pulling = await store.change(transitions.claim(execution, host="h", pool="p", now=1))
        assert pulling is not None
        assert await store.change(transitions.give_up(pulling, Ending(Status.FAILED, 2)))
        assert await store.change(transitions.settle(execution))


@pytest.mark.parametrize("number", [0, 1])
async def test_a_job_that_is_changed_and_deleted_just_after_its_creation_leaves_its_task(
    stores: tuple[MongoStore, MongoStore], db: Database, held: asyncio.Event, number: int
) -> None:
    """The intent of its creation is taken off by the next change, in this process or in another, and not by its own."""
    job, tick, execution = new("t")
    await stores[0].create(job, tick, execution)
    row = await db.one(JOBS, job.id)
    assert row is not None
    assert row["intent"] is not None
    store = stores[number]
    assert await store.stop_job(job.id, 5)
    await end_all(store, job)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    held.set()
    await stores[0]._rows.finisher.close()
    task = await store.task("t")
    assert task is not None
    assert task.jobs_count == 0


async def test_a_tick_that_comes_after_its_execution_can_be_closed(
    stores: tuple[MongoStore, MongoStore], db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, go_on = Database.insert_missing, asyncio.Event()

    async def late(self: Database, collection: str, documents: Any) -> None:
        if collection == TICKS and self is stores[0]._db:
            await go_on.wait()
        await insert(self, collection, documents)

    async def execution_is_there() -> bool:
        return await db.one(EXECUTIONS, execution.id) is not None

    monkeypatch.setattr(Database, "insert_missing", late)
    job, tick, execution = new("t")
    creating = asyncio.ensure_future(stores[0].create(job, tick, execution))
    await until(execution_is_there, "the execution")
    assert await db.one(TICKS, tick.id) is None
    await stores[1].close_tick(tick.id, Outcome.STOPPED, "stopped")
    go_on.set()
    await creating
    assert [one.outcome for one in await ticks_of(stores[1], job.id)] == [Outcome.STOPPED]


async def test_a_claim_that_comes_too_late_leaves_the_status_as_it_is(
    stores: tuple[MongoStore, MongoStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop comes between its look at the execution and its write, and its job has shown the claim by then. The process that stopped it
    ends before the status follows."""

    async def never(*_: object) -> None:
        """The process has ended."""

    one, other = stores
    job, tick, execution = new("t")
    await one.create(job, tick, execution)

    async def stop() -> None:
        async def shown() -> bool:
            return await stored_statuses(other) == {job.id: "pulling"}

        await until(shown, "the claim to be shown")
        monkeypatch.setattr(other._rows.statuses, "follow_change", never)
        assert await other.change(transitions.cancel(execution, now=5))

    monkeypatch.setattr(jobs, "apply", once(stop, jobs.apply, before=True))
    claimed = await one.claim(execution.id, lambda row: transitions.claim(row, host="h", pool="p", now=1))
    assert claimed is not None
    assert not claimed.changed
    assert await stored_statuses(other) == await ruled_statuses(other) == {job.id: "stopped"}
