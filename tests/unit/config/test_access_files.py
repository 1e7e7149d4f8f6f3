"""Users and tokens that are read again: from where they came, the same as long as nothing changed, and never half of them."""

import json
import os
from pathlib import Path

import pytest

from fastlane.config.access import fingerprint, hash_token
from fastlane.config.load import load
from fastlane.errors import Invalid


def toml(*names: str) -> None:
    rows = [f'[[tokens]]\nname = "{name}"\ntoken = "{hash_token(name)}"\nrole = "run"\n' for name in names]
    Path("fastlane.toml").write_text("\n".join(rows))


def test_they_are_read_from_where_they_came_and_a_change_is_seen():
    toml("one", "other")
    access = load("up").access
    assert access.files == (Path.cwd() / "fastlane.toml",)
    assert fingerprint(access.files) == access.seen
    toml("other")
    assert fingerprint(access.files) != access.seen
    assert [token.principal.name for token in access.read().tokens] == ["other"]


def test_a_change_before_the_first_look_is_seen_too():
    toml("one")
    loaded = load("up")
    toml()
    assert loaded.settings.tokens != ()
    assert fingerprint(loaded.access.files) != loaded.access.seen


def test_a_file_that_was_there_may_not_be_missing():
    toml("one")
    access = load("up").access
    Path("fastlane.toml").unlink()
    with pytest.raises(Invalid, match="does not exist"):
        access.read()


def test_the_fault_of_another_setting_keeps_nobody_in():
    toml("one", "other")
    access = load("up").access
    toml("other")
    Path("fastlane.toml").write_text('lease = "nonsense"\n' + Path("fastlane.toml").read_text())
    assert [token.principal.name for token in access.read().tokens] == ["other"]


def test_a_user_of_2x_is_the_same_when_read_again(monkeypatch):
    """A new hash of the same password would end their sessions."""
    monkeypatch.setenv("BASIC_AUTH_USERNAME", "anna")
    monkeypatch.setenv("BASIC_AUTH_PASSWORD", "annas")
    loaded = load("up")
    assert loaded.access.read().users == loaded.settings.users != ()


def test_what_comes_out_of_a_pipe_is_read_once(monkeypatch):
    there, back = os.pipe()
    os.write(back, json.dumps([{"name": "one", "token": hash_token("one"), "role": "run"}]).encode())
    os.close(back)
    monkeypatch.setenv("FASTLANE_TOKENS_FILE", f"/dev/fd/{there}")
    try:
        loaded = load("up")
    finally:
        os.close(there)
    assert loaded.settings.tokens != ()
    assert (loaded.access.files, loaded.access.seen) == ((), ())
