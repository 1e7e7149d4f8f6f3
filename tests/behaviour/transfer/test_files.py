"""Files that cannot be imported: each is refused whole, with the line and what is wrong with it."""

import gzip
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import FastlaneError, ReadTooLong, StoreDown
from fastlane.models.backfill import Backfill
from fastlane.models.event import Event, EventKind
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.storage.sqlite.store import SqliteStore
from fastlane.storage.transfer import files as transfer, lines as files
from fastlane.storage.transfer.files import export
from fastlane.storage.transfer.lines import Line
from tests.support.factories import chunk, new, new_job
from tests.support.intercept import failing, intercept

BACKFILL = files.encode(Backfill("j", "t", "i", "r", 5, 1, 4, 2, 3, (2, 3), 7))


def quiet(_: Line) -> None:
    """Nobody watches."""


@pytest.fixture
async def lines(tmp_path: Path) -> list[bytes]:
    """Those of an export: its start, the pauses, a job that is due, a job with a tick and an execution, their task, its end."""
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    await store.create(*new(now=1_000))
    await store.create(new_job(at=2_000, now=2_000), None, None)
    await files.write(export(store, version="3", installation="i", with_logs=True), tmp_path / "all.jsonl", quiet)
    await store.close()
    return (tmp_path / "all.jsonl").read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda lines: lines[:-1], "the export was cut: its last line is missing"),
        (lambda lines: [*lines[:2], BACKFILL, *lines[2:]], "line 3: this backfill does not follow its job"),
        (lambda lines: [*lines[:3], *lines[4:]], "line 4: this tick does not follow its job"),
        (lambda lines: [*lines[:-2], lines[-1]], "lines of the export are missing"),
        (lambda lines: lines[1:], "line 1: an export begins with"),
        (lambda lines: [*lines, lines[2]], "more after the end"),
        (lambda lines: [*lines[:2], b"{}\n", *lines[3:]], "line 3: this is not a line of an export"),
        (lambda lines: [*lines[:2], b'{"planet": {}}\n', *lines[3:]], "line 3: no export has a line of the kind 'planet'"),
        (lambda lines: [lines[0].replace(b'"format":2', b'"format":3'), *lines[1:]], "a newer fastlane wrote this export"),
        (lambda lines: [*lines[:2], lines[2].replace(b"image", b"imago"), *lines[3:]], "line 3: job"),
        (lambda lines: [*lines[:1], b'{"pauses": {"names": [1]}}\n', *lines[2:]], "line 2: this is not a line of an export"),
        (lambda lines: [*lines[:1], b'{"pauses": {"names": "pool"}}\n', *lines[2:]], "line 2: this is not a line of an export"),
        (lambda _: [], "the file is empty"),
        (lambda lines: [line.replace(b'"ubuntu', b'"debian') for line in lines], "the digest in its last line does not fit"),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "follow its job|does not fit"),
    ],
    ids=[
        "no end",
        "a backfill",
        "no job",
        "a line less",
        "no start",
        "two files",
        "no line",
        "no kind",
        "newer",
        "damaged",
        "a number",
        "a text",
        "empty",
        "another image",
        "another order",
    ],
)
async def test_nothing_of_a_bad_file_is_imported(
    lines: list[bytes], tmp_path: Path, spoil: Callable[[list[bytes]], list[bytes]], words: str
) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b"".join(spoil(lines)))
    with pytest.raises(FastlaneError, match=words):
        files.check(tmp_path / "bad.jsonl", quiet)


async def test_a_packed_file_that_was_cut_is_refused(lines: list[bytes], tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(lines))
    (tmp_path / "whole.gz").write_bytes(packed)
    assert files.check(tmp_path / "whole.gz", quiet).counts["job"] == 2
    (tmp_path / "cut.gz").write_bytes(packed[:-20])
    with pytest.raises(FastlaneError, match="damaged or was cut"):
        files.check(tmp_path / "cut.gz", quiet)


async def test_a_packed_file_that_is_damaged_is_refused(lines: list[bytes], tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(lines))
    for at in range(10, len(packed)):
        (tmp_path / "damaged.gz").write_bytes(packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :])
        with pytest.raises(FastlaneError):
            files.check(tmp_path / "damaged.gz", quiet)


@pytest.mark.parametrize(
    ("field", "value"), [("created_at", "yesterday"), ("sequence", None), ("sequence", 2**63), ("modified_at", 1.5), ("task_id", 7)]
)
async def test_a_value_of_another_type_is_refused_before_anything_is_imported(
    lines: list[bytes], tmp_path: Path, field: str, value: object
) -> None:
    job = json.loads(lines[2])
    job["job"][field] = value
    (tmp_path / "typed.jsonl").write_bytes(b"".join([*lines[:2], json.dumps(job).encode() + b"\n", *lines[3:]]))
    with pytest.raises(FastlaneError, match=f"line 3: {field} "):
        files.check(tmp_path / "typed.jsonl", quiet)


@pytest.mark.parametrize("lay", [lambda part, victim: part.symlink_to(victim), lambda part, victim: part.hardlink_to(victim)])
async def test_what_is_laid_in_the_way_of_an_export_after_its_last_look_gets_none_of_it(
    lines: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lay: Callable[[Path, Path], None]
) -> None:
    """A link that was there before is removed. One that comes between the removal and the opening is not written through, and neither is
    a file that somebody has open."""
    victim, unlink = tmp_path / "victim", Path.unlink
    victim.write_text("precious")

    def lose_the_race(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        lay(path, victim)

    async def again() -> AsyncIterator[Line]:
        for text in lines:
            yield files.decode(text)

    monkeypatch.setattr(Path, "unlink", lose_the_race)
    with pytest.raises(FileExistsError):
        await files.write(again(), tmp_path / "again.jsonl", quiet)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "again.jsonl").exists()


def test_a_backfill_whose_due_times_are_no_moments_is_refused() -> None:
    assert files.encode(files.decode(BACKFILL)) == BACKFILL
    with pytest.raises(FastlaneError, match="remaining or open of the backfill of job j has no due times"):
        files.decode(BACKFILL.replace(b"[2,3]", b'[2,\\"x\\"]'))


async def test_a_file_is_on_the_disk_before_it_takes_its_name(lines: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append(("fsync", os.readlink(f"/proc/self/fd/{file}"))), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda source, target: (done.append(("replace", str(source))), replace(source, target)))

    async def again() -> AsyncIterator[Line]:
        for text in lines:
            yield files.decode(text)

    await files.write(again(), tmp_path / "again.jsonl", quiet)
    assert done == [("fsync", str(tmp_path / "again.jsonl.part")), ("replace", str(tmp_path / "again.jsonl.part"))]
    assert (tmp_path / "again.jsonl").read_bytes() == b"".join(lines)


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
async def test_an_export_that_fails_half_way_leaves_the_earlier_file_alone(lines: list[bytes], tmp_path: Path, name: str) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / name).write_text("the one of yesterday")

    async def cut() -> AsyncIterator[Line]:
        yield files.decode(lines[0])
        raise StoreDown("it is gone")

    with pytest.raises(StoreDown):
        await files.write(cut(), folder / name, quiet)
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [(name, "the one of yesterday")]


READS = (
    "hosts",
    "paused_pools",
    "list_all_jobs",
    "job",
    "list_ticks",
    "list_executions_of",
    "log_head",
    "read_log",
    "list_tasks",
    "events",
)
OF_TRANSFER = ("hour_rows", "mail_quotas", "creators", "noted", "deliveries", "logged", "idempotency_records")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store with a job that has run and its log, and one that is due."""
    store = SqliteStore(tmp_path / "again.db")
    await store.open()
    job, tick, execution = new()
    await store.create(job, tick, execution)
    await store.append(chunk(execution.id, Head(), [Piece(STDOUT, 1, b"hello")]))
    await store.create(new_job(at=2_000), None, None)
    await store.add_events([Event.now(EventKind.POOL_PAUSED, 1, pool="p")])
    yield store
    await store.close()


async def test_a_read_that_fails_for_a_while_is_made_again(store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    waited: list[str] = []
    given: dict[str, Any] = {"version": "3", "installation": "i", "with_logs": True}
    await files.write(export(store, **given), tmp_path / "plain", quiet)
    for owner, verbs in ((store, READS), (store.transfer, OF_TRANSFER), (store.history, ("count_ends",))):
        for verb in verbs:
            intercept(owner, verb, failing(StoreDown(verb), times=2))
    await files.write(export(store, **given, on_wait=waited.append), tmp_path / "again", quiet)
    assert sorted(waited) == sorted([*READS, *OF_TRANSFER, "count_ends"] * 2), "a read is not made again"
    plain, again = ((tmp_path / name).read_bytes().splitlines() for name in ("plain", "again"))
    assert again[1:-1] == plain[1:-1]
    files.check(tmp_path / "again", quiet)


@pytest.mark.parametrize(("error", "patience"), [(StoreDown("away"), 0.0), (ReadTooLong("ask for less"), 60.0)])
async def test_an_export_ends_when_its_store_stays_away_and_at_once_when_a_read_takes_too_long(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: StoreDown, patience: float
) -> None:
    monkeypatch.setattr(transfer, "PATIENCE", patience)
    (tmp_path / "all.jsonl").write_text("yesterday's")
    intercept(store, "list_all_jobs", failing(error))
    with pytest.raises(StoreDown, match=str(error)):
        await files.write(export(store, version="3", installation="i", with_logs=True), tmp_path / "all.jsonl", quiet)
    assert (tmp_path / "all.jsonl").read_text() == "yesterday's"


async def test_a_field_that_an_older_fastlane_did_not_have_has_its_default(lines: list[bytes], tmp_path: Path) -> None:
    older = [line.replace(b'"floor":0,', b"").replace(b',"floor":0', b"").replace(b',"waits":null', b"") for line in lines]
    assert older != lines
    (tmp_path / "older.jsonl").write_bytes(b"".join(older))
    assert list(files.read(tmp_path / "older.jsonl")) == list(files.read(tmp_path / "all.jsonl"))
