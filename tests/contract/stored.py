"""What the contract's tests of stores begin with: executions in any state."""

from dataclasses import replace

from fastlane.models.execution import Execution
from fastlane.models.status import Status
from fastlane.storage.base import Store
from tests.support.factories import new


async def created(store: Store, **values: object) -> Execution:
    """An execution in this very state."""
    job, tick, execution = new()
    execution = replace(execution, **values)
    await store.create(job, tick, execution)
    return execution


async def ended(store: Store, final: Status, at: int, **values: object) -> Execution:
    return await created(store, status=final, finished_at=at, **values)
