"""JSON and gzip: how an answer's body is encoded for its client."""

import gzip
import re
from typing import Any

import orjson

GZIP_FROM = 1_024
"""Bytes; smaller bodies are sent as they are."""


def encode_json(value: Any, accept_encoding: str) -> tuple[bytes, bool]:
    """A value as a line of JSON, and whether it is gzipped."""
    data = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    if len(data) >= GZIP_FROM and accepts_gzip(accept_encoding):
        return gzip.compress(data, 5, mtime=0), True
    return data, False


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    for coding in accept_encoding.split(","):
        name, _, parameter = coding.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q=0(\.0{0,3})?\s*", parameter)
    return False
