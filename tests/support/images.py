"""Builds fastlane's image as `make image` does, on bases made from the Debian packages of this machine: no registry is asked for them."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import checkout, plain_environment
from tests.support.waiting import LONG_PATIENCE, wait_until

BUILD_PATIENCE = 600
NAME = "fastlane:latest"
PYTHON = ("python3", "python3-venv", "ca-certificates", "openssh-client")
NODE = ("nodejs", "npm", "ca-certificates")
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
LEFT_OUT = re.compile(r"/usr/share/(doc|man|locale|info|lintian)/|/usr/share/(doc|man|locale|info)$")
PASSED_ON = re.compile(r"PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|DEFAULT_TIMEOUT)$|(HTTPS?|NO)_PROXY$", re.IGNORECASE)

# The parent ends it, whatever happens; the shims' sockets are always in /run/containerd, so each engine gets its own.
ENGINE = """
mkdir -p /run/containerd /run/docker
mount -n -t tmpfs tmpfs /run/containerd
mount -n -t tmpfs tmpfs /run/docker
exec dockerd --config-file {folder}/daemon.json --data-root {folder}/data --exec-root {folder}/exec --pidfile {folder}/docker.pid \
    -H unix://{folder}/docker.sock --bridge none --iptables=false --ip6tables=false --ip-forward=false --log-level warn \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent /fastlane-build-{name}
"""


@contextlib.contextmanager
def builder(*, containerd_store: bool = False) -> Iterator[str]:
    """The URL of an engine that can build and nothing else: it shares this machine's network, for package registries, and changes none of
    its rules. With containerd's image store, its BuildKit writes archives."""
    folder = Path(tempfile.mkdtemp(prefix="flb", dir="/tmp"))
    (folder / "daemon.json").write_text(json.dumps({"features": {"containerd-snapshotter": containerd_store}}))
    script = ENGINE.format(folder=folder, name=folder.name)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["unshare", "--mount", "--uts", "sh", "-c", script], stdout=log, stderr=log, start_new_session=True)
    url = f"unix://{folder}/docker.sock"
    try:
        wait_until(lambda: process.poll() is not None or _answers(url), "the builder to answer")
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        yield url
    finally:
        process.terminate()
        try:
            process.wait(LONG_PATIENCE)
        finally:
            process.kill()
            for group in [*Path("/sys/fs/cgroup").glob(f"**/fastlane-build-{folder.name}")]:
                with contextlib.suppress(OSError):
                    group.rmdir()
            shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    return subprocess.run(["docker", "-H", url, "version"], capture_output=True, timeout=LONG_PATIENCE, check=False).returncode == 0


def docker(url: str, *words: str, **environment: str) -> str:
    """Runs a docker command that must succeed on the engine at ``url``. What it printed."""
    variables = {**plain_environment(), **environment}
    done = subprocess.run(["docker", "-H", url, *words], capture_output=True, text=True, timeout=BUILD_PATIENCE, check=False, env=variables)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


def build_image(url: str, name: str, folder: Path) -> None:
    """Builds the image from the checkout in ``folder``, and its lists in ``folder/dist``."""
    make_on(url, folder, "image", bases(url), IMAGE=name)


def bases(url: str) -> str:
    """Imports the images that fastlane's own is built on. Returns the options of ``docker build`` that name them."""
    import_base(url, "debian-python", PYTHON)
    import_base(url, "debian-node", NODE)
    return "--build-arg PYTHON_IMAGE=debian-python --build-arg NODE_IMAGE=debian-node --network host"


def make_on(url: str, folder: Path, target: str, options: str, **environment: str) -> str:
    """Runs ``make`` in a checkout, with the engine at ``url``. What it printed."""
    done = subprocess.run(
        ["make", target, f"ARGS={options}"],
        cwd=folder,
        env={**plain_environment(), "DOCKER_HOST": url, "DOCKER_BUILDKIT": "0", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * BUILD_PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@dataclass(frozen=True)
class BuiltImage:
    """fastlane's image as a file, and the lists of what is in it."""

    archive: Path
    packages: dict[str, Any]
    debian: str


@pytest.fixture(scope="session")
def built_image(tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    """The image as `make image` makes it, under the name ``fastlane:latest``."""
    archive = tmp_path_factory.mktemp("image") / "fastlane.tar"
    with builder() as url, checkout() as folder:
        build_image(url, NAME, folder)
        docker(url, "save", NAME, "-o", str(archive))
        return BuiltImage(archive, json.loads((folder / "dist/image.cdx.json").read_text()), (folder / "dist/image.dpkg.txt").read_text())


def import_base(url: str, name: str, packages: tuple[str, ...]) -> None:
    """Imports a root file system of these Debian packages, and what they need, as they are installed on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        extra = Path(folder)
        chosen = closure(packages)
        for place in ("etc/ssl/certs", "var/lib/dpkg", "tmp", "proc", "sys", "dev"):
            (extra / place).mkdir(parents=True)
        (extra / "tmp").chmod(0o1777)
        shutil.copy(f"/{CERTIFICATES}", extra / CERTIFICATES)
        shutil.copy("/usr/share/base-passwd/passwd.master", extra / "etc/passwd")
        shutil.copy("/usr/share/base-passwd/group.master", extra / "etc/group")
        (extra / "var/lib/dpkg/status").write_text(_output("dpkg-query", "-s", *chosen))
        archive = ["tar", "-c", "--no-recursion", "-C", "/", "--null", "-T", "-", "-C", folder, "--recursion", "."]
        settings = [f"ENV {key}={value}" for key, value in _environment().items()]
        changes = [word for line in settings for word in ("-c", line)]
        with subprocess.Popen(archive, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as packed:
            assert packed.stdin is not None
            importing = subprocess.Popen(["docker", "-H", url, "import", *changes, "-", name], stdin=packed.stdout, stdout=subprocess.PIPE)
            packed.stdin.write(b"\0".join(os.fsencode(path) for path in files_of(chosen) if not (extra / path).exists()))
            packed.stdin.close()
        assert (packed.returncode, importing.wait(BUILD_PATIENCE)) == (0, 0)
        assert importing.stdout is not None
        importing.stdout.close()


def _environment() -> dict[str, str]:
    """What a command in a base needs to reach the package registries that this machine uses."""
    names = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    passed = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **passed, **dict.fromkeys(names, f"/{CERTIFICATES}")}


def closure(names: tuple[str, ...]) -> list[str]:
    """These packages, Debian's essential ones, and all that they depend on: of alternatives, the first that is installed."""
    needs, provided, essential = dict[str, list[list[str]]](), dict[str, str](), list[str]()
    form = "${Package}\t${Provides}\t${Pre-Depends},${Depends}\t${Essential}\n"
    for line in _output("dpkg-query", "-W", "-f", form).splitlines():
        name, provides, depends, is_essential = line.split("\t")
        needs[name] = [[_bare(choice) for choice in group.split("|")] for group in depends.split(",") if group.strip()]
        provided |= {_bare(word): name for word in provides.split(",")}
        essential += [name] * (is_essential == "yes")
    found, waiting = set[str](), [*names, *essential]
    while waiting:
        name = waiting.pop()
        name = name if name in needs else provided[name]
        if name not in found:
            found.add(name)
            choices = (next((choice for choice in group if choice in needs or choice in provided), None) for group in needs[name])
            waiting += [choice for choice in choices if choice is not None]
    return sorted(found)


def files_of(packages: list[str]) -> list[str]:
    """Their files and folders below ``/``, without documentation, and the links by which Debian chooses between programs of one name."""
    listed = _output("dpkg-query", "-L", *packages).splitlines()
    paths = {path for path in listed if path.startswith("/") and path != "/." and not LEFT_OUT.match(path)}
    if "npm" in packages:  # which may have updated itself, beside its package
        paths |= {str(path) for path in Path("/usr/lib/node_modules/npm").rglob("*")}
    links = {str(link) for link in Path("/etc/alternatives").iterdir() if link.is_symlink() and os.readlink(link) in paths}
    names = {
        str(path)
        for folder in ("/usr/bin", "/usr/sbin")
        for path in Path(folder).iterdir()
        if path.is_symlink() and os.readlink(path) in links
    }
    return sorted(path.removeprefix("/") for path in paths | links | names if os.path.lexists(path))


def _bare(word: str) -> str:
    return re.split(r"[ (:]", word.strip())[0]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONG_PATIENCE).stdout
