"""Which names mean secrets, and what is left of a secret in the words of others."""

import json
import shlex
import time
from urllib.parse import quote, quote_plus

import pytest

from fastlane.config.settings import Settings
from fastlane.log import one_line
from fastlane.redaction import HIDDEN, MIN_SECRET, Redaction, forms, has_mask

MASK = "********"
USUAL = Redaction(Settings.defaults().redact_words)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "PASSWORD",
            "db_passwd",
            "SSH_PASSPHRASE",
            "Client_Secret",
            "TOKENS",
            "API_KEY",
            "AWS_CREDENTIALS",
            "PRIVATE_PEM",
            "OAUTH_CLIENT_ID",
        ),
        *(
            "PASS",
            "DB_PASS",
            "PASS_DB",
            "PWD",
            "MYSQL_PWD_2",
            "AUTH",
            "BASIC_AUTH",
            "X_AUTH_HEADER",
            "CRED",
            "DB_CRED",
            "SENTRY_DSN",
            "DSN",
        ),
    ],
)
def test_a_name_that_means_a_secret_is_known(name):
    assert USUAL.is_secret(name)


@pytest.mark.parametrize(
    "name", ["COMPASS", "AUTHOR", "AUTHORITY", "PASSENGERS", "BYPASS_CACHE", "CREDITS", "INCREDIBLE", "DSNS", "LEVEL", "CLIENT"]
)
def test_a_name_that_only_contains_a_short_word_is_not(name):
    assert not USUAL.is_secret(name)


def test_a_word_counts_as_the_setting_writes_it():
    ours = Redaction(("pin", "_Auth_", "__x__", "_"))
    assert [name for name in ("SPINNER", "MY_AUTH", "AUTHOR", "A_X_B", "MAX", "A_B") if ours.is_secret(name)] == [
        "SPINNER",
        "MY_AUTH",
        "A_X_B",
        "A_B",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://me:hunter2@db/x", f"postgres://me:{MASK}@db/x"),
        ("redis://:hunter2@q and amqp://a:hunter3@r", f"redis://:{MASK}@q and amqp://a:{MASK}@r"),
        ("https://x/?api_key=hunter2&page=2", f"https://x/?api_key={MASK}&page=2"),
        ("https://x/?author=anna&db_pass=hunter2", f"https://x/?author=anna&db_pass={MASK}"),
        ("https://me@x/path:1@2", "https://me@x/path:1@2"),
        ("https://x:8080/?q=1", "https://x:8080/?q=1"),
        ("plain words, a=b", "plain words, a=b"),
    ],
)
def test_the_password_of_a_url_is_masked_and_the_rest_is_not(text, shown):
    assert USUAL.text(text) == shown
    assert USUAL.envs({"A": text, "PASS": text}) == {"A": shown, "PASS": MASK}
    assert has_mask(shown) == (shown != text)


SECRETS = ('hunt"er2\\\n', "h&nt<er>2 é", "hunter{{2}}", "it's 2 %41", "schön/geheim+1")


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_however_it_is_escaped(secret):
    templated = secret.replace("{{", '{{"{{"}}')
    go = json.dumps(secret, ensure_ascii=False)[1:-1].replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
    written = [
        secret,
        json.dumps(secret)[1:-1],
        go,
        json.dumps(json.dumps(secret))[3:-3],
        repr(secret)[1:-1],
        templated,
        json.dumps(templated)[1:-1],
    ]
    written += [shlex.quote(secret), quote(secret), quote(secret, safe=""), quote_plus(secret)]
    for form in written:
        assert (
            USUAL.message(f"bad variable A_KEY={form}, says the engine", {"A_KEY": secret}) == f"bad variable A_KEY={MASK}, says the engine"
        )


def test_a_message_keeps_what_is_not_secret():
    envs = {"LEVEL": "debug", "KEY": "abc", "AUTHOR": "anna smith"}
    assert USUAL.message("debug abc anna smith", envs) == "debug abc anna smith"


def test_the_password_of_a_url_is_masked_where_it_is_quoted_alone():
    assert USUAL.message("no login with hunter2", {"URL": "db://me:hunter2@db"}) == f"no login with {MASK}"


def test_the_lines_of_a_secret_are_masked_one_by_one():
    secret = "-----BEGIN-----\nMIIEvgIBADANBg\nkqhkiG9w0BAQEF\n"
    assert USUAL.message("no key in: kqhkiG9w0BAQEF", {"PEM_KEY": secret}) == f"no key in: {MASK}"


@pytest.mark.parametrize("kept", [MIN_SECRET, 12, 25])
@pytest.mark.parametrize("end", ["", "…"])
def test_the_beginning_of_a_secret_at_which_a_message_was_cut_is_masked(kept, end):
    secret = "correct horse battery staple"
    said = "x" * 990 + " "
    assert USUAL.message(said + secret[:kept] + end, {"PASSPHRASE": secret}) == said + MASK


SPREAD = ("horse  battery\tstaple", "ab1\ncd2\r\nef3", " \x07x\u200by  z ", 'a  "b"  &c', "k  {{v}}\t1")


@pytest.mark.parametrize("secret", SPREAD)
def test_a_secret_is_masked_where_it_is_shown_as_one_line(secret):
    for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], secret.replace("{{", '{{"{{"}}')):
        said = one_line(f"no login with {form} at all")
        assert USUAL.message(said, {"PASSPHRASE": secret}) == f"no login with {MASK} at all"


def test_a_long_secret_is_masked_to_its_end_where_its_blanks_are_gone():
    secret = "a word" + "  b" * 200
    assert USUAL.message(f"no {one_line(secret)}", {"KEY": secret}) == f"no {MASK}"


def test_blanks_alone_make_no_secret_of_short_words():
    assert USUAL.message("a b", {"KEY": "a\n\n\n b"}) == "a b"


@pytest.mark.parametrize("kept", [MIN_SECRET, 12, 25])
def test_the_beginning_of_a_secret_is_masked_where_words_in_the_middle_were_cut(kept):
    secret = "correct horse battery staple"
    said = f"it says: {secret[:kept]}…; look there"
    assert USUAL.message(said, {"PASSPHRASE": secret}) == f"it says: {MASK}; look there"


LINES = {
    "plain": "\n".join(f"{number:09}" for number in range(819)),
    "templates": "\n".join(f"é{{{{{number:03}\x01&" for number in range(819)),
    "other letters": "\n".join(chr(0x4E00 + number) * 8 for number in range(819)),
}


@pytest.mark.parametrize("lines", LINES)
@pytest.mark.parametrize("text", ["nothing of them", "nothing of them " * 60])
def test_lines_made_to_be_slow_are_looked_for_within_a_bound(lines, text):
    envs = {f"KEY_{number}": LINES[lines] + f"{number}" for number in range(31)}
    before = time.process_time()
    for _ in range(10):
        assert USUAL.message(text, envs) in (text, HIDDEN)
    assert time.process_time() - before < 2  # a tenth of that; without a bound, 3 to 10 seconds


def test_a_text_in_which_too_many_secrets_may_be_is_not_shown():
    envs = {f"KEY_{number}": chr(0x4E00 + number) * 8 for number in range(300)}
    assert USUAL.message(f"no login with {envs['KEY_299']}", envs) == HIDDEN


def test_a_message_costs_little_however_much_is_secret():
    envs = {f"KEY_{number}": f"{number:05}" * 50 for number in range(1_000)}
    assert USUAL.message("nothing of them " * 60, envs) == "nothing of them " * 60
    assert sum(1 for _ in forms("x")) < 40
