"""Pausing a pool as a service: what is claimed from it, who else hears of it, and what a death or a lost queue leaves."""

from pathlib import Path

import pytest

from fastlane.errors import NotFound, QueueDown
from fastlane.models.pool import Pauses
from fastlane.models.schedule import Schedule
from fastlane.services.results import PoolPaused
from tests.support.factories import make_spec
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Died, dies
from tests.support.redis import RealRedis
from tests.support.services import method


async def away() -> None:
    raise QueueDown("refused the connection")


async def test_nothing_of_a_paused_pool_is_claimed_and_the_others_go_on(virtual):
    assert await virtual.services.pools.pause("default") == PoolPaused("default", True)
    held = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    free = await virtual.services.submissions.enqueue("other-t", make_spec(), Schedule())
    assert await virtual.work() == [free.execution_id]
    assert await virtual.services.pools.resume("default") == PoolPaused("default", False)
    assert await virtual.work() == [held.execution_id]


async def test_a_pause_and_its_end_are_safe_to_repeat(virtual):
    await virtual.services.pools.resume("default")
    assert await virtual.real_store.paused_pools() == Pauses(0)
    for _ in range(2):
        await virtual.services.pools.pause("default")
    assert await virtual.real_store.paused_pools() == Pauses(1, frozenset({"default"}))
    for _ in range(2):
        await virtual.services.pools.resume("default")
    assert await virtual.real_store.paused_pools() == Pauses(2)
    await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    assert len(await virtual.work()) == 1


async def test_a_pool_that_is_not_there_is_not_found_and_the_others_are_named(virtual):
    for verb in ("pause_pool", "resume_pool"):
        with pytest.raises(NotFound, match="there is no pool 'none'; the pools are: default, other"):
            await method(virtual.services, verb)("none")
    assert await virtual.real_store.paused_pools() == Pauses(0)


async def test_a_tick_that_fires_in_a_paused_pool_waits_and_expires_there_when_its_time_is_over(virtual):
    await virtual.services.pools.pause("default")
    job = await virtual.services.submissions.enqueue("t", make_spec(expires_in=5_000), virtual.at(60))
    virtual.clock.set(virtual.clock.now() + 60_000)
    assert await virtual.work() == []
    (waiting,) = await virtual.executions(job.job_id)
    virtual.clock.set(virtual.clock.now() + 5_000)
    (lease,) = await virtual.claim()
    assert (lease.id, lease.expired) == (waiting.id, True)


async def test_what_was_stopped_while_its_pool_was_paused_is_settled_at_once(virtual):
    await virtual.services.pools.pause("default")
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.services.stops.stop_job("t", job.job_id)
    assert await virtual.work() == []
    (execution,) = await virtual.executions(job.job_id)
    assert (execution.status, execution.settled) == ("stopped", True)


# between the store and the queue


@pytest.mark.parametrize("paused", [True, False])
@pytest.mark.parametrize("finder", ["the reconciler", "a rebuild", "a repeat"])
async def test_a_process_that_died_between_the_store_and_the_queue_is_made_up_for(virtual, paused, finder):
    if not paused:
        await virtual.others.pools.pause("default")
    virtual.queue.before("pause", dies)
    with pytest.raises(Died):
        await method(virtual.services, "pause_pool" if paused else "resume_pool")("default")
    if finder == "a rebuild":
        await virtual.rebuild()
    elif finder == "the reconciler":
        await virtual.reconciler.pause()
    else:
        await method(virtual.services, "pause_pool" if paused else "resume_pool")("default")
    await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    assert len(await virtual.work()) == (0 if paused else 1)


async def test_a_queue_that_is_built_anew_holds_the_pause_from_its_first_claim_on(virtual):
    await virtual.services.pools.pause("default")
    await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.rebuild()
    assert await virtual.work() == []
    await virtual.services.pools.resume("default")
    assert len(await virtual.work()) == 1


async def test_an_older_look_of_the_reconciler_does_not_undo_a_pause(virtual):
    """It has read that nothing is paused, then a pause is answered, then it tells the queue."""
    await virtual.others.pools.pause("other")
    await virtual.others.pools.resume("other")
    virtual.worker_store.after("paused_pools", lambda: virtual.others.pools.pause("default"))
    await virtual.reconciler.pause()
    await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    assert await virtual.work() == []


@pytest.mark.parametrize(("first", "second"), [("pause_pool", "resume_pool"), ("resume_pool", "pause_pool")])
async def test_of_two_words_that_reach_the_queue_in_the_wrong_order_the_later_one_holds(virtual, first, second):
    if first == "resume_pool":
        await virtual.others.pools.pause("default")
    virtual.queue.before("pause", lambda: method(virtual.others, second)("default"))
    await method(virtual.services, first)("default")
    await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    assert len(await virtual.work()) == (1 if second == "resume_pool" else 0)


async def test_pauses_of_two_pools_at_once_both_hold(virtual):
    virtual.queue.before("pause", lambda: virtual.others.pools.pause("other"))
    await virtual.services.pools.pause("default")
    for task in ("t", "other-t"):
        await virtual.others.submissions.enqueue(task, make_spec(), Schedule())
    assert await virtual.work() == []


# a queue that is away


@pytest.mark.parametrize("verb", ["pause_pool", "resume_pool"])
async def test_while_the_queue_is_away_nothing_is_written(virtual, verb):
    if verb == "resume_pool":
        await virtual.others.pools.pause("default")
    before = await virtual.real_store.paused_pools()
    virtual.queue.before("check", away)
    with pytest.raises(QueueDown):
        await method(virtual.services, verb)("default")
    assert await virtual.real_store.paused_pools() == before


async def test_a_pause_that_the_queue_did_not_hear_of_is_not_answered_as_one_and_holds_once_it_does(virtual):
    virtual.queue.before("pause", away)
    with pytest.raises(QueueDown, match="is stored, but the queue does not answer"):
        await virtual.services.pools.pause("default")
    await virtual.services.outbox.caught_up()
    await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    assert await virtual.work() == []


async def test_a_resume_that_the_queue_did_not_hear_of_is_told_again(virtual):
    await virtual.services.pools.pause("default")
    await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    virtual.queue.before("pause", away)
    assert await virtual.services.pools.resume("default") == PoolPaused("default", False)
    await virtual.services.outbox.caught_up()
    assert len(await virtual.work()) == 1


# with workers


async def test_workers_hold_a_paused_pool_and_go_on_at_once_when_it_is_resumed(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        await crew.hire()
        await crew.hire()
        running = await crew.submit("hold")
        ran = await crew.reaches(running, "running")
        await crew.services.pools.pause("default")
        held = [await crew.submit("exit", "0") for _ in range(5)]
        crew.executor.release(ran.id)
        assert (await crew.cleaned(running)).status == "done"
        assert [row.ready + row.timed for row in (await crew.queue.counts(["default"])).values()] == [5]
        assert crew.executor.starts == [ran.id]
        await crew.services.pools.resume("default")
        for job in held:
            await crew.cleaned(job)
        await crew.idle()
        assert len(crew.executor.starts) == 6
        assert HOST in crew.executor.world
