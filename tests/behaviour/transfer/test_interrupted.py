"""An import that is killed half-way has started nothing, and another one into a new store gives the same as if it had not been."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pymongo import MongoClient

from fastlane.models.event import Event, EventKind
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.pool import RESTORED
from fastlane.models.status import Status
from fastlane.storage.sqlite.store import SqliteStore
from tests.behaviour.conftest import Run
from tests.support.factories import chunk, new, new_job
from tests.support.installation import ROOT

KILLED = """
import os, signal, sys
from fastlane.cli.main import main
from fastlane.storage.{kind}.store import {store}, {transfer}

verb, sys.argv = sys.argv[1], ["fastlane", *sys.argv[2:]]
owner = {transfer} if hasattr({transfer}, verb) else {store}

async def fall(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, verb, fall)
main(prog_name="fastlane")
"""
SQLITE, MONGO = {"kind": "sqlite", "store": "SqliteStore", "transfer": "SqliteTransfer"}, {}
MONGO |= {name: value.replace("Sqlite", "Mongo").replace("sqlite", "mongo") for name, value in SQLITE.items()}


@pytest.fixture
async def file(fastlane: Run, tmp_path: Path) -> Path:
    """The export of a store with jobs of which some are due, executions that ended, their logs and counts, and events."""
    folder, now = tmp_path / "from", int(time.time() * 1000)
    folder.mkdir()
    store = SqliteStore(folder / "fastlane.db")
    await store.open()
    for number in range(20):
        job, tick, execution = new(f"t{number % 3}")
        await store.create(job, tick, replace(execution, status=Status.DONE, finished_at=number, settled=True, cleaned=True))
        await store.append(chunk(execution.id, Head(), [Piece(STDOUT, 1, b"hello")]))
        await store.create(new_job(at=2_000), None, None)
    await store.add_events([Event.now(EventKind.POOL_PAUSED, now + number, pool="p") for number in range(9)])
    await store.close()
    assert fastlane("export", "--data-dir", "from", "-o", "all.jsonl").returncode == 0
    return tmp_path / "all.jsonl"


def content(path: Path) -> list[str]:
    """Its lines in an order, but the first two, which name the moment and the pause of an import, and the last, with a digest."""
    return sorted(path.read_text().splitlines()[2:-1])


@pytest.mark.parametrize(
    ("verb", "is_empty"),
    [
        pytest.param("restore_hours", True, marks=pytest.mark.thorough),
        pytest.param("create", True, marks=pytest.mark.thorough),
        ("restore_execution", False),
        pytest.param("append", False, marks=pytest.mark.thorough),
        pytest.param("add_events", False, marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("kind", [SQLITE, pytest.param(MONGO, marks=pytest.mark.thorough)], ids=["sqlite", "mongo"])
def test_an_import_that_was_killed_is_done_again(
    fastlane: Run, request: pytest.FixtureRequest, file: Path, tmp_path: Path, kind: dict[str, str], verb: str, is_empty: bool
) -> None:
    of_store = {} if kind is SQLITE else {"FASTLANE_STORE_URL": request.getfixturevalue("mongo_url")}
    command = [sys.executable, "-c", KILLED.format(**kind), verb, "import", str(file), "--data-dir", "to"]
    killed = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), **of_store}, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr
    half = fastlane("export", "--data-dir", "to", **of_store)
    lines = [json.loads(line) for line in half.stdout.splitlines()]
    assert lines[1]["pauses"]["names"] == [RESTORED]
    assert not any(line["job"]["next_tick"] for line in lines if "job" in line)
    repeated = fastlane("import", str(file), "--data-dir", "to", **of_store)
    assert (repeated.returncode == 0) is is_empty, repeated.stderr
    if not is_empty:
        assert b"the store is not empty" in repeated.stderr
        shutil.rmtree(tmp_path / "to", ignore_errors=True)
        for url in of_store.values():
            with MongoClient[dict[str, object]](url) as client:
                client.drop_database(client.get_default_database().name)
        assert fastlane("import", str(file), "--data-dir", "to", **of_store).returncode == 0
    again = fastlane("export", "--data-dir", "to", "-o", "again.jsonl", **of_store)
    assert again.returncode == 0, again.stderr
    assert content(tmp_path / "again.jsonl") == content(file)
