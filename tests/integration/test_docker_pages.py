"""Commands of ``docker`` that pages name and no other test types, on real engines."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.docs import ROOT, commands, commands_in, section
from tests.support.installation import installed
from tests.support.nodes import docker_command
from tests.support.swarms import Swarms
from tests.support.waiting import LONG_PATIENCE, wait_until


def typed(command: str, host: str) -> subprocess.CompletedProcess[str]:
    """A command in bash, for the engine at this address."""
    environment = {"PATH": os.environ["PATH"], "DOCKER_HOST": host}
    return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=LONG_PATIENCE, check=False)


def test_the_service_of_a_run_is_found_by_the_name_that_the_page_says(engine: str, tmp_path: Path) -> None:
    (command,) = commands(ROOT / "docs/swarm.md")
    assert command == "docker service inspect fastlane-EXECUTION-EPOCH"
    with installed(tmp_path, engine) as installation:
        installation.serve("up")
        installation.until_healthy()
        reply = installation.run("sleep", "600")
        installation.reaches(reply, "running")
        (epoch,) = {name.rpartition("-")[2] for name in installation.services() if reply["executionId"] in name}
        said = typed(command.replace("EXECUTION", reply["executionId"]).replace("EPOCH", epoch), engine)
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)[0]["Spec"]["Labels"]["fastlane.job"] == reply["jobId"]
        installation.stop(reply)
        installation.ends(reply)


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_node_is_kept_empty_and_gets_work_again_as_the_page_says(three_managers: Swarms) -> None:
    first, *_, last = three_managers.nodes
    found = [command for command in commands(ROOT / "docs/operations.md") if command.startswith("docker node update --availability ")]
    assert [command.split()[-2:] for command in found] == [[word, last.name] for word in ("pause", "drain", "active")]
    for command in found:
        assert typed(command, first.url).returncode == 0
        assert docker_command(first, "node", "inspect", "-f", "{{.Spec.Availability}}", last.name).strip() == command.split()[-2]


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_node_that_is_gone_for_good_is_taken_out_of_the_swarm_as_the_page_says(three_managers: Swarms) -> None:
    """It has managers left that can decide; they may have to elect a leader first, and count themselves anew."""
    gone, *others = three_managers.nodes
    page = section(ROOT / "docs/install.md", "When the node of the data is gone for good")
    demote, remove = [command for command in commands_in(page) if command.startswith("docker node ") and "update" not in command]
    assert (demote, remove) == (f"docker node demote {gone.name}", f"docker node rm --force {gone.name}")
    gone.kill()
    for command in (demote, remove):
        wait_until(lambda command=command: typed(command, others[0].url).returncode == 0, command, 2 * LONG_PATIENCE)
    names = docker_command(others[1], "node", "ls", "--format", "{{.Hostname}}").split()
    assert sorted(names) == sorted(node.name for node in others)
