"""What the contract's tests of stores begin with: executions in any state."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from fastlane.models.job import Execution
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


def types_in(value: Any) -> Any:
    """The very types of a value and of all that is in it, since equal values may have others: an ``int`` of a driver's own, say."""
    if is_dataclass(value):
        return type(value), [types_in(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return type(value), [(types_in(name), types_in(inner)) for name, inner in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return type(value), [types_in(inner) for inner in value]
    return type(value)
