"""The grammar of image references, from the distribution project (https://github.com/distribution/reference), which engines and registries
share."""

import re

_PART = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
_DOMAIN = rf"(?:{_PART}(?:\.{_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = r"[a-z0-9]+(?:(?:[_.]|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"
REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?",
    re.ASCII,
)
MAX_NAME = 255
MAX_REFERENCE = 600
IMAGE_ID = 64
EXAMPLES = 'write one such as "ubuntu:latest" or "registry.example.com:5000/team/app:1.2"'


def reference_fault(text: str) -> str | None:
    """The reason why this text is not an image reference, and what to write instead; None for a valid one."""
    if not text:
        return f"is empty; {EXAMPLES}"
    if len(text) > MAX_REFERENCE:
        return f"is longer than {MAX_REFERENCE} characters; {EXAMPLES}"
    match = REFERENCE.fullmatch(text)
    if match is None:
        return _why(text)
    if len(match["name"]) > MAX_NAME:
        return f"has a name of more than {MAX_NAME} characters; {EXAMPLES}"
    digest = match["digest"] or ""
    if digest.startswith("sha256:") and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        return "has a digest that is not 64 lower-case hexadecimal digits after sha256:"
    if len(text) == IMAGE_ID and re.fullmatch(r"[0-9a-f]+", text):
        return "is a bare image id, which registries do not know; write a name"
    return None


def _why(text: str) -> str:
    if any(character.isspace() for character in text):
        return f"contains white space; {EXAMPLES}"
    if "://" in text:
        return f"has a scheme; leave out {text.split('://', 1)[0]}://"
    if text.lower() != text and REFERENCE.fullmatch(text.lower()):
        return f'has upper-case letters in its path; write "{text.lower()}"'
    return f"is not an image reference; {EXAMPLES}"
