"""Lets a process end at one of its writes."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import pytest

from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Execution, Job
from fastlane.models.tick import Tick
from fastlane.storage.mongo.commits import commit_job
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.records import COMPARED, Commit, Effects
from tests.support.intercept import Died


async def commit_alone(
    db: Database, job: Job, tick: Tick, execution: Execution, record: IdempotencyRecord | None = None, *, seen: Job | None = None
) -> Document:
    """A commit by a process that ends before it carries anything out: the job's row as that process has it."""
    compared = None if seen is None else {name: getattr(seen, name) for name in COMPARED}
    commit = Commit(job.id, job.task_id, compared, job, job.modified_at, Effects((tick,), execution, record))
    made, row = await commit_job(db, commit)
    assert made
    assert row is not None
    return row


def end_at(
    monkeypatch: pytest.MonkeyPatch,
    verbs: Collection[str],
    number: int,
    *,
    after: bool = False,
    unseen: Collection[str] = ("meta",),
    of: Database | None = None,
) -> list[str]:
    """Lets so many writes by these verbs be made, and the process end before the next one, or ``after`` it; the writes that were made.
    ``unseen``: collections whose writes are not among them. ``of``: only the writes of this process."""
    made: list[str] = []

    def ending(verb: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(Database, verb)

        async def write(self: Database, collection: str, *arguments: Any, **named: Any) -> Any:
            if collection in unseen or arguments[:1] == ("version",) or (of is not None and self is not of):
                return await real(self, collection, *arguments, **named)
            is_last = len(made) == number
            if is_last and not after:
                raise Died
            made.append(f"{verb} {collection}")
            answer = await real(self, collection, *arguments, **named)
            if is_last:
                raise Died
            return answer

        return write

    for verb in verbs:
        monkeypatch.setattr(Database, verb, ending(verb))
    return made
