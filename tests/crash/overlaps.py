"""The scenarios of a job of which one execution waits for another, or is to replace it: a worker falls amid that."""

from fastlane.models.cron import Cron
from fastlane.models.job import Spec
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from tests.crash.ground import COMMAND, IMAGE, Ground, Process
from tests.crash.scenarios import Scenario, ready
from tests.support.ledger import tick_of


class Queued(Scenario):
    """A second execution waits for the end of the first."""

    overlap, outcome, first = Overlap.QUEUE, Outcome.QUEUED, (Status.FAILED, 3)

    async def before(self, ground: Ground) -> None:
        await self.begin(ground)
        await self.run_again(ground)

    async def begin(self, ground: Ground) -> None:
        """The job, with its first execution and no tick to come."""
        schedule = Schedule(ScheduleKind.CRON, None, Cron("0 0 1 1 *"), self.overlap)
        job = await ground.services.submissions.enqueue("trial", Spec(IMAGE, COMMAND), schedule)
        await ground.services.pauses.pause("trial", job.job_id)
        await self.run_again(ground)

    async def run_again(self, ground: Ground) -> None:
        """Somebody runs it by hand."""
        (job,) = await ground.store.jobs_of("trial", 1)
        await ground.services.manual_runs.run("trial", job.id)

    async def check(self, ground: Ground) -> None:
        first, second = await ground.executions()
        assert (first.status, first.exit_code) == self.first, await ground.told()
        assert (second.status, second.exit_code, ground.starts) == (Status.FAILED, 3, 2), await ground.told()
        assert (second.placed_at or 0) >= (first.finished_at or 0), await ground.told()
        tick = await tick_of(ground.store, second.job_id, second.tick_id)
        assert tick is not None
        assert tick.outcome is self.outcome


class Replaced(Queued):
    """The first execution runs when the second comes, and is stopped for it."""

    overlap, outcome, first = Overlap.REPLACE, Outcome.REPLACED, (Status.STOPPED, 5)
    ends_by_itself = False

    async def before(self, ground: Ground) -> None:
        await self.begin(ground)

    async def during(self, ground: Ground, process: Process) -> None:
        await ready(ground)
        await self.run_again(ground)

    async def after(self, ground: Ground) -> None:
        await ground.start()

        async def stopped() -> bool:
            return (await ground.executions())[0].status.final

        await ground.until(stopped, "the end of the first one")
        ground.ends_by_itself = True
