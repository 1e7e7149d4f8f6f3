"""JSON and gzip: how an answer's body is encoded for its client."""

import gzip
import re
from typing import Any

import orjson

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
