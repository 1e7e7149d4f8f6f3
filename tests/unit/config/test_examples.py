"""The files in examples/: each is a whole configuration, and does what its comments say."""

from pathlib import Path

import pytest

from fastlane.config.load import load
from fastlane.config.pools import POOLS
from fastlane.config.settings import Settings
from fastlane.models.host import NO_SSH_FILES
from fastlane.models.pool import endpoints_of, pool_for
from tests.support.docs import ROOT

FILES = sorted((ROOT / "examples").glob("*.toml"))


def settings(name: str, monkeypatch: pytest.MonkeyPatch, role: str = "up") -> Settings:
    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://q")
    return load(role, config=str(ROOT / "examples" / name)).settings


@pytest.mark.parametrize("role", ["up", "api", "worker"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_loads_and_takes_every_task(monkeypatch: pytest.MonkeyPatch, file: Path, role: str) -> None:
    monkeypatch.setenv("FASTLANE_LISTEN", "127.0.0.1")
    loaded = settings(file.name, monkeypatch, role)
    assert pool_for(loaded.pools, "any-task") is not None
    assert POOLS.read(POOLS.show(loaded.pools)) == loaded.pools
    assert not [endpoint for endpoint in endpoints_of(loaded.pools) if endpoint.insecure]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_says_what_it_is_for_and_is_listed(file: Path) -> None:
    assert file.read_text().startswith("# ")
    assert f"[{file.name}]({file.name})" in (ROOT / "examples/README.md").read_text()


def test_big_machines_take_the_tasks_that_need_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = settings("big-machines.toml", monkeypatch).pools
    big, rest = pool_for(pools, "train-model"), pool_for(pools, "report")
    assert big is not None
    assert rest is not None
    assert (big.name, rest.name) == ("big", "default")
    assert big.hard_timeout == 12 * 3600
    assert not set(big.hosts) & set(rest.hosts)


def test_only_one_team_has_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = settings("team-policy.toml", monkeypatch)
    team, rest = pool_for(loaded.pools, "report-daily"), pool_for(loaded.pools, "other")
    assert team is not None
    assert rest is not None
    assert team.policy.mounts
    assert not rest.policy.mounts
    assert [token.principal.name for token in loaded.tokens] == ["reporting"]


def test_tls_and_ssh_name_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(endpoint.tls for endpoint in endpoints_of(settings("tls.toml", monkeypatch).pools))
    assert all(endpoint.ssh != NO_SSH_FILES for endpoint in endpoints_of(settings("ssh.toml", monkeypatch).pools))
