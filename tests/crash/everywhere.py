"""The scenario of a job that runs everywhere: a worker falls between the decision on its targets and their executions, and at its end."""

from fastlane.models.job import Spec
from fastlane.models.run_target import Everywhere
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, execution_id
from tests.crash.ground import COMMAND, IMAGE, Ground
from tests.crash.scenarios import Scenario
from tests.support.ledger import tick_of


class OnAllNodes(Scenario):
    """The pool has one swarm of one node, so the tick has one target. (``tests/behaviour/jobs/test_everywhere.py`` ends workers amid the
    executions of several.)"""

    async def before(self, ground: Ground) -> None:
        await ground.services.submissions.enqueue("trial", Spec(IMAGE, COMMAND, everywhere=Everywhere.NODES), Schedule())

    async def check(self, ground: Ground) -> None:
        (only,) = await ground.executions()
        target = only.spec.target
        assert target is not None
        assert (only.status, only.exit_code, ground.starts) == (Status.FAILED, 3, 1), await ground.told()
        assert (only.id, only.sequence, only.settled) == (execution_id(only.tick_id, 1), target.last, True), await ground.told()
        tick = await tick_of(ground.store, only.job_id, only.tick_id)
        assert tick is not None
        assert (tick.outcome, tick.execution_id, tick.reason) == (Outcome.STARTED, only.id, "runs on 1 target"), await ground.told()
