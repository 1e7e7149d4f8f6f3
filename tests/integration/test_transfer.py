"""A move from SQLite to MongoDB by the commands of the docs: while a job runs, one waits and one has ended."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.docs import commands_in, section
from tests.support.installation import ROOT, Installation, installed
from tests.support.waiting import wait_until

HOLD = "trap 'echo bye; exit 5' TERM; echo begun; while :; do sleep 0.05; done"
DATABASE = "mongodb://mongo.example:27017/fastlane"


def shell(fastlane: Installation, command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the docs where the installation's settings are."""
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    asked = {"FASTLANE_URL": fastlane.url, "FASTLANE_TOKEN": fastlane.token or ""}
    environment = {**fastlane.environment(), **path, **asked}
    return subprocess.run(
        ["bash", "-c", command], cwd=fastlane.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.thorough
@pytest.mark.timeout(240)
def test_a_store_is_moved_from_sqlite_to_mongodb(engine: str, tmp_path: Path, mongo_url: str) -> None:
    export, choose, import_, _up, resume = commands_in(section(ROOT / "docs" / "backup.md", "Move"))
    with installed(tmp_path, engine, pool={"policy": {"mounts": True}}, with_token=True) as fastlane:
        up = fastlane.serve("up")
        fastlane.until_healthy()
        ended = fastlane.run_script("echo done; sleep 0.1")
        held = fastlane.run_script(HOLD)
        assert fastlane.ends(ended)["status"] == "done"
        fastlane.has_written(held, b"begun\n")
        assert fastlane.post("/dispatch/pause").status == 200
        waiting = fastlane.run_script("echo waited; sleep 0.1")
        later = fastlane.run("true", startIn="1h")
        exported = shell(fastlane, export)
        assert exported.returncode == 0, exported.stderr
        refused = shell(fastlane, import_)
        assert refused.returncode == 1
        assert "another fastlane uses the data folder" in refused.stderr
        paths = [f"/tasks/test/jobs/{reply['jobId']}" for reply in (ended, held, waiting, later)]
        paths += [*(f"{path}/ticks" for path in paths), "/tasks", "/tasks/test/jobs"]
        before = [fastlane.get(path).json for path in paths]
        fastlane.terminate(up)

        choose = choose.replace(DATABASE, shlex.quote(mongo_url))
        imported = shell(fastlane, f"{choose}; {import_}")
        assert imported.returncode == 0, imported.stderr
        assert "Under way when it was exported (2):" in imported.stdout
        fastlane.settings["STORE_URL"] = mongo_url
        fastlane.serve("up")
        fastlane.until_healthy()
        assert [fastlane.get(path).json for path in paths] == before
        assert fastlane.output(ended) == b"done\n"
        assert fastlane.get("/status").json["dispatch"] == {"paused": True, "reason": "restored"}
        resumed = shell(fastlane, resume)
        assert resumed.returncode == 0, resumed.stderr
        assert fastlane.ends(waiting)["status"] == "done"
        fastlane.stop(held)
        assert fastlane.ends(held)["status"] == "stopped"
        assert fastlane.output(held) == b"begun\nbye\n"
        assert set(fastlane.witness.starts().values()) == {1}
        assert len(fastlane.witness.starts()) == 3
        wait_until(lambda: not fastlane.services(), "its services to go")
