"""Addresses of engines: which there are, and how each is reached."""

import pytest

from fastlane.models.host import Endpoint, read_address


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("unix:///var/run/docker.sock", "unix"),
        ("10.0.0.7:2376", "tcp"),
        ("tcp://10.0.0.7:2376", "tcp"),
        ("engine.example.com:65535", "tcp"),
        ("tcp://[2001:db8::1]:2376", "tcp"),
        ("ssh://10.0.0.7", "ssh"),
        ("ssh://fast_lane@engine.example.com:2222", "ssh"),
        ("ssh://me@[::1]:22/run/user/1000/docker.sock", "ssh"),
    ],
)
def test_an_address_says_how_its_engine_is_reached(address: str, scheme: str) -> None:
    assert read_address(f" {address} ") == address
    assert Endpoint(address).scheme == scheme


@pytest.mark.parametrize(
    "address",
    [
        "",
        None,
        7,
        "h",
        "tcp://h",
        "http://h:1",
        "unix://s",
        "-oProxyCommand=x:1",
        "ssh://-oProxyCommand=x",
        "ssh://-l@h",
        "ssh://me@-h",
        "ssh://h/a b",
        "tcp://h:1/path",
        "tcp://me@h:1",
        "h:1\n-x",
        "ssh://me@h;x",
        "ssh://h:22x",
        "ssh://é",
    ],
)
def test_any_other_text_is_refused_with_examples(address: object) -> None:
    with pytest.raises(ValueError, match="is not the address of a Docker engine; write unix:///var"):
        read_address(address)


@pytest.mark.parametrize("port", [0, 65_536, 99_999])
@pytest.mark.parametrize("host", ["h", "tcp://h", "ssh://me@h"])
def test_a_port_that_does_not_exist_is_named(host: str, port: int) -> None:
    with pytest.raises(ValueError, match="write one from 1 to 65535"):
        read_address(f"{host}:{port}")


@pytest.mark.parametrize(
    "address",
    ["ssh://me:hunter2@h", "tcp://me:hunter2@h:1", "ssh://:hunter2@h", "ssh://a@b:hunter2@h", "me:hunter2@h:1", "ssh://me:hun/hunter2@h"],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ValueError, match="has a password in the address") as told:
        read_address(address)
    assert "hunter2" not in str(told.value)


def test_tcp_without_tls_needs_leave() -> None:
    plain = Endpoint("h:2375")
    assert plain.is_plain
    assert plain.fault is not None
    assert Endpoint("h:2375", insecure=True).fault is None
    for address in ("unix:///s", "ssh://h"):
        assert Endpoint(address).fault is None
        assert not Endpoint(address).is_plain
