"""The open jobs of a task, of which MongoDB finds the candidates in two indexes, some at a time."""

from dataclasses import replace

import pytest

from fastlane.storage import logic
from fastlane.storage.mongo.store import MongoStore
from tests.support.factories import new, new_job

Stores = tuple[MongoStore, MongoStore]


@pytest.mark.parametrize("candidates", [1, 2, 3])
async def test_all_are_found_however_few_candidates_are_looked_at_together(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, candidates: int
) -> None:
    """Of each job that runs, the first execution in the index is one of an earlier job under its id, which opens none."""
    monkeypatch.setattr(logic, "CANDIDATES", candidates)
    store, opened = stores[0], []
    for number in range(6):
        job = replace(new_job("t", at=5_000), id=f"{2 * number}")
        await store.create(job, None, None)
        _, tick, execution = new("t")
        running = replace(new_job("t"), id=f"{2 * number + 1}")
        late, first = (replace(execution, id=f"{running.id}/{attempt}", job_id=running.id, attempt=attempt) for attempt in (1, 2))
        await store.create(running, replace(tick, job_id=running.id), replace(first, incarnation=running.incarnation))
        assert await store.insert(replace(late, incarnation="an earlier one"))
        opened += [job.id, running.id]
    expected = sorted(opened)
    assert [job.id for job in await store.open_jobs("t", 100)] == expected
    assert [job.id for job in await store.open_jobs("t", 5)] == expected[:5]
    assert [job.id for job in await store.open_jobs("t", 100, expected[6])] == expected[7:]
