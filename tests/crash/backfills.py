"""The scenario of a backfill: a worker falls between the tick of a due time and the record that this due time has one."""

from dataclasses import replace

from fastlane.models.backfill import Backfill, BackfillState
from fastlane.models.cron import Cron
from fastlane.models.event import EventKind
from fastlane.models.job import Spec
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import TickOrigin, origin_of
from fastlane.services.backfills import BackfillWish
from tests.crash.ground import COMMAND, IMAGE, Ground
from tests.crash.scenarios import Scenario
from tests.support.ledger import ticks_of

TWO_YEARS = 2 * 366 * 24 * 3_600_000


class Backfilled(Scenario):
    """A job of each year, two due times of which run one after the other. Its cron has no tick to come, so that all can be over."""

    async def before(self, ground: Ground) -> None:
        yearly = Schedule(ScheduleKind.CRON, None, Cron("0 0 1 1 *"))
        self.job = (await ground.services.submissions.enqueue("trial", Spec(IMAGE, COMMAND), yearly)).job_id
        job = await ground.store.job(self.job)
        assert job is not None
        assert await ground.store.advance(job, replace(job, next_tick=None), (), None)
        await ground.queue.cancel(self.job)
        wish = BackfillWish(ground.clock.now() - TWO_YEARS)
        self.begun = (await ground.services.backfills.begin("trial", self.job, wish))[0]
        assert self.begun.total >= 2

    async def check(self, ground: Ground) -> None:
        async def over() -> Backfill | None:
            await ground.go_when_running()
            record = await ground.store.backfills.of_job(self.job)
            return record if record is not None and record.ended_at is not None else None

        record = await ground.until(over, "the end of the backfill")
        assert record is not None
        await ground.over()
        found = record.state, record.failed, record.remaining, record.open, ground.starts
        assert found == (BackfillState.FINISHED, self.begun.total, (), (), self.begun.total), await ground.told()
        rows = await ground.executions()
        assert [(row.attempt, row.status, row.exit_code) for row in rows] == [(1, Status.FAILED, 3)] * self.begun.total
        assert tuple(row.spec.due_at for row in rows) == self.begun.remaining
        ticks = await ticks_of(ground.store, self.job, 10)
        assert sorted(tick.due for tick in ticks) == list(self.begun.remaining)
        assert {origin_of(tick.key) for tick in ticks} == {TickOrigin.BACKFILL}
        assert await ground.events(EventKind.BACKFILL_ENDED) == 1, await ground.told()
