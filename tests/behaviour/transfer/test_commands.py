"""What `fastlane export` and `fastlane import` say and write: beside a running fastlane, of bad files, into stores that are not empty."""

import gzip
import json
import re
from pathlib import Path

import pytest

from fastlane.models.backfill import Backfill
from fastlane.queue.port import Report
from fastlane.queue.redis.queue import RedisQueue
from fastlane.storage.sqlite.store import SqliteStore
from tests.behaviour.conftest import Run
from tests.support.factories import new, new_job


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    """The data folder of a fastlane with two jobs, of which one is due and has a backfill under way."""
    folder = tmp_path / "from"
    folder.mkdir()
    store = SqliteStore(folder / "fastlane.db")
    await store.open()
    await store.create(*new())
    due = new_job(at=2_000)
    await store.create(due, None, None)
    assert await store.backfills.write(Backfill(due.id, due.task_id, due.incarnation, "r", 5, 1, 3, 1, 3, (2, 3), 0, succeeded=1))
    await store.close()
    return folder


def test_a_packed_file_is_imported_and_says_what_is_due(fastlane: Run, filled: Path, tmp_path: Path) -> None:
    exported = fastlane("export", "--data-dir", str(filled), "-o", "all.jsonl.gz")
    assert (exported.returncode, exported.stdout) == (0, b"")
    assert b"exported 2 jobs and 1 executions to all.jsonl.gz" in exported.stderr
    file = tmp_path / "all.jsonl.gz"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(gzip.decompress(file.read_bytes()).splitlines()[0])["export"]["format"] == 2
    imported = fastlane("import", "all.jsonl.gz", "--data-dir", "to")
    assert imported.returncode == 0, imported.stderr
    said = imported.stdout.decode()
    assert "All dispatch is paused" in said
    assert "Due already (1):\n  1970-01-01T00:00:02Z  my-task/" in said
    assert "Under way when it was exported (1):\n  enqueued my-task/" in said
    assert re.search(r"`fastlane backfill JOB --stop`.* \(1\):\n  my-task/[\w-]+  2 of 3 due times have not begun\n", said)
    again = fastlane("export", "--data-dir", "to")
    assert sorted(again.stdout.splitlines()[2:-1]) == sorted(gzip.decompress(file.read_bytes()).splitlines()[2:-1])


def test_neither_command_asks_who_may_use_a_server(fastlane: Run, filled: Path, tmp_path: Path) -> None:
    """They serve nobody, and run where a worker's settings are, which needs no users: as in the image."""
    policy = tmp_path / "worker.toml"
    policy.write_text('[[pools]]\nname = "default"\nmatch = ""\nhosts = ["h:2375"]\ninsecure = true\npolicy = { networks = true }\n')
    variables = {"FASTLANE_LISTEN": "0.0.0.0", "FASTLANE_CONFIG": str(policy)}
    exported = fastlane("export", "--data-dir", str(filled), "-o", "all.jsonl", **variables)
    assert exported.returncode == 0, exported.stderr
    imported = fastlane("import", "all.jsonl", "--data-dir", "to", **variables)
    assert imported.returncode == 0, imported.stderr


@pytest.mark.thorough
def test_a_store_that_has_jobs_is_left_alone(fastlane: Run, filled: Path) -> None:
    assert fastlane("export", "--data-dir", str(filled), "-o", "all.jsonl").returncode == 0
    imported = fastlane("import", "all.jsonl", "--data-dir", str(filled))
    assert imported.returncode == 1
    assert b"the store is not empty: it has 2 jobs" in imported.stderr


def test_a_bad_file_changes_nothing(fastlane: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{}\n")
    imported = fastlane("import", "bad.jsonl", "--data-dir", "to")
    assert (imported.returncode, imported.stdout) == (1, b"")
    assert imported.stderr == b"fastlane: bad.jsonl, line 1: this is not a line of an export, or it is damaged\n"
    assert not (tmp_path / "to").exists()


@pytest.mark.thorough
def test_there_is_nothing_to_export_where_there_is_no_store(fastlane: Run, tmp_path: Path) -> None:
    exported = fastlane("export", "--data-dir", "nowhere")
    assert (exported.returncode, exported.stdout) == (1, b"")
    assert b"there is no store at" in exported.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.thorough
def test_an_export_that_fails_leaves_the_earlier_file(fastlane: Run, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text("the one of yesterday")
    (filled / "fastlane.db").write_text("no database" * 100)
    exported = fastlane("export", "--data-dir", str(filled), "-o", "all.jsonl")
    assert (exported.returncode, (tmp_path / "all.jsonl").read_text()) == (1, "the one of yesterday")
    assert not list(tmp_path.glob("*.part"))


def test_an_export_follows_no_link_that_somebody_laid_in_its_way(fastlane: Run, filled: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "all.jsonl.part").symlink_to(victim)
    exported = fastlane("export", "--data-dir", str(filled), "-o", "all.jsonl")
    assert exported.returncode == 0, exported.stderr
    assert victim.read_text() == "precious"
    made = tmp_path / "all.jsonl"
    assert not made.is_symlink()
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.read_bytes().startswith(b"{")


@pytest.mark.thorough
async def test_an_import_is_refused_while_a_worker_is_alive_or_redis_away(
    fastlane: Run, filled: Path, shared_redis, installation: str
) -> None:
    fastlane("export", "--data-dir", str(filled), "-o", "all.jsonl")
    queue = RedisQueue(shared_redis.url, installation)
    await queue.open()
    await queue.reports.announce(Report("one", 1, ()), ttl=60_000)
    await queue.close()
    here = {"FASTLANE_REDIS_URL": shared_redis.url, "FASTLANE_INSTALLATION": installation}
    refused = fastlane("import", "all.jsonl", "--data-dir", "to", **here)
    assert refused.returncode == 1
    assert f"a worker is alive in the installation '{installation}'" in refused.stderr.decode()
    away = fastlane("import", "all.jsonl", "--data-dir", "to", FASTLANE_REDIS_URL="redis://127.0.0.1:1/0")
    assert away.returncode == 1
    assert b"whether a worker is alive cannot be known" in away.stderr
    assert fastlane("import", "all.jsonl", "--data-dir", "to", "--without-redis", **here).returncode == 0
