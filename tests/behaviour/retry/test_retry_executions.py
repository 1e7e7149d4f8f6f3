"""Any past execution is run again: what runs, for which due time, and when it is refused. No worker but the test, in virtual time."""

import pytest

from fastlane.errors import Conflict, Invalid, NotFound
from fastlane.models.container import Container
from fastlane.models.cron import Cron
from fastlane.models.ids import IdempotencyKey
from fastlane.models.job import Spec
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.tick import TickOrigin, origin_of
from fastlane.scheduler.launcher import order_of
from fastlane.services.jobs import RetryWish
from tests.support.factories import make_spec
from tests.support.scenarios import MINUTE, first_minute, ran


def each_minute(overlap=Overlap.ALLOW):
    return Schedule(ScheduleKind.CRON, None, Cron("* * * * *"), overlap)


async def ticked(virtual, job, code=0):
    """The next tick of the job, which has run: its execution."""
    virtual.clock.set(first_minute(virtual))
    (id,) = await virtual.work()
    await virtual.finish(id, code)
    return await virtual.real_store.execution(id)


async def retried(virtual, job, past, **wish):
    return await virtual.services.manual_runs.retry_execution("t", job.job_id, RetryWish(past.id, **wish))


async def test_a_run_of_a_schedule_is_run_again_as_it_was_and_for_its_due_time(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec("old", envs={"PASSWORD": "then"}), each_minute())
    first = await ticked(virtual, job, 1)
    await ticked(virtual, job)
    await virtual.services.edits.edit("t", job.job_id, lambda seen, _: (make_spec("new"), seen.schedule))
    reply = await retried(virtual, job, first)
    assert await virtual.work() == [reply.execution_id]
    made = await virtual.real_store.execution(reply.execution_id)
    assert (made.spec.image, made.spec.envs["PASSWORD"]) == ("old", "then")
    assert made.scheduled_for == virtual.clock.now()  # it is not late
    assert order_of(made, None).scheduled_for == first.scheduled_for  # its container knows the due time
    stored = await virtual.job(job.job_id)
    assert (stored.spec.image, stored.next_tick) == ("new", first_minute(virtual))
    tick = await virtual.real_store.tick(made.tick_id)
    assert (tick.due, origin_of(tick.key)) == (first.scheduled_for, TickOrigin.HAND)
    await virtual.finish(made.id, 1)
    again = await retried(virtual, job, await virtual.real_store.execution(made.id))  # and that one again
    assert (await virtual.real_store.execution(again.execution_id)).spec.due_at == first.scheduled_for


async def test_a_later_attempt_stands_for_the_due_time_of_its_tick(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), each_minute())
    first = await ticked(virtual, job, 1)
    (second,) = await virtual.work()
    await virtual.finish(second, 1)
    reply = await retried(virtual, job, await virtual.real_store.execution(second))
    assert (await virtual.real_store.execution(reply.execution_id)).spec.due_at == first.scheduled_for


async def test_another_image_runs_in_place_of_the_one_it_had(virtual):
    job = await ran(virtual, 1)
    past = await virtual.real_store.execution(job.execution_id)
    reply = await retried(virtual, job, past, image="ubuntu:24.04")
    made = await virtual.real_store.execution(reply.execution_id)
    assert (made.spec.image, made.spec.due_at) == ("ubuntu:24.04", None)
    assert (await virtual.job(job.job_id)).spec.image == "ubuntu"


async def test_a_service_decides_its_image_itself(virtual):
    spec = Spec("", service="shop_web", container=Container())
    job = await ran(virtual)
    past = (await virtual.real_store.execution(job.execution_id)).changed({"spec": spec})
    virtual.real_store.execution = lambda _id: _answer(past)
    with pytest.raises(Invalid, match=r"image: does not go with execution .* the service 'shop_web'"):
        await retried(virtual, job, past, image="ubuntu")


async def _answer(value):
    return value


async def test_what_has_not_ended_is_not_run_again(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    past = await virtual.real_store.execution(job.execution_id)
    with pytest.raises(Conflict, match="is enqueued; try again when it has ended"):
        await retried(virtual, job, past)
    other = await ran(virtual)
    with pytest.raises(NotFound, match="has no execution"):
        await retried(virtual, other, past)


async def test_overlap_applies_as_it_does_to_a_run(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), each_minute(Overlap.SKIP))
    first = await ticked(virtual, job, 1)
    virtual.clock.set(virtual.clock.now() + MINUTE)
    await virtual.work()
    with pytest.raises(Conflict, match="still under way"):
        await retried(virtual, job, first)
    assert (await retried(virtual, job, first, force=True)).execution_id


async def test_a_request_with_a_key_runs_it_once(virtual):
    job = await ran(virtual, 1)
    retry, key = virtual.services.manual_runs.retry_execution, IdempotencyKey("key", "body")
    first = await retry("t", job.job_id, RetryWish(str(job.execution_id)), None, key)
    second = await retry("t", job.job_id, RetryWish(str(job.execution_id)), None, key)
    assert (second.execution_id, second.replayed) == (first.execution_id, True)
    assert len(await virtual.executions(job.job_id)) == 2
