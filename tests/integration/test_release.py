"""A release with its image, made, signed, pushed and checked by the commands of docs/releasing.md: `make dist` of a tagged commit, Debian's
cosign and skopeo, and a registry of the test's own.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastlane import RELEASE
from tests.support.checkout import ROOT, command, committed_checkout, plain_environment, succeed
from tests.support.docs import commands
from tests.support.images import BUILD_PATIENCE, NODE, PYTHON, builder, docker, import_base, make_on
from tests.support.ports import free_port
from tests.support.registry import Registry

BASES = {"PYTHON_IMAGE": ("debian-python", PYTHON), "NODE_IMAGE": ("debian-node", NODE)}
PUBLISHED = ("SHA256SUMS", "SHA256SUMS.sig", "provenance.intoto.json")
"""What a user has beside the packages."""


@pytest.fixture
def clone() -> Iterator[Path]:
    """A checkout with a history of one commit, which has the tag of the release."""
    with committed_checkout() as folder:
        subprocess.run(["git", "tag", f"v{RELEASE}"], cwd=folder, check=True, timeout=60)
        yield folder


def typed(folder: Path, beginning: str, registry: str = "") -> list[str]:
    """The page's commands that begin so, typed in a folder, with this registry, which has no TLS, in place of the example's. What each
    printed."""
    trusted = folder / ".config/containers/registries.conf"
    trusted.parent.mkdir(parents=True, exist_ok=True)
    trusted.write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n' if registry else "")
    around = {"image": f"{registry}/fastlane", "COSIGN_PASSWORD": "of a test", "HOME": str(folder)}
    found = [line for line in commands(ROOT / "docs/releasing.md") if line.startswith(beginning)]
    assert found, f"the page has no command {beginning}"
    lines = (line.replace("registry.example.com", registry).replace("0.2.0", RELEASE) for line in found)
    return [succeed(folder, "bash", "-ec", line, **around) for line in lines]


def test_the_image_of_a_release_is_built_on_digests(clone: Path) -> None:
    bases = ("--build-arg", f"PYTHON_IMAGE=python@sha256:{'0' * 64}", "--build-arg=NODE_IMAGE=node:22")
    done = command(clone, "scripts/image", "--release", *bases)
    assert done.returncode == 1
    assert "error: the base image node:22 has no digest\n       Run scripts/pin" in done.stdout


def pinned_bases(url: str, registry: Registry) -> dict[str, str]:
    """Pushes the bases of the tests. Their references with digests, by the arguments of the Dockerfile."""
    found = {}
    for argument, (name, packages) in BASES.items():
        target = f"{registry.address}/{name}:1"
        import_base(url, target, packages)
        docker(url, "push", "-q", target)
        docker(url, "image", "rm", target)
        found[argument] = f"{target}@{registry.digest(f'{name}:1')}"
    return found


@pytest.mark.thorough
@pytest.mark.repeated
@pytest.mark.timeout(8 * BUILD_PATIENCE)
def test_a_release_is_made_signed_pushed_and_checked_as_the_page_says(clone: Path, tmp_path: Path) -> None:
    dist, user = clone / "dist", tmp_path / "user"
    with builder(containerd_store=True) as url, Registry([], tmp_path) as registry:
        bases = pinned_bases(url, registry)
        docker(url, "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", f"127.0.0.1:{free_port()}")
        succeed(clone, "scripts/engine", "image", url, "ubuntu:latest")
        options = " ".join(["--network host", *(f"--build-arg {name}={reference}" for name, reference in bases.items())])
        said = make_on(url, clone, "dist", options)
        digest = (dist / "image.digest").read_text().strip()
        assert f"{digest}, the same twice" in said
        assert docker(url, "run", "--rm", "--network", "none", f"fastlane:{RELEASE}", "version").split()[-1] == RELEASE

        statement = json.loads((dist / "image.intoto.json").read_text())
        assert statement["subject"] == [{"name": f"pkg:docker/fastlane@{RELEASE}", "digest": {"sha256": digest.removeprefix("sha256:")}}]
        _, *materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        assert [found["digest"]["sha256"] for found in materials] == [reference[-64:] for reference in bases.values()]
        described = {found["name"] for found in json.loads((dist / "provenance.intoto.json").read_text())["subject"]}
        assert described == {path.name for path in dist.iterdir()} - {"SHA256SUMS", "provenance.intoto.json"}

        typed(clone, "cosign generate-key-pair")
        typed(clone, "cosign sign-blob")
        typed(clone, "skopeo copy", registry.address)
        assert {registry.digest(f"fastlane:{tag}") for tag in (RELEASE, "latest")} == {digest}
        typed(clone, "cosign sign ", registry.address)
        typed(clone, "jq")
        assert len(typed(clone, "cosign attest", registry.address)) == 2

        user.mkdir()
        for path in [clone / "cosign.pub", *(dist / name for name in PUBLISHED), *dist.glob("*.whl")]:
            (user / path.name).write_bytes(path.read_bytes())
        assert "Verified OK" in typed(user, "cosign verify-blob")[0]
        assert typed(user, "sha256sum")[0].count(": OK") == 2
        typed(user, "base64")
        assert typed(user, "openssl") == ["Verified OK\n"]
        assert digest in typed(user, "cosign verify ", registry.address)[0]
        assert '"payloadType":"application/vnd.in-toto+json"' in typed(user, "cosign verify-attestation", registry.address)[0]
        assert docker(url, "run", "--rm", "--network", "none", f"{registry.address}/fastlane@{digest}", "version").split()[-1] == RELEASE

    with (user / "SHA256SUMS").open("a") as sums:
        sums.write("0 more\n")
    forged = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "cosign.pub", "-signature", "SHA256SUMS.der", "SHA256SUMS"],
        cwd=user, env=plain_environment(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert forged.returncode == 1
