"""Which addresses may get mails."""

import pytest

from fastlane.models.notify import may_mail, read_allowed

LISTED = ("example.com", "*.example.net", "boss@example.org", "odd%name@example.org")


@pytest.mark.parametrize(
    "address",
    [
        *("team@example.com", "Team+jobs@EXAMPLE.com", "a@dev.example.net", "a@b.c.example.net"),
        *("boss@example.org", "BOSS@example.org", "odd%name@example.org"),
    ],
)
def test_an_address_that_is_listed_by_itself_or_by_its_domain_may_get_mails(address: str) -> None:
    assert may_mail(address, LISTED)


@pytest.mark.parametrize(
    "address",
    [
        *("a@example.net", "a@dev.example.com", "a@notexample.com", "a@badexample.net", "a@example.com.evil.org", "a@com"),
        *("other@example.org", "boss@example.com.org", "xboss@example.org"),
        *("victim%evil.org@example.com", "evil.org!victim@example.com", "victim%evil.org@dev.example.net"),
    ],
)
def test_no_other_address_may_nor_one_that_a_server_may_pass_on(address: str) -> None:
    assert not may_mail(address, LISTED)
    assert not may_mail(address, ())


def test_a_star_is_any_address() -> None:
    assert may_mail("victim%evil.org@example.com", ("*",))


@pytest.mark.parametrize("text", ["example.com", "*.example.com", "a@example.com", "localhost", "*"])
def test_what_may_be_listed(text: str) -> None:
    assert read_allowed(text.upper()) == text


@pytest.mark.parametrize(
    "text", ["", "@example.com", "a@", "*@example.com", "**", "*.", "*.*.com", "exa mple.com", ".example.com", "https://x"]
)
def test_what_may_not(text: str) -> None:
    with pytest.raises(ValueError, match="is not a domain such as"):
        read_allowed(text)
