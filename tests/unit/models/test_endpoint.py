"""Addresses of engines: which there are, and how each is reached."""

import pytest

from fastlane.models.host import Endpoint, is_among, read_address, read_address_pattern


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
        "ssh://h/run/${AWS_SECRET_ACCESS_KEY}.sock",
        "ssh://h/$HOME/docker.sock",
        "ssh://h/%h/docker.sock",
        "ssh://h/a:0.0.0.0:1",
        "ssh://h/a\\b",
        'ssh://h/a"b',
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


@pytest.mark.parametrize(
    ("pattern", "among", "others"),
    [
        (
            "10.0.0.*:2376",
            ["10.0.0.7:2376", "tcp://10.0.0.255:2376"],
            ["10.0.0.evil.example:2376", "10.0.0.7:23760", "10.0.1.7:2376", "10.0.0.7.evil.example:2376", "ssh://10.0.0.7:2376"],
        ),
        ("10.0.*:2376", ["10.0.1.2:2376"], ["10.0.evil:2376", "10.1.0.1:2376"]),
        ("10.0.0.*", ["10.0.0.7:2376", "10.0.0.7:1"], ["10.0.0.x:1"]),
        ("10.0.0.7:23*", ["10.0.0.7:2376"], ["10.0.0.7:2476"]),
        ("[fd00::*]:2376", ["[fd00::7]:2376"], ["[fe80::7]:2376"]),
        ("engine-*:2376", ["engine-a:2376"], ["engine-a.evil.example:2376"]),
        ("engine-*.example.com:2376", ["engine-a.example.com:2376"], ["engine-a.evil.example.com:2376", "engine-a.example.com:2377"]),
        ("*.example.com:2376", ["a.example.com:2376", "a.b.example.com:2376"], ["example.com.evil:2376", "aexample.com:2376"]),
        (
            "ssh://me@10.0.0.*",
            ["ssh://me@10.0.0.7", "ssh://me@10.0.0.7:22"],
            ["ssh://root@10.0.0.7", "ssh://me@10.0.0.7/x", "ssh://me@10.0.0.x"],
        ),
        ("ssh://me@h/run/*", ["ssh://me@h/run/a/docker.sock"], ["ssh://me@h/tmp/a", "ssh://me@h"]),
        ("ssh://*", ["ssh://h", "ssh://me@h:22"], ["h:1", "ssh://h/tmp/x"]),
        ("*", ["h:1", "ssh://me@h/x", "unix:///x"], []),
        ("unix:///run/*", ["unix:///run/a.sock"], ["unix:///run/../tmp/a", "h:1"]),
        ("10.0.0.7:2376", ["10.0.0.7:2376"], ["tcp://10.0.0.7:2376"]),
    ],
)
def test_a_pattern_means_host_and_port_each_by_itself(pattern: str, among: list[str], others: list[str]) -> None:
    assert read_address_pattern(pattern) == pattern
    assert [address for address in among + others if is_among(read_address(address), pattern)] == among


@pytest.mark.parametrize("pattern", ["http://*", "h:1:*", "a/*@h", "ssh://a@b@*"])
def test_a_pattern_of_no_address_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a pattern of addresses"):
        read_address_pattern(pattern)
