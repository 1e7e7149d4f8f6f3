"""``fastlane receipt`` and ``fastlane verify``: proof that a run happened, by the key alone and against the store."""

import copy
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fastlane.clock import SystemClock
from fastlane.models.log import STDOUT, Piece
from fastlane.models.receipt import SealKeys
from fastlane.sealing import LAG, Sealing
from fastlane.storage.transfer.files import export
from fastlane.storage.transfer.lines import write
from tests.support.command_line import CommandLine, Done
from tests.support.factories import chunk
from tests.support.fastlane import Fastlane

KEY = "0123456789abcdef" * 4
SOON = 2 * LAG


class Before(SystemClock):
    """A clock with which all that has ended is sealed, and the seals are older than an export that follows."""

    def __init__(self) -> None:
        self._asked = 0

    def now(self) -> int:
        self._asked += 1
        return super().now() + (SOON if self._asked == 1 else -1)


class Later(SystemClock):
    """The time at which everything that has ended is old enough to be sealed."""

    def now(self) -> int:
        return super().now() + SOON


@pytest.fixture
async def sealed(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path / "sealed", shared_redis.url, workers=1, receipt_keys=(KEY,)) as server:
        await Sealing(server.store, SystemClock(), SealKeys([KEY])).look()
        yield server


async def test_a_receipt_is_printed_kept_and_verified_and_each_change_is_found(sealed, command_at, tmp_path):
    line = command_at(sealed.base)
    ran = await line("run", "--task", "backup", "ubuntu", "--", "out", "hello\n")
    assert ran.code == 0, ran.err
    assert "not sealed yet" in (await line("receipt", "backup")).err
    await Sealing(sealed.store, Later(), SealKeys([KEY])).look()
    file, keys, log = tmp_path / "backup.json", tmp_path / "keys", tmp_path / "backup.log"
    file.write_text((await line("receipt", "backup")).text)
    keys.write_text(KEY + "\n")
    log.write_bytes(ran.text.encode())
    receipt = json.loads(file.read_text())
    good = await line("verify", str(file), "--keys", str(keys))
    assert good.code == 0, good.err
    assert "not changed since it was sealed" in good.text
    assert "status: done" in good.text
    assert (await line("verify", str(file), "--keys", str(keys), "--log", str(log))).code == 0
    log.write_bytes(b"another log")
    other = await line("verify", str(file), "--keys", str(keys), "--log", str(log))
    assert (other.code, "is not the log that was sealed" in other.err) == (1, True)
    receipt["facts"]["exitCode"] = 3
    file.write_text(json.dumps(receipt))
    changed = await line("verify", str(file), "--keys", str(keys))
    assert (changed.code, "its signature does not fit what it says" in changed.err) == (1, True)
    file.write_text("[]")
    assert "this is not a receipt" in (await line("verify", str(file), "--keys", str(keys))).err
    keys.write_text("short")
    assert "at least 32 characters" in (await line("verify", str(file), "--keys", str(keys))).err

    whole = await line("verify", "backup")
    assert (whole.code, whole.text.endswith("2 seals; 0 faults\n")) == (0, True), (whole.text, whole.err)
    none = await line("verify", "nothing")
    assert (none.code, "has no receipts" in none.err) == (1, True)


async def test_all_receipts_are_verified_and_a_chain_that_lost_what_was_noted_is_found(sealed, command_at, tmp_path):
    line = command_at(sealed.base)
    for task in ("backup", "other"):
        assert (await line("run", "--task", task, "ubuntu", "--", "out", "hello\n")).code == 0
    await Sealing(sealed.store, Later(), SealKeys([KEY])).look()
    chains, receipt = tmp_path / "chains.json", tmp_path / "receipt.json"
    whole = await line("verify", "--save", str(chains))
    assert (whole.code, whole.text.count("2 seals; 0 faults")) == (0, 2), (whole.text, whole.err)
    receipt.write_text((await line("receipt", "backup")).text)
    assert (await line("verify", "backup", "--since", str(receipt))).code == 0
    assert (await line("verify", "--since", str(chains))).code == 0
    noted = json.loads(chains.read_text())
    noted["chains"][0]["digest"] = "0" * 64
    noted["chains"].append({"taskId": "gone", "jobId": "01a23558-490d-7c39-936d-2d7536a731a4", "number": 4, "digest": "0" * 64})
    chains.write_text(json.dumps(noted))
    changed = await line("verify", "--since", str(chains))
    assert changed.code == 1
    assert "seal 2: is not the one that the chain had once" in changed.err
    assert "gone/01a23558-490d-7c39-936d-2d7536a731a4: has no chain any more" in changed.err
    chains.write_text("[]")
    assert "is neither a receipt nor a file that --save wrote" in (await line("verify", "--since", str(chains))).err


async def test_a_chain_whose_end_says_that_it_is_another_tasks_is_checked_all_the_same(sealed, command_at):
    line = command_at(sealed.base)
    for task in ("backup", "other"):
        assert (await line("run", "--task", task, "ubuntu", "--", "out", "hello\n")).code == 0
    await Sealing(sealed.store, Later(), SealKeys([KEY])).look()
    head = (await sealed.store.seals.heads("backup", 1))[0]
    assert await sealed.store.seals.write_head(replace(head, task_id="other", version=head.version + 1))
    execution = (await sealed.store.latest([head.id]))[head.id]
    assert await sealed.store.append(chunk(execution.id, await sealed.store.log_head(execution.id), (Piece(STDOUT, 99, b"and this\n"),)))
    for arguments, task in (((), "backup"), (("backup",), "backup"), (("other",), "other")):
        found = await line("verify", *arguments)
        assert found.code == 1, (arguments, found.text)
        assert f"{task}/{head.id}: the row that says where the chain ends: was changed" in found.err
        assert f"of execution {execution.id}: the stored log is not the one that was sealed" in found.err


def written(rows: list[dict[str, Any]], path: Path) -> Path:
    """A file of these lines, with counts and a digest that fit, as anyone can make it."""
    counts = Counter(next(iter(row)) for row in rows[1:-1])
    lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows[:-1]]
    end = {"counts": counts, "digest": sha256("".join(lines).encode()).hexdigest()}
    lines.append(json.dumps({"end": {**rows[-1]["end"], **end}}, separators=(",", ":")) + "\n")
    path.write_text("".join(lines))
    return path


@pytest.fixture
async def rows(sealed, command_at, tmp_path) -> list[dict[str, Any]]:
    """The lines of an export with two jobs, whose seals are older than it."""
    for text in ("one\n", "two\n"):
        assert (await command_at(sealed.base)("run", "--task", "backup", "ubuntu", "--", "out", text)).code == 0
    await Sealing(sealed.store, Before(), SealKeys([KEY])).look()
    file = tmp_path / "whole.jsonl"
    line = command_at(FASTLANE_STORE_URL=sealed.settings.store_url, FASTLANE_RECEIPT_KEYS=KEY)
    exported = await line("export", "-o", str(file))
    assert (exported.code, "not signed" in exported.err) == (0, False), exported.err
    return [json.loads(row) for row in file.read_bytes().splitlines()]


async def verified(line: CommandLine, rows: list[dict[str, Any]], tmp_path: Path) -> Done:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    return await line("verify", str(written(rows, tmp_path / "changed.jsonl")), "--keys", str(keys))


async def test_each_chain_of_a_file_is_checked_or_named_whatever_its_end_says(rows, command_at, sealed, tmp_path):
    line = command_at(sealed.base)
    heads = [row["chain"] for row in rows if "chain" in row]
    heads[0]["task_id"] = "other"
    found = await verified(line, rows, tmp_path)
    assert found.code == 1
    assert f"other/{heads[0]['id']}: the row that says where the chain ends: was changed" in found.err
    assert f"backup/{heads[1]['id']}: 2 seals; 0 faults" in found.text
    found = await verified(line, [*rows[:-1], {"unknown": {}}, rows[-1]], tmp_path)
    assert (found.code, "Traceback" in found.err) == (1, False), found.err
    assert all(f"/{head['id']}: task '{head['task_id']}' has no job {head['id']} with receipts" in found.err for head in heads)


async def test_whatever_is_changed_in_an_export_its_signature_does_not_fit(rows, command_at, sealed, tmp_path):
    """Also its first line: with an earlier moment there, no seal is compared with the rows, and an import would leave the seals out."""
    line, keys = command_at(sealed.base), {"FASTLANE_RECEIPT_KEYS": KEY}
    good = await verified(line, rows, tmp_path)
    assert (good.code, good.text.count("2 seals; 0 faults")) == (0, 2), good.err
    kept = await command_at(**keys)("import", str(tmp_path / "changed.jsonl"), "--without-redis", "--data-dir", "kept")
    assert (kept.code, "Receipts that are not imported" in kept.text) == (0, False), kept.err
    forged = copy.deepcopy(rows)
    next(row["execution"] for row in forged if "execution" in row)["exit_code"] = 7
    forged[0]["export"]["started_at"] = 0
    found = await verified(line, forged, tmp_path)
    assert (found.code, "the file: was changed: its signature does not fit what it says" in found.err) == (1, True), found.text
    left = await command_at(**keys)("import", str(tmp_path / "changed.jsonl"), "--without-redis", "--data-dir", "left")
    assert "Receipts that are not imported: 4 seals, since the file was changed: its signature does not fit" in left.text, left.err
    forged[-1]["end"] |= {"key": "", "signature": ""}
    found = await verified(line, forged, tmp_path)
    assert (found.code, "the file: is not signed" in found.err) == (1, True), found.text


async def test_an_export_without_keys_says_that_it_is_not_signed(rows, command_at, sealed, tmp_path):
    unsigned = await command_at(FASTLANE_STORE_URL=sealed.settings.store_url)("export", "-o", str(tmp_path / "unsigned.jsonl"))
    assert (unsigned.code, "The file has receipts and is not signed" in unsigned.err) == (0, True), unsigned.err
    assert len(rows) == len((tmp_path / "unsigned.jsonl").read_bytes().splitlines())


async def test_an_export_is_verified_without_a_server_and_what_was_changed_in_it_is_named(sealed, command_at, tmp_path):
    line = command_at(sealed.base)
    for text in ("one\n", "two\n"):
        assert (await line("run", "--task", "backup", "ubuntu", "--", "out", text)).code == 0
    await Sealing(sealed.store, Before(), SealKeys([KEY])).look()
    file, keys = tmp_path / "all.jsonl.gz", tmp_path / "keys"
    keys.write_text(KEY)
    await write(export(sealed.store, version="1", installation="i", with_logs=True), file, lambda _: None, SealKeys([KEY]))
    good = await line("verify", str(file), "--keys", str(keys))
    assert (good.code, good.text.count("2 seals; 0 faults")) == (0, 2), (good.text, good.err)
    rows = [json.loads(row) for row in gzip.decompress(file.read_bytes()).splitlines()]
    (first, *_) = [row["execution"] for row in rows if "execution" in row]
    first["exit_code"] = 7
    changed = tmp_path / "changed.jsonl"
    changed.write_text("".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in rows))
    found = await line("verify", str(changed), "--keys", str(keys))
    assert found.code == 1
    assert "the file was changed or damaged after the export" in found.err
    assert f"backup/{first['job_id']}: seal " in found.err
    assert f"of execution {first['id']}: the field exit_code is 7, and was 0 when it was sealed" in found.err
    await write(export(sealed.store, version="1", installation="i", with_logs=False), file, lambda _: None)
    assert "has no receipts: they are in an export with logs" in (await line("verify", str(file), "--keys", str(keys))).err


async def test_a_server_without_keys_says_so(command_line, server):
    job = (await server.enqueue())["jobId"]
    refused = await command_line("verify", "my-task")
    assert (refused.code, "set receipt_keys" in refused.err) == (1, True), (refused.err, job)
