"""A pruner that ends before or after any of its calls leaves nothing half gone, and the next one completes what it began."""

from typing import Any

import pytest

from fastlane.models.retention import Retention
from fastlane.models.status import Status
from fastlane.scheduler.pruner import Pruner, RetentionRules
from tests.behaviour.retention.conftest import DAY
from tests.support.intercept import Call, Died, Intercepted
from tests.support.ledger import count_executions, count_ticks
from tests.support.scenarios import ran
from tests.support.virtual_time import POOLS, VirtualFastlane

WRITES = ("prune", "prune_deliveries", "release_space", "delete_over", "delete_job", "delete_task")
RULES = RetentionRules(Retention(jobs=DAY, max_executions=150), DAY)


class Ending:
    """Ends the process before or after its n-th write."""

    def __init__(self, number: int, *, after: bool) -> None:
        self._left = number
        self._after = after
        self.died = False

    async def __call__(self, call: Call) -> Any:
        if call.verb not in WRITES:
            return await call.carry()
        self._left -= 1
        if self._left == 0 and not self._after:
            self.died = True
            raise Died
        answer = await call.carry()
        if self._left == 0:
            self.died = True
            raise Died
        return answer


def dying(virtual: VirtualFastlane, ending: Ending) -> Pruner:
    store: Any = Intercepted(virtual.real_store, ending)
    store.retention = Intercepted(virtual.real_store.retention, ending)
    return Pruner(store, virtual.clock, POOLS, RULES)


@pytest.mark.parametrize("after", [False, True])
async def test_what_a_pruner_that_ends_at_any_write_began_is_completed(virtual: VirtualFastlane, *, after: bool) -> None:
    old = await ran(virtual)
    await virtual.past(old.job_id, 250)
    virtual.clock.set(virtual.clock.now() + 2 * DAY)
    job = await ran(virtual)
    await virtual.past(job.job_id, 450)
    for number in range(1, 100):
        ending = Ending(number, after=after)
        try:
            await dying(virtual, ending).prune_all()
        except Died:
            stored = await virtual.real_store.executions_of(job.job_id, 1_000)
            assert [row.sequence for row in stored] == list(range(451, 451 - len(stored), -1))
            assert (await virtual.real_store.counts()).executions[Status.DONE] == len(stored) + await count_executions(
                virtual.real_store, old.job_id
            )
        if not ending.died:
            break
    assert await virtual.real_store.job(old.job_id) is None
    assert await count_executions(virtual.real_store, job.job_id) == 150
    assert await count_ticks(virtual.real_store, job.job_id) == 150
    counts = await virtual.real_store.counts()
    assert (counts.jobs, counts.tasks, counts.executions[Status.DONE]) == (1, 1, 150)
