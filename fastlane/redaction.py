"""Which names mean secrets, and how secret values are kept out of answers and log lines.

Both use the same rules, which follow from the setting ``redact_words``: a value whose variable has a secret name is masked, wherever it is
quoted and however it is escaped there; so is the password of every URL.
"""

import html
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote, quote_plus

from fastlane.log import MASK, scrub

MIN_SECRET = 4
"""Characters. A shorter value also occurs in ordinary words, so it is not cut out of messages."""
MIN_LINE = 8
"""Characters of a line of a secret that is masked when it is quoted alone."""
MAX_LINES = 8 * 1024
"""Characters of a secret whose lines are looked for one by one."""
MAY_BE_CUT = 500
"""Characters. A shorter text without ``…`` at its end was not cut."""

_PARAMETER = re.compile(r"(?<=[?&])([^\s=&#?]{1,128})=([^\s&#\"'<>]+)")
_MASKED = re.compile(r":\*{8}@|[?&][^\s=&#?]{1,128}=\*{8}(?![^\s&#\"'<>])")


class Redaction:
    """The rules for these words. ``_word_`` counts only as a whole word of a name, between its underscores; any other word counts anywhere
    in it. Upper and lower case are the same."""

    def __init__(self, words: Sequence[str]) -> None:
        lower = [word.lower() for word in words]
        self._whole = frozenset(word.strip("_") for word in lower if _is_whole(word))
        self._anywhere = tuple(word for word in lower if not _is_whole(word))

    def is_secret(self, name: str) -> bool:
        """Whether the value of a variable with this name is secret."""
        lower = name.lower()
        return any(word in lower for word in self._anywhere) or not self._whole.isdisjoint(re.split("[_-]", lower))

    def envs(self, envs: Mapping[str, str]) -> dict[str, str]:
        """Environment variables, with a mask in place of each secret."""
        return {name: MASK if self.is_secret(name) else self.text(value) for name, value in envs.items()}

    def text(self, text: str) -> str:
        """A text without the passwords of the URLs in it: before the ``@``, and as parameters with a secret name."""
        if "://" not in text:
            return text
        return _PARAMETER.sub(lambda found: f"{found[1]}={MASK}" if self.is_secret(found[1]) else found[0], scrub(text))

    def message(self, text: str, envs: Mapping[str, str]) -> str:
        """Another program's words, such as an engine's, without the values of these variables that are secret, in any of the forms in
        which programs quote a value."""
        secrets = [value for name, value in envs.items() if self.is_secret(name)]
        secrets += [found for value in envs.values() for found in _url_passwords(value)]
        found = {form for secret in secrets for part in _parts(secret, len(text)) for form in forms(part)}
        for form in sorted(found, key=len, reverse=True):
            text = _without_end_of_cut(text.replace(form, MASK), form)
        return self.text(text)


@lru_cache(maxsize=16)
def redaction_of(words: tuple[str, ...]) -> Redaction:
    """The rules for these words. They are made once."""
    return Redaction(words)


def has_mask(text: str) -> bool:
    """Whether a text is, or contains, what is shown in place of a secret."""
    return text == MASK or _MASKED.search(text) is not None


def forms(plain: str) -> Iterator[str]:
    """The forms in which an engine, a registry or a library may quote a value: as it is; escaped for Swarm's templates, JSON, Go, Python, a
    shell, HTML or a URL; or as a JSON text inside another one."""
    for text in {plain, plain.replace("{{", '{{"{{"}}')}:
        ascii_text, json_text = json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
        go_text = json_text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
        yield from (text, ascii_text, json_text, go_text, repr(text)[1:-1], shlex.quote(text), html.escape(text))
        yield from (json.dumps(form)[1:-1] for form in (ascii_text, json_text, go_text))
        yield from (quote(text, safe="", errors="replace"), quote(text, errors="replace"), quote_plus(text, errors="replace"))


def _parts(secret: str, longest: int) -> Iterator[str]:
    """What of a secret may be in a text of this length: the secret, cut when it is longer; and its lines, which may be quoted alone."""
    if len(secret) >= MIN_SECRET:
        yield secret[: longest + 1]
    lines = secret[:MAX_LINES].splitlines()
    if len(lines) > 1:
        yield from (line[: longest + 1] for line in lines if len(line) >= MIN_LINE)


def _without_end_of_cut(text: str, form: str) -> str:
    """The text without the beginning of a secret at its end, if it was or may have been cut there."""
    body = text.removesuffix("…")
    if body == text and len(text) < MAY_BE_CUT:
        return text
    at = body.find(form[:MIN_SECRET], max(0, len(body) - len(form) + 1))
    while at >= 0:
        if form.startswith(body[at:]):
            return body[:at] + MASK
        at = body.find(form[:MIN_SECRET], at + 1)
    return text


_URL_PASSWORD = re.compile(r"://[^\s:@/?#]{0,256}:([^\s/?#@]{1,1024})@")


def _url_passwords(value: str) -> list[str]:
    return _URL_PASSWORD.findall(value) if "://" in value else []


def _is_whole(word: str) -> bool:
    return len(word) > 2 and word.startswith("_") and word.endswith("_")
