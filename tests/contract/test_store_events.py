"""What every store promises of events: those that are recorded, and those that are read from the rows of jobs and executions."""

import asyncio
from dataclasses import replace
from uuid import uuid4

from fastlane.models import transitions
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind, Position, Source, Span, at
from fastlane.models.job import Ending, Failure, Started
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.storage.base import Deletion
from tests.contract.stored import created, types_in
from tests.support.factories import first_of, new, new_job

ANNA, BEN = Requester("anna", "10.0.0.1"), Requester("ben", "2001:db8::1")
EVER = Span(at(0), Position(10**14, "~"))


def recorded(time: int, kind: EventKind = EventKind.HOST_DRAINED, **fields: object) -> Event:
    return Event(str(uuid4()), time, kind, ANNA, **fields)


async def kinds(store, source: Source = Source.RECORDED, span: Span = EVER) -> list[EventKind]:
    return [event.kind for event in await store.events(source, span, 100)]


async def test_a_recorded_event_is_kept_whole_and_once(store, open_store):
    event = Event.now(
        EventKind.JOB_CHANGED, 5, ANNA, task_id="größe", job_id="j", execution_id="e", host="h:1", pool="p", a="x" * 900, b=None, c=[1]
    )
    assert event.detail == {"a": "x" * 500, "c": [1]}
    await asyncio.gather(store.add_events([event]), (await open_store()).add_events([event, event]))
    (found,) = await store.events(Source.RECORDED, EVER, 10)
    assert found == event
    assert types_in(found) == types_in(event)


async def test_events_come_in_the_order_of_time_and_id_both_ways(store):
    events = sorted((recorded(time) for time in (3, 1, 2, 2, 2)), key=lambda event: event.position)
    await store.add_events(events[::-1])
    assert list(await store.events(Source.RECORDED, EVER, 9)) == events
    back = replace(EVER, first=EVER.last, last=EVER.first, backwards=True)
    assert list(await store.events(Source.RECORDED, back, 9)) == events[::-1]
    assert list(await store.events(Source.RECORDED, back, 2)) == events[:2:-1]
    middle = Span(events[2].position, events[3].position)
    assert list(await store.events(Source.RECORDED, middle, 9)) == events[2:4]
    assert list(await store.events(Source.RECORDED, replace(middle, first=middle.last, last=middle.first, backwards=True), 1)) == [
        events[3]
    ]
    assert list(await store.events(Source.RECORDED, Span(at(4), Position(9, "~")), 9)) == []


async def test_a_span_may_name_a_task_a_job_or_an_execution(store):
    events = [
        recorded(1, task_id="t", job_id="j", execution_id="e"),
        recorded(2, task_id="t", job_id="j"),
        recorded(3, task_id="t"),
        recorded(4),
    ]
    await store.add_events(events)
    for narrow, count in (({"task_id": "t"}, 3), ({"job_id": "j"}, 2), ({"execution_id": "e"}, 1), ({"execution_id": "x"}, 0)):
        assert list(await store.events(Source.RECORDED, replace(EVER, **narrow), 9)) == events[:count]


async def test_old_events_are_pruned_oldest_first_in_steps(store):
    events = [recorded(time) for time in (1, 2, 3, 4)]
    await store.add_events(events)
    assert await store.retention.prune_events(4, 2) == 2
    assert list(await store.events(Source.RECORDED, EVER, 9)) == events[2:]
    assert await store.retention.prune_events(4, 2) == 1
    assert await store.retention.prune_events(4, 2) == 0
    assert list(await store.events(Source.RECORDED, EVER, 9)) == events[3:]


async def test_a_new_job_tells_who_made_it_also_after_another_changed_it(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    changed = replace(job, revision=2, requested_by=BEN)
    for seen, after in ((job, changed), (changed, replace(changed, revision=3, requested_by=None))):
        (event,) = await store.events(Source.CREATED, EVER, 9)
        assert (event.id, event.time, event.kind, event.actor) == (job.id, 1_000, EventKind.JOB_CREATED, ANNA)
        assert (event.task_id, event.job_id, event.detail) == (job.task_id, job.id, {"schedule": "now"})
        assert await store.advance(seen, after, (), None)
    (event,) = await store.events(Source.CREATED, replace(EVER, job_id=job.id), 9)
    assert event.actor == ANNA
    assert await kinds(store, Source.CREATED, replace(EVER, job_id="another")) == []
    assert await kinds(store, Source.CREATED, replace(EVER, task_id="another")) == []


async def test_an_execution_tells_when_the_store_heard_that_it_began_and_ended(store):
    execution = await created(store, status=Status.PULLING, epoch=1, service_id="s", host="h:1", pool="p", requested_by=ANNA)
    running = await store.change(transitions.run(execution, Started("task", "container", 2_000, "node3"), now=5_000))
    ending = Ending(Status.FAILED, 3_000, 7, Failure(FailureReason.EXIT, "a secret"))
    assert await store.change(transitions.end(running, ending, now=9_000)) is not None
    ids = (execution.task_id, execution.job_id, execution.id)
    for narrow in ({}, {"task_id": ids[0]}, {"job_id": ids[1]}, {"execution_id": ids[2]}):
        span = replace(EVER, **narrow)
        found = [event for source in (Source.ENQUEUED, Source.STARTED, Source.ENDED) for event in await store.events(source, span, 9)]
        assert [(event.kind.value, event.time, event.actor, event.host) for event in found] == [
            ("execution.enqueued", execution.created_at, ANNA, None),
            ("execution.started", 5_000, None, "h:1"),
            ("execution.ended", 9_000, None, "h:1"),
        ]
        assert {(event.task_id, event.job_id, event.execution_id) for event in found} == {ids}
        assert found[1].detail == {"attempt": 1, "startedAt": 2_000, "node": "node3"}
        assert found[2].detail == {"attempt": 1, "status": "failed", "exitCode": 7, "reason": "exit", "node": "node3"}
    for source in (Source.ENQUEUED, Source.STARTED, Source.ENDED):
        assert await kinds(store, source, replace(EVER, execution_id="x")) == []


async def test_an_end_that_is_heard_of_with_its_start_tells_both(store):
    execution = await created(store, status=Status.PULLING, epoch=1, service_id="s")
    ending = Ending(Status.DONE, 3_000, 0, started=Started("task", "container", 2_000))
    assert await store.change(transitions.end(execution, ending, now=9_000)) is not None
    found = [event for source in (Source.STARTED, Source.ENDED) for event in await store.events(source, EVER, 9)]
    assert [event.time for event in found] == [9_000, 9_000]
    assert [event.position for event in found] == sorted(event.position for event in found)


async def test_an_execution_that_never_started_tells_only_its_end(store):
    executions = [await created(store) for _ in range(3)]
    assert await store.change(transitions.cancel(executions[0], now=5)) is not None
    assert await store.change(transitions.expire(executions[1], now=6)) is not None
    assert await kinds(store, Source.STARTED) == []
    assert [event.detail["status"] for event in await store.events(Source.ENDED, EVER, 9)] == ["stopped", "expired"]


async def test_what_a_commit_records_is_there_if_and_only_if_it_was_made(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    after = replace(job, revision=2)
    assert await store.advance(job, after, (), None, None, [recorded(1, EventKind.JOB_CHANGED, job_id=job.id)])
    assert not await store.advance(job, after, (), None, None, [recorded(2, EventKind.JOB_PAUSED, job_id=job.id)])
    assert await store.stop_job(job.id, 3, None, recorded(3, EventKind.JOB_STOPPED, job_id=job.id)) is not None
    assert await store.stop_job("none", 3, None, recorded(4, EventKind.JOB_STOPPED, job_id="none")) is None
    assert await kinds(store) == [EventKind.JOB_CHANGED, EventKind.JOB_STOPPED]


async def test_a_deletion_stays_known_and_takes_no_event_with_it(store):
    job = new_job(at=2)
    tick, execution = first_of(job)
    await store.create(job, tick, replace(execution, status=Status.DONE, settled=True, cleaned=True))
    gone = recorded(9, EventKind.JOB_DELETED, task_id=job.task_id, job_id=job.id)
    assert await store.delete_job(job.id, job.incarnation, 8, None, gone) is Deletion.KEPT
    assert await kinds(store) == []
    assert await store.stop_job(job.id, 1, None, recorded(3, EventKind.JOB_STOPPED, job_id=job.id)) is not None
    task = recorded(10, EventKind.TASK_DELETED, task_id=job.task_id)
    assert not await store.delete_task(job.task_id, task)
    while await store.delete_job(job.id, job.incarnation, 9, None, gone) is Deletion.MORE:
        pass
    assert await store.delete_task(job.task_id, task)
    assert await kinds(store, span=replace(EVER, job_id=job.id)) == [EventKind.JOB_STOPPED, EventKind.JOB_DELETED]
    assert await kinds(store) == [EventKind.JOB_STOPPED, EventKind.JOB_DELETED, EventKind.TASK_DELETED]
    assert await kinds(store, Source.CREATED) == []
    assert await kinds(store, Source.ENQUEUED) == []


async def test_an_unreadable_event_takes_no_place(store):
    good, other = recorded(1), recorded(2)
    await store.add_events([good, replace(other, kind=EventKind.LOGIN), recorded(3)])
    assert len(await store.events(Source.RECORDED, EVER, 2)) == 2
