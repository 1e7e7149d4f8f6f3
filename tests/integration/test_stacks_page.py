"""The commands of docs/stacks.md, from `docker stack deploy` to the first log, one after the other on a real swarm."""

import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docs import ROOT, blocks, commands_in
from tests.support.installation import LINGER, Installation, installed
from tests.support.waiting import LONG_PATIENCE, wait_until

PAGE = (ROOT / "docs/stacks.md").read_text("utf-8")
WEB = "image: nginx:latest\n"
STAND_IN = "image: ubuntu:latest\n    command: [sleep, infinity]\n    deploy: {endpoint_mode: dnsrr}\n    stop_grace_period: 1s\n"
"""The engine has one image, and cannot give a service an address of its own: its kernel has no IPVS."""


def section(heading: str) -> list[str]:
    return list(commands_in(PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]))


@pytest.fixture
def fastlane(engine: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation whose pool has the page's policy."""
    policy = tomllib.loads(blocks(PAGE, "toml")[0])["pools"][0]["policy"]
    with installed(tmp_path, engine, pool={"maxRunning": 5, "policy": policy}, with_token=True) as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        yield fastlane


class Shell:
    """Types the page's commands in a folder with its stack."""

    def __init__(self, fastlane: Installation, engine: str, folder: Path) -> None:
        folder.mkdir()
        text = next(block for block in blocks(PAGE, "yaml") if block.startswith("# shop.yaml"))
        assert WEB in text
        for end in ('version"]', 'ls -l /backup"]'):
            text = text.replace(end, end.replace('"]', f'{LINGER}"]'))
        (folder / "shop.yaml").write_text(text.replace(WEB, STAND_IN))
        self._folder = folder
        self._environment = {
            **{"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), "DOCKER_HOST": engine},
            **{"FASTLANE_URL": fastlane.url, "FASTLANE_TOKEN": str(fastlane.token)},
        }

    def types(self, command: str) -> str:
        """What a command prints; it ends well."""
        script = f'fastlane() {{ {shlex.quote(sys.executable)} -m fastlane "$@"; }}\n{command}'
        done = subprocess.run(
            ["bash", "-c", script],
            check=False,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LONG_PATIENCE,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def test_the_page_leads_from_a_stack_to_the_first_log_and_away_again(fastlane: Installation, engine: str, tmp_path: Path) -> None:
    shell = Shell(fastlane, engine, tmp_path / "typed")
    try:
        said = {command: shell.types(command) for command in section("From the deployment to the first log")}
        assert "3 to create" in said['fastlane diff -f shop.yaml --project shop || echo "these jobs would be made"']
        assert "3 created, 0 changed" in said["fastlane apply -f shop.yaml --project shop"]
        assert said["fastlane logs -f shop/migrate"] == "migrated\n"
        assert "data.tgz" in said["fastlane logs -f shop/backup"]
        (run,) = fastlane.get("/tasks/shop?status=done&label=fastlane/set=shop").json["jobs"][:1]
        assert run["name"] in ("migrate", "backup")
        away = section("Change and remove them")[:3]
        assert "0 created, 0 changed, 0 removed, 3 unchanged" in shell.types(away[0])
        for command in away[1:]:
            shell.types(command)
        assert fastlane.get("/tasks/shop").status == 404
    finally:
        shell.types("docker stack rm shop || true")
        words = "docker volume rm -f shop_data shop_backup >/dev/null 2>&1 && echo gone || true"
        wait_until(lambda: "gone" in shell.types(words), "the volumes to be free", LONG_PATIENCE)
