"""scripts/pin asks a real registry, through a real engine, for the digests of the images in Dockerfile and the stack's files."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.checkout import unpinned
from tests.support.registry import PATIENCE, Registry
from tests.unit.test_stack_file import BASES

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile", "swarm-stack.yml", "stack/monitoring.yml")
OTHER_MANIFEST = """
import sys
from urllib.request import Request, urlopen

url, kind = sys.argv[1], "application/vnd.docker.distribution.manifest.v2+json"
manifest = urlopen(Request(url, headers={"Accept": kind})).read()
urlopen(Request(url, manifest + b" ", {"Content-Type": kind}, method="PUT"))
"""
"""Gives a tag a manifest that says the same, and has another digest."""

Pin = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pin(tmp_path: Path, registry: Registry, engine: str) -> Pin:
    """Runs the script on copies of the files, whose images are in the registry of the test."""
    for name in (*FILES, "scripts/pin", "scripts/lib.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = unpinned((ROOT / name).read_text())
        for base in BASES if name in FILES else ():
            text = text.replace(base, f"{registry.address}/{base}")
        (tmp_path / name).write_text(text)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(tmp_path / "scripts/pin"), *arguments]
        environment = {**os.environ, "DOCKER_HOST": engine}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=2 * PATIENCE)

    return run


def pinned(folder: Path) -> dict[str, str]:
    """The digest of each pinned image, by its name."""
    text = "".join((folder / name).read_text() for name in FILES)
    return dict(re.findall(r"[:=-]127\.0\.0\.1:\d+/([a-z0-9./:-]+)@(sha256:[0-9a-f]{64})(?=[}\n])", text))


def test_digests_of_a_real_registry_are_written_and_renewed(pin: Pin, registry: Registry, engine: str, tmp_path: Path) -> None:
    loose = pin()
    assert loose.returncode == 1
    assert f"the registry did not give {registry.address}/{BASES[0]}" in loose.stderr
    assert pinned(tmp_path) == {}
    for base in BASES:
        registry.push(engine, base, base)
    assert pin("--check").returncode == 1
    assert pin().returncode == 0
    assert pin("--check").returncode == 0
    assert pinned(tmp_path) == {base: registry.digest(base) for base in BASES}
    registry.push(engine, "redis:8", "a newer one")
    assert pin().returncode == 0
    assert pinned(tmp_path) == {base: registry.digest(base) for base in BASES}


def test_an_image_that_has_several_digests_gets_the_one_that_its_tag_has_now(
    pin: Pin, registry: Registry, engine: str, tmp_path: Path
) -> None:
    for base in BASES:
        registry.push(engine, base, base)
    assert pin().returncode == 0
    for _ in range(3):
        before = registry.digest("redis:8")
        url = f"http://{registry.address}/v2/redis/manifests/8"
        registry.run([sys.executable, "-c", OTHER_MANIFEST, url])
        assert registry.digest("redis:8") != before
        assert pin().returncode == 0
        assert pinned(tmp_path)["redis:8"] == registry.digest("redis:8")
