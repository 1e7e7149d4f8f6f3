"""What happens around a seam: each scenario brings a process to it, lets others go on, wakes what was frozen, and says how all ends.

``crash`` is called with the trip and does what is common; a scenario is a class whose hooks say what is its own.
"""

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastlane.models import transitions
from fastlane.models.log import STDERR, STDOUT
from fastlane.models.log_commands import Outputs
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from fastlane.queue.port import TICKS, Entry, EntryKind
from tests.crash.ground import HALF, LANES, POOL, WHOLE, Ground, Process, World
from tests.support.ledger import tick_of
from tests.support.seams import Trip

QUIET = 60.0
"""Seconds between the rounds of a reconciler that is not to be met."""


@dataclass(frozen=True)
class Case:
    """A scenario (its name and its class) and the trips of its processes, one after the other; the last one is what it is about."""

    scenario: str
    made: "type[Scenario]"
    trips: tuple[Trip, ...]
    repeated: bool = False
    """Whether other cases play its scenario with the same left behind, and its seam elsewhere."""

    async def run(self, world: World) -> None:
        """Plays it, on ground of its own."""
        hosts = tuple(host or world.engine for host in self.made.hosts)
        async with Ground(world, hosts, settings=dict(self.made.settings)) as ground:
            await self.made().run(ground, self.trips)

    def __str__(self) -> str:
        words = [f"{trip.seam}{f'#{trip.passage}' if trip.passage > 1 else ''}" for trip in self.trips]
        return f"{self.scenario}, {self.trips[-1].signal.lower()} {' then '.join(words)}".replace(" ", "-")


async def ended(ground: Ground) -> None:
    """It ran once, to its own end."""
    row = await ground.row()
    found = row.status, row.exit_code, row.failure.reason if row.failure else None, ground.starts
    assert found == (Status.FAILED, 3, FailureReason.EXIT, 1), await ground.told()
    warning = b"::error::warned\n"
    assert (await ground.log(STDOUT), await ground.log(STDERR)) == (WHOLE, warning)
    assert (row.stdout_bytes, row.stderr_bytes, row.truncated) == (len(WHOLE), len(warning), False)
    assert row.outputs == Outputs({"first": "1", "second": "2"})
    assert row.failure is not None
    assert row.failure.message.endswith(": warned")
    tick = await tick_of(ground.store, row.job_id, row.tick_id)
    assert tick is not None
    assert tick.outcome is Outcome.STARTED


async def stopped(ground: Ground) -> None:
    """It ran once, until it was stopped."""
    row = await ground.row()
    assert (row.status, row.exit_code, ground.starts) == (Status.STOPPED, 5, 1), await ground.told()
    assert (await ground.log(STDOUT), await ground.log(STDERR)) == (HALF + b"stopped\n", b"")
    assert row.outputs == Outputs({"first": "1"})


async def never_started(ground: Ground) -> None:
    """It was stopped before its start."""
    row = await ground.row()
    assert (row.status, row.exit_code, ground.starts) == (Status.STOPPED, None, 0), await ground.told()
    assert await ground.log(STDOUT) == b""
    tick = await tick_of(ground.store, row.job_id, row.tick_id)
    assert tick is not None
    assert tick.outcome is Outcome.STOPPED


async def stopped_or_never_started(ground: Ground) -> None:
    """It was stopped just when it was about to start."""
    row = await ground.row()
    assert row.status is Status.STOPPED, await ground.told()
    assert ground.starts <= 1, await ground.told()


async def refused(ground: Ground) -> None:
    """It had no image."""
    row = await ground.row()
    reason = row.failure.reason if row.failure else None
    assert (row.status, row.exit_code, reason, ground.starts) == (Status.FAILED, None, FailureReason.IMAGE, 0), await ground.told()


async def nothing(ground: Ground) -> None:
    """There never was an execution."""
    assert (await ground.executions(), ground.starts) == ([], 0)


class Scenario:
    """A job that runs now; its worker ends or freezes, and another one takes over."""

    hosts: tuple[str, ...] = ()
    settings: Mapping[str, str] = {}
    signals = ("KILL", "STOP")
    ends_by_itself = True
    reconcile = QUIET
    """Of the process on trial."""
    repairs = 1.0
    """The same of the one that takes over."""
    seam = ""

    async def before(self, ground: Ground) -> None:
        """What stands before the first process on trial starts."""
        await ground.enqueue()

    async def during(self, ground: Ground, process: Process) -> None:
        """What happens while a process on trial comes to its seam."""

    async def after(self, ground: Ground) -> None:
        """What happens once it did."""

    async def check(self, ground: Ground) -> None:
        """How it must have ended."""
        await ended(ground)

    async def fall(self, ground: Ground, trip: Trip) -> Process:
        """Brings a process to its seam."""
        process = await ground.start("worker", trip, reconcile=self.reconcile)
        await self.during(ground, process)
        await ground.trips(process)
        return process

    async def run(self, ground: Ground, trips: Sequence[Trip]) -> None:
        """All of it."""
        self.seam = trips[-1].seam
        ground.ends_by_itself = self.ends_by_itself
        await self.before(ground)
        fallen = [await self.fall(ground, trip) for trip in trips]
        await self.after(ground)
        if not any(process.works for process in ground.processes):
            late = any(process.frozen for process in fallen)
            await ground.start(reconcile=Scenario.repairs if late else self.repairs)
        await ground.over()
        await self.check(ground)
        for process in fallen:
            if process.frozen:
                await self.wake(ground, process)
                await self.check(ground)

    async def wake(self, ground: Ground, process: Process) -> None:
        """Wakes a process that others have taken for dead: what it still writes is refused, and nothing changes."""
        before = [replace(row, op="") for row in await ground.executions()]
        await ground.wake(process)
        await ground.over()
        assert [replace(row, op="") for row in await ground.executions()] == before, await ground.told()
        for word in late_and_taken(process.journal.read()):
            raise AssertionError(f"{word} of a late owner was taken\n{await ground.told()}")


def late_and_taken(passages: list[tuple[str, Any]]) -> list[str]:
    """The owner's writes that a process made after it was woken, and that were not refused. (One under way when it froze is not late.)"""
    words = [word for word, _ in passages]
    woken = words.index("woken")
    begun = [word.removeprefix("before ") for word in words[woken - 2 :] if word.startswith("before ")]
    under_way = Counter(word.removeprefix("before ") for word in words[: woken - 2] if word.startswith("before "))
    under_way.subtract(word.removeprefix("after ") for word in words[: woken - 2] if word.startswith("after "))
    taken = []
    for word, answer in passages[woken:]:
        point = word.removeprefix("after ")
        if point != word and under_way[point] > 0:
            under_way[point] -= 1
        elif point != word and point in begun:
            begun.remove(point)
            if answer not in REFUSALS and word in OWNERS:
                taken.append(word)
    return taken


OWNED = ("claim", "take-over", "re-place", "bind", "give-up", "run", "end", "advance", "settle", "discard", "write")
OWNERS = {f"after store.{name}" for name in OWNED}
"""What only the first to do it may do: each answers what became of it."""
REFUSALS = (False, "Repeated", "Conflict")
"""The answers that say that nothing was written, and the errors that do."""


class Later(Scenario):
    """A job that is due at a moment, which has come when the worker starts. The next owner needs no reconciler after a death; after a pause
    it does: what the late owner parks when it wakes is a leftover."""

    repairs = QUIET

    async def before(self, ground: Ground) -> None:
        await ground.enqueue(at=ground.clock.now())


class StoppedWhileRunning(Scenario):
    """Its container runs when it is stopped."""

    ends_by_itself = False

    async def during(self, ground: Ground, process: Process) -> None:
        await ready(ground)
        await ground.stop()

    async def check(self, ground: Ground) -> None:
        await stopped(ground)


class StoppedFirst(Scenario):
    """It is stopped before any worker sees it."""

    async def before(self, ground: Ground) -> None:
        await ground.enqueue()
        await ground.stop()

    async def check(self, ground: Ground) -> None:
        await never_started(ground)


class Covered(StoppedFirst):
    """It waits, and its job was stopped, but whoever did that died before it went on."""

    async def before(self, ground: Ground) -> None:
        job = await ground.enqueue()
        assert await ground.store.stop_job(job.job_id, ground.clock.now())


class StoppedMeanwhile(Scenario):
    """Its worker falls, then it is stopped, then another takes over."""

    ends_by_itself = False

    async def after(self, ground: Ground) -> None:
        await ground.stop()

    async def check(self, ground: Ground) -> None:
        started = self.seam in {
            "after engine.activate",
            "before engine.inspect",
            "after engine.inspect",
            "before store.run",
            "after store.run",
        }
        await (stopped_or_never_started if started else never_started)(ground)


class StoppedBetween(StoppedMeanwhile):
    """Its worker pauses for less than a lease; it is stopped just then."""

    signals = ("STOP",)
    reconcile = 1.0

    async def after(self, ground: Ground) -> None:
        await ground.stop()
        ground.processes[0].running.send_signal(signal.SIGCONT)


class Missing(Scenario):
    """No registry has its image, for as long as one waits for that."""

    settings: Mapping[str, str] = {"PULL_DEADLINE": "1s"}

    async def before(self, ground: Ground) -> None:
        await ground.enqueue("nobody/has-this-image:1")

    async def check(self, ground: Ground) -> None:
        await refused(ground)


class Retried(Scenario):
    """It fails, and is to be tried once more."""

    async def before(self, ground: Ground) -> None:
        await ground.enqueue(retries=1, retry_delay=100)

    async def check(self, ground: Ground) -> None:
        rows = [(row.attempt, row.status, row.exit_code) for row in await ground.executions()]
        assert rows == [(1, Status.FAILED, 3), (2, Status.FAILED, 3)], await ground.told()
        assert ground.starts == 2, await ground.told()
        assert await ground.log(STDOUT) == WHOLE + WHOLE


class Expired(Scenario):
    """Its time to start is over when a worker comes."""

    async def before(self, ground: Ground) -> None:
        await ground.enqueue(expires_in=1)

    async def check(self, ground: Ground) -> None:
        row = await ground.row()
        tick = await tick_of(ground.store, row.job_id, row.tick_id)
        assert tick is not None
        assert (row.status, tick.outcome, ground.starts) == (Status.EXPIRED, Outcome.EXPIRED, 0), await ground.told()


class ExpiredMeanwhile(Expired):
    """Its time to start passes after its worker fell, and before another takes over."""

    async def before(self, ground: Ground) -> None:
        await ground.enqueue(expires_in=10_000)

    async def after(self, ground: Ground) -> None:
        row = await ground.row()

        async def over() -> bool:
            return row.expires_at is not None and ground.clock.now() >= row.expires_at

        await ground.until(over, "its last moment")


class OtherLane(Scenario):
    """Its entry stands in a lane that is not its pool's any more."""

    async def before(self, ground: Ground) -> None:
        job = await ground.enqueue()
        assert job.execution_id is not None
        await ground.queue.cancel(job.execution_id)
        await ground.queue.put([Entry(job.execution_id, EntryKind.EXECUTION, TICKS, ground.clock.now())])


class UnservedLane(Scenario):
    """Its entry stands in the lane of a pool that no worker has any more."""

    async def before(self, ground: Ground) -> None:
        job = await ground.enqueue()
        assert job.execution_id is not None
        await ground.queue.cancel(job.execution_id)
        await ground.queue.put([Entry(job.execution_id, EntryKind.EXECUTION, "removed", ground.clock.now())])


class TakenOver(Scenario):
    """Its first owner claimed it for a host that is away, and is gone."""

    hosts = ("unix:///nowhere/docker.sock", "")

    async def before(self, ground: Ground) -> None:
        await ground.enqueue()
        generation = str((await ground.store.generation()).number)
        claim = await ground.queue.claim(generation, "the first owner", LANES, 1, lease=1)
        assert len(claim.leases) == 1
        row = await ground.row()
        assert await ground.store.change(transitions.claim(row, host=self.hosts[0], pool=POOL, now=ground.clock.now()))


class Rebuilt(Scenario):
    """The queue loses all its data while the job runs: its owner builds it anew."""

    async def during(self, ground: Ground, process: Process) -> None:
        ground.ends_by_itself = False
        await ready(ground)
        await ground.queue.generation.wipe()

    async def after(self, ground: Ground) -> None:
        ground.ends_by_itself = True


class HandedOver(Scenario):
    """Its worker is told to end while the job runs."""

    async def during(self, ground: Ground, process: Process) -> None:
        ground.ends_by_itself = False
        await ready(ground)
        process.running.send_signal(signal.SIGTERM)

    async def fall(self, ground: Ground, trip: Trip) -> Process:
        process = await super().fall(ground, trip)
        if not process.frozen:
            await process.running.wait()
        return process

    async def after(self, ground: Ground) -> None:
        ground.ends_by_itself = True


async def ready(ground: Ground) -> None:
    """The container waits."""

    async def waits() -> bool:
        return ground.ready

    await ground.until(waits, "the container to be there")
