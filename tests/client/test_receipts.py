"""``fastlane receipt`` and ``fastlane verify``: proof that a run happened, by the key alone and against the store."""

import json
from collections.abc import AsyncIterator

import pytest

from fastlane.clock import SystemClock
from fastlane.models.receipt import SealKeys
from fastlane.sealing import LAG, Sealing
from tests.support.fastlane import Fastlane

KEY = "0123456789abcdef" * 4
SOON = 2 * LAG


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


async def test_a_server_without_keys_says_so(command_line, server):
    job = (await server.enqueue())["jobId"]
    refused = await command_line("verify", "my-task")
    assert (refused.code, "set receipt_keys" in refused.err) == (1, True), (refused.err, job)
