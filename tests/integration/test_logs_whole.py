"""A log is stored byte for byte, each stream in its order, whatever is written and whoever copies it. Real processes on a real engine."""

import contextlib
import hashlib
import itertools
import json
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import LINGER, Installation, installed
from tests.support.redis import RealRedis
from tests.support.waiting import wait_until

BYTES = bytes(range(256)) + b"\x00\x00\r\n\n\r\xff\xfe\x80 \x1b[31mred"
CAP = 100_000


def pools(engine: str, at_once: int = 40) -> str:
    return json.dumps([{"name": "default", "match": "", "hosts": [engine], "maxRunning": at_once}])


@pytest.fixture(scope="module")
def fastlane(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("up"), engine, pools=pools(engine), lease="15s", renew="5s") as installation:
        installation.serve("up")
        yield installation


@pytest.fixture
def apart(engine: str, tmp_path: Path, own_redis: RealRedis) -> Iterator[Installation]:
    """An API, and workers that a test starts and does something to."""
    with installed(tmp_path, engine, redis=own_redis.url, listen="127.0.0.1") as installation:
        installation.serve("api")
        yield installation


def octal(data: bytes) -> str:
    """Bytes for printf in single quotes."""
    return "".join(f"\\{byte:03o}" for byte in data)


def shell(fastlane: Installation, script: str, **more: object) -> dict[str, Any]:
    return fastlane.run("sh", "-c", script, **more)


def both(fastlane: Installation, reply: dict[str, Any]) -> tuple[bytes, bytes]:
    return fastlane.output(reply), fastlane.output(reply, "stderr")


def info(ended: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = ended["logInfo"]
    return found


# what is written


def test_every_byte_of_both_streams_comes_back(fastlane: Installation) -> None:
    script = f"printf '{octal(BYTES)}'; printf '{octal(BYTES[::-1])}' >&2"
    ended = fastlane.ends(reply := shell(fastlane, script))
    assert both(fastlane, reply) == (BYTES, BYTES[::-1])
    assert info(ended) == {"stdoutBytes": len(BYTES), "stderrBytes": len(BYTES), "truncated": False}


def test_each_stream_keeps_its_order_however_they_mix(fastlane: Installation) -> None:
    lines = 3_000
    script = f"i=0; while [ $i -lt {lines} ]; do echo out $i; echo err $i >&2; i=$((i+1)); done"
    fastlane.ends(reply := shell(fastlane, script))
    out, err = (b"".join(b"%s %d\n" % (word, number) for number in range(lines)) for word in (b"out", b"err"))
    assert both(fastlane, reply) == (out, err)
    mixed = fastlane.get(f"/tasks/test/jobs/{reply['jobId']}/logs?interleaved=1").body.splitlines(keepends=True)
    for word, stream in ((b"out", out), (b"err", err)):
        assert b"".join(line for line in mixed if line.startswith(word)) == stream


@pytest.mark.parametrize(("end", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)], ids=["exit", "kill", "terminate"])
def test_the_last_bytes_before_the_end_are_there(fastlane: Installation, end: str, code: int) -> None:
    script = f"head -c 300000 /dev/zero | tr '\\000' x; printf 'the last' >&2; printf 'of all'; {end}"
    ended = fastlane.ends(reply := shell(fastlane, script))
    assert ended["exitCode"] == code
    assert both(fastlane, reply) == (b"x" * 300_000 + b"of all", b"the last")


def test_jobs_too_short_to_be_seen_running_have_their_lines(fastlane: Installation) -> None:
    replies = [fastlane.run("sh", "-c", f"echo line {number}; echo error {number} >&2{LINGER}") for number in range(40)]
    for number, reply in enumerate(replies):
        fastlane.ends(reply, patience=120)
        assert both(fastlane, reply) == (b"line %d\n" % number, b"error %d\n" % number)


def test_lines_longer_than_the_engines_frames_are_whole(fastlane: Installation) -> None:
    sizes = (16_383, 16_384, 16_385, 40_000, 1_500_000)
    parts = [f"head -c {size} /dev/zero | tr '\\000' {letter}; echo" for size, letter in zip(sizes, "abcde", strict=True)]
    fastlane.ends(reply := shell(fastlane, "; ".join([*parts, "echo between >&2", *parts, "printf end"])))
    lines = b"".join(letter * size + b"\n" for size, letter in zip(sizes, (b"a", b"b", b"c", b"d", b"e"), strict=True))
    out, err = both(fastlane, reply)
    assert hashlib.sha256(out).digest() == hashlib.sha256(lines * 2 + b"end").digest()
    assert err == b"between\n"


def test_a_line_that_does_not_end_appears_by_the_frame_while_the_job_runs(fastlane: Installation) -> None:
    reply = shell(fastlane, "head -c 20000 /dev/zero | tr '\\000' x; read forever < /dev/zero & trap 'kill $!' TERM; wait")
    wait_until(lambda: len(fastlane.output(reply)) >= 16_384, "the first frame of the line")
    assert fastlane.output(reply) == b"x" * 16_384
    fastlane.post(f"/tasks/test/jobs/{reply['jobId']}/stop")
    assert fastlane.ends(reply)["status"] == "stopped"
    assert fastlane.output(reply) == b"x" * 20_000


# the cap


def test_a_log_over_the_cap_keeps_its_beginning_and_counts_the_rest(engine: str, tmp_path: Path) -> None:
    with installed(tmp_path, engine, max_log_bytes=str(CAP)) as fastlane:
        fastlane.serve("up")
        over = shell(fastlane, "seq 1 100000; echo error >&2")
        exact = shell(fastlane, f"head -c {CAP} /dev/zero | tr '\\000' x")
        ended = fastlane.ends(over)
        written = b"".join(b"%d\n" % number for number in range(1, 100_001)) + b"error\n"
        out, err = both(fastlane, over)
        kept = len(out) + len(err)
        assert (kept, out, err) == (CAP, written[: len(out)], b"error\n"[: len(err)])
        assert info(ended) == {"stdoutBytes": len(out), "stderrBytes": len(err), "truncated": True}
        assert dropped(tmp_path, over) == len(written) - CAP
        assert info(fastlane.ends(exact)) == {"stdoutBytes": CAP, "stderrBytes": 0, "truncated": False}


def dropped(folder: Path, reply: dict[str, Any]) -> int:
    """How many bytes the store says that it did not keep."""
    query = "SELECT dropped FROM log_chunks WHERE execution_id = ? ORDER BY sequence DESC LIMIT 1"
    with sqlite3.connect(folder / "fastlane.db") as db:
        ((count,),) = db.execute(query, (reply["executionId"],)).fetchall()
    db.close()
    return int(count)


# who copies it

PAD = "x" * 90
POUR = f"""trap over=1 TERM; n=1; b=0
while [ -z "$over" ]; do seq $n $((n + 999)) | sed s/$/{PAD}/; echo burst $b >&2; n=$((n + 1000)); b=$((b + 1)); sleep 0.4; done
echo the end"""
"""Writes numbered lines, and one to stderr after each thousand, up to a quarter of a megabyte a second, until it is told to end. On a busy
machine, what comes faster is copied long after that."""


class Pouring:
    """A job that pours, and what must come of it."""

    def __init__(self, fastlane: Installation) -> None:
        self._fastlane = fastlane
        self.reply = shell(fastlane, POUR)

    def grows(self, more: int = 300_000) -> None:
        """Waits until so many more bytes are stored."""
        before = self._stored()
        wait_until(lambda: self._stored() > before + more, "more of the log")

    def end(self) -> None:
        """Ends it, and checks its log byte for byte."""
        fastlane, reply = self._fastlane, self.reply
        fastlane.post(f"/tasks/test/jobs/{reply['jobId']}/stop")
        ended = fastlane.ends(reply)
        assert (ended["status"], ended["exitCode"], ended["attempt"]) == ("stopped", 0, 1)
        out, err = both(fastlane, reply)
        count = err.count(b"\n")
        check(err, b"".join(b"burst %d\n" % number for number in range(count)))
        check(out, b"".join(b"%d%s\n" % (number, PAD.encode()) for number in range(1, count * 1_000 + 1)) + b"the end\n")
        assert info(ended) == {"stdoutBytes": len(out), "stderrBytes": len(err), "truncated": False}

    def _stored(self) -> int:
        execution = self._fastlane.execution(self.reply)
        return int(info(execution)["stdoutBytes"]) if execution["status"] else 0


@pytest.mark.thorough
def test_a_worker_that_is_killed_while_it_copies_leaves_no_gap_and_no_repeat(apart: Installation) -> None:
    worker = apart.start("worker")
    job = Pouring(apart)
    for _ in range(2):
        job.grows()
        worker.kill()
        worker.wait()
        worker = apart.start("worker")
    job.grows()
    job.end()


def freeze(worker: "subprocess.Popen[bytes]", store: Path) -> None:
    """Freezes a worker between two of its writes: amid one, it would have the store's lock, and nobody could write until it wakes."""
    with contextlib.closing(sqlite3.connect(store, timeout=1, isolation_level=None)) as db:
        while True:
            worker.send_signal(signal.SIGSTOP)
            with contextlib.suppress(sqlite3.OperationalError):
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
                return
            worker.send_signal(signal.SIGCONT)


@pytest.mark.thorough
def test_two_workers_that_copy_at_once_store_one_log(apart: Installation) -> None:
    """Each is frozen past its lease in turn: the other takes over, and copies on when the first wakes in the midst of it."""
    workers = [apart.start("worker")]
    job = Pouring(apart)
    job.grows()
    workers.append(apart.start("worker"))
    for frozen in workers:
        freeze(frozen, apart.folder / "fastlane.db")
        job.grows()
        frozen.send_signal(signal.SIGCONT)
        job.grows()
    job.end()


def check(found: bytes, wanted: bytes) -> None:
    """Byte for byte; it tells where they first differ."""
    if found != wanted:
        pairs = itertools.zip_longest(found, wanted)
        place = next(place for place, (one, other) in enumerate(pairs) if one != other)
        around = slice(max(0, place - 50), place + 50)
        pytest.fail(f"at {place} of {len(wanted)}, {len(found)} are there: {found[around]!r} instead of {wanted[around]!r}")
