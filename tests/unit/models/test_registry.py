"""Which registry an image reference names: a password must not go to another."""

from pathlib import Path

import pytest

from fastlane.models.image import RegistryLogin, is_image_id, registry_of

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("ubuntu", "docker.io"),
        ("ubuntu:24.04", "docker.io"),
        (f"ubuntu@{DIGEST}", "docker.io"),
        ("library/ubuntu", "docker.io"),
        ("team/app:1@" + DIGEST, "docker.io"),
        ("docker.io/library/ubuntu", "docker.io"),
        ("index.docker.io/library/ubuntu", "docker.io"),
        ("registry-1.docker.io/library/ubuntu", "registry-1.docker.io"),
        ("localhost/app", "localhost"),
        ("localhost:5000/app", "localhost:5000"),
        ("127.0.0.1:5000/team/app:1", "127.0.0.1:5000"),
        ("registry:5000/app", "registry:5000"),
        ("registry.example.com/team/app@" + DIGEST, "registry.example.com"),
        ("Registry.Example.com/app", "registry.example.com"),
        ("registry.example.com:443/app", "registry.example.com:443"),
        ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000"),
        # An engine takes a first part with a capital in it for a host, and would send that host the Hub's password.
        ("EVIL/app", "evil"),
        ("evil/app", "docker.io"),
        (DIGEST, None),
        ("a" * 64, None),
    ],
)
def test_a_reference_names_the_registry_that_an_engine_takes_it_to_name(reference: str, registry: str | None) -> None:
    assert registry_of(reference) == registry


@pytest.mark.parametrize(
    ("reference", "is_id"),
    [(DIGEST, True), ("a" * 64, True), ("a" * 63, False), (f"ubuntu@{DIGEST}", False), ("sha256:abc", False), ("A" * 64, False)],
)
def test_an_images_id_is_distinguished_from_a_name(reference: str, is_id: bool) -> None:
    assert is_image_id(reference) is is_id


def test_a_login_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(RegistryLogin("r", "anna", "hunter2"))
    assert "hunter2" not in str(RegistryLogin("r", "anna", "hunter2", Path("/x")))
