"""What the README tells a newcomer to type, in a clone: `make run`, `make stop`, `make clean`; and what pip installs from it."""

import contextlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fastlane import RELEASE
from tests.support.checkout import PATIENCE, command, committed_checkout, plain_environment, succeed
from tests.support.docs import commands
from tests.support.engine import connect
from tests.support.ports import free_port
from tests.support.waiting import wait_until

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
BROUGHT_BY_GIT = {".git", "Makefile", "fastlane", "scripts", "setup.cfg"}


@pytest.fixture
def clone() -> Iterator[Path]:
    """A checkout with a history of one commit."""
    with committed_checkout() as folder:
        yield folder


def untracked(clone: Path) -> str:
    """What is in the clone that git did not bring, ignored files too."""
    done = subprocess.run(["git", "status", "--porcelain", "--ignored"], cwd=clone, capture_output=True, check=True, text=True, timeout=60)
    return done.stdout


def remaining(engine: str, installation: str) -> int:
    """How many services the installation has."""
    client = connect(engine)
    try:
        return len(client.services(filters={"label": f"fastlane.installation={installation}"}))
    finally:
        client.close()


@pytest.mark.timeout(2 * PATIENCE)
def test_make_run_runs_a_first_job_make_stop_ends_it_and_make_clean_leaves_only_the_clone(engine: str, clone: Path) -> None:
    port = free_port()
    own = {"FASTLANE_PORT": str(port), "DOCKER_HOST": engine}
    try:
        first = succeed(clone, "make", "run", **own)
        assert "==> done, exit code 0" in first
        assert re.search(rf"its log     http://localhost:{port}/tasks/test-task/jobs/[0-9a-f-]+/stream\n", first)
        health = requests.get(f"http://localhost:{port}/healthcheck", timeout=30)
        assert health.status_code == 200, health.text
        assert requests.get(f"http://localhost:{port}/docs", timeout=30).headers["Content-Type"].startswith("text/html")

        again = succeed(clone, "make", "run", **own)
        assert "already running" in again
        assert "==> done, exit code 0" in again

        name = (clone / ".fastlane/installation").read_text().strip()
        wait_until(lambda: remaining(engine, name) == 0, "the services of the first jobs to be removed")
        job = {"image": "ubuntu:latest", "command": "sleep 300"}
        assert requests.post(f"http://localhost:{port}/tasks/long", json=job, timeout=30).status_code == 200
        wait_until(lambda: remaining(engine, name) == 1, "the long job's service")

        succeed(clone, "make", "stop", **own)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://localhost:{port}/livez", timeout=30)
        assert (clone / ".fastlane/fastlane.db").exists()
    finally:
        succeed(clone, "make", "clean", **own)
    assert remaining(engine, name) == 0
    assert untracked(clone) == ""
    assert {path.name for path in clone.iterdir()} >= BROUGHT_BY_GIT


def installed_from(clone: Path, folder: Path, **environment: str) -> Path:
    """What `pip install .` installs of the project itself; its dependencies are those of the tests."""
    install = [*PIP, "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(folder), "."]
    subprocess.run(install, cwd=clone, env={**plain_environment(), **environment}, check=True, timeout=PATIENCE)
    return folder


def test_pip_install_without_npm_gives_a_program_that_runs_and_says_what_its_pages_need(clone: Path, tmp_path: Path) -> None:
    target = installed_from(clone, tmp_path / "site", PATH="/nowhere")
    environment = {**plain_environment(), "PYTHONPATH": str(target)}

    def says(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout

    assert says(str(target / "bin/fastlane"), "--version").strip() == says(sys.executable, "-m", "fastlane", "version").strip()
    assert says(sys.executable, "-c", "import fastlane; print(fastlane.__file__)").strip() == str(target / "fastlane/__init__.py")
    asks = "from fastlane.web.static_files import StaticFiles as S; S().page('docs.html', path='/docs', base_url='')"
    refused = subprocess.run(
        [sys.executable, "-c", asks], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "install Node.js and npm" in refused.stderr


def lines(clone: Path, page: str, *beginnings: str) -> list[str]:
    """The commands of a page that begin so."""
    return [line for line in commands(clone / page) if line.startswith(beginnings)]


@pytest.mark.thorough
@pytest.mark.timeout(4 * PATIENCE)
def test_pipx_installs_it_as_the_pages_say(clone: Path, tmp_path: Path) -> None:
    """From the clone, over that again, and from a wheel file; each time the program says its version. Its folders are the test's own."""
    own = {f"PIPX_{name}": str(tmp_path / folder) for name, folder in (("HOME", "pipx"), ("BIN_DIR", "bin"), ("MAN_DIR", "man"))}
    first, wheel = lines(clone, "README.md", "pipx ")
    (again,) = lines(clone, "docs/upgrading.md", "pipx ")
    assert (first, again, wheel) == ("pipx install .", "pipx install --force .", "pipx install dist/*.whl")

    def installs(line: str) -> None:
        succeed(clone, "bash", "-c", line, **own)
        assert f"fastlane {RELEASE}.dev0+g" in succeed(tmp_path, str(tmp_path / "bin/fastlane"), "--version")

    installs(first)
    (tmp_path / "bin/fastlane").unlink()
    installs(again)
    subprocess.run(
        [*PIP, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", "."], cwd=clone, env=plain_environment(), check=True,
        timeout=PATIENCE,
    )  # fmt: skip
    command(clone, "pipx", "uninstall", "fastlane-swarm", **own)
    assert not (tmp_path / "bin/fastlane").exists()
    installs(wheel)


@pytest.mark.thorough
@pytest.mark.timeout(4 * PATIENCE)
def test_a_virtual_environment_made_as_the_page_says_serves(engine: str, clone: Path) -> None:
    make, install, up = lines(clone, "docs/getting-started.md", "python3 -m venv", "venv/bin/")
    for line in (make, install):
        succeed(clone, "bash", "-c", line)
    port = free_port()
    own = {"FASTLANE_PORT": str(port), "FASTLANE_DATA_DIR": str(clone / "data"), "DOCKER_HOST": engine}
    with subprocess.Popen(["bash", "-c", f"exec {up}"], cwd=clone, env={**plain_environment(), **own}) as process:
        try:

            def healthy() -> bool:
                assert process.poll() is None
                with contextlib.suppress(requests.ConnectionError):
                    return requests.get(f"http://localhost:{port}/healthcheck", timeout=30).status_code == 200
                return False

            wait_until(healthy, "it to be ready for jobs")
        finally:
            process.terminate()


@pytest.mark.thorough
def test_the_wheel_builds_the_pages_and_a_normal_start_serves_them_and_warns_of_nothing(engine: str, clone: Path, tmp_path: Path) -> None:
    wheel = [*PIP, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), "."]
    subprocess.run(wheel, cwd=clone, env=plain_environment(), check=True, timeout=PATIENCE)
    (path,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(path).namelist())
    wanted = {str(file.relative_to(clone)) for kind in ("*.lua", "*.html", "*.js", "*.css") for file in (clone / "fastlane").rglob(kind)}
    assert "fastlane/static/pages/stream.html" in wanted
    assert wanted <= names

    zipfile.ZipFile(path).extractall(tmp_path / "site")
    port = free_port()
    settings = {
        "PYTHONPATH": str(tmp_path / "site"),
        "FASTLANE_PORT": str(port),
        "FASTLANE_DATA_DIR": tempfile.mkdtemp(prefix="fld", dir="/tmp"),
        "FASTLANE_INSTALLATION": f"wheel-{port}",
        "DOCKER_HOST": engine,
    }
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "fastlane", "up"], cwd=tmp_path, env={**plain_environment(), **settings}, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: serves(f"http://localhost:{port}/docs"), f"the pages to be served: {log}")
        assert "text/html" in requests.get(f"http://localhost:{port}/", headers={"Accept": "text/html"}, timeout=30).headers["Content-Type"]
        wait_until(lambda: "queue.rebuilt" in log.read_text(), "the worker to be ready")
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(settings["FASTLANE_DATA_DIR"], ignore_errors=True)
    said = log.read_text()
    assert f"fastlane listens on http://127.0.0.1:{port} (this machine only)\nOpen http://127.0.0.1:{port}/ in a browser" in said
    assert '"level":"warning"' not in said


def test_a_release_is_made_of_a_tagged_commit_without_changes(clone: Path) -> None:
    def refused() -> str:
        done = subprocess.run(["make", "dist"], cwd=clone, env=plain_environment(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        return done.stderr

    assert f"the commit has no tag v{RELEASE}" in refused()
    (clone / "fastlane" / "more.py").touch()
    assert "there are changes that are not committed" in refused()
    assert not (clone / "dist").exists()


@pytest.mark.thorough
@pytest.mark.timeout(2 * PATIENCE)
def test_make_dist_makes_packages_that_can_be_checked(engine: str, clone: Path) -> None:
    subprocess.run(["git", "tag", f"v{RELEASE}"], cwd=clone, check=True, timeout=60)
    said = succeed(clone, "make", "dist", "ARGS=--without-image", DOCKER_HOST=engine)
    assert said.count(": PASSED") == 2
    stem = f"fastlane_swarm-{RELEASE}"
    assert {path.name for path in (clone / "dist").iterdir()} == {
        f"{stem}-py3-none-any.whl",
        f"{stem}.tar.gz",
        "SHA256SUMS",
        "provenance.intoto.json",
    }
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=clone / "dist", check=True, timeout=60)
    with zipfile.ZipFile(clone / "dist" / f"{stem}-py3-none-any.whl") as wheel:
        assert f"\nVersion: {RELEASE}\n" in wheel.read(f"{stem}.dist-info/METADATA").decode()
        assert f'__version__ = "{RELEASE}"\n' in wheel.read("fastlane/_version.py").decode()
    with tarfile.open(clone / "dist" / f"{stem}.tar.gz") as package:
        members = package.getmembers()
    assert f"{stem}/fastlane/static/pages/stream.html" in {member.name for member in members}
    assert {(member.uid, member.uname, member.mtime) for member in members} == {(0, "", members[0].mtime)}


def serves(url: str) -> bool:
    """Whether there is a page."""
    try:
        return requests.get(url, timeout=30).status_code == 200
    except requests.ConnectionError:
        return False
