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

from fastlane.log import MASK, one_line, scrub
from fastlane.secret_text import SecretText

MIN_SECRET = 4
"""Characters. A shorter value also occurs in ordinary words, so it is not cut out of messages."""
MIN_LINE = 8
"""Characters of a line of a secret that is masked when it is quoted alone."""
MAX_LINES = 8 * 1024
"""Characters of a secret whose lines are looked for one by one."""
MAY_BE_CUT = 500
"""Characters. The end of a shorter text was not cut."""
MAX_SEARCH = 20_000
"""Characters of secrets that are looked for in all their forms in one text, and ``PER_PART`` for each: that takes some 10 ms."""
PER_PART = 100
HIDDEN = "(hidden: it may quote one of many secrets)"
"""Shown in place of a text in which more secrets than that may be."""
BETWEEN = "\n\0\n"
"""Stands between texts that are searched for secrets at once, which takes as long as one. They have no NUL."""

_PARAMETER = re.compile(r"(?<=[?&])([^\s=&#?]{1,128})=([^\s&#\"'<>]+)")
_KEPT = re.compile(r"[\w.-]{3}", re.ASCII)
"""Characters that no form changes."""
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

    def is_secret_value(self, name: str, value: str) -> bool:
        """Whether the value of this variable is secret, by its name or by itself."""
        return isinstance(value, SecretText) or self.is_secret(name)

    def envs(self, envs: Mapping[str, str]) -> dict[str, str]:
        """Environment variables, with a mask in place of each secret."""
        return {name: MASK if self.is_secret_value(name, value) else self.text(value) for name, value in envs.items()}

    def text(self, text: str) -> str:
        """A text without the passwords of the URLs in it: before the ``@``, and as parameters with a secret name."""
        if "://" not in text:
            return text
        return _PARAMETER.sub(lambda found: f"{found[1]}={MASK}" if self.is_secret(found[1]) else found[0], scrub(text))

    def message(self, text: str, envs: Mapping[str, str]) -> str:
        """Another program's words, such as an engine's, without the values of these variables that are secret, in any of the forms in
        which programs quote a value."""
        parts = {part for secret in self._secrets(envs) for part in _parts(secret, len(text)) if _may_be_in(part, text)}
        if sum(len(part) + PER_PART for part in parts) > MAX_SEARCH:
            return HIDDEN
        found = {form for part in parts for form in forms(part)}
        for form in sorted(found, key=len, reverse=True):
            text = _without_cut(text.replace(form, MASK), form)
        return self.text(text)

    def outputs(self, values: Mapping[str, str], envs: Mapping[str, str]) -> dict[str, str]:
        """The outputs of an execution with these variables, with a mask in place of each secret. For answers, and for other jobs."""
        shown = self.message(BETWEEN.join(values.values()), envs).split(BETWEEN)
        if len(shown) < len(values):
            shown = [HIDDEN] * len(values)
        return {name: MASK if self.is_secret(name) else text for name, text in zip(values, shown, strict=False)}

    def _secrets(self, envs: Mapping[str, str]) -> Iterator[str]:
        for name, value in envs.items():
            if self.is_secret_value(name, value):
                yield value
            yield from _url_passwords(value)


@lru_cache(maxsize=16)
def redaction_of(words: tuple[str, ...]) -> Redaction:
    """The rules for these words. They are made once."""
    return Redaction(words)


def has_mask(text: str) -> bool:
    """Whether a text is, or contains, what is shown in place of a secret."""
    return text == MASK or _MASKED.search(text) is not None


def forms(plain: str) -> Iterator[str]:
    """The forms in which an engine, a registry or a library may quote a value: as it is; escaped for Swarm's templates, JSON, Go, Python, a
    shell, HTML or a URL; or as a JSON text inside another one. Each also as ``one_line`` shows it."""
    for text in {plain, plain.replace("{{", '{{"{{"}}')}:
        ascii_text, json_text = json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
        go_text = json_text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
        for form in (
            *(text, ascii_text, json_text, go_text, repr(text)[1:-1], shlex.quote(text), html.escape(text)),
            *(json.dumps(form)[1:-1] for form in (ascii_text, json_text, go_text)),
            *(quote(text, safe="", errors="replace"), quote(text, errors="replace"), quote_plus(text, errors="replace")),
        ):
            yield form
            if len(line := one_line(form)) >= MIN_SECRET:
                yield line


def _parts(secret: str, longest: int) -> Iterator[str]:
    """What of a secret may be in a text of this length: the secret, and its lines, which may be quoted alone."""
    if len(secret) >= MIN_SECRET:
        yield _cut(secret, longest)
    lines = secret[:MAX_LINES].splitlines()
    if len(lines) > 1:
        yield from (_cut(line, longest) for line in lines if len(line) >= MIN_LINE)


def _cut(part: str, longest: int) -> str:
    """A part of a secret, cut when it is longer than the text even as one line."""
    return part if len(part) <= longest else part[: longest + 1 + len(part) - len(one_line(part))]


def _may_be_in(part: str, text: str) -> bool:
    """Whether a form of this may be in the text, or its beginning where the text was cut. This is quick, and nearly always false."""
    kept = _KEPT.search(part)
    return kept is None or kept[0] in text or (kept.start() > 0 and (len(text) >= MAY_BE_CUT or "…" in text))


def _without_cut(text: str, form: str) -> str:
    """The text without the beginning of a secret where it was cut, which is before its last ``…``, or may have been, at its end."""
    body, cut, rest = text.rpartition("…")
    if cut and (shorter := _without_end(body, form)) != body:
        text = shorter + rest
    return _without_end(text, form) if len(text) >= MAY_BE_CUT else text


def _without_end(text: str, form: str) -> str:
    at = text.find(form[:MIN_SECRET], max(0, len(text) - len(form) + 1))
    while at >= 0:
        if form.startswith(text[at:]):
            return text[:at] + MASK
        at = text.find(form[:MIN_SECRET], at + 1)
    return text


_URL_PASSWORD = re.compile(r"://[^\s:@/?#]{0,256}:([^\s/?#@]{1,1024})@")


def _url_passwords(value: str) -> list[str]:
    return _URL_PASSWORD.findall(value) if "://" in value else []


def _is_whole(word: str) -> bool:
    return len(word) > 2 and word.startswith("_") and word.endswith("_")
