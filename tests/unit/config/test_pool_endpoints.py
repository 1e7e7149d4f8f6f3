"""How the settings say a pool's hosts are reached: TLS, ssh, or plain TCP with leave; and what does not fit together."""

import json
from pathlib import Path
from typing import Any

import pytest

from fastlane.config.load import load
from fastlane.config.pools import POOLS
from fastlane.errors import Invalid
from fastlane.models.host import Endpoint, SshFiles, TlsFiles
from fastlane.models.pool import Pool, endpoints_of

TLS = {"ca": "ca.pem", "certificate": "cert.pem", "key": "/keys/key.pem"}


def row(name: str = "default", match: str = "", **more: Any) -> dict[str, Any]:
    return {"name": name, "match": match, **more}


def told(*rows: dict[str, Any]) -> list[str]:
    with pytest.raises(Invalid) as caught:
        POOLS.read(list(rows))
    return [fault.message for fault in caught.value.faults]


def test_tls_and_ssh_are_tables_of_files_below_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fastlane.toml").write_text(
        '[[pools]]\nname = "tls"\nmatch = "a"\nhosts = ["h:2376", "unix:///s"]\n'
        'tls = { ca = "ca.pem", certificate = "cert.pem", key = "/keys/key.pem" }\n'
        '[[pools]]\nname = "ssh"\nmatch = ""\nhosts = ["ssh://me@h"]\nssh = { identity = "id", knownHosts = "known" }\n'
    )
    assert endpoints_of(load("up").settings.pools) == (
        Endpoint("h:2376", tls=TlsFiles(tmp_path / "ca.pem", tmp_path / "cert.pem", Path("/keys/key.pem"))),
        Endpoint("unix:///s"),
        Endpoint("ssh://me@h", ssh=SshFiles(tmp_path / "id", tmp_path / "known")),
    )


def test_what_config_shows_is_read_again() -> None:
    pools = POOLS.read(
        [
            row("tls", "a", hosts=["h:2376"], tls=TLS),
            row("ssh", "b", hosts=["ssh://h"], ssh={"knownHosts": "known"}),
            row("bare", "c", hosts=["ssh://i"], ssh={}),
            row(hosts=["i:2375"], insecure=True),
        ]
    )
    assert POOLS.read(POOLS.show(pools)) == pools


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"hosts": ["h:2375"]}, "h:2375 is TCP without TLS"),
        ({"hosts": ["tcp://h:2375"], "insecure": False}, "tcp://h:2375 is TCP without TLS"),
        ({"hosts": ["h:2376"], "tls": TLS, "insecure": True}, "has both tls and insecure = true"),
        ({"hosts": ["unix:///s"], "tls": TLS}, "has tls, which is for hosts such as HOST:2376, and none of its hosts is one"),
        ({"hosts": ["ssh://h"], "insecure": True}, "has insecure = true, which is for hosts such as HOST:2376"),
        ({"hosts": ["h:2376"], "tls": TLS, "ssh": {"identity": "id"}}, "has ssh, which is for hosts such as ssh://USER@HOST"),
        ({"hosts": ["h:2376"], "tls": {"ca": "ca.pem"}}, "tls has no certificate and no key; TLS needs three files"),
        ({"hosts": ["h:2376"], "tls": {**TLS, "certificat": "x"}}, "tls.certificat is not known; the nearest known name is certificate"),
        ({"hosts": ["h:2376"], "tls": "ca.pem"}, "tls is not a table"),
        ({"hosts": ["h:2376"], "tls": {**TLS, "key": ""}}, "tls.key is not a file; write a path such as /run/secrets/docker-key"),
        ({"hosts": ["ssh://h"], "ssh": {"password": "x"}}, "ssh.password is not known"),
        ({"hosts": ["h:2375"], "insecure": "yes"}, "insecure 'yes' is neither true nor false"),
    ],
)
def test_a_way_that_cannot_be_meant_is_a_fault(more: dict[str, Any], words: str) -> None:
    (fault,) = told(row(**more))
    assert words in fault


def test_a_host_in_two_pools_is_reached_in_one_way() -> None:
    safe, plain = row("a", "a", hosts=["h:2376", "unix:///s"], tls=TLS), row(hosts=["h:2376", "unix:///s"], insecure=True)
    (fault,) = told(safe, plain)
    assert fault == "h:2376 is in pools that differ in tls, ssh or insecure; write the same in each"
    assert len(endpoints_of(POOLS.read([safe, {**plain, "tls": TLS, "insecure": False}]))) == 2


def test_all_faults_are_named_at_once_with_their_pools() -> None:
    found = told(row("a", "a", hosts=["h:1", "i:1"]), row("b", "b", hosts=["unix:///s"], insecure=True), row(hosts=["j:1"], tls=1))
    assert [fault.split(":")[0] for fault in found] == ["pool 3", "pool 'a'", "pool 'a'", "pool 'b'"]


@pytest.mark.parametrize(("hosts", "insecure"), [(["h:2375"], True), (["unix:///s"], False), (["unix:///s", "tcp://h:1"], True)])
def test_hosts_of_2x_knew_no_tls(monkeypatch: pytest.MonkeyPatch, hosts: list[str], insecure: bool) -> None:
    monkeypatch.setenv("DOCKER_HOSTS", json.dumps([{"match": "", "hosts": hosts}]))
    assert load("up").settings.pools == (Pool("default", "", tuple(hosts), insecure=insecure),)
