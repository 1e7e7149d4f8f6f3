"""What every store promises of logs in an archive: each read gives what it gave before, a move that is cut off at any step is ended by the
next one, and nothing goes from the store before the archive has proved that it has it."""

import asyncio
import itertools
import random
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pytest

from fastlane.archive.folder import MARK, LogFolder
from fastlane.errors import ArchiveDamaged, ArchiveDown
from fastlane.metrics import Metrics
from fastlane.models.log import STDERR, STDOUT, Head, Piece
from fastlane.models.log_archive import ArchiveState
from fastlane.models.retention import Cuts
from fastlane.models.status import Status
from fastlane.scheduler.archiver import Archiver
from fastlane.scheduler.known_workers import always
from fastlane.scheduler.pruner import Pruner, RetentionRules
from fastlane.storage import log_object
from fastlane.storage.base import Deletion, Noted, Store
from fastlane.storage.transfer import files as transfer
from fastlane.storage.transfer.files import export
from tests.contract.moving import content, exported, imported
from tests.contract.test_store_retention import history_of, prune
from tests.support.clock import FakeClock
from tests.support.factories import chunk, new
from tests.support.intercept import Call, Died, Intercepted, dies
from tests.support.waiting import until

AFTER = 3_600.0
STREAMS = (None, STDOUT, STDERR)
NEVER = -(2**62)
LOGS_GO = Cuts(jobs=NEVER, executions=NEVER, max_executions=10_000, logs=2**60)


@dataclass
class Old:
    """A store with an archive, and the executions that ended in it long ago."""

    store: Store
    folder: Path
    clock: FakeClock
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def archiver(self) -> Archiver:
        """A new one, as after a restart."""
        return Archiver(self.store.log_archive, self.clock, always, AFTER, self.metrics)

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and path.name != MARK)

    async def ended(self, *chunks: tuple[Piece, ...], **changed: object) -> str:
        """An execution that ended a day ago, with a log."""
        job, tick, execution = new()
        await self.store.create(job, tick, None)
        moment = self.clock.now() - 86_400_000
        given = {"status": Status.DONE, "settled": True, "cleaned": True, "finished_at": moment, **changed}
        await self.store.transfer.restore_execution(replace(execution, **given), Noted(moment, moment), is_counted=False)
        head = Head()
        for pieces in chunks:
            part = chunk(execution.id, head, pieces, dropped=0 if pieces else 3)
            assert await self.store.append(part)
            head = part.end
        return execution.id

    async def state(self, execution_id: str) -> ArchiveState | None:
        row = await self.store.log_archive.get(execution_id)
        return None if row is None else row.state

    async def here(self, execution_id: str) -> int:
        """The bytes of a log that are in the store itself."""
        objects, self.store.log_archive.objects = self.store.log_archive.objects, None
        try:
            return (await self.store._stored_head(execution_id)).offset
        finally:
            self.store.log_archive.objects = objects


@pytest.fixture
async def old(store: Store, tmp_path: Path) -> Old:
    folder = tmp_path / "archive"
    folder.mkdir()
    store.log_archive.objects = LogFolder(folder)
    return Old(store, folder, FakeClock())


def pieces_of(seed: int, chunks: int, longest: int) -> list[tuple[Piece, ...]]:
    """A log of both streams, with empty chunks, whose times grow."""
    source, moment, found = random.Random(seed), 1_000, []
    for _ in range(chunks):
        pieces = []
        for _ in range(source.randrange(4)):
            moment += source.randrange(3)
            data = source.randbytes(source.randint(1, longest))
            pieces.append(Piece(source.choice((STDOUT, STDERR)), moment, data))
        found.append(tuple(pieces))
    return found


async def readings(store: Store, execution_id: str) -> list[object]:
    """All that readers of a log get, from many places and by all ways."""
    source, head = random.Random(3), await store.log_head(execution_id)
    found: list[object] = [head, await store.log_heads([execution_id]), await store.seals.log_digest(execution_id)]
    for stream in STREAMS:
        for _ in range(12):
            offset, limit = source.randrange(head.offset + 3), source.choice((1, 7, 1_000, 200_000))
            found.append(await store.read_log(execution_id, offset, limit, stream))
        for moment in range(998, 1_100, 17):
            found.append(await store.log_since(execution_id, stream, moment))
    return found


@pytest.mark.parametrize(("seed", "chunks", "longest", "segment"), [(1, 12, 9, 100), (2, 40, 200, 1_000), (3, 30, 40_000, 256 * 1024)])
async def test_each_read_of_an_archived_log_gives_what_it_gave_before(old, monkeypatch, seed, chunks, longest, segment):
    monkeypatch.setattr(log_object, "SEGMENT", segment)
    id = await old.ended(*pieces_of(seed, chunks, longest))
    before = await readings(old.store, id)
    await old.archiver.round()
    assert (await old.state(id), await old.here(id)) == (ArchiveState.MOVED, 0)
    assert await readings(old.store, id) == before
    (file,) = old.files
    row = await old.store.log_archive.get(id)
    assert (row.digest, row.size, row.key) == (
        sha256(file.read_bytes()).hexdigest(),
        file.stat().st_size,
        str(file.relative_to(old.folder)),
    )


async def test_what_may_not_move_stays_and_moves_once_it_may(old):
    lines = (Piece(STDOUT, 1_000, b"one\ntwo\n"),)
    late = await old.ended(lines, cleaned=False)
    young = await old.ended(lines)
    old.clock.set_back(86_400 - AFTER + 1)
    await old.archiver.round()
    assert old.files == []
    assert [await old.here(id) for id in (late, young)] == [8, 8]
    await old.clock.advance(2)
    await old.archiver.round()
    assert [await old.here(id) for id in (late, young)] == [8, 0]


async def test_an_export_has_the_logs_that_are_in_the_archive(old, other):
    ids = [await old.ended(*pieces_of(seed, 10, 50)) for seed in range(3)]
    before = await content(old.store)
    await old.archiver.round()
    assert [await old.here(id) for id in ids] == [0, 0, 0]
    await imported(other, await exported(old.store))
    assert (await content(other))["logs"] == before["logs"]


async def test_an_export_goes_on_without_a_log_that_the_archive_has_lost_and_names_it(old, other):
    ids = [await old.ended(*pieces_of(seed, 10, 50)) for seed in range(3)]
    await old.archiver.round()
    (old.folder / (await old.store.log_archive.get(ids[1])).key).unlink()
    lost = list[str]()
    lines = [line async for line in export(old.store, version="", installation="", with_logs=True, on_loss=lost.append)]
    assert len(lost) == 1
    assert ids[1] in lost[0]
    await imported(other, lines)
    for id in ids:
        assert (await other.log_head(id)).offset == (0 if id == ids[1] else (await old.store.log_head(id)).offset)


async def test_an_export_waits_for_an_archive_that_is_away(old, other, monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 0.01)
    id = await old.ended(*pieces_of(1, 10, 50))
    await old.archiver.round()
    away = old.folder.with_name("away")
    old.folder.rename(away)
    waited = list[str]()

    def wait(words: str) -> None:
        waited.append(words)
        if len(waited) == 2:
            away.rename(old.folder)

    await imported(other, [line async for line in export(old.store, version="", installation="", with_logs=True, on_wait=wait)])
    assert len(waited) == 2
    assert (await other.log_head(id)).offset == (await old.store.log_head(id)).offset


async def test_a_log_that_is_removed_from_the_archive_while_it_is_read_is_one_that_was_removed_before(old):
    id = await old.ended(*pieces_of(1, 5, 10))
    await old.archiver.round()
    archive = old.store.log_archive
    objects = archive.objects = Intercepted(archive.objects)

    async def remove_meanwhile(one: Call) -> object:
        await by_age(old, id)
        await old.archiver.round()
        return await one.carry()

    objects.around("read", remove_meanwhile)
    assert (await old.store.read_log(id, 0, 100)).pieces == ()
    assert await old.store.log_since(id, None, 0) == 0


STEPS = {
    "before-its-row": ("pack", None),
    "before-its-object": ("put", ArchiveState.WRITING),
    "before-the-proof": ("digest", ArchiveState.WRITING),
    "after-the-proof": ("is_as_packed", ArchiveState.WRITING),
    "before-its-parts-go": ("clear_archived", ArchiveState.PROVED),
}


def watched(archiver: Archiver, verb: str) -> Intercepted:
    """The part of an archiver that has this verb, between the two."""
    name = "_archive" if hasattr(archiver._archive, verb) else "_objects"
    part = Intercepted(getattr(archiver, name))
    setattr(archiver, name, part)
    return part


async def cut_off(old: Old, verb: str, *, call: int = 1) -> None:
    """A round that ends at this call of the verb, before it is made."""
    archiver, calls = old.archiver, itertools.count(1)

    async def count(one: Call) -> object:
        if next(calls) == call:
            await dies()
        return await one.carry()

    watched(archiver, verb).around(verb, count)
    with pytest.raises(Died):
        await archiver.round()


@pytest.mark.parametrize(("call", "state"), STEPS.values(), ids=STEPS)
async def test_a_move_that_ends_at_any_step_loses_nothing_and_is_ended_by_the_next(old, call, state):
    id = await old.ended(*pieces_of(5, 70, 30))
    before = await readings(old.store, id)
    await cut_off(old, call)
    assert await old.state(id) == state
    assert await old.here(id) > 0
    assert await readings(old.store, id) == before
    await old.archiver.round()
    assert (await old.state(id), await old.here(id), len(old.files)) == (ArchiveState.MOVED, 0, 1)
    assert await readings(old.store, id) == before


@pytest.mark.parametrize(("verb", "call"), [("write_archived", 1), ("delete", 1), ("write_archived", 2), ("put", 1)])
async def test_a_second_try_that_ends_at_any_step_leaves_no_object_of_the_first(old, verb, call):
    id = await old.ended(*pieces_of(5, 70, 30))
    before = await readings(old.store, id)
    await cut_off(old, "digest")
    await cut_off(old, verb, call=call)
    assert await readings(old.store, id) == before
    await old.archiver.round()
    assert (await old.state(id), await old.here(id), len(old.files)) == (ArchiveState.MOVED, 0, 1)
    assert await readings(old.store, id) == before


async def test_a_log_is_whole_for_its_readers_while_its_parts_go(old):
    id = await old.ended(*pieces_of(6, 70, 30))
    before = await readings(old.store, id)
    await cut_off(old, "clear_archived", call=2)
    assert 0 < await old.here(id) < before[0].offset  # some of it went, from its end
    assert await readings(old.store, id) == before


class Damaging(LogFolder):
    """A folder that does not keep what it is given."""

    async def put(self, key, content, size):
        await super().put(key, content, size)
        path = self._folder / key
        path.write_bytes(path.read_bytes()[:-1] + b"?")


async def test_nothing_goes_from_the_store_before_the_object_is_proved(old):
    id = await old.ended(*pieces_of(7, 20, 30))
    before = await readings(old.store, id)
    old.store.log_archive.objects = Damaging(old.folder)
    with pytest.raises(ArchiveDown, match="is not as it was written"):
        await old.archiver.round()
    assert (await old.state(id), await old.here(id)) == (ArchiveState.WRITING, before[0].offset)
    old.store.log_archive.objects = LogFolder(old.folder)
    await old.archiver.round()
    assert await old.state(id) is ArchiveState.MOVED
    assert len(old.files) == 1  # the damaged one went
    assert await readings(old.store, id) == before


async def test_an_object_that_was_lost_or_damaged_is_an_error_and_never_an_empty_log(old):
    id = await old.ended(*pieces_of(8, 30, 100))
    await old.archiver.round()
    (file,) = old.files
    whole = file.read_bytes()
    for damaged in (whole[:-20], whole[:10] + b"?" + whole[11:-1] + b"?", b""):
        old.store.log_archive._indexes._kept.clear()
        file.write_bytes(damaged)
        with pytest.raises(ArchiveDamaged, match=r"restore it from a backup of the archive"):
            await old.store.read_log(id, 0, 100)
    file.unlink()
    old.store.log_archive._segments._kept.clear()
    with pytest.raises(ArchiveDamaged, match="No such file"):
        await old.store.read_log(id, 0, 100)
    assert (await old.store.log_head(id)).offset > 0


async def test_a_store_without_its_archive_says_so(old, open_store):
    id = await old.ended(*pieces_of(9, 30, 100))
    await old.archiver.round()
    without = await open_store()
    with pytest.raises(ArchiveDown, match="archive_url is not set"):
        await without.read_log(id, 0, 100)


async def test_a_folder_on_which_nothing_is_mounted_is_not_taken(old, tmp_path):
    await old.ended(*pieces_of(1, 5, 10))
    await old.archiver.round()
    second = await old.ended(*pieces_of(2, 5, 10))
    unmounted = tmp_path / "unmounted"
    unmounted.mkdir()
    old.store.log_archive.objects = LogFolder(unmounted)
    with pytest.raises(ArchiveDown, match=f"has no file {MARK}"):
        await old.archiver.round()
    assert await old.here(second) > 0
    old.store.log_archive.objects = LogFolder(tmp_path / "missing")
    with pytest.raises(ArchiveDown, match="has no file"):
        await old.archiver.round()


@pytest.mark.parametrize("call", ["put", "digest"])
async def test_a_folder_that_is_unmounted_in_the_middle_of_a_round_is_not_taken(old, call):
    id = await old.ended(*pieces_of(1, 5, 10))
    before, archiver = await readings(old.store, id), old.archiver

    async def unmount(one: Call) -> object:
        old.folder.rename(old.folder.with_name("away"))
        old.folder.mkdir()
        return await one.carry()

    watched(archiver, call).around(call, unmount)
    with pytest.raises(ArchiveDown, match=f"has no file {MARK}"):
        await archiver.round()
    assert (await old.state(id), list(old.folder.iterdir())) == (ArchiveState.WRITING, [])
    assert await readings(old.store, id) == before


async def test_a_row_whose_object_may_still_be_there_stays_while_the_folder_is_not_mounted(old):
    id = await old.ended(*pieces_of(1, 5, 10))
    await old.archiver.round()
    job = await old.store.job((await old.store.execution(id)).job_id)
    assert (await prune(old.store, job, LOGS_GO)).logs == 1
    archiver = old.archiver

    async def unmount(one: Call) -> object:
        (old.folder / MARK).unlink()
        return await one.carry()

    watched(archiver, "delete").around("delete", unmount)
    with pytest.raises(ArchiveDown, match=f"has no file {MARK}"):
        await archiver.round()
    assert (await old.state(id), len(old.files)) == (ArchiveState.GOING, 1)


async def test_a_round_ends_after_a_while_so_that_a_worker_asks_again_whether_it_is_chosen(old):
    for seed in range(4):
        await old.ended(*pieces_of(seed, 5, 10))
    asked = list[int]()

    async def chosen() -> bool:
        asked.append(len(old.files))
        return len(asked) == 1

    async def take_long(one: Call) -> object:
        await old.clock.advance(20)
        return await one.carry()

    archiver = Archiver(old.store.log_archive, old.clock, chosen, AFTER)
    watched(archiver, "put").around("put", take_long)
    working = asyncio.create_task(archiver.run())
    try:
        while len(asked) < 2:
            await until(lambda: old.clock.sleeping == 1 or len(asked) == 2, "a rest")
            old.clock.step()
        assert asked == [0, 2]
    finally:
        working.cancel()
        await asyncio.wait([working])


async def test_the_object_of_a_deleted_execution_goes_before_its_row(old):
    id = await old.ended(*pieces_of(1, 5, 10))
    await old.archiver.round()
    row = await old.store.execution(id)
    job = await old.store.job(row.job_id)
    while await old.store.delete_job(job.id, job.incarnation, old.clock.now()) is Deletion.MORE:
        pass
    await cut_off(old, "forget")
    assert (await old.state(id), old.files) == (ArchiveState.GOING, [])
    await old.archiver.round()
    assert await old.state(id) is None


async def test_retention_of_logs_removes_archived_ones_and_their_executions_say_so(old):
    id = await old.ended(*pieces_of(1, 5, 10))
    await old.archiver.round()
    row = await old.store.execution(id)
    job = await old.store.job(row.job_id)
    history = await history_of(old.store, job)
    assert job.id in await old.store.retention.candidates([history], LOGS_GO)
    removed = await prune(old.store, job, LOGS_GO)
    assert removed.logs == 1
    assert (await old.store.execution(id)).truncated
    assert await old.store.log_head(id) == Head()
    assert (await old.store.read_log(id, 0, 100)).pieces == ()
    await old.archiver.round()
    assert (old.files, await old.state(id)) == ([], None)
    assert (await prune(old.store, job, LOGS_GO)).logs == 0


async def test_retention_that_comes_while_a_log_is_proved_leaves_no_archived_log(old):
    """The archiver has seen that the log is as it was packed, and not written that it is proved."""
    for removed in (by_age, by_size):
        id = await old.ended(*pieces_of(1, 5, 10))
        archiver = old.archiver

        async def remove_meanwhile(one: Call, id: str = id, removed: Callable[[Old, str], Awaitable[None]] = removed) -> object:
            whole = await one.carry()
            await removed(old, id)
            return whole

        watched(archiver, "is_as_packed").around("is_as_packed", remove_meanwhile)
        await archiver.round()
        await old.archiver.round()
        assert (old.files, await old.state(id), await old.here(id)) == ([], None, 0)
        assert (await old.store.execution(id)).truncated
        assert await old.store.log_head(id) == Head()


async def by_age(old: Old, execution_id: str) -> None:
    job = await old.store.job((await old.store.execution(execution_id)).job_id)
    assert (await prune(old.store, job, LOGS_GO)).logs == 1


async def by_size(old: Old, execution_id: str) -> None:
    assert not await old.store.retention.prune_log(execution_id)


async def test_a_limit_of_all_logs_clears_a_log_that_is_in_the_archive_and_does_not_mark_it(old):
    id = await old.ended(*pieces_of(6, 70, 30))
    before = await readings(old.store, id)
    await cut_off(old, "clear_archived")
    pruner = Pruner(old.store, old.clock, {}, RetentionRules(log_bytes=0))
    await asyncio.wait_for(pruner.prune(), 10)
    assert await old.here(id) == 0
    assert not (await old.store.execution(id)).truncated
    assert await readings(old.store, id) == before


async def test_what_the_archive_has_proved_goes_from_the_store_while_the_archive_is_away(old):
    id = await old.ended(*pieces_of(6, 70, 30))
    await cut_off(old, "clear_archived")
    (old.folder / MARK).unlink()
    with pytest.raises(ArchiveDown, match=f"has no file {MARK}"):
        await old.archiver.round()
    assert (await old.state(id), await old.here(id)) == (ArchiveState.MOVED, 0)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["pack", "put", "digest", "is_as_packed", "clear_archived"])
async def test_a_worker_that_was_overtaken_deletes_nothing_of_the_one_that_moved_the_log(old, verb, when):
    id = await old.ended(*pieces_of(11, 40, 30))
    before, slow = await readings(old.store, id), old.archiver
    getattr(watched(slow, verb), when)(verb, old.archiver.round)
    await slow.round()
    await old.archiver.round()
    assert (await old.state(id), await old.here(id), len(old.files)) == (ArchiveState.MOVED, 0, 1)
    assert await readings(old.store, id) == before


async def test_a_move_that_was_forgotten_meanwhile_changes_no_row_of_another_try(old):
    id = await old.ended(*pieces_of(11, 4, 30))
    rows = old.store.log_archive
    with tempfile.TemporaryFile() as file:
        hung, later = await rows.pack(id, file, 1), await rows.pack(id, file, 2)
    assert hung.key != later.key
    assert await rows.write_archived(hung)
    going = replace(hung, state=ArchiveState.GOING, version=2)
    assert await rows.write_archived(going)
    assert await rows.forget(going)
    assert await rows.write_archived(later)
    assert not await rows.write_archived(replace(hung, state=ArchiveState.PROVED, version=2))
    assert await rows.get(id) == later


class Refusing(LogFolder):
    """A folder that does not write or delete the objects of some executions."""

    def __init__(self, folder: Path, ids: Iterable[str]) -> None:
        super().__init__(folder)
        self.ids = set(ids)

    async def put(self, key, content, size):
        self.refuse(key)
        await super().put(key, content, size)

    async def delete(self, key):
        self.refuse(key)
        await super().delete(key)

    def refuse(self, key: str) -> None:
        if any(id in key for id in self.ids):
            raise ArchiveDown(f"{key} is refused")


async def test_a_log_that_cannot_move_stops_no_other(old):
    ids = [await old.ended(*pieces_of(seed, 5, 10)) for seed in range(3)]
    objects = old.store.log_archive.objects = Refusing(old.folder, ids[:1])
    archiver = old.archiver
    await archiver.round()
    assert [await old.state(id) for id in ids] == [ArchiveState.WRITING, ArchiveState.MOVED, ArchiveState.MOVED]
    with pytest.raises(ArchiveDown, match="is refused"):  # nothing else is left to do, so the archive may have failed
        await archiver.round()
    objects.ids.clear()
    await archiver.round()
    await old.archiver.round()
    assert [await old.state(id) for id in ids] == [ArchiveState.MOVED] * 3
    assert len(old.files) == 3


async def test_logs_that_cannot_move_come_last_in_the_next_round(old):
    ids = sorted([await old.ended(*pieces_of(seed, 5, 10)) for seed in range(5)])
    old.store.log_archive.objects = Refusing(old.folder, ids[:3])
    archiver = old.archiver
    with pytest.raises(ArchiveDown, match="is refused"):
        await archiver.round()
    assert [await old.state(id) for id in ids] == [ArchiveState.WRITING] * 3 + [None] * 2
    await archiver.round()
    assert [await old.state(id) for id in ids[3:]] == [ArchiveState.MOVED] * 2


async def test_an_object_that_cannot_be_deleted_stops_no_move(old):
    removed = await old.ended(*pieces_of(1, 5, 10))
    await old.archiver.round()
    await by_age(old, removed)
    moved = await old.ended(*pieces_of(2, 5, 10))
    old.store.log_archive.objects = Refusing(old.folder, [removed])
    await old.archiver.round()
    assert [await old.state(id) for id in (removed, moved)] == [ArchiveState.GOING, ArchiveState.MOVED]


class Full(LogFolder):
    """A folder without space, until there is some. ``tries``: how often it was written to, and when."""

    has_room = False

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        super().__init__(folder)
        self.clock, self.tries = clock, list[int]()

    async def put(self, key, content, size):
        self.tries.append(self.clock.now())
        if not self.has_room:
            raise ArchiveDown("No space left on device")
        await super().put(key, content, size)


async def test_a_full_archive_is_tried_less_and_less_often_and_then_takes_what_waits(old):
    ids = [await old.ended(*pieces_of(seed, 5, 10)) for seed in (1, 2)]
    full = old.store.log_archive.objects = Full(old.folder, old.clock)
    began = old.clock.now()
    working = asyncio.create_task(old.archiver.run())
    try:
        for tries in range(1, 7):
            await until(lambda tries=tries: len(full.tries) == 2 * tries and old.clock.sleeping == 1, "a try")
            old.clock.step()
        await until(lambda: len(full.tries) == 14 and old.clock.sleeping == 1, "a try")
        waits = [(after - before) / 1000 for before, after in itertools.pairwise(full.tries[::2])]
        assert waits == [60, 120, 240, 300, 300, 300]
        assert all([await old.here(id) > 0 for id in ids])
        assert figures(old)["fastlane_archive_lag_seconds"] == (old.clock.now() - began) / 1000
        assert (
            figures(old)['fastlane_archived_logs_total{outcome="failed"}'] == 7 + 2
        )  # the rounds, and the logs when they fail for the first time
        full.has_room = True
        old.clock.step()
        await until(lambda: figures(old)['fastlane_archived_logs_total{outcome="moved"}'] == 2 and old.clock.sleeping == 1, "both")
        assert [await old.state(id) for id in ids] == [ArchiveState.MOVED] * 2
        assert figures(old)["fastlane_archive_lag_seconds"] == 0
        assert len(old.files) == 2
    finally:
        working.cancel()
        await asyncio.wait([working])


def figures(old: Old) -> dict[str, float]:
    lines = [line for line in old.metrics.text().decode().splitlines() if line.startswith("fastlane_arch")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
