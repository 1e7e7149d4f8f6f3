"""The scenario of a job after another one: its worker falls between the end of the first and the tick of the second."""

from fastlane.models.job import Spec
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import chain_key
from fastlane.models.upstream import AfterJobs, AfterOn
from tests.crash.ground import COMMAND, IMAGE, Ground
from tests.crash.scenarios import Scenario
from tests.support.ledger import ticks_of


class Chained(Scenario):
    """A job fails by itself, and another one follows it."""

    async def before(self, ground: Ground) -> None:
        spec, by_hand = Spec(IMAGE, COMMAND), Schedule(ScheduleKind.MANUAL)
        first = await ground.services.submissions.enqueue("trial", spec, by_hand)
        following = Schedule(ScheduleKind.MANUAL, after=AfterJobs((first.job_id,), AfterOn.FAILS))
        await ground.services.submissions.enqueue("trial", spec, following)
        await ground.services.manual_runs.run("trial", first.job_id)

    async def check(self, ground: Ground) -> None:
        second, first = await ground.executions()
        ends = [(row.status, row.exit_code) for row in (first, second)]
        assert (ends, ground.starts) == ([(Status.FAILED, 3)] * 2, 2), await ground.told()
        assert [end.execution_id for end in second.upstream or ()] == [first.id]
        assert [tick.key for tick in await ticks_of(ground.store, second.job_id, 10)] == [chain_key([first.id])]
