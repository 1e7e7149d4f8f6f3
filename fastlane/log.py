"""Logging to standard error: one event with fields a line, in one format for fastlane and its libraries.

Passwords in URLs are masked (``scrub``), every field is bounded, and a failure to write a log line is ignored.
"""

import contextlib
import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import orjson
import structlog

MAX_FIELD = 2_000
MAX_TRACEBACK = 16_000
MAX_ITEMS = 50
DEEPEST = 4
CLIENT_FAULTS = ("SSL Error on ",)
"""The beginnings of the library's warnings about a client's faults."""
MASK = "********"
OWN_FIELDS = ("time", "level", "event")
WORDS = ("error", "exception", "message", "reason", "said")
"""The fields that contain other programs' words, and so may quote secrets; ids, hosts and the like do not."""

_USERINFO = re.compile(r"(?<=://)([^\s:@/?#]*):[^\s/?#]*@")
_CUT_USERINFO = re.compile(r"(?<=://)([^\s:@/?#]*):[^\s/?#]*\Z")
_QUERY = re.compile(
    r"(?<=[?&])(?=[^\s=&#?]*(?:password|passwd|secret|token))([^\s=&#?]*)=[^\s&#\"']+",
    re.IGNORECASE,
)
# No part of these may match what begins another match: they read text of strangers, and must take time in proportion to its length.


def scrub(text: str) -> str:
    """The text with the password of every URL in it replaced by ``********``: before the ``@``, and in the query."""
    return _QUERY.sub(rf"\1={MASK}", _USERINFO.sub(rf"\1:{MASK}@", text))


def one_line(text: str) -> str:
    """The text as one line: without characters that cannot be printed, and with single blanks."""
    line = " ".join(text.split())
    return line if line.isprintable() else " ".join("".join(sign if sign.isprintable() else " " for sign in line).split())


Redact = Callable[[str, Mapping[str, str]], str]
"""Cuts the secret ones out of a text that may quote environment variables."""

_quotable: ContextVar[Mapping[str, str]] = ContextVar("quotable")


def _unchanged(text: str, _envs: Mapping[str, str]) -> str:
    return text


def _as_it_is(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return event


def configure(
    format: str,
    level: str,
    redact: Redact = _unchanged,
    *,
    each: structlog.types.Processor = _as_it_is,
    last: structlog.types.Processor = _as_it_is,
) -> None:
    """Sets up structlog and the standard library's logging. Libraries log from ``warning`` up.

    ``format`` is ``console`` or ``json``; ``level`` is ``debug``, ``info``, ``warning`` or ``error``. ``redact`` is applied to lines that
    are written after ``may_quote``. ``each`` sees every line, with its level; ``last`` sees it as it is written, with
    no secret in it.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            each,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            Redactor(redact),
            bounded,
            last,
            _console() if format == "console" else _json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_StandardError,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Libraries()], level=max(threshold, logging.WARNING), force=True)
    logging.captureWarnings(True)


def may_quote(envs: Mapping[str, str]) -> None:
    """Declares that log lines of this asyncio task, and of tasks that it starts, may quote these environment variables from now on, for
    instance in an engine's message. Secret ones are cut out of the fields ``WORDS``."""
    _quotable.set(envs)


def bounded(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Scrubs and bounds every field, and converts it to a value that any renderer can write. A structlog processor."""
    return {key: _plain(value, MAX_TRACEBACK if key == "exception" else MAX_FIELD) for key, value in event.items()}


def _plain(value: object, longest: int, depth: int = 0) -> object:
    if type(value) is str and len(value) <= longest and "://" not in value and "=" not in value and value.isascii():
        return value  # nearly every field: nothing to scrub, to cut or to replace
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, Mapping) and depth < DEEPEST:
        rows = list(value.items())[:MAX_ITEMS]
        return {str(_plain(str(key), longest)): _plain(item, longest, depth + 1) for key, item in rows}
    if isinstance(value, list | tuple | set | frozenset) and depth < DEEPEST:
        return [_plain(item, longest, depth + 1) for item in list(value)[:MAX_ITEMS]]
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return _shortened(text, longest) if len(text) > longest else _printable(scrub(text))


def _shortened(text: str, longest: int) -> str:
    """The start of a long text, scrubbed. It is cut first, since anyone may send a long text; a password that the cut leaves without its
    ``@`` is masked too."""
    kept = _CUT_USERINFO.sub(rf"\1:{MASK}", scrub(text[:longest]))
    return f"{_printable(kept[:longest])}… ({len(text)} characters)"


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    first = {key: event[key] for key in OWN_FIELDS if key in event}
    return orjson.dumps(first | dict(event)).decode()


def _console() -> structlog.types.Processor:
    colors = sys.stderr is not None and sys.stderr.isatty()
    return structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time", repr_native_str=True, pad_event_to=28, pad_level=False)


class Redactor:
    """Cuts the secrets of the variables that a line may quote out of the fields with other programs' words. A structlog processor."""

    def __init__(self, redact: Redact) -> None:
        self._redact = redact

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        envs = _quotable.get({})
        if not envs:
            return event
        words = {key: event[key] for key in WORDS if isinstance(event.get(key), str)}
        return {**event, **{key: self._redact(text, envs) for key, text in words.items()}} if words else event


class _StandardError:
    """Writes lines to the current standard error. When that is closed or full, the line is lost."""

    def __init__(self, *_names: object) -> None: ...

    def msg(self, line: str) -> None:
        """Writes a line."""
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()

    debug = info = warning = error = critical = exception = fatal = msg


class _Libraries(logging.Handler):
    """Passes records of the standard library's logging to structlog; the event is the logger's name."""

    def emit(self, record: logging.LogRecord) -> None:
        """Logs one record. Lines that any client can cause as often as it likes have level debug."""
        level = logging.DEBUG if isinstance(record.msg, str) and record.msg.startswith(CLIENT_FAULTS) else record.levelno
        try:
            fields = {"exc_info": record.exc_info} if record.exc_info else {}
            structlog.get_logger().log(level, record.name, message=record.getMessage(), **fields)
        except (TypeError, ValueError, KeyError):
            self.handleError(record)
