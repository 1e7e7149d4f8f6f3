"""The headers ``ETag`` and ``If-Match``: a change is made only to the version of a job that its client knows."""

import re
from collections.abc import Mapping

from fastlane.errors import Fault, Invalid
from fastlane.models.job import ExpectedVersions, Job
from fastlane.web.api.contract import IF_MATCH

_TAG = r'(?:W/)?"[!#-~]*"'
_TAGS = re.compile(rf"\*|{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")
_OPAQUE = re.compile(r'"([^"]*)"')


def etag(job: Job) -> str:
    """The job's ETag."""
    return f'"{job.version}"'


def read_if_match(headers: Mapping[str, str]) -> ExpectedVersions | None:
    """The versions that a request expects; None without the header. A tag that a proxy made weak (``W/"…"``), because it compressed the
    answer, counts too: ours name a job's version, not an answer's bytes. Raises Invalid."""
    if IF_MATCH not in headers:
        return None
    text = headers[IF_MATCH].strip()
    if not _TAGS.fullmatch(text):
        raise Invalid([Fault(IF_MATCH, f'is not * or an ETag with its quotes; send the one that the GET had: {IF_MATCH}: "…"')])
    return ExpectedVersions(frozenset({"*"} if text == "*" else _OPAQUE.findall(text)))
