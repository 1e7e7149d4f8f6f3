"""How far a store has come: what every store promises of it."""

from fastlane.storage.base import Generation
from tests.support.factories import first_of, new, new_job


async def test_each_commit_that_changes_anything_raises_it(store):
    seen = await store.version()
    job, tick, execution = new()
    await store.create(job, tick, execution)
    for write in (
        store.pause_pool("a", True),
        store.stop_job(job.id, 5),
        store.check(),
        store.insert(first_of(job, key="k", sequence=2)[1]),
    ):
        before, _ = await store.version(), await write
        assert (await store.version()).commits > before.commits
    now = await store.version()
    assert now.continues(seen)
    assert not seen.continues(now)


async def test_reading_and_writes_that_change_nothing_do_not(store):
    await store.pause_pool("a", True)
    before = await store.version()
    await store.job(new_job().id)
    await store.pause_pool("a", True)
    assert not await store.change_generation(Generation(9, "x", None, 0), Generation(10, "x", None, 0))
    assert await store.version() == before


async def test_all_who_open_it_see_the_same_store(store, open_store):
    other = await open_store()
    await other.check()
    assert await store.version() == await other.version()
    await store.check()
    assert (await other.version()).continues(await store.version())
