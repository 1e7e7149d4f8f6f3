"""What every store promises of receipts as a whole: whatever somebody does to them by hand is found, also at the end of a chain, with other
keys, and after an export and an import."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from fastlane.models.job import Ending
from fastlane.models.log import STDOUT, Piece
from fastlane.models.receipt import LATE, ChainHead, SealKeys, SealKind, SealPlace, bound_ends
from fastlane.models.retention import Cuts
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick, manual_key, tick_id
from fastlane.models.transitions import bind, claim, end, settle
from fastlane.sealing import AGAIN_AFTER, HELD, Sealing
from fastlane.services.receipts import Receipts
from fastlane.storage.base import Store
from fastlane.storage.records import CHAIN_HEADS, SEALS
from fastlane.storage.transfer.files import Importer
from tests.contract.moving import exported
from tests.contract.test_store_seals import KEYS, History, cleaned, history as history, retained, run
from tests.support.clock import FakeClock
from tests.support.factories import chunk, new
from tests.support.intercept import Call, intercept

OTHER_KEYS = SealKeys(["another!" * 4])


async def faults_of(store: Store, clock: FakeClock, keys: SealKeys = KEYS, until: int | None = None) -> list[str]:
    """What a check of every chain finds."""
    receipts, found = Receipts(store, clock, keys, until), []
    ids = {job.id: job.task_id for job in (await store.seals.all_heads(100))}
    ids |= {seal.job_id: seal.task_id for seal in await store.seals.all_seals(1000)}
    for id, task in ids.items():
        start = None
        while True:
            part = await receipts.check(task, id, start)
            found += [f"{one.where} {one.what}" for one in part.faults]
            start = part.next
            if start is None:
                break
    return found


async def other_job(history: History, seals: int = 2) -> str:
    """Another job of the same store, which ran and is sealed after the first one."""
    job, tick, execution = new(now=history.clock.now())
    await history.store.create(job, tick, execution)
    await run(history.store, job, tick, execution, history.clock.now(), b"other\n")
    await history.clock.advance(60)
    assert await history.sealing.look() == seals
    return job.id


async def cut_off(history: History) -> None:
    """Deletes the newest run of the first job with all that says of it: its rows, its log, its seals, and the end of the chain."""
    newest = history.executions[-1]
    for table, id in (("executions", newest.id), ("log_chunks", newest.id), ("ticks", newest.tick_id)):
        await history.edit(table, id, None)
    for seal in await history.store.seals.after(history.job.id, 0, 100):
        if seal.row in (newest.id, newest.tick_id):
            await history.edit("seals", seal.id, None)
    await history.edit("chain_heads", history.job.id, None)


async def test_an_end_that_was_deleted_with_its_head_is_found_by_the_chains_sealed_later(history):
    await history.add(manual_key(history.clock.now()))
    await history.clock.advance(60)
    assert await history.sealing.look() == 2
    other = await other_job(history)
    assert any(bound_ends(seal).get(history.job.id) for seal in await history.store.seals.after(other, 0, 10))
    assert await faults_of(history.store, history.clock) == []
    await cut_off(history)
    await history.add(manual_key(history.clock.now()))
    await history.clock.advance(60)
    assert await history.sealing.look() == 2, "the chain goes on from where it was cut, and gets a head again"
    assert (await history.store.seals.head(history.job.id)).number == 9
    found = await faults_of(history.store, history.clock)
    (words,) = found
    assert words.endswith(f"was made after seal 9 of job {history.job.id}, which was replaced")


@pytest.mark.parametrize("way", ["deleted", "rewound"])
async def test_a_head_that_was_deleted_or_put_back_is_found_by_the_chains_sealed_later(history, way):
    before = CHAIN_HEADS.row(await history.store.seals.head(history.job.id))
    await history.add(manual_key(history.clock.now()))
    await history.clock.advance(60)
    await history.sealing.look()
    await other_job(history)
    if way == "deleted":
        await history.edit("chain_heads", history.job.id, None)
    else:
        await history.edit("chain_heads", history.job.id, {name: before[name] for name in ("number", "digest", "signature", "version")})
    found = await faults_of(history.store, history.clock)
    words = "was deleted" if way == "deleted" else "is an older one"
    assert any(f"of job {history.job.id}, which is there, but the row that says where its chain ends {words}" in one for one in found)


async def test_a_chain_that_begins_while_it_is_checked_has_no_faults(history):
    job, tick, execution = new(now=history.clock.now())
    await history.store.create(job, tick, execution)
    await run(history.store, job, tick, execution, history.clock.now())
    await history.clock.advance(60)
    calls = list[Call]()

    async def head(call: Call) -> object:
        calls.append(call)
        found = await call.carry()
        if len(calls) == 1:
            assert (found, await history.sealing.look()) == (None, 2)
        return found

    intercept(history.store.seals, "head", head)
    assert (await Receipts(history.store, history.clock, KEYS).check(job.task_id, job.id)).faults == []


async def test_a_process_that_begins_binds_the_seal_at_which_the_one_before_it_stopped(history):
    again = Sealing(history.store, history.clock, KEYS)
    job, tick, execution = new(now=history.clock.now())
    await history.store.create(job, tick, execution)
    await run(history.store, job, tick, execution, history.clock.now())
    await history.clock.advance(60)
    assert await again.look() == 2
    first, second = await history.store.seals.after(job.id, 0, 10)
    assert history.job.id in bound_ends(first)
    assert bound_ends(second) == {}
    assert await faults_of(history.store, history.clock) == []


async def test_a_chain_without_the_seal_that_somebody_noted_is_found(history):
    head = await history.store.seals.head(history.job.id)
    check = history.receipts.check
    kept = (head.number, head.digest)
    assert (await check(history.job.task_id, history.job.id, None, kept)).faults == []
    changed = (await check(history.job.task_id, history.job.id, None, (head.number, "0" * 64))).faults
    assert [one.what for one in changed] == ["is not the one that the chain had once: it was replaced"]
    gone = (await check(history.job.task_id, history.job.id, None, (head.number + 1, head.digest))).faults
    assert [one.where for one in gone] == ["seal 8"]


async def add_row_of_the_ledger(history: History) -> None:
    due = history.clock.now() - LATE - 3_000_000
    job = await history.store.job(history.job.id)
    forged = Tick(tick_id(job.incarnation, f"c:{due}"), job.id, f"c:{due}", due, due, Outcome.SKIPPED, None, "it was not needed")
    assert await history.store.advance(job, job, [forged], None)
    await history.edit("ticks", forged.id, {"created_at": history.clock.now() - LATE - 1_000})


async def lengthen_the_log(history: History) -> None:
    id = history.executions[1].id
    assert await history.store.append(chunk(id, await history.store.log_head(id), (Piece(STDOUT, 99, b"and this\n"),)))


async def shorten_the_log(history: History) -> None:
    await history.edit("log_chunks", history.executions[1].id, {"data": b"agai", "end_offset": 4})


async def put_the_log_of_another_run(history: History) -> None:
    await history.edit("log_chunks", history.executions[0].id, None)
    await history.edit("log_chunks", history.executions[1].id, {"execution_id": history.executions[0].id})


async def swap_two_rows_of_the_ledger(history: History) -> None:
    first, second = history.executions[:2]
    await history.edit("ticks", first.tick_id, {"id": "between"})
    await history.edit("ticks", second.tick_id, {"id": first.tick_id})
    await history.edit("ticks", "between", {"id": second.tick_id})


async def swap_two_seals(history: History) -> None:
    first, second = await history.store.seals.after(history.job.id, 0, 2)
    names = [name for name in SEALS.fields if name not in ("id", "number")]
    rows = [SEALS.row(one) for one in (first, second)]
    await history.edit("seals", first.id, {name: rows[1][name] for name in names})
    await history.edit("seals", second.id, {name: rows[0][name] for name in names})


async def delete_since_when_and_look(history: History) -> None:
    await history.edit("seal_place", "place", None)
    await history.sealing.look()


def delete(table: str, which: Callable[[History], str]) -> Callable[[History], Awaitable[None]]:
    return lambda history: history.edit(table, which(history), None)


def change(table: str, which: Callable[[History], str], **changes: object) -> Callable[[History], Awaitable[None]]:
    return lambda history: history.edit(table, which(history), changes)


def execution(history: History) -> str:
    return str(history.executions[1].id)


def tick(history: History) -> str:
    return str(history.executions[1].tick_id)


def seal(number: int) -> Callable[[History], str]:
    return lambda history: f"{history.job.id}/{number:012d}"


def chain(history: History) -> str:
    return str(history.job.id)


TAMPERINGS: dict[str, tuple[Callable[[History], Awaitable[None]], str]] = {
    "a failure becomes a success": (change("executions", execution, exit_code=9), "the field exit_code is 9, and was 0"),
    "the requester of a run": (change("executions", execution, requested_by='{"user": "eve"}'), "the field requested_by"),
    "the time of an end": (change("executions", execution, finished_at=5), "the field finished_at is 5"),
    "the image": (change("executions", execution, image_digest="sha256:evil"), "the field image_digest is sha256:evil"),
    "the environment": (change("executions", execution, spec='{"image": "ubuntu:latest"}'), "the field spec is not as it was sealed"),
    "the reason of a missed time": (change("ticks", lambda one: one.missed.id, reason="never due"), "the field reason is never due"),
    "a run of a due time": (change("ticks", tick, outcome="skipped"), "the field outcome is skipped"),
    "a run is deleted": (delete("executions", execution), "has no row any more"),
    "a row of the ledger is deleted": (delete("ticks", tick), "has no row any more"),
    "a row of the ledger is inserted": (add_row_of_the_ledger, "has no seal: it was inserted by hand"),
    "two rows of the ledger are swapped": (swap_two_rows_of_the_ledger, "the field key"),
    "a log is deleted": (delete("log_chunks", execution), "the stored log is missing"),
    "a log is changed": (change("log_chunks", execution, data=b"again X\nerrmore"), "the stored log is not the one that was sealed"),
    "a log is lengthened": (lengthen_the_log, "the stored log is not the one that was sealed"),
    "a log is shortened": (shorten_the_log, "the stored log is not the one that was sealed"),
    "a log is another run's": (put_the_log_of_another_run, "the stored log is not the one that was sealed"),
    "a seal is deleted": (delete("seals", seal(3)), "seal 3 is missing: it was deleted"),
    "the first seal is deleted": (delete("seals", seal(1)), "seal 1 is missing: it was deleted"),
    "the last seal is deleted": (delete("seals", seal(7)), "seal 7 is missing at the end of the chain"),
    "a seal is changed": (change("seals", seal(2), facts='{"status": "done"}'), "its signature does not fit what it says"),
    "two seals are swapped": (swap_two_seals, "does not follow the seal before it"),
    "the head is deleted": (delete("chain_heads", chain), "has no row that says where it is: it was deleted"),
    "the head is changed": (change("chain_heads", chain, number=5), "its signature does not fit what it says"),
    "since when receipts are kept": (change("seal_place", lambda _: "place", since=10**14), "since when receipts are kept"),
    "since when receipts are kept is deleted": (delete("seal_place", lambda _: "place"), "since when receipts are kept is missing"),
    "since when receipts are kept is written anew": (delete_since_when_and_look, "has a later moment than the first seals"),
}


@pytest.mark.parametrize("way", TAMPERINGS)
async def test_each_way_of_tampering_is_found(history, way):
    assert await history.faults() == []
    tamper, words = TAMPERINGS[way]
    await tamper(history)
    found = await history.faults()
    assert any(words in one for one in found), found


async def test_other_keys_verify_nothing_and_a_key_before_the_old_one_verifies_all(history):
    id = history.job.id
    found = await faults_of(history.store, history.clock, OTHER_KEYS)
    assert all("which is not among the keys given" in one for one in found)
    assert len(found) == 7 + 1 + 1 + 1, "each seal, the head, and the place, of executions and of the ledger"
    both = SealKeys(["another!" * 4, "contract" * 4])
    await history.add(manual_key(history.clock.now()))
    await history.clock.advance(60)
    assert await Sealing(history.store, history.clock, both).look() == 2
    assert {seal.key for seal in await history.store.seals.after(id, 7, 10)} == {both.ids[0]}
    assert await faults_of(history.store, history.clock, both) == []
    assert any("which is not among the keys given" in one for one in await faults_of(history.store, history.clock, KEYS))


async def imported(other: Store, lines: list, keys: SealKeys | None, *, as_exported: bool = False) -> Importer:
    importer = Importer(other, keys, as_exported=as_exported)
    await importer.prepare()
    for line in lines:
        await importer.add(line)
    await importer.finish()
    return importer


@pytest.fixture
async def present(history) -> History:
    """The history, with its clock at the present, since an export knows no other one."""
    await history.clock.advance(time.time() - history.clock.now() / 1000)
    return history


async def test_an_import_keeps_the_chains_whole_in_a_store_of_the_other_kind(present, other):
    await present.add(manual_key(present.clock.now()), b"a long line of a long log\n" * 30_000)
    await other_job(present, 4)
    lines = await exported(present.store)
    later = [replace(line, started_at=present.clock.now() + 1) if index == 0 else line for index, line in enumerate(lines)]
    await imported(other, later, KEYS)
    seals = await present.store.seals.all_seals(100)
    assert await other.seals.all_seals(100) == seals
    assert len(seals) == 11
    assert await faults_of(other, present.clock) == []
    again = Sealing(other, present.clock, KEYS)
    await present.clock.advance(60)
    assert await again.look() == 0, "what was sealed is not sealed once more"
    receipts = Receipts(other, present.clock, KEYS)
    ids = (present.job.task_id, present.job.id, present.executions[0].id)
    assert await receipts.receipt(*ids) == await present.receipts.receipt(*ids)


async def test_what_was_sealed_while_the_file_was_written_is_not_imported_but_what_was_removed_may_be_missing(present, other):
    began = present.clock.now() + 1
    await cleaned(present)
    await present.clock.advance(60)
    await present.add(manual_key(present.clock.now()))
    await present.clock.advance(60)
    assert await present.sealing.look() == 2
    present.store.retention.notes = present.sealing
    await retained(present, Cuts(max_executions=2))
    lines = await exported(present.store)
    assert present.executions[0].id not in {one.execution.id for one in lines if type(one).__name__ == "ExecutionLine"}
    await imported(other, [replace(lines[0], started_at=began), *lines[1:]], KEYS)
    seals = await other.seals.after(present.job.id, 0, 100)
    assert [one.kind for one in seals][7:] == [SealKind.REMOVAL], "the seals of that time are replaced by one that says what is gone"
    assert (await other.seals.head(present.job.id)).number == 8
    assert await faults_of(other, present.clock) == []
    await present.clock.advance(AGAIN_AFTER / 1000 + 60)
    again = Sealing(other, present.clock, KEYS)
    assert await again.look() == 0, "the second look waits: what ended shortly before an export is settled anew, and its tick may change"
    await other.change(settle(await other.execution(present.executions[-1].id)))
    assert await again.look() == 2
    assert await faults_of(other, present.clock) == []


async def test_the_second_look_goes_on_after_a_while_although_an_execution_is_not_settled(history):
    job, tick, execution = new(now=history.clock.now())
    await history.store.create(job, tick, execution)
    after = await history.store.change(claim(execution, host="h", pool="p", now=history.clock.now()))
    after = await history.store.change(bind(after, service_id="s", swarm_id="w", image_digest="sha256:abc", now=history.clock.now()))
    assert await history.store.change(end(after, Ending(Status.FAILED, history.clock.now() + 5, 1))) is not None
    await history.clock.advance(AGAIN_AFTER / 1000 + 60)
    assert await history.sealing.look() == 1, "the execution; its tick may change"
    before = await history.store.seals.place()
    await history.clock.advance(HELD / 1000 - 1)
    await history.sealing.look()
    assert (await history.store.seals.place()).late_ends == before.late_ends
    await history.clock.advance(2)
    await history.sealing.look()
    assert (await history.store.seals.place()).late_ends != before.late_ends


async def test_without_the_keys_an_import_leaves_receipts_out_and_says_how_many(present, other):
    importer = await imported(other, await exported(present.store), None)
    assert importer.summary.left_out == 7
    assert await other.seals.all_seals(9) == []
    assert await other.seals.all_heads(9) == []
    assert await other.seals.place() is None


async def test_an_export_without_logs_has_no_receipts(present):
    kinds = {type(line).__name__ for line in await exported(present.store, with_logs=False)}
    assert not kinds & {"Seal", "ChainHead", "SealPlace"}
    assert {"Seal", "ChainHead", "SealPlace"} <= {type(line).__name__ for line in await exported(present.store)}


async def faults_in_file(lines: list, other: Store, present: History) -> list[str]:
    """What a check of every chain of a file finds."""
    importer = await imported(other, lines, None, as_exported=True)
    assert importer.ends.keys() == {seal.job_id for seal in await other.seals.all_seals(1000)}
    return await faults_of(other, present.clock, until=importer.started_at)


async def test_a_chain_that_begins_while_the_file_is_written_has_no_faults_there(present, other):
    began = present.clock.now() + 1
    job = await other_job(present)
    lines = await exported(present.store)
    without = [line for line in lines[1:] if not (isinstance(line, ChainHead) and line.id == job)]
    assert len(without) == len(lines) - 2
    assert await faults_in_file([replace(lines[0], started_at=began), *without], other, present) == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (ChainHead, "the end of the chain has no row that says where it is: it was deleted"),
        (SealPlace, "the row that says since when receipts are kept is missing: it was deleted"),
    ],
)
async def test_a_line_that_is_missing_in_a_file_is_found_where_the_chain_began_before(present, other, kind, words):
    lines = await exported(present.store)
    began = replace(lines[0], started_at=present.clock.now() + 1)
    without = [line for line in lines[1:] if not isinstance(line, kind)]
    assert await faults_in_file([began, *without], other, present) == [words]


async def test_a_store_whose_first_receipts_were_made_while_the_file_was_written_has_no_faults_there(present, other):
    lines = await exported(present.store)
    without = [line for line in lines if not isinstance(line, SealPlace)]
    began = (await present.store.seals.place()).since - 1
    assert await faults_in_file([replace(without[0], started_at=began), *without[1:]], other, present) == []


async def test_what_was_tampered_with_before_an_export_is_found_in_the_file(present, other):
    await present.edit("executions", present.executions[1].id, {"exit_code": 9})
    await present.edit("executions", present.executions[2].id, None)
    lines = await exported(present.store)
    began = present.clock.now() + 1
    found = await faults_in_file([replace(lines[0], started_at=began), *lines[1:]], other, present)
    assert any("the field exit_code is 9, and was 0 when it was sealed" in one for one in found), found
    assert any(f"of execution {present.executions[2].id} has no row any more" in one for one in found), found
