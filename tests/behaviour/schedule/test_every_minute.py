"""A job of every minute watched over a restart of everything: in virtual time, with the parts that ``fastlane api`` and ``fastlane worker``
join, on a real store and a real Redis.
"""

import shutil
from collections.abc import Callable, Coroutine, Iterator

import pytest

from fastlane.models.job import Spec
from fastlane.models.schedule import CatchUp, Overlap
from fastlane.models.tick import Outcome, Tick
from tests.model.accounts import Accounts
from tests.model.clients import PLAIN
from tests.model.loop import run
from tests.model.world import PATIENCE, World
from tests.support.redis import RealRedis
from tests.support.scratch import short_folder
from tests.support.stores import new_store

pytestmark = [pytest.mark.sqlite, pytest.mark.timeout(400)]

MINUTE = 60_000
RULES = [(overlap, catch_up) for overlap in Overlap for catch_up in CatchUp]
WATCHED = 3
"""Minutes before, and after, the restart."""
EMPTY = pytest.mark.parametrize("empty", [False, True], ids=["Redis keeps its data", "Redis is empty"])
LATE = "ms late, and nothing was wrong"
"""What the model test says of a late start; here it is looked at apart, since something was wrong for a while."""
RECOVERY = 10
"""Seconds after its return by which all is as ever: leases last 6 s here."""
BEFORE, AMID = 57.0, 0.03
"""Seconds of a minute: shortly before the ticks, and while they are being fired."""


@pytest.fixture
def world(shared_redis: RealRedis) -> Iterator[World]:
    folder = short_folder("minute")
    world = World(folder, shared_redis.socket, f"minute-{folder.name}", 1)
    world.wire.brisk, world.wire.slow = True, 0.0
    yield world
    shutil.rmtree(folder)


@EMPTY
@pytest.mark.parametrize("second", [BEFORE, AMID], ids=["before a tick", "amid a tick"])
@pytest.mark.parametrize("seconds", [5, pytest.param(50, marks=pytest.mark.thorough)])
def test_no_minute_is_missed_by_a_restart_of_everything(world: World, second: float, seconds: int, empty: bool) -> None:
    def check(ledger: list[Tick], gone: int) -> None:
        assert {tick.outcome for tick in ledger} == {Outcome.STARTED}
        assert [tick.due for tick in ledger] == list(range(ledger[0].due, ledger[-1].due + 1, MINUTE))
        assert len(ledger) >= 2 * WATCHED

    watch(world, second, seconds, empty=empty, check=check)


@EMPTY
def test_the_minutes_of_a_longer_absence_are_one_row_and_the_next_one_runs(world: World, empty: bool) -> None:
    def check(ledger: list[Tick], gone: int) -> None:
        (missed,) = [tick for tick in ledger if tick.outcome is not Outcome.STARTED]
        assert missed.outcome is Outcome.MISSED
        assert missed.due == gone + 3000
        assert missed.until == missed.due + (missed.count - 1) * MINUTE
        assert missed.count == 7
        started = [tick.due for tick in ledger if tick is not missed]
        assert started == [due for due in range(ledger[0].due, ledger[-1].due + 1, MINUTE) if not missed.due <= due <= missed.until]

    watch(world, BEFORE, 430, empty=empty, check=check)


def watch(world: World, second: float, seconds: int, *, empty: bool, check: Callable[[list[Tick], int], None]) -> None:
    """Jobs of every minute by all rules, and at some second of a minute everything gone for so many seconds. Then what the model test
    checks at its end, and ``check`` each one's ledger, the earliest due first (and the moment at which all was gone)."""

    async def live() -> None:
        await world.open()
        try:
            for _ in range(2):
                await world.hire()
            for rules in RULES:
                await world.clients.post("l1", Spec("ubuntu", ("exit", "0")), ("* * * * *", *rules), PLAIN)
            await pass_minutes(world, WATCHED, second)
            gone = world.clock.now()
            await end_everything(world, empty=empty)
            await world.clock.sleep(seconds)
            await begin_everything(world)
            await pass_minutes(world, WATCHED, 30)
            await end_jobs(world)
            await really(world, Accounts(world).examine())
            assert not [words for words in world.witness.complaints if not words.endswith(LATE)]
            assert len(world.witness.jobs) == len(RULES)
            for job in world.witness.jobs.values():
                ledger = sorted((tick for tick in world.witness.ticks.values() if tick.job_id == job.id), key=lambda tick: tick.due)
                assert all(
                    gone <= tick.created_at <= gone + (seconds + RECOVERY) * 1000 for tick in ledger if tick.created_at > tick.due + 500
                )
                check(ledger, gone)
        finally:
            await world.close()

    run(world.pulse, live())


async def pass_minutes(world: World, count: int, second: float) -> None:
    """Returns at that second of a minute, after so many whole ones."""
    whole = (world.clock.now() // MINUTE + 1 + count) * 60
    await world.clock.sleep(whole + second - world.clock.now() / 1000)


async def end_everything(world: World, *, empty: bool) -> None:
    """kill -9 of every worker and of the API, the store's file is closed, and Redis is another process, without its data if ``empty``."""
    for employee in world.workers:
        employee.kill()
    for replica in world.replicas:
        replica.node.kill()
        await replica.services.outbox.close()
    state = None if empty else world.keys.dump()
    await world.lose_queue(state, restarted=True)
    await really(world, world.store.close())


async def begin_everything(world: World) -> None:
    """Two workers and as many APIs as before on the same file."""
    world.store = new_store(world.store_url, busy_timeout=PATIENCE)
    await really(world, world.store.open())
    world.replicas = [await world._replica() for _ in world.replicas]
    for _ in range(2):
        await world.hire()


async def end_jobs(world: World) -> None:
    """Stops them, and returns when nothing is left to do."""
    world.stop_endless()
    give_up = world.clock.now() + 5 * MINUTE
    while left := await world.left():
        assert world.clock.now() < give_up, left
        await world.clock.sleep(1.0)


async def really(world: World, work: Coroutine[None, None, None]) -> None:
    """Waits for what takes real time, while virtual time stands still."""
    world.pulse.busy += 1
    await work
    world.pulse.busy -= 1
