"""Users and tokens in the settings: what is read, and what is said about wrong ones, without the secret."""

import json

import pytest

from fastlane.config.access import hash_token, token_digest
from fastlane.config.load import load
from fastlane.errors import Invalid
from fastlane.models.access import Principal, Role
from tests.support.credentials import quick_hash_text

SECRET = "hunter2"
PASSWORD, TOKEN = quick_hash_text(SECRET), hash_token(SECRET)
OTHER = hash_token("other")


def faults() -> list[str]:
    with pytest.raises(Invalid) as caught:
        load("up")
    assert SECRET not in str(caught.value)
    return [str(fault) for fault in caught.value.faults]


def test_without_users_and_tokens_everyone_has_every_right():
    settings = load("up").settings
    assert (settings.users, settings.tokens) == ((), ())


def test_users_and_tokens_are_tables_in_the_file(tmp_path):
    (tmp_path / "fastlane.toml").write_text(
        f'[[users]]\nname = "anna"\npassword = "{PASSWORD}"\nrole = "admin"\n'
        f'[[tokens]]\nname = "ci"\ntoken = "{TOKEN}"\nrole = "run"\ntasks = "build-"\n'
    )
    settings = load("up").settings
    (user,), (token,) = settings.users, settings.tokens
    assert user.principal == Principal("anna", Role.ADMIN, "")
    assert user.password.matches(SECRET)
    assert token.principal == Principal("ci", Role.RUN, "build-")
    assert token.digest == token_digest(SECRET)
    assert PASSWORD.split(":")[-1] not in repr(settings)


def test_they_are_json_in_the_environment_or_in_a_file_that_it_names(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTLANE_USERS", json.dumps([{"name": "anna", "password": PASSWORD, "role": "read"}]))
    (tmp_path / "tokens.json").write_text(json.dumps([{"name": "ci", "token": TOKEN, "role": "run"}]) + "\n")
    monkeypatch.setenv("FASTLANE_TOKENS_FILE", str(tmp_path / "tokens.json"))
    loaded = load("up")
    assert loaded.settings.users[0].principal.role is Role.READ
    assert loaded.settings.tokens[0].principal.name == "ci"
    assert loaded.origins["tokens"] == "FASTLANE_TOKENS_FILE"


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({"name": "a", "password": SECRET, "role": "run"}, "user 1: password is not a password hash; `fastlane password`"),
        ({"name": "a", "password": 1, "role": "run"}, "password is not text"),
        ({"name": "a", "password": PASSWORD}, "user 1: has no role"),
        ({"password": PASSWORD, "role": "run"}, "has no name"),
        ({"name": "a", "role": "run"}, "has no password"),
        ({"name": "a:b", "password": PASSWORD, "role": "run"}, "name is not a name"),
        ({"name": "", "password": PASSWORD, "role": "run"}, "name is not a name"),
        ({"name": "a" * 65, "password": PASSWORD, "role": "run"}, "name is not a name"),
        ({"name": "a", "password": PASSWORD, "role": "root"}, "is not one of read, trigger, run, admin"),
        ({"name": "a", "password": PASSWORD, "role": "run", "tasks": "("}, "tasks is not a regular expression"),
        ({"name": "a", "password": PASSWORD, "role": "run", "tasks": ["a"]}, "tasks is not text"),
        ({"name": "a", "password": PASSWORD, "role": "run", "task": "a"}, "the nearest known name is tasks"),
    ],
)
def test_a_wrong_user_is_answered_with_what_is_wrong(monkeypatch, row, part):
    monkeypatch.setenv("FASTLANE_USERS", json.dumps([row]))
    (fault,) = faults()
    assert fault.startswith("FASTLANE_USERS")
    assert part in fault


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "{}", SECRET])
@pytest.mark.parametrize("name", ["FASTLANE_USERS", "FASTLANE_TOKENS"])
def test_a_value_other_than_a_list_of_objects_is_a_fault(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    (fault,) = faults()
    assert fault.startswith(name)


@pytest.mark.parametrize(
    ("users", "tokens", "part"),
    [
        ([("a", PASSWORD), ("a", PASSWORD)], [], "two users are named 'a'"),
        ([], [("a", TOKEN), ("a", OTHER)], "two tokens are named 'a'"),
        ([], [("a", TOKEN), ("b", TOKEN)], "the same token under two names"),
        ([("a", PASSWORD)], [("a", TOKEN)], "a user and a token are both named 'a'"),
    ],
)
def test_a_name_is_one_persons_and_a_token_has_one_name(monkeypatch, users, tokens, part):
    monkeypatch.setenv("FASTLANE_USERS", json.dumps([{"name": n, "password": p, "role": "run"} for n, p in users]))
    monkeypatch.setenv("FASTLANE_TOKENS", json.dumps([{"name": n, "token": t, "role": "run"} for n, t in tokens]))
    (fault,) = faults()
    assert part in fault
