"""What a store exports, another one has after the import, and nothing of it starts before it is resumed."""

import contextlib
import time
from dataclasses import replace

import pytest

from fastlane.errors import FastlaneError, Repeated
from fastlane.models import backfill as backfills, transitions
from fastlane.models.access import Requester
from fastlane.models.backfill import Backfill
from fastlane.models.delivery import EndFacts, Reply, deliveries_of, notices
from fastlane.models.event import Source
from fastlane.models.host import HostRecord, record_id
from fastlane.models.ids import DAY, IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import Spec
from fastlane.models.job_change import fire, run_now
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook
from fastlane.models.pool import RESTORED
from fastlane.models.status import Status
from fastlane.models.tick import Tick
from fastlane.storage.base import Store
from fastlane.storage.transfer import files
from fastlane.storage.transfer.files import Importer
from fastlane.storage.transfer.lines import ExecutionLine, JobLine
from tests.contract.moving import ALL, content, exported, imported, without_start
from tests.contract.test_stores_agree import History
from tests.support.factories import chunk, first_of, make_job, new, new_job
from tests.support.intercept import Intercepted

BY_EXECUTION = ("executions", "logs")


@pytest.mark.parametrize("seed", range(3))
async def test_another_store_has_all_that_was_exported(store: Store, other: Store, seed: int) -> None:
    history = History(seed)
    for _ in range(150):
        with contextlib.suppress(FastlaneError):
            await history.write()(store)
    lines = await exported(store)
    await imported(other, lines)
    before, after = await content(store), await content(other)
    exported_ids = {line.execution.id for line in lines if isinstance(line, ExecutionLine)}
    assert len(exported_ids) > 4
    for part in BY_EXECUTION:  # the others have a sequence that their job never gave out
        before[part] = {id: row for id, row in before[part].items() if id in exported_ids}
    for source in (Source.ENQUEUED, Source.STARTED, Source.ENDED):
        before["events"][source] = [event for event in before["events"][source] if event.execution_id in exported_ids]
    assert before["hours"]
    assert after == before
    again = without_start(await exported(other))
    assert sorted(map(repr, again)) == sorted(map(repr, without_start(lines, RESTORED)))  # two may have one place in the order, here


async def test_the_record_of_a_request_goes_along_and_refuses_its_repetition(store: Store, other: Store) -> None:
    now = int(time.time() * 1000)
    job, tick, execution = new()
    record = IdempotencyRecord("key", "body", now - 23 * 3_600_000, job.task_id, job.id, tick.id, execution.id)
    await store.create(job, tick, execution, record)
    old = new()
    forgotten = IdempotencyRecord("old", "body", now - 2 * DAY, old[0].task_id, old[0].id, old[1].id, old[2].id)
    await store.create(*old, forgotten)
    await imported(other, await exported(store))
    assert await other.idempotency_record("key", 0) == record
    assert await other.idempotency_record("old", 0) is None
    with pytest.raises(Repeated):
        await other.create(*new(), replace(record, created_at=now))


AMID = pytest.mark.parametrize("verb", ["list_ticks", "list_executions_of"])
"""Before which of the reads that follow a job's own, and go on at once, something comes."""


@AMID
async def test_what_fires_while_its_job_is_exported_fires_again_after_the_import(store: Store, other: Store, verb: str) -> None:
    job = new_job(at=2_000)
    await store.create(job, None, None)
    stored = Intercepted(store)

    async def fires() -> None:
        change = fire(job, now=2_000)
        assert await store.advance(job, change.job, change.ticks, change.execution)

    stored.before(verb, fires)
    await imported(other, await exported(stored))
    assert len((await store.list_ticks(job.id, ALL)).rows) == 1
    assert await other.job(job.id) == job
    again = fire(job, now=2_000)
    assert await other.advance(job, again.job, again.ticks, again.execution)
    assert (await other.list_ticks(job.id, ALL)).total == (await other.list_executions_of(job.id, ALL)).total == 1


@AMID
async def test_a_run_by_hand_that_comes_while_its_job_is_exported_is_left_out_whole(store: Store, other: Store, verb: str) -> None:
    job = new_job(at=2_000)
    await store.create(job, None, None)
    stored = Intercepted(store)

    async def runs() -> None:
        now = int(time.time() * 1000)
        change = run_now(job, job.spec, now=now, by=None)
        assert await store.advance(job, change.job, change.ticks, change.execution)

    stored.before(verb, runs)
    await imported(other, await exported(stored))
    assert (await other.list_ticks(job.id, ALL)).total == (await other.list_executions_of(job.id, ALL)).total == 0


async def test_an_execution_that_ended_meanwhile_is_settled_once_more(store: Store, other: Store) -> None:
    now = int(time.time() * 1000)
    job, tick, execution = new()
    await store.create(job, tick, replace(execution, status=Status.FAILED, finished_at=now, settled=True, cleaned=True))
    await imported(other, await exported(store))
    (found,) = await other.unsettled(10)
    assert found.id == execution.id


async def test_an_export_without_logs_says_that_they_are_missing(store: Store, other: Store) -> None:
    job, tick, execution = new()
    await store.create(job, tick, replace(execution, status=Status.DONE, finished_at=1, stdout_bytes=5))
    await store.append(chunk(execution.id, Head(), [Piece(STDOUT, 1, b"hello")]))
    await imported(other, await exported(store, with_logs=False))
    found = await other.execution(execution.id)
    assert found is not None
    assert (found.stdout_bytes, found.truncated, await other.log_head(execution.id)) == (0, True, Head())


async def test_what_was_dropped_of_a_log_stays_counted(store: Store, other: Store) -> None:
    job, tick, execution = new()
    await store.create(job, tick, replace(execution, status=Status.DONE, finished_at=1, stdout_bytes=5, truncated=True))
    kept = chunk(execution.id, Head(), [Piece(STDOUT, 1, b"hello")], dropped=7)
    assert await store.append(kept)
    await imported(other, await exported(store))
    found = await other.log_head(execution.id)
    assert (found.offset, found.dropped, found.marks) == (5, 7, kept.end.marks)


async def test_an_import_that_ends_half_way_starts_nothing(store: Store, other: Store) -> None:
    for _ in range(3):
        await store.create(new_job(at=2_000), None, None)
    lines = await exported(store)
    importer = Importer(other)
    await importer.prepare()
    for line in lines[:4]:
        await importer.add(line)
    await importer.write()
    assert (await other.counts()).jobs == 2
    assert [job.id for job in await other.jobs_due(10_000, 10)] == [lines[2].job.id]  # the last one may get more ticks
    assert (await other.paused_pools()).hold == RESTORED
    with pytest.raises(FastlaneError, match="not empty: it has 2 jobs"):
        await Importer(other).prepare()


async def test_an_import_notices_that_someone_else_writes(store: Store, other: Store) -> None:
    job, tick, execution = new()
    await store.create(job, tick, execution)
    lines = await exported(store)
    stored = Intercepted(other)
    stored.after("create", lambda: other.insert(replace(execution, attempt=9)))
    with pytest.raises(FastlaneError, match="by someone else during the import"):
        await imported(stored, lines)


async def test_what_is_due_and_under_way_is_summed_up(store: Store, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SHOWN", 2)
    for at in (3_000, 2_000, 4_000, int(time.time() * 1000) + 60_000):
        await store.create(new_job(at=at), None, None)
    await store.create(*new())
    summary = (await imported(other, await exported(store))).summary
    assert (summary.due, [job.next_tick for job in summary.first_due]) == (3, [2_000, 3_000])
    assert (summary.under_way, [one.status for one in summary.first_under_way]) == (1, [Status.ENQUEUED])


async def test_hosts_go_along_over_those_of_a_process_that_began_before(store: Store, other: Store) -> None:
    host = HostRecord(record_id("tcp://a:1"), "tcp://a:1", pool="p")
    assert await store.write_host(host)
    assert await store.write_host(host.changed(drained=True))
    assert await other.write_host(host)
    await imported(other, await exported(store))
    (found,) = await other.hosts()
    assert found.drained


async def test_images_that_engines_pulled_go_along(store: Store, other: Store) -> None:
    host = HostRecord(record_id("tcp://a:1"), "tcp://a:1", engine_id="e", swarm_id="s")
    image = PulledImage("e", "ubuntu@sha256:1", 5)
    assert await store.write_host(host)
    assert await store.write_image(image)
    assert await store.write_image(image.kept(9))
    await imported(other, await exported(store))
    assert await other.pulled_images("e") == [PulledImage("e", "ubuntu@sha256:1", 9)]


async def test_deliveries_go_along_and_are_not_made_again_when_their_execution_settles_again(store: Store, other: Store) -> None:
    hook = Webhook(NotificationTrigger.FINISHES, "https://example.com/x", {"A": "b"}, 2)
    job, tick, execution = new(spec=Spec("ubuntu", webhooks=(hook,)))
    await store.create(job, tick, execution)
    stopped = await store.change(transitions.cancel(execution, now=1_000))
    assert stopped is not None
    (delivery,) = deliveries_of(stopped, (), EndFacts(), now=1_000)
    sent = delivery.taken(2_000, 1_001).tried(Reply(204), began=1_001, now=1_002)
    await store.insert_deliveries([delivery])
    assert await store.write_delivery(delivery.taken(2_000, 1_001))
    assert await store.write_delivery(sent)
    await imported(other, await exported(store))
    assert await other.deliveries_of(execution.id) == [sent]
    await other.insert_deliveries([delivery])
    assert await other.deliveries_of(execution.id) == [sent]


async def test_all_pages_of_jobs_and_of_requests_are_exported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PAGE", 2)
    now = int(time.time() * 1000)
    for number in range(5):
        job, tick, execution = new()
        record = IdempotencyRecord(f"key{number}", "body", now - number // 2, job.task_id, job.id, tick.id, execution.id)
        await store.create(job, tick, execution, record)
        for again in (2, 3, 4):
            tick, execution = first_of(job, key=f"r:{again}", sequence=again)
            assert await store.advance(job, replace(job, sequence=again), [tick], execution)
            job = replace(job, sequence=again)
    lines = await exported(store)
    assert sorted(line.key for line in lines if isinstance(line, IdempotencyRecord)) == [f"key{number}" for number in range(5)]
    assert [sum(isinstance(line, kind) for line in lines) for kind in (JobLine, Tick, ExecutionLine)] == [5, 20, 20]


async def test_backfills_go_along_but_not_those_of_deleted_jobs(store: Store, other: Store) -> None:
    running, ended, anew = (new_job(now=number) for number in (1, 2, 3))
    range_ = (5, 1_000, 4_000, 2, 3, (3_000, 4_000), 0, (2_000,))
    one, last, old = (Backfill(job.id, job.task_id, job.incarnation, f"r-{job.id}", *range_) for job in (running, ended, anew))
    one, last = replace(one, requested_by=Requester("anna", "::1")), backfills.ended(last, backfills.STOPPED, now=9)
    for job in (running, ended, anew):
        await store.create(job, None, None)
    for record in (one, replace(last, version=1), replace(old, incarnation="another")):
        assert await store.backfills.write(record)
    lines = await exported(store)
    places = {line.id: number for number, line in enumerate(lines) if isinstance(line, Backfill)}
    assert set(places) == {running.id, ended.id}
    summary = (await imported(other, lines)).summary
    assert (summary.backfills, summary.first_backfills) == (1, [one])
    found = await other.backfills.of_jobs([running.id, ended.id, anew.id])
    assert found == {running.id: one, ended.id: replace(last, version=1)}
    assert await other.backfills.running(9) == [one]


async def test_the_lateness_of_a_job_goes_along_and_is_not_told_again(store: Store, other: Store) -> None:
    late, watched = (make_job(id="a", late_since=5_000), make_job(id="b", check_at=9_000))
    hook, mail = Webhook(NotificationTrigger.LATE, "https://example.com/x"), Mailbox(NotificationTrigger.LATE, "a@example.com")
    late, watched = (replace(job, spec=replace(job.spec, webhooks=(hook,), notify=(mail,), expect_every=4_000)) for job in (late, watched))
    for job in (late, watched):
        await store.create(job, None, None)
    told = notices(late, NotificationTrigger.LATE, (), 5_000, 6_000)
    await store.insert_deliveries(told)
    sent = [one.taken(7_000, 6_001).tried(Reply(250), began=6_001, now=6_002) for one in told]
    for one in sent:
        await store.write_delivery(replace(one, version=2))
    await imported(other, await exported(store))
    assert [await other.job(job.id) for job in (late, watched)] == [late, watched]
    found = await other.deliveries_of(late.id)
    assert {(one.id, one.state) for one in found} == {(one.id, one.state) for one in sent}
    await other.insert_deliveries(notices(late, NotificationTrigger.LATE, (), 5_000, 8_000))
    assert len(await other.deliveries_of(late.id)) == 2
    assert [job.id for job in await other.jobs_to_check(9_000, 10)] == [watched.id]
