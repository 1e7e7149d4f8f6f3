"""Registries in the settings: what is read, and what is said about wrong ones, without the password."""

import json
from pathlib import Path

import pytest

from fastlane.cli.main import main
from fastlane.config.load import load
from fastlane.errors import Invalid
from fastlane.models.image import RegistryLogin

SECRET = "hunter2 "


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def faults() -> list[str]:
    with pytest.raises(Invalid) as caught:
        load("up")
    assert SECRET not in str(caught.value)
    return [str(fault) for fault in caught.value.faults]


def test_without_any_the_users_own_docker_log_ins_serve(monkeypatch, tmp_path):
    settings = load("worker", options={"redis_url": "redis://h"}).settings
    assert settings.registries == ()
    assert settings.docker_config == tmp_path / "home" / ".docker" / "config.json"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "x"))
    assert load("up").settings.docker_config == tmp_path / "x" / "config.json"
    monkeypatch.setenv("FASTLANE_DOCKER_CONFIG", "y/config.json")
    assert load("up").settings.docker_config == tmp_path / "y" / "config.json"
    monkeypatch.setenv("FASTLANE_DOCKER_CONFIG", "none")
    assert load("up").settings.docker_config is None


def test_registries_are_tables_in_the_file(tmp_path):
    (tmp_path / "fastlane.toml").write_text(
        f'[[registries]]\nhost = "Registry.Example.com:5000"\nusername = "ci"\npassword = "{SECRET}"\n'
        '[[registries]]\nhost = "index.docker.io"\nusername = "hub"\npasswordFile = "secrets/hub"\n'
    )
    settings = load("up").settings
    assert settings.registries == (
        RegistryLogin("registry.example.com:5000", "ci", SECRET),
        RegistryLogin("docker.io", "hub", None, tmp_path / "secrets" / "hub"),
    )
    assert SECRET not in repr(settings)


def test_they_are_json_in_the_environment_or_in_a_file_that_it_names(monkeypatch, tmp_path):
    rows = [{"host": "r", "username": "ci", "password": SECRET}]
    monkeypatch.setenv("FASTLANE_REGISTRIES", json.dumps(rows))
    assert load("up").settings.registries == (RegistryLogin("r", "ci", SECRET),)
    monkeypatch.delenv("FASTLANE_REGISTRIES")
    (tmp_path / "registries.json").write_text(json.dumps(rows))
    monkeypatch.setenv("FASTLANE_REGISTRIES_FILE", str(tmp_path / "registries.json"))
    assert load("up").settings.registries == (RegistryLogin("r", "ci", SECRET),)


GOOD = {"host": "r", "username": "ci", "password": SECRET}


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ([{**GOOD, "host": f"https://ci:{SECRET}@r/v2/"}], ["registry 1: host is not a registry; write HOST or HOST:PORT"]),
        ([{**GOOD, "host": ""}], ["is not a registry"]),
        ([{**GOOD, "host": "r/team"}], ["is not a registry"]),
        ([{**GOOD, "username": "a:b"}], ["username is not a user name"]),
        ([{**GOOD, "username": ""}], ["username is not a user name"]),
        ([{**GOOD, "password": ""}], ["password is empty"]),
        ([{**GOOD, "password": 5}], ["password is not text"]),
        ([{"host": "r", "username": "ci"}], ["registry 1: has neither a password nor a passwordFile; write one of them"]),
        ([{**GOOD, "passwordFile": "x"}], ["registry 1: has both a password and a passwordFile; write one of them"]),
        ([{"host": "r", "username": "ci", "passwordFile": ""}], ["passwordFile is not a file"]),
        ([{"password": SECRET}], ["has no host", "has no username"]),
        ([{**GOOD, "pasword": SECRET}], ["pasword is not known; the nearest known name is password"]),
        ([GOOD, {**GOOD, "host": "R"}], ["two registries are 'r'; leave out one"]),
        ({"r": GOOD}, ["is not a list of registries; write a table [[registries]] for each"]),
        (SECRET, ["is not a list of registries"]),
    ],
)
def test_a_wrong_registry_is_answered_with_what_is_wrong(monkeypatch, rows, parts):
    monkeypatch.setenv("FASTLANE_REGISTRIES", json.dumps(rows))
    found = faults()
    assert all(fault.startswith("FASTLANE_REGISTRIES") for fault in found)
    assert [part for part, fault in zip(parts, found, strict=True) if part not in fault] == []


def test_a_docker_configuration_is_a_file(monkeypatch):
    monkeypatch.setenv("FASTLANE_DOCKER_CONFIG", "~nobody-of-this-name/config.json")
    (fault,) = faults()
    assert fault.startswith("FASTLANE_DOCKER_CONFIG: ")
    assert "write the whole path" in fault


def test_what_is_shown_hides_the_password_and_tells_the_file(monkeypatch, capsys, tmp_path):
    rows = [GOOD, {"host": "s", "username": "ci", "passwordFile": "/run/secrets/s"}]
    monkeypatch.setenv("FASTLANE_REGISTRIES", json.dumps(rows))
    with pytest.raises(SystemExit):
        main(["config", "--json"])
    shown = capsys.readouterr().out
    assert SECRET.strip() not in shown
    assert "/run/secrets/s" in shown
    assert Path("/run/secrets/s") == load("up").settings.registries[1].password_file
