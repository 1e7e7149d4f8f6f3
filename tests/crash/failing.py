"""The scenarios of what follows when a job goes on failing, and of messages about starts: a worker falls between an end and the pause, or
between a write and its message. The job is paused once, and each message arrives with one id."""

from dataclasses import replace

from fastlane.models.cron import Cron
from fastlane.models.event import EventKind
from fastlane.models.failing import Failing
from fastlane.models.job import Job, Spec
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from tests.crash.ground import COMMAND, IMAGE, Ground
from tests.crash.scenarios import ended
from tests.crash.webhooks import Told, delivered


class Failed(Told):
    """A job whose tick before has failed, run once by hand."""

    trigger = NotificationTrigger.FAILS
    schedule = Schedule(ScheduleKind.MANUAL)
    code, pause_after = "3", 0

    async def before(self, ground: Ground) -> None:
        webhooks = (Webhook(self.trigger, self.receiver.url),)
        spec = Spec(IMAGE, COMMAND, envs={"CODE": self.code}, webhooks=webhooks, pause_after=self.pause_after)
        made = await ground.services.submissions.enqueue("trial", spec, self.schedule)
        job = await ground.store.job(made.job_id)
        assert job is not None
        assert await ground.store.advance(job, replace(job, sequence=1, failing=Failing(ends=(-1,))), (), None)
        await ground.services.manual_runs.run("trial", made.job_id)

    async def job(self, ground: Ground) -> Job:
        """The job with its counted ends."""
        (job,) = await ground.store.jobs_of("trial", 10)
        return job

    async def messages(self, ground: Ground, *about: str) -> list[str]:
        """The types of what the receiver got, once there is one delivered message about each of these."""
        ids = {(await delivered(ground, id)).id for id in about}
        assert {one.id for one in self.receiver.received} == ids, await ground.told()
        return sorted({one.json["type"] for one in self.receiver.received})


class Paused(Failed):
    """This failure is the second one in a row, and pauses the job."""

    schedule = Schedule(ScheduleKind.CRON, None, Cron("0 0 1 1 *"))
    pause_after = 2

    async def check(self, ground: Ground) -> None:
        await ended(ground)
        row, job = await ground.row(), await self.job(ground)
        assert job.failing is not None
        assert (job.paused, job.failing.ends, job.failing.paused_by) == (True, (-1, -2), 2), await ground.told()
        assert await ground.events(EventKind.JOB_PAUSED) == 1, await ground.told()
        assert await self.messages(ground, row.id, row.job_id) == ["execution.failed", "job.paused"]


class Fixed(Failed):
    """This is the first success after a failure."""

    trigger = NotificationTrigger.FIXED
    code = "0"

    async def check(self, ground: Ground) -> None:
        row, job = await ground.row(), await self.job(ground)
        assert (row.status, row.settled, ground.starts) == (Status.DONE, True, 1), await ground.told()
        assert job.failing is not None
        assert job.failing.ends == (-1, 2), await ground.told()
        assert await self.messages(ground, row.id) == ["execution.fixed"]


class Started(Failed):
    """Its start is told, and its end is not."""

    trigger = NotificationTrigger.STARTED

    async def check(self, ground: Ground) -> None:
        await ended(ground)
        assert await self.messages(ground, (await ground.row()).id) == ["execution.started"]
