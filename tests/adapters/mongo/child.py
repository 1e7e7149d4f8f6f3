"""A process of its own that changes executions on MongoDB, and comes to rest between a change and the status that follows it.

``python -m tests.adapters.mongo.child claim|show|end|insert URL EXECUTION``
"""

import asyncio
import sys
from collections.abc import Callable

from fastlane.models import transitions
from fastlane.models.job import Ending, Execution
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.rows import EXECUTIONS
from fastlane.storage.mongo.store import MongoStore
from tests.support.waiting import PATIENCE


async def claim(store: MongoStore, execution: Execution) -> None:
    await store.claim(execution.id, lambda row: transitions.claim(row, host="h", pool="p", now=1))


async def end(store: MongoStore, execution: Execution) -> None:
    claimed = await store.claim(execution.id, lambda row: transitions.claim(row, host="h", pool="p", now=1))
    assert claimed is not None
    rest_after_a_change()
    await store.change(transitions.give_up(claimed.execution, Ending(Status.FAILED, 5)))


async def insert(store: MongoStore, execution: Execution) -> None:
    await store.insert(next_execution(execution, due=1, now=1))


def rest_after_a_change() -> None:
    """Lets the process say that it has written to the executions, and do nothing more."""
    for verb in ("update", "insert"):
        _rest(verb, lambda collection: collection == EXECUTIONS)
    _rest("change", lambda _: False)


def rest_after_a_status() -> None:
    """Lets the process say that a job shows a claim, and not write the claim."""
    _rest("change", lambda _: True)
    _rest("update", lambda _: False)


def _rest(verb: str, is_made: Callable[[str], bool]) -> None:
    """Lets writes by this verb to these collections be the last ones, and those to others never come."""
    real = getattr(Database, verb)

    async def write(self: Database, collection: str, *arguments: object, **named: object) -> object:
        if is_made(collection):
            await real(self, collection, *arguments, **named)
            sys.stdout.write("changed\n")
            sys.stdout.flush()
        return await asyncio.Event().wait()

    setattr(Database, verb, write)


async def main(act: str, url: str, execution_id: str) -> None:
    store = MongoStore(url, deadline=PATIENCE)
    await store.open()
    execution = await store.execution(execution_id)
    assert execution is not None
    if act == "show":
        rest_after_a_status()
    elif act != "end":
        rest_after_a_change()
    await {"claim": claim, "show": claim, "end": end, "insert": insert}[act](store, execution)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
