"""Says that an execution waits because as many run as its ``concurrency`` allows: of its task, or of its pool with the same
``concurrencyKey``."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models.access import may_see
from fastlane.models.job import Execution
from fastlane.models.paging import Wanted, Window
from fastlane.models.pool import Pool, pool_for
from fastlane.models.status import STARTING
from fastlane.storage.base import Store

PAGE, MOST = 200, 2_000
"""Running executions that are read at once, and in all, to find those with a key."""
MOST_NAMED = 10
"""Jobs that are named."""


@dataclass(frozen=True, slots=True)
class FullTask:
    """A task with as many running executions as one of them allows."""

    running: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class FullKey:
    """A key with as many running executions as one of them allows. ``taken_by``: the jobs of the first ones, as ``task/job``, where the
    caller may see them."""

    key: str
    running: int
    concurrency: int
    taken_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sharing:
    """The executions that hold a slot and count for an execution's limit, which may be among them: how many, and the jobs of others that
    may be named."""

    running: int = 0
    taken_by: tuple[str, ...] = ()


ALONE = Sharing()


def full(execution: Execution, sharing: Sharing) -> tuple[str, FullTask | FullKey] | None:
    """What an execution waits for by its ``concurrency``, in words and as a value; None when it does not."""
    most, key, running = execution.spec.concurrency, execution.spec.concurrency_key, sharing.running
    if not most or running < most:
        return None
    if key is None:
        message = f"{running} of its task's executions run, and it waits while {most} or more do (concurrency)"
        return message, FullTask(running, most)
    by = f" by {', '.join(sharing.taken_by)}" if sharing.taken_by else ""
    return f"it waits for the key {key}: {running} of {most} taken{by} (concurrencyKey)", FullKey(key, running, most, sharing.taken_by)


async def find_sharing(store: Store, pools: Sequence[Pool], execution: Execution | None, visible: str | None) -> Sharing:
    """The executions that count for an execution's limit. ``visible``: a regular expression for the tasks whose jobs may be named."""
    if execution is None or not execution.spec.concurrency:
        return ALONE
    if execution.spec.concurrency_key is None:
        return Sharing((await store.list_executions(Wanted(STARTING, execution.task_id), Window(1, 1))).total)
    own, key = pool_for(pools, execution.task_id), execution.spec.concurrency_key
    found, after, read = list[Execution](), None, 0
    while (page := await store.executions_in(STARTING, PAGE, after)) and read < MOST:
        found += [one for one in page if one.spec.concurrency_key == key and pool_for(pools, one.task_id) == own]
        read, after = read + len(page), (page[-1].scheduled_for, page[-1].id)
    shown = [one for one in found if one.id != execution.id and may_see(visible, one.task_id)]
    return Sharing(len(found), tuple(f"{one.task_id}/{one.job_id}" for one in shown[:MOST_NAMED]))
