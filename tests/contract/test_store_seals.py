"""What every store promises of receipts: what ended is sealed once, and whatever is changed in the database by hand is found, with what and
where."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pymongo import MongoClient

from fastlane.archive.folder import LogFolder
from fastlane.errors import ArchiveDown, Conflict, Invalid, NotFound
from fastlane.models.job import Ending, Job
from fastlane.models.job_change import unstarted_events
from fastlane.models.log import STDERR, STDOUT, Head, Piece
from fastlane.models.receipt import BOOKKEEPING, LATE, ChainHead, SealKeys, SealKind, SealPlace, receipt_faults
from fastlane.models.retention import Cuts
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick, manual_key, tick_id
from fastlane.models.transitions import bind, claim, clean, end, settle
from fastlane.scheduler.archiver import Archiver
from fastlane.scheduler.known_workers import always
from fastlane.sealing import Sealing
from fastlane.services.receipts import Receipts
from fastlane.storage.base import Deletion, Store
from fastlane.storage.records import CHAIN_HEADS, EXECUTIONS, SEALS, TICKS
from fastlane.storage.seal_port import SealStore
from fastlane.storage.sqlite.store import SqliteStore
from tests.contract.stored import types_in
from tests.support.clock import FakeClock
from tests.support.factories import chunk, first_of, new

KEYS = SealKeys(["contract" * 4])


async def run(store: Store, job: Job, tick: Tick, execution, now: int, log: bytes = b"") -> None:
    """Runs a stored execution to its end, with its log."""
    after = await store.change(claim(execution, host="h", pool="p", now=now))
    after = await store.change(bind(after, service_id="s", swarm_id="w", image_digest="sha256:abc", now=now))
    if log:
        first = chunk(execution.id, Head(), (Piece(STDOUT, 10, log), Piece(STDERR, 11, b"err")))
        assert await store.append(first)
        assert await store.append(chunk(execution.id, first.end, (Piece(STDOUT, 12, b"more"),)))
    ending = Ending(Status.DONE, now + 5, 0, stdout_bytes=len(log) + 4, stderr_bytes=3)
    await store.change(settle(await store.change(end(after, ending))))


@dataclass
class History:
    """A job with three executions that ended, and a tick that was missed, all sealed."""

    store: Store
    clock: FakeClock
    sealing: Sealing
    receipts: Receipts
    job: Job
    executions: list
    missed: Tick
    edit: Callable[[str, str, dict[str, object] | None], Awaitable[None]]

    async def faults(self) -> list[str]:
        found, start = [], None
        while True:
            part = await self.receipts.check(self.job.task_id, self.job.id, start)
            found += [f"{one.where} {one.what}" for one in part.faults]
            if part.next is None:
                return found
            start = part.next

    async def add(self, key: str, log: bytes = b"") -> None:
        job = await self.store.job(self.job.id)
        tick, execution = first_of(job, key=key, sequence=job.sequence + 1, due=self.clock.now())
        assert await self.store.advance(job, replace(job, sequence=job.sequence + 1), [tick], execution)
        await run(self.store, job, tick, execution, self.clock.now(), log)
        self.executions.append(execution)


@pytest.fixture
async def history(store, request, tmp_path) -> History:
    clock = FakeClock()
    sealing, receipts = Sealing(store, clock, KEYS), Receipts(store, clock, KEYS)
    await sealing.look()
    await clock.advance(1)
    job, tick, execution = new(now=clock.now())
    await store.create(job, tick, execution)

    async def edit(table: str, id: str, changes: dict[str, object] | None) -> None:
        """Changes a row, or deletes it (None), as somebody with the database in hand does."""
        if isinstance(store, SqliteStore):
            with sqlite3.connect(tmp_path / "store.db", timeout=30) as db:
                key = "execution_id" if table == "log_chunks" else "id"
                if changes is None:
                    db.execute(f"DELETE FROM {table} WHERE {key} = ?", (id,))
                else:
                    sets = ", ".join(f"{name} = ?" for name in changes)
                    db.execute(f"UPDATE {table} SET {sets} WHERE {key} = ?", (*changes.values(), id))
            db.close()
            return
        with MongoClient[dict[str, object]](request.getfixturevalue("mongo_url"), retryWrites=False) as client:
            rows = client.get_default_database()[table]
            key = {"execution_id": id} if table == "log_chunks" else {"_id": id}
            if changes is None:
                rows.delete_many(key)
            elif "id" in changes:
                (row,) = rows.find(key)
                rows.delete_many(key)
                rows.insert_one({**row, "_id": changes["id"]})
            else:
                rows.update_many(key, {"$set": changes})

    found = History(store, clock, sealing, receipts, job, [execution], None, edit)
    await run(store, job, tick, execution, clock.now(), b"first\n")
    for number in range(2):
        await found.add(manual_key(clock.now()), b"again %d\n" % number)
    due = clock.now() - 60_000
    stored = await store.job(job.id)
    found.missed = Tick(tick_id(job.incarnation, f"c:{due}"), job.id, f"c:{due}", due, clock.now(), Outcome.MISSED, None, "no worker ran")
    assert await store.advance(
        stored, replace(stored, last_tick=due), [found.missed], None, None, unstarted_events(stored, [found.missed], now=clock.now())
    )
    await clock.advance(60)
    assert await sealing.look() == 7, "three executions, their ticks, and the tick that was missed"
    await clock.advance(LATE / 1000 + 60)
    return found


async def test_what_ended_is_sealed_once_and_has_no_faults(history, open_store):
    assert await history.faults() == []
    assert await history.sealing.look() == 0, "the second look finds the same"
    seals = await history.store.seals.after(history.job.id, 0, 100)
    assert [seal.number for seal in seals] == list(range(1, 8))
    assert {seal.row for seal in seals} == {
        *(one.id for one in history.executions),
        *(one.tick_id for one in history.executions),
        history.missed.id,
    }
    other = await open_store()
    assert [types_in(one) for one in await other.seals.after(history.job.id, 0, 100)] == [types_in(one) for one in seals]
    head = await other.seals.head(history.job.id)
    assert (head.number, head.digest) == (7, seals[-1].digest)
    assert await other.seals.heads_of([history.job.id, "none"]) == {history.job.id: head}
    assert list(await other.seals.heads(history.job.task_id, 9)) == [head]
    assert list(await other.seals.heads(history.job.task_id, 9, history.job.id)) == []


async def test_a_receipt_has_the_facts_and_holds_without_the_store(history):
    execution = history.executions[0]
    receipt = await history.receipts.receipt(execution.task_id, execution.job_id, execution.id)
    assert receipt_faults(KEYS, json.loads(json.dumps(receipt))) == []
    facts = receipt["facts"]
    assert (facts["status"], facts["exitCode"], facts["image"], facts["imageDigest"]) == ("done", 0, "ubuntu:latest", "sha256:abc")
    assert (facts["requestedBy"], facts["log"]["bytes"]) == ("anna", len(b"first\nerrmore"))
    assert "größe" not in json.dumps(receipt, ensure_ascii=False), "what may be secret has only a keyed digest"
    for ids in (("other", execution.job_id, execution.id), (execution.task_id, execution.job_id, history.missed.id + "x")):
        with pytest.raises(NotFound):
            await history.receipts.receipt(*ids)


async def test_an_execution_has_no_receipt_before_it_is_sealed(history):
    await history.add(manual_key(history.clock.now()))
    newest = history.executions[-1]
    with pytest.raises(Conflict, match="not sealed yet"):
        await history.receipts.receipt(newest.task_id, newest.job_id, newest.id)
    with pytest.raises(Conflict, match="receipt_keys"):
        await Receipts(history.store, history.clock, None).receipt(newest.task_id, newest.job_id, newest.id)
    with pytest.raises(Invalid):
        await history.receipts.check(newest.task_id, newest.job_id, "seals:x")
    with pytest.raises(NotFound):
        await history.receipts.check("other", newest.job_id)


def other_value(record, name: str) -> object:
    hint = record.hints.get(name, str)
    kinds = {hint, *getattr(hint, "__args__", ())}
    return 77 if kinds & {int, bool} else '{"changed": 1}'


EXECUTION_FIELDS = [name for name in (*EXECUTIONS.fields, "start_noted_at", "end_noted_at") if name not in {*BOOKKEEPING, "id"}]


async def test_each_field_of_an_execution_that_is_changed_by_hand_is_named(history):
    id = history.executions[1].id
    values = {name: other_value(EXECUTIONS, name) for name in EXECUTION_FIELDS} | {"start_noted_at": 77, "end_noted_at": 77}
    for name in ("status", "waits"):
        values[name] = "failed" if name == "status" else "queue"
    await history.edit("executions", id, values)
    found = await history.faults()
    for name in EXECUTION_FIELDS:
        if name != "job_id":
            assert any(f"of execution {id} the field {name} " in words for words in found), (name, found)
    assert any("the field exit_code is 77, and was 0 when it was sealed" in words for words in found)


async def test_each_field_of_a_tick_that_is_changed_by_hand_is_named(history):
    for id in (history.missed.id, history.executions[2].tick_id):
        values = {name: other_value(TICKS, name) for name in TICKS.fields if name != "id"} | {"outcome": "expired"}
        await history.edit("ticks", id, values)
        found = await history.faults()
        for name in values:
            assert any(f"of tick {id} the field {name} " in words for words in found), (name, found)


LOG_CHANGES = {
    "data": b"FIRST\nerr",
    "pieces": b"\x02" + b"\x00" * 12,
    "marks": "{}",
    "dropped": 5,
    "start_offset": 1,
    "end_offset": 3,
    "start_stdout": 1,
    "end_stdout": 3,
    "start_stderr": 1,
    "end_stderr": 9,
}


async def test_each_field_of_a_log_that_is_changed_by_hand_is_found(history):
    for _ in LOG_CHANGES:
        await history.add(manual_key(history.clock.now()), b"first\n")
    await history.clock.advance(60)
    await history.sealing.look()
    assert await history.faults() == []
    for (name, value), execution in zip(LOG_CHANGES.items(), history.executions[3:], strict=True):
        await history.edit("log_chunks", execution.id, {name: value})
        found = [words for words in await history.faults() if f"of execution {execution.id} " in words]
        assert found, name
        assert all("log" in words for words in found), found


async def test_rows_that_are_deleted_by_hand_are_named(history):
    first, second, third = history.executions
    await history.edit("executions", first.id, None)
    await history.edit("ticks", second.tick_id, None)
    await history.edit("log_chunks", third.id, None)
    found = " / ".join(await history.faults())
    assert f"of execution {first.id} has no row any more" in found
    assert f"of tick {second.tick_id} has no row any more" in found
    assert f"of execution {third.id} the stored log is missing" in found
    assert found.count("/") == 2


async def test_rows_that_are_swapped_by_hand_are_named(history):
    first, second = history.executions[:2]
    await history.edit("executions", first.id, {"id": "between"})
    await history.edit("executions", second.id, {"id": first.id})
    await history.edit("executions", "between", {"id": second.id})
    found = " / ".join(await history.faults())
    assert f"of execution {first.id} the field tick_id" in found
    assert f"of execution {second.id} the field tick_id" in found


async def test_an_execution_that_is_inserted_by_hand_is_named(history):
    """As somebody does who wants a backup to have run: with the end in the past, where no look comes any more."""
    await history.sealing.look()
    await history.add(manual_key(history.clock.now()))
    forged, past = history.executions[-1], history.clock.now() - LATE + 20_000
    await history.edit("executions", forged.id, {"end_noted_at": past, "finished_at": past})
    await history.clock.advance(60)
    assert await history.sealing.look() == 0
    found = await history.faults()
    assert any(f"execution {forged.id} has no seal" in words for words in found), found


async def test_seals_that_are_deleted_swapped_or_cut_off_by_hand_are_named(history):
    seals = await history.store.seals.after(history.job.id, 0, 100)
    await history.edit("seals", seals[6].id, None)
    assert any("seal 7 is missing at the end of the chain" in words for words in await history.faults())
    await history.edit("seals", seals[2].id, None)
    assert any("seal 3 is missing: it was deleted" in words for words in await history.faults())
    await history.edit("seals", seals[3].id, {"number": 5})
    await history.edit("seals", seals[4].id, {"number": 4})
    assert any("was changed: its signature does not fit" in words for words in await history.faults())


async def test_seals_that_were_cut_off_stay_a_gap_when_the_chain_goes_on(history):
    seals = await history.store.seals.after(history.job.id, 0, 100)
    for seal in seals[5:]:
        await history.edit("seals", seal.id, None)
    await history.add(manual_key(history.clock.now()))
    await history.clock.advance(60)
    await history.sealing.look()
    assert (await history.store.seals.after(history.job.id, 5, 1))[0].number == 8
    assert "seal 6 to 7 is missing: it was deleted" in await history.faults()


async def test_the_end_of_a_chain_that_a_process_did_not_write_is_written_by_the_next_look(history):
    await history.edit("chain_heads", history.job.id, None)
    ended = await history.store.seals.ended(history.clock.now(), 100, (0, ""))
    assert await history.sealing.seal_ended(ended) == 0
    head = await history.store.seals.head(history.job.id)
    assert head.number == 7
    assert await history.faults() == []


async def test_each_field_of_a_seal_and_of_the_end_that_is_changed_by_hand_is_found(history):
    seals = await history.store.seals.after(history.job.id, 0, 100)
    for name in SEALS.fields:
        if name not in ("id", "job_id"):
            value = SealKind.TICK if name == "kind" else other_value(SEALS, name)
            before = SEALS.row(seals[0])[name]
            await history.edit("seals", seals[0].id, {name: value})
            assert any(words.startswith("seal 1") for words in await history.faults()), name
            await history.edit("seals", seals[0].id, {name: before})
    assert await history.faults() == []
    head = await history.store.seals.head(history.job.id)
    for name in ("number", "digest", "key", "signature"):
        await history.edit("chain_heads", history.job.id, {name: other_value(CHAIN_HEADS, name)})
        assert any("where the chain ends" in words for words in await history.faults()), name
        await history.edit("chain_heads", history.job.id, {name: CHAIN_HEADS.row(head)[name]})
    await history.edit("chain_heads", history.job.id, None)
    assert any("it was deleted" in words for words in await history.faults())


async def test_of_two_processes_that_append_one_does_and_the_other_goes_on_from_there(history, open_store):
    for _ in range(3):
        await history.add(manual_key(history.clock.now()))
    await history.clock.advance(60)
    other = Sealing(await open_store(), history.clock, KEYS)
    ended = await history.store.seals.ended(history.clock.now(), 100, (0, ""))
    first, second = await history.sealing.seal_ended(ended), await other.seal_ended(ended)
    assert (first, second) == (6, 0)
    assert await history.faults() == []


async def test_places_and_heads_are_written_once_for_each_version(store):
    seals: SealStore = store.seals
    place = SealPlace(since=5, ends={"time": 1, "id": "é"}, version=1)
    assert await seals.place() is None
    assert await seals.write_place(place)
    assert not await seals.write_place(place)
    assert await seals.place() == place
    head = ChainHead("j", "größe", version=1)
    assert await seals.write_head(head)
    assert not await seals.write_head(head)
    assert await seals.head("j") == head


async def retained(history, cuts: Cuts) -> None:
    """Prunes the job by these cuts, as a worker does."""
    history.store.retention.notes = history.sealing
    (job,) = await history.store.retention.histories_of([history.job.id])
    while (await history.store.retention.prune(job, cuts)).more:
        pass


async def cleaned(history) -> None:
    for one in history.executions:
        await history.store.change(clean(await history.store.execution(one.id)))


async def test_what_retention_removes_is_covered_and_what_goes_by_hand_beside_it_is_found(history):
    await cleaned(history)
    first, second, third = history.executions
    await retained(history, Cuts(logs=history.clock.now()))
    assert await history.store.seals.log_digest(first.id) is None
    assert await history.faults() == []
    await retained(history, Cuts(max_executions=1))
    assert await history.store.execution(second.id) is None
    assert await history.faults() == []
    receipt = await history.receipts.receipt(second.task_id, second.job_id, second.id)
    assert receipt["facts"]["log"]["bytes"] == len(b"again 0\nerrmore"), "the receipt stays when its execution goes"
    seals = await history.store.seals.after(history.job.id, 0, 100)
    assert all(run[1] - run[0] > 0 or run[0] > 4 for run in seals[-1].facts["rows"]), "what goes in order is one run of numbers"
    await history.edit("executions", third.id, None)
    assert [words for words in await history.faults() if "no row any more" in words]


async def test_rows_that_are_not_sealed_yet_are_sealed_before_retention_removes_them(history):
    await history.add(manual_key(history.clock.now()), b"unsealed\n")
    await cleaned(history)
    newest = history.executions[-1]
    await history.clock.advance(1)
    await history.add(manual_key(history.clock.now()))
    await history.store.change(clean(await history.store.execution(history.executions[-1].id)))
    await retained(history, Cuts(max_executions=1))
    assert await history.store.execution(newest.id) is None
    receipt = await history.receipts.receipt(newest.task_id, newest.job_id, newest.id)
    assert receipt["facts"]["status"] == "done"
    assert await history.faults() == []


@pytest.mark.parametrize("way", ["request", "retention"])
async def test_a_job_that_is_deleted_leaves_a_whole_chain(history, way):
    await history.add(manual_key(history.clock.now()))
    await cleaned(history)
    store, job = history.store, await history.store.job(history.job.id)
    store.retention.notes = history.sealing
    if way == "request":
        while await store.delete_job(job.id, job.incarnation, history.clock.now()) is Deletion.MORE:
            pass
    else:
        (seen,) = await store.retention.histories_of([job.id])
        await history.clock.advance(60)
        assert (await store.retention.delete_over([(seen, history.clock.now())], history.clock.now())).jobs == {job.id}
    assert await store.job(job.id) is None
    seals = await store.seals.after(job.id, 0, 100)
    assert [one.kind for one in seals][-1] is SealKind.REMOVAL
    assert seals[-1].facts["rows"] == [[1, 9]], "the newest execution and its tick were sealed before"
    assert await history.faults() == []
    assert [one.id for one in (await history.receipts.chains(job.task_id)).heads] == [job.id]
    await history.edit("seals", seals[-1].id, None)
    assert any("is missing at the end" in words for words in await history.faults())


@pytest.fixture
async def archived(history, tmp_path) -> Path:
    """The folder of the archive, in which the logs of the history are."""
    folder = tmp_path / "archive"
    folder.mkdir()
    history.store.log_archive.objects = LogFolder(folder)
    await cleaned(history)
    await Archiver(history.store.log_archive, history.clock, always, after=-1).round()
    assert await history.faults() == []
    history.store.log_archive._indexes._kept.clear()
    history.store.log_archive._segments._kept.clear()
    return folder


async def object_of(history, folder: Path, number: int) -> Path:
    return folder / (await history.store.log_archive.get(history.executions[number].id)).key


async def test_an_archived_log_that_was_deleted_cut_or_damaged_is_named_and_the_rest_is_checked(history, archived):
    for number in range(3):
        path = await object_of(history, archived, number)
        whole = path.read_bytes()
        if number == 0:
            path.unlink()
        else:
            path.write_bytes(whole[:-20] if number == 1 else whole[:20] + b"?" + whole[21:])
    found = await history.faults()
    for execution in history.executions:
        assert any(f"of execution {execution.id} the stored log is missing or damaged in the archive" in words for words in found), found
    assert len(found) == 3


async def test_an_archive_that_does_not_answer_is_not_a_fault(history, archived):
    archived.rename(archived.with_name("elsewhere"))
    with pytest.raises(ArchiveDown):
        await history.faults()


async def test_an_archived_log_that_may_be_missing_is_not_read(history, archived):
    first = history.executions[0]
    await history.sealing.before_rows(first.job_id, first.task_id, logs=[first.id])
    (await object_of(history, archived, 0)).unlink()
    assert await history.faults() == []


async def test_a_job_whose_rows_are_deleted_by_hand_is_found(history):
    for table, ids in (("jobs", [history.job.id]), ("executions", [one.id for one in history.executions])):
        for id in ids:
            await history.edit(table, id, None)
    assert sum("has no row any more" in words for words in await history.faults()) >= 3
