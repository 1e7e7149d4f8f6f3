"""Errors as answers, and the encoding of JSON answers. ``problem_of`` makes an RFC 9457 problem of each of our exceptions. ``encode_json``,
``indent_json`` and ``gzipped`` write and compress the bodies of problems and other answers.
"""

import gzip
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from tornado.web import HTTPError

from fastlane.errors import (
    ArchiveDamaged,
    ArchiveDown,
    Changed,
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    KeyReused,
    NotFound,
    NotStarted,
    NotUnique,
    ReadTooLong,
    TooMany,
    TransientError,
    Unreadable,
)
from fastlane.services.tickets import TooManyTickets

MAX_NAMED = 10
"""Faulty fields that a detail names at most."""
ARCHIVE_DOWN = "the archive of old logs cannot be read now; the server's log has the cause under the request id of this answer"
ARCHIVE_DAMAGED = (
    "the log is missing or damaged in the archive of old logs; the server's log names the object under the request id of this answer: "
    "restore it from a backup of the archive"
)
RETRY_AFTER = 2
"""Seconds after which a client may try again when the store or the queue is down, or when it has too many of something."""


class Problem(Exception):
    """An answer that is an error. ``detail`` says what to do; ``retry_after``: seconds after which the client may try again;
    ``execution_status``: of an execution that has no log yet. ``job``: the ids of the task and the job that stand in the way, of which the
    handler writes the URL into ``job_url``."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        execution_status: str | None = None,
        job: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = {**(headers or {}), **({} if retry_after is None else {"Retry-After": str(retry_after)})}
        self.execution_status = execution_status
        self.job = job
        self.job_url: str | None = None

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase


def problem_of(error: BaseException | None) -> Problem:
    """The problem of an exception. An unexpected exception is a 500 that reveals nothing about it."""
    match error:
        case Problem():
            return error
        case Invalid():
            return _problem_of_faults(400, error.faults)
        case Forbidden():
            return _problem_of_faults(403, error.faults)
        case NotStarted():
            known = {
                "Fastlane-Status": error.status,
                "Fastlane-Execution-Id": error.execution_id,
                "Fastlane-Exit-Code": None if error.exit_code is None else str(error.exit_code),
            }
            headers = {name: value for name, value in known.items() if value is not None}
            return Problem(404, str(error), headers=headers, execution_status=error.status)
        case NotFound():
            return Problem(404, str(error))
        case NotUnique(task_id=str(task_id), job_id=str(job_id)):
            return Problem(409, str(error), job=(task_id, job_id))
        case Conflict():
            return Problem(409, str(error))
        case Changed():
            return Problem(412, str(error))
        case KeyReused():
            return Problem(422, str(error))
        case TooManyTickets():
            return Problem(429, str(error), retry_after=error.wait)
        case TooMany():
            return Problem(429, str(error), retry_after=RETRY_AFTER)
        case ReadTooLong():
            return Problem(503, str(error), retry_after=RETRY_AFTER)
        case ArchiveDown():  # where the archive is, the log says
            return Problem(503, ARCHIVE_DOWN, retry_after=RETRY_AFTER)
        case ArchiveDamaged():
            return Problem(500, ARCHIVE_DAMAGED)
        case TransientError():
            words = f"{error}; nothing is wrong with the request, send it again in a few seconds"
            return Problem(503, words, retry_after=RETRY_AFTER)
        case Unreadable():
            return Problem(500, str(error))
        case HTTPError():
            return Problem(error.status_code, HTTPStatus(error.status_code).description or HTTPStatus(error.status_code).phrase)
    return Problem(500, "fastlane failed; its log has the error under the request id of this answer")


def _problem_of_faults(status: int, faults: Sequence[Fault]) -> Problem:
    """The problem of an invalid input. The detail describes a single fault in full. For several faults, it names the fields, and ``errors``
    says what to do about each."""
    fields = list(dict.fromkeys(fault.field or "the body" for fault in faults))
    if len(fields) == 1:
        return Problem(status, "; ".join(map(str, faults)), faults=faults)
    names = ", ".join(fields[:MAX_NAMED]) + (f" and {len(fields) - MAX_NAMED} more" if len(fields) > MAX_NAMED else "")
    verb = "not allowed" if status == 403 else "wrong"
    return Problem(status, f"{len(fields)} fields are {verb}: {names}; errors says what to do about each", faults=faults)


GZIP_FROM = 1_024
"""Bytes; smaller bodies are sent as they are."""
LARGE = 64 * 1024
"""Bytes from which a body is compressed in a thread, so that no other request waits for that."""


def encode_json(value: Any) -> bytes:
    """A value as a line of JSON."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def indent_json(value: Any) -> bytes:
    """A value as JSON for people, on many lines."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_INDENT_2)


def gzipped(data: bytes) -> bytes:
    """A body, compressed. That takes a millisecond for each 40 KiB, so a body of ``LARGE`` bytes belongs into a thread."""
    return gzip.compress(data, 5, mtime=0)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for coding in accept_encoding.split(","):
        name, _, parameter = coding.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q=0(\.0{0,3})?\s*", parameter)
    return False
