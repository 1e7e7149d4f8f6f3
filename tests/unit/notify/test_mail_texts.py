"""What mails say: all of it escaped, without characters that hide others, and with what was held back."""

from email.policy import SMTP
from html.parser import HTMLParser
from typing import Any

import pytest

from fastlane.models.delivery import Delivery, EndFacts, MailQuota, deliveries_of
from fastlane.models.job import Failure
from fastlane.models.notify import MAX_ADDRESS, Mailbox, NotificationTrigger, read_address
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.notify.mail import mail_writer
from fastlane.notify.port import MailMessage, MailParts
from fastlane.redaction import redaction_of
from fastlane.web.api.webhook_payload import payload_maker
from tests.support.factories import make_execution, make_spec

NASTY = '<script>alert("x")</script>&amp;'
ADDRESS = "team@example.com"


def mail(parts: MailParts = MailParts(), public_url: str | None = "https://fl.example.com", **fields: Any) -> MailMessage:  # noqa: B008
    spec = fields.pop("spec", {})
    spec = make_spec(notify=(Mailbox(NotificationTrigger.FAILS, ADDRESS),), **spec)
    given = {"status": Status.FAILED, "exit_code": 3, "started_at": 1_000, "finished_at": 3_500, "spec": spec} | fields
    execution = make_execution(**given)
    delivery: Delivery
    (delivery,) = deliveries_of(execution, (), EndFacts(will_retry=True), now=9)
    words = ("secret", "token")
    return mail_writer(payload_maker(public_url, words), redaction_of(words).message, 3600)(execution, delivery, parts)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_it_says_what_happened_and_where_to_look() -> None:
    found = mail(MailParts("first\nlast"), failure=Failure(FailureReason.EXIT, "it exited with 3"), host="h:1", task_id="nightly")
    assert found.to == ADDRESS
    assert found.subject == "[fastlane] nightly: failed, exit code 3"
    for words in ("it exited with 3", "Exit code:  3", "another attempt follows", "2.5s", "    last\n", "h:1", "notify.fails of the job"):
        assert words in found.text
    tags = Tags(found.html)
    urls = [word for word in found.text.split() if word.startswith("https://fl.example.com/")]
    assert tags.links == urls
    assert len(urls) == 3
    assert "first\nlast" in tags.words


@pytest.mark.parametrize("name", [NASTY, "a\r\nBcc: b@example.com", "a\u2028b", "\u202egnp.exe", "x" * 500, "\x1b[31mred", "\ud800"])
def test_what_strangers_wrote_stays_text(name: str) -> None:
    plain = Tags(mail().html).tags
    found = mail(
        MailParts(f"{name}\n{name}"),
        spec={"name": name, "command": (name,)},
        failure=Failure(FailureReason.REJECTED, name),
        status=Status.FAILED,
    )
    tags = Tags(found.html)
    assert set(tags.tags) <= {*plain, "pre"}
    assert "script" not in tags.tags
    assert len(found.subject) <= 150
    assert found.subject.isprintable()
    assert not {"\x1b", "\u2028", "\u202e", "\ud800", "\r"} & {*found.text, *found.html}
    SMTP.header_factory("Subject", found.subject)


@pytest.mark.parametrize("url", ["https://evil.example/", "https://fl.example.com.evil.example/", "https://fl.example.com@evil.example/x/"])
def test_nothing_that_a_jobs_author_wrote_becomes_a_link(url: str) -> None:
    spec = {"name": url, "command": (url,), "image": url}
    found = Tags(mail(MailParts(url), spec=spec, task_id=url, host=url, failure=Failure(FailureReason.EXIT, url)).html)
    assert url in found.words
    assert found.links
    own = ("https://fl.example.com/tasks/https%3A", "https://fl.example.com/console/tasks/https%3A")
    assert all(link.startswith(own) for link in found.links)


def test_secrets_of_the_execution_are_masked_in_the_log() -> None:
    found = mail(MailParts("it is hunter2-hunter2, see https://u:pass-word@h/x"), spec={"envs": {"MY_SECRET": "hunter2-hunter2"}})
    for text in (found.text, found.html):
        assert "hunter2" not in text
        assert "pass-word" not in text
        assert "it is ********" in text


def test_it_says_what_was_held_back() -> None:
    found = mail(MailParts("", MailQuota("q", "e", 1, 3, ("e1", "e2"))))
    assert "3 failures of this job got no mail of their own since the last one (mail_interval is 1h)" in found.text
    assert "/executions/e2\n" in found.text
    assert "and earlier ones" in found.text
    assert any(link.endswith("/executions/e1") for link in Tags(found.html).links)
    assert "held" not in mail(MailParts("", MailQuota("q", "e", 1))).text


def test_without_a_public_url_there_are_paths_and_no_links() -> None:
    found = mail(public_url=None)
    assert Tags(found.html).links == []
    assert "/tasks/" in found.text


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            "a",
            "a@",
            "@b",
            "a b@c",
            "a@b c",
            "a@b\n",
            "a@b\r\nBcc: c@d",
            "a,b@c",
            "Team <a@b>",
            "<a@b>",
            "a@b>",
            '"a b"@c',
            "a..b@c",
            ".a@b",
        ),
        *(
            "a@b..c",
            "a@-b",
            "a@b-",
            "größe@b",
            "a@größe.de",
            f"{'a' * 65}@b",
            f"a@{'b.' * 130}c",
            "a@[127.0.0.1]",
            "a@b@c",
            "a;b@c",
            None,
            1,
            ["a@b"],
        ),
    ],
)
def test_what_is_not_an_address(address: object) -> None:
    with pytest.raises(ValueError, match="is not an e-mail address"):
        read_address(address)


@pytest.mark.parametrize("address", ["a@b", "First.Last+tag@mail.example.com", "o'hara@example.co.uk", f"{'a' * 64}@{'b' * 63}.example"])
def test_what_is_an_address(address: str) -> None:
    assert len(address) <= MAX_ADDRESS
    assert read_address(address) == address
