"""The settings of fastlane 2.x under their old names: each still works, and says how it is called now."""

import json
from pathlib import Path

import pytest

from fastlane.config.load import load
from fastlane.errors import Invalid
from fastlane.models.access import Principal, Role
from fastlane.models.pool import Pool

SECRET = "hunter2"


def faults() -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        load("up")
    return {fault.field: fault.message for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("old", "text", "new", "value"),
    [
        ("REDIS_URL", "redis://:pw@localhost:10100/0", "redis_url", "redis://:pw@localhost:10100/0"),
        ("REDIS_URL", "redis+sentinel://localhost:26379/main/0", "redis_url", "redis+sentinel://localhost:26379/main/0"),
        ("HARD_EXECUTION_TIMEOUT_SECONDS", "1800", "hard_timeout", 1800),
        ("DOCKER_CIRCUIT_BREAKER_MAX_FAILS", "7", "breaker_max_fails", 7),
        ("DOCKER_CIRCUIT_BREAKER_RESET_TIMEOUT_SECONDS", "90", "breaker_reset", 90),
        ("ENV_BLACKLISTED_WORDS", "password,key,secret,client_id", "redact_words", ("password", "key", "secret", "client_id")),
        ("PAGINATION_PER_PAGE", "25", "per_page", 25),
    ],
)
def test_an_old_name_still_works_and_names_the_new_one(monkeypatch, old, text, new, value):
    monkeypatch.setenv(old, text)
    loaded = load("up")
    assert getattr(loaded.settings, new) == value
    assert loaded.origins[new] == old
    (renamed,) = loaded.deprecations
    assert (renamed.old, renamed.new, renamed.used) == (old, new, True)
    assert str(renamed) == f"{old} is a name of fastlane 2.x; use {new}"


FARMS = [
    {"match": "producta.+", "hosts": ["docker-host1.company.com:2375", "docker-host2.company.com:2375"], "maxRunning": 20},
    {"match": "", "hosts": ["docker-host3.company.com:2375"]},
]


def test_docker_hosts_are_pools():
    Path("fastlane.toml").write_text('DOCKER_HOSTS = [{match = "", hosts = ["localhost:2375"], maxRunning = 2}]\n')
    assert load("up").settings.pools == (Pool("default", "", ("localhost:2375",), 2, insecure=True),)


@pytest.mark.parametrize("farms", [FARMS, FARMS[1], [{"match": None, "hosts": ["h:1"]}], [{**FARMS[0], "note": "x"}, FARMS[1]]])
def test_docker_hosts_are_json_in_the_environment(monkeypatch, farms):
    monkeypatch.setenv("DOCKER_HOSTS", json.dumps(farms))
    pools = load("up").settings.pools
    rows = farms if isinstance(farms, list) else [farms]
    assert [(pool.match, list(pool.hosts), pool.max_running) for pool in pools] == [
        (row["match"] or "", row["hosts"], row.get("maxRunning", 10)) for row in rows
    ]
    assert pools[-1].name == "default"
    assert len(pools) == 1 or pools[0].name == "pool-1"


@pytest.mark.parametrize(
    ("old", "text", "part"),
    [
        ("DOCKER_HOSTS", "[{'match': ''}]", "is not JSON"),
        ("DOCKER_HOSTS", "[1]", "is not a list of objects"),
        ("DOCKER_HOSTS", "[" * 100_000, "is not JSON"),
        ("DOCKER_HOSTS", '[{"hosts": ["h:1"]}]', "pool 1: has no match"),
        ("DOCKER_HOSTS", '[{"match": "", "hosts": ["h"]}]', "is not the address of a Docker engine"),
        ("DOCKER_HOSTS", '[{"match": "", "hosts": ["h:1"]}, {"match": "a", "hosts": ["h:1"]}]', "move it to the end"),
        ("HARD_EXECUTION_TIMEOUT_SECONDS", "30m", "is not a whole number of seconds"),
        ("HARD_EXECUTION_TIMEOUT_SECONDS", "0", "longer than 0"),
        ("PAGINATION_PER_PAGE", "1000", "from 1 to 100"),
        ("REDIS_URL", f"http://:{SECRET}@q", "is not the URL of a Redis"),
    ],
)
def test_a_wrong_value_is_a_fault_of_the_old_name(monkeypatch, old, text, part):
    monkeypatch.setenv(old, text)
    found = faults()
    assert list(found) == [old]
    assert part in found[old]
    assert SECRET not in found[old]


def test_a_new_name_wins_wherever_it_stands(monkeypatch):
    Path("fastlane.toml").write_text('redis_url = "redis://new"\n')
    monkeypatch.setenv("REDIS_URL", "redis://old")
    loaded = load("up")
    assert loaded.settings.redis_url == "redis://new"
    (renamed,) = loaded.deprecations
    assert not renamed.used
    assert "wins" in str(renamed)


def test_an_old_name_in_the_environment_wins_over_one_in_the_file(monkeypatch):
    Path("fastlane.toml").write_text("PAGINATION_PER_PAGE = 3\n")
    assert load("up").settings.per_page == 3
    monkeypatch.setenv("PAGINATION_PER_PAGE", "4")
    assert load("up").settings.per_page == 4


@pytest.mark.parametrize("name", ["BASIC_AUTH_USERNAME", "BASIC_AUTH_USER"])
def test_basic_auth_becomes_one_user_with_every_right(monkeypatch, name):
    monkeypatch.setenv(name, "anna")
    monkeypatch.setenv("BASIC_AUTH_PASSWORD", SECRET)
    loaded = load("up")
    (user,) = loaded.settings.users
    assert user.principal == Principal("anna", Role.ADMIN, "")
    assert user.password.matches(SECRET)
    assert [renamed.old for renamed in loaded.deprecations] == [name, "BASIC_AUTH_PASSWORD"]
    assert SECRET not in repr(loaded)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("BASIC_AUTH_USERNAME", "BASIC_AUTH_PASSWORD"),
        ("BASIC_AUTH_USER", "BASIC_AUTH_PASSWORD"),
        ("BASIC_AUTH_PASSWORD", "BASIC_AUTH_USERNAME"),
    ],
)
def test_half_of_basic_auth_is_a_fault_and_not_an_open_server(monkeypatch, given, missing):
    monkeypatch.setenv(given, SECRET)
    found = faults()
    assert list(found) == [given]
    assert missing in found[given]
    assert SECRET not in found[given]
