"""The scenario of an attempt whose job was deleted before the attempt was inserted."""

from fastlane.models import transitions
from fastlane.models.tick import next_execution
from fastlane.queue.port import execution_entry
from tests.crash.ground import Ground
from tests.crash.scenarios import Scenario


class Deleted(Scenario):
    """A settler slept through the deletion of the job, and inserts the next attempt late; a worker claims that, and discards it."""

    late = ""

    async def before(self, ground: Ground) -> None:
        job = await ground.enqueue(retries=1)
        await ground.stop()
        row = await ground.row()
        await ground.queue.finish({row.id: 1})
        ended = await ground.store.change(transitions.settle(row))
        assert ended is not None
        await ground.services.deletions.delete_job("trial", job.job_id)
        attempt = next_execution(ended, due=ground.clock.now(), now=ground.clock.now())
        assert await ground.store.insert(attempt)
        await ground.queue.put([execution_entry(attempt, ground.pools)])
        self.late = attempt.id

    async def check(self, ground: Ground) -> None:
        assert (await ground.store.execution(self.late), ground.starts) == (None, 0), await ground.told()
