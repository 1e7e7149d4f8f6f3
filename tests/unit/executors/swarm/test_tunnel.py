"""What ssh is told to do for a host, and what is said where there is no ssh."""

import itertools
from pathlib import Path

import pytest

from fastlane.errors import HostDown
from fastlane.executors.swarm.transport import Tunnel, arguments
from fastlane.models.host import Endpoint, SshFiles

SOCKET = Path("/tmp/x/docker")


def options(endpoint: Endpoint) -> dict[str, str]:
    words = arguments(endpoint, SOCKET)
    return dict(word.split("=", 1) for before, word in itertools.pairwise(words) if before == "-o")


def test_host_keys_are_verified_and_nothing_is_asked() -> None:
    told = options(Endpoint("ssh://h"))
    assert (told["StrictHostKeyChecking"], told["BatchMode"]) == ("yes", "yes")
    assert not {"UserKnownHostsFile", "IdentityFile", "User", "Port"} & set(told)


@pytest.mark.parametrize(
    ("address", "forwarded", "user", "port", "host"),
    [
        ("ssh://h", "/var/run/docker.sock", None, None, "h"),
        ("ssh://me@h:2222", "/var/run/docker.sock", "me", "2222", "h"),
        ("ssh://me@[::1]/run/user/1000/docker.sock", "/run/user/1000/docker.sock", "me", None, "::1"),
    ],
)
def test_the_address_says_who_logs_in_where_and_which_socket_is_meant(
    address: str, forwarded: str, user: str | None, port: str | None, host: str
) -> None:
    words, told = arguments(Endpoint(address), SOCKET), options(Endpoint(address))
    assert words[-4:] == ["-L", f"{SOCKET}:{forwarded}", "--", host]
    assert (told.get("User"), told.get("Port")) == (user, port)


def test_the_files_of_the_settings_are_the_only_ones_and_are_taken_literally() -> None:
    told = options(Endpoint("ssh://h", ssh=SshFiles(Path('/a b/%h"'), Path("/known hosts"))))
    assert told["IdentityFile"] == '"/a b/%%h\\""'
    assert told["IdentitiesOnly"] == "yes"
    assert (told["UserKnownHostsFile"], told["GlobalKnownHostsFile"]) == ('"/known hosts"', "/dev/null")


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("ssh://h/run/${HOME}/docker.sock"),
        Endpoint("ssh://h/run/%h/docker.sock"),
        Endpoint("ssh://h", ssh=SshFiles(Path("/keys/${HOME}"))),
    ],
)
async def test_an_address_that_ssh_would_expand_is_not_connected_to(endpoint: Endpoint) -> None:
    """It may be stored from before such addresses were refused."""
    tunnel = Tunnel(endpoint)
    with pytest.raises(HostDown, match="ssh would"):
        await tunnel.connect()
    await tunnel.close()


async def test_a_machine_without_ssh_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tunnel = Tunnel(Endpoint("ssh://h"))
    with pytest.raises(HostDown, match="install openssh-client"):
        await tunnel.connect()
    with pytest.raises(HostDown, match="install openssh-client"):
        tunnel.check()
    await tunnel.close()
