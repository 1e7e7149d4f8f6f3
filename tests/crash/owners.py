"""The scenarios of two owners at once: a first one wakes while a second one has the execution, and before that one has done its work."""

import signal

from fastlane.models.status import Status
from tests.crash.ground import Ground, Process
from tests.crash.scenarios import Missing, Scenario, TakenOver, late_and_taken, never_started
from tests.support.seams import Trip


class WokenEarly(Scenario):
    """Its first owner wakes while the container of the second one's job runs: two have it for a moment, and one of them lets go."""

    signals = ("STOP",)
    ends_by_itself = False

    async def after(self, ground: Ground) -> None:
        frozen, left = list(ground.processes), await ground.row()
        await ground.start()

        async def runs() -> bool:
            row = await ground.row()
            return ground.ready and row.epoch > left.epoch and row.status is Status.RUNNING

        await ground.until(runs, "the next owner to see it run")
        before = await ground.row()
        for process in frozen:
            await ground.wake(process)
            assert await ground.row() == before, await ground.told()
            assert late_and_taken(process.journal.read()) == [], await ground.told()
        ground.ends_by_itself = True


class Overtaken(Scenario):
    """A second owner has taken over and freezes before it writes; then the first one wakes: nothing but its epoch stands in its way."""

    signals = ("STOP",)
    reconcile = 1.0

    async def after(self, ground: Ground) -> None:
        first, second = ground.processes
        before = await ground.row()
        await ground.wake(first)
        row = await ground.row()
        assert row == before or row.epoch > before.epoch, f"a late owner's write was taken\n{await ground.told()}"
        second.running.send_signal(signal.SIGCONT)


class OvertakenByAStop(Overtaken):
    """A second owner has put a stop on the parked service and freezes; then the first one wakes, about to activate it."""

    ends_by_itself = False

    async def fall(self, ground: Ground, trip: Trip) -> Process:
        if ground.processes:
            await ground.stop()
        return await super().fall(ground, trip)

    async def check(self, ground: Ground) -> None:
        await never_started(ground)


class OvertakenWithoutImage(Overtaken, Missing):
    """The same, of a job whose image is missing."""


class OvertakenWithoutHost(Overtaken, TakenOver):
    """The same, of a job whose host is away."""
