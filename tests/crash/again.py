"""The scenarios of rules that a request or a timer writes: an API falls amid the retry of a past execution, or amid the stop of a backfill;
a worker amid the row of a date that a schedule skips."""

from dataclasses import replace
from datetime import date

from fastlane.models.backfill import BackfillState
from fastlane.models.cron import Cron
from fastlane.models.event import EventKind
from fastlane.models.job import Job, Spec
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.skip_dates import DateRange
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from fastlane.scheduler.backfiller import Backfiller
from fastlane.services.backfills import BackfillWish
from tests.crash.api_and_reconciler import PostedAgain
from tests.crash.backfills import TWO_YEARS
from tests.crash.ground import COMMAND, IMAGE, Ground
from tests.crash.scenarios import Scenario, nothing
from tests.support.defaults import ports_of
from tests.support.ledger import ticks_of

YEARLY = Schedule(ScheduleKind.CRON, None, Cron("0 0 1 1 *"))


async def chosen() -> bool:
    """There is one worker that makes the rounds."""
    return True


async def the_job(ground: Ground) -> Job:
    """The one that there is."""
    (job,) = await ground.store.jobs_of("trial", 10)
    return job


class RetriedAgain(PostedAgain):
    """An execution that was stopped is asked for once more, with a key; who sent it sees no answer, and sends it again: it runs once."""

    async def before(self, ground: Ground) -> None:
        made = await ground.enqueue()
        await ground.services.stops.stop_job("trial", made.job_id)
        self.path = f"/tasks/trial/jobs/{made.job_id}/executions/{made.execution_id}/retry"

    async def request(self, ground: Ground) -> None:
        self.answer = await ground.post(self.path, {}, key="once")

    async def check(self, ground: Ground) -> None:
        ends = [(row.status, row.exit_code) for row in await ground.executions()]
        assert (ends, ground.starts) == ([(Status.STOPPED, None), (Status.FAILED, 3)], 1), await ground.told()
        assert [tick.outcome for tick in await ticks_of(ground.store, (await the_job(ground)).id, 10)] == [Outcome.STARTED, Outcome.STOPPED]


class BackfillStopped(PostedAgain):
    """A backfill whose first execution waits for a worker is stopped, by an API that falls; the stop is asked for again."""

    async def before(self, ground: Ground) -> None:
        made = await ground.services.submissions.enqueue("trial", Spec(IMAGE, COMMAND), YEARLY)
        job = await the_job(ground)
        assert await ground.store.advance(job, replace(job, next_tick=None), (), None)
        await ground.queue.cancel(job.id)
        await ground.services.backfills.begin("trial", made.job_id, BackfillWish(ground.clock.now() - TWO_YEARS))
        await Backfiller(ports_of(ground.store, ground.queue, ground.clock, pools=ground.pools), chosen).go_on(job.id)
        assert (await ground.row()).status is Status.ENQUEUED
        self.path = f"/tasks/trial/jobs/{job.id}/backfill/stop"

    async def request(self, ground: Ground) -> None:
        self.answer = await ground.post(self.path, {})

    async def check(self, ground: Ground) -> None:
        row, job = await ground.row(), await the_job(ground)
        assert (row.status, row.settled, ground.starts) == (Status.STOPPED, True, 0), await ground.told()
        now = await ground.services.backfills.get("trial", job.id)
        assert (now.state, now.open, now.failed, now.reason) == (BackfillState.STOPPED, (), 1, "it was stopped"), await ground.told()
        assert await ground.events(EventKind.BACKFILL_ENDED) == 1, await ground.told()


class Skipped(Scenario):
    """A cron is due on a date that it skips; it is stopped once its ledger says so."""

    async def before(self, ground: Ground) -> None:
        every = replace(YEARLY, skip=(DateRange(date(2000, 1, 1), date(9999, 12, 31)),))
        await ground.services.submissions.enqueue("trial", Spec(IMAGE, COMMAND), every)
        job = await the_job(ground)
        self.due = ground.clock.now()
        assert await ground.store.advance(job, replace(job, next_tick=self.due), (), None)
        await ground.services.submissions.put("trial", job.id, job.spec, job.schedule)

    async def after(self, ground: Ground) -> None:
        await ground.start()

        async def skipped() -> bool:
            return bool(await ticks_of(ground.store, (await the_job(ground)).id, 10))

        await ground.until(skipped, "the row of the date")
        await ground.stop()

    async def check(self, ground: Ground) -> None:
        await nothing(ground)
        (row,) = await ticks_of(ground.store, (await the_job(ground)).id, 10)
        found = row.key, row.outcome, (row.reason or "").partition(":")[0]
        assert found == (f"c:{self.due}", Outcome.SKIPPED, "calendar"), await ground.told()
        assert await ground.events(EventKind.TICK_SKIPPED) == 1, await ground.told()
