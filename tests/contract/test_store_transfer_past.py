"""What has happened goes along with an export: events, counts of hours, and which mails a job has had."""

import time
from dataclasses import replace

import pytest

from fastlane.errors import FastlaneError
from fastlane.models import transitions
from fastlane.models.access import Requester
from fastlane.models.delivery import MailQuota
from fastlane.models.event import Event, EventKind, Source
from fastlane.models.job import Ending, Execution, Started
from fastlane.models.retention import HOUR, HourCount, TaskHour
from fastlane.models.status import Status
from fastlane.storage.base import Deletion, Store
from fastlane.storage.transfer import files
from fastlane.storage.transfer.files import Importer
from fastlane.storage.transfer.lines import ExecutionLine, JobLine, Line, decode, encode
from tests.contract.moving import EVER, content, exported, hours, imported
from tests.support.factories import first_of, new
from tests.support.intercept import Intercepted

ANNA, BEN = Requester("anna", "10.0.0.1"), Requester("ben", "2001:db8::1")


async def changed(store: Store, change: transitions.ExecutionChange) -> Execution:
    after = await store.change(change)
    assert after is not None
    return after


async def started(store: Store, execution: Execution, now: int) -> Execution:
    """An execution whose container was seen running a second after it began."""
    claimed = await changed(store, transitions.claim(execution, host="h", pool="p", now=now))
    bound = await changed(store, transitions.bind(claimed, service_id=f"s-{execution.id}", swarm_id="x", image_digest=None, now=now))
    return await changed(store, transitions.run(bound, Started("task", "container", now - 1_000), now=now))


async def ended(store: Store, execution: Execution, now: int, status: Status = Status.DONE) -> Execution:
    """One that ran, ended, is settled and cleaned."""
    running = await started(store, execution, now)
    final = await changed(store, transitions.end(running, Ending(status, now, 0), now=now))
    return await changed(store, transitions.clean(await changed(store, transitions.settle(final))))


@pytest.fixture
async def past(store: Store) -> Store:
    """A store in which anna made a job that ben changed, one that has ended was deleted, and one runs."""
    now = int(time.time() * 1000)
    job, tick, execution = new(requested_by=ANNA)
    await store.create(job, tick, execution)
    after = replace(job, revision=2, requested_by=BEN)
    change = Event.now(EventKind.JOB_CHANGED, now, BEN, task_id=job.task_id, job_id=job.id, how="PUT")
    assert await store.advance(job, after, (), None, None, (change,))
    await ended(store, execution, now - HOUR)
    gone = new("gone", requested_by=BEN)
    await store.create(*gone)
    await ended(store, gone[2], now - HOUR, Status.FAILED)
    deleted = Event.now(EventKind.JOB_DELETED, now, ANNA, task_id="gone", job_id=gone[0].id)
    assert await store.delete_job(gone[0].id, gone[0].incarnation, now, event=deleted) is Deletion.DONE
    running = new("runs")
    await store.create(*running)
    await started(store, running[2], now)
    quota = MailQuota("q", "e1", now)
    assert await store.write_mail_quota(quota)
    assert await store.write_mail_quota(quota.holding("e2"))
    await store.add_events([Event.now(EventKind.LOGIN_REFUSED, now + number, count=number) for number in range(5)])
    return store


async def test_events_and_counts_and_quotas_go_along(past: Store, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MANY", 2)
    monkeypatch.setattr(files, "PAGE", 2)
    await imported(other, await exported(past))
    before, after = await content(past), await content(other)
    for events in before["events"].values():
        assert events
    counted = await hours(past)
    assert sorted((row.task_id, row.pool, dict(row.count.ended), row.count.started) for row in counted) == [
        ("gone", "p", {Status.FAILED: 1}, 1),
        ("my-task", "p", {Status.DONE: 1}, 1),
    ]
    (quota,) = before.pop("quotas")
    assert after.pop("quotas") == [replace(quota, version=1)]
    for part in ("events", "hours", "jobs"):
        assert after[part] == before[part], part
    (created,) = [event for event in after["events"][Source.CREATED] if event.task_id == "my-task"]
    assert created.actor == ANNA


async def test_what_ends_while_it_is_exported_is_counted_once_after_the_import(past: Store, other: Store) -> None:
    (running,) = await past.executions_in(frozenset({Status.RUNNING}), 10)
    stored = Intercepted(past)

    async def ends() -> None:
        now = int(time.time() * 1000)
        await changed(past, transitions.end(running, Ending(Status.DONE, now, 0), now=now))

    stored.before("list_all_jobs", ends)
    await imported(other, await exported(stored))
    found = await other.execution(running.id)
    assert found is not None
    assert found.status is Status.DONE
    assert sorted(map(repr, await hours(other))) == sorted(map(repr, await hours(past)))


async def test_what_runs_when_it_is_exported_is_counted_when_it_ends(past: Store, other: Store) -> None:
    await imported(other, await exported(past))
    (running,) = await other.executions_in(frozenset({Status.RUNNING}), 10)
    await changed(other, transitions.end(running, Ending(Status.DONE, HOUR, 0), now=HOUR))
    assert TaskHour(
        "runs", "p", HourCount(HOUR, {Status.DONE: 1}, 1, running.started_at - 1_000, running.started_at - 1_000)
    ) in await hours(other)
    (event,) = await other.events(Source.ENDED, replace(EVER, execution_id=running.id), 10)
    assert event.time == HOUR


async def test_an_export_of_an_older_fastlane_is_counted_and_its_jobs_are_by_those_who_asked_for_them(past: Store, other: Store) -> None:
    """It has no counts, and says neither who made a job nor when the store heard of a start or an end, only when these were."""
    lines = [older for line in await exported(past) if (older := as_before(line)) is not None]
    await imported(other, lines)
    assert [(row.task_id, dict(row.count.ended)) for row in await hours(other)] == [("my-task", {Status.DONE: 1})]
    (created,) = [event for event in await other.events(Source.CREATED, EVER, 10) if event.task_id == "my-task"]
    assert created.actor == BEN
    (begun, over) = [(await other.events(source, EVER, 10))[0].time for source in (Source.STARTED, Source.ENDED)]
    assert over - begun == 1_000


def as_before(line: Line) -> Line | None:
    """The line as the format 1 had it."""
    text = encode(line)
    if isinstance(line, TaskHour | Event | MailQuota):
        return None
    if isinstance(line, ExecutionLine):
        assert b'"noted":' in text
        text = text[: text.index(b',"noted":')] + b"}}"
    elif isinstance(line, JobLine):
        text = text[: text.index(b',"created_by":')] + b"}}"
    return decode(text)


async def test_an_import_that_ended_before_its_first_job_is_repeated_and_later_ones_are_refused(past: Store, other: Store) -> None:
    lines = await exported(past)
    first_job = next(place for place, line in enumerate(lines) if isinstance(line, JobLine))
    for place in (1, first_job):
        importer = Importer(other)
        await importer.prepare()
        for line in lines[:place]:
            await importer.add(line)
        await importer.write()
    assert await hours(other) == await hours(past)
    await imported(other, lines)
    assert await hours(other) == await hours(past)
    assert (await content(other))["events"] == (await content(past))["events"]
    with pytest.raises(FastlaneError, match="not empty"):
        await Importer(other).prepare()


async def test_counts_are_written_over_and_executions_that_are_in_them_do_not_count_again(store: Store) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, execution)
    row = TaskHour("t", "", HourCount(0, {Status.DONE: 3, Status.FAILED: 1}, started=2, late=70, latest=60))
    await store.transfer.restore_hours([TaskHour("t", "", HourCount(0, {Status.STOPPED: 1})), row])
    await store.transfer.restore_hours([row])
    for number, is_counted in enumerate((True, False), 2):
        _, more = first_of(job, key=f"r:{number}", sequence=number)
        more = replace(more, status=Status.DONE, scheduled_for=0, started_at=10, finished_at=20, settled=True, cleaned=True)
        assert await store.transfer.restore_execution(more, files.NOT_NOTED, is_counted=is_counted)
        assert not await store.transfer.restore_execution(more, files.NOT_NOTED, is_counted=is_counted)
    assert await hours(store) == [TaskHour("t", "", HourCount(0, {Status.DONE: 4, Status.FAILED: 1}, started=3, late=80, latest=60))]
    assert await store.transfer.noted([execution.id, "x"]) == {execution.id: files.NOT_NOTED}
