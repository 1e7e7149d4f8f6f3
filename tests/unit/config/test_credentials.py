"""Hashes of passwords and tokens, as they are written and checked."""

import pytest
from hypothesis import given, settings, strategies as st

from fastlane.config import access
from tests.support.credentials import quick_hash

SECRET = "hunter2-in-the-wrong-place"

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
"""HMAC, and so scrypt, does not tell a text from the same one with NULs at its end."""


def test_a_hash_that_was_made_is_read_and_matches_its_password_alone():
    text = access.hash_password("pass:wörd ")
    found = access.read_password_hash(text)
    assert found.matches("pass:wörd ")
    assert not found.matches("pass:wörd")
    assert not found.matches("")
    assert text != access.hash_password("pass:wörd ")


def test_a_hash_needs_no_quoting_in_a_shell():
    assert not set(access.hash_password("x")) & set("$`\"'\\!&|;<>(){}[]*?~# \t\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET,
        "scrypt:15:8:3",
        "scrypt:15:8:3::",
        "$scrypt$ln=15,r=8,p=3$abc$def",
        "scrypt:9:8:1:MTIzNDU2Nzg5MDEy:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0",
        "scrypt:30:8:1:MTIzNDU2Nzg5MDEy:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0",
        "scrypt:20:32:1:MTIzNDU2Nzg5MDEy:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0",
        "scrypt:15:0:1:MTIzNDU2Nzg5MDEy:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0",
        "scrypt:15:8:99:MTIzNDU2Nzg5MDEy:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0",
        "scrypt:15:8:3:AAAAAAAAAAAAA:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0",
    ],
)
def test_an_invalid_password_hash_is_refused_and_not_repeated(text):
    with pytest.raises(ValueError, match="fastlane password") as caught:
        access.read_password_hash(text)
    assert text == "" or text not in str(caught.value)


def test_every_hash_that_the_settings_take_can_be_computed_in_the_memory_that_it_is_given():
    largest = access.read_password_hash("scrypt:18:8:1:MTIzNDU2Nzg5MDEy:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0")
    assert not largest.matches("x")


def test_a_token_matches_the_hash_that_is_shown_with_it():
    token = access.make_token()
    assert access.read_token_hash(access.hash_token(token)) == access.token_digest(token)
    assert token.startswith("fl_")
    assert token != access.make_token()


@pytest.mark.parametrize("text", ["", SECRET, "fl_" + "a" * 43, "sha256:abc", "md5:" + "0" * 64, "0" * 64])
def test_an_invalid_token_hash_is_refused_and_not_repeated(text):
    with pytest.raises(ValueError, match="fastlane token") as caught:
        access.read_token_hash(text)
    assert text == "" or text not in str(caught.value)


@settings(deadline=None, max_examples=50)
@given(texts, texts)
def test_only_the_same_text_matches(password, other):
    expected = quick_hash(password)
    assert expected.matches(password)
    assert expected.matches(other) is (password == other)


def test_a_decoy_is_as_much_work_and_matches_nothing():
    one = quick_hash("x")
    decoy = one.decoy()
    assert (decoy.cost, decoy.blocks, decoy.parallel) == (one.cost, one.blocks, one.parallel)
    assert not decoy.matches("x")


def test_no_secret_stands_in_the_representation():
    one = quick_hash("x")
    assert repr(one.salt) not in repr(one)
    assert repr(one.digest) not in repr(one)
