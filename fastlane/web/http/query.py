"""Reads the query and the Range header strictly, and names every fault."""

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from tornado.httputil import HTTPServerRequest

from fastlane.errors import Fault, Invalid, nearest
from fastlane.models.schedule.schedule import read_duration, read_moment
from fastlane.web.http.problems import Problem

FLAGS = {"1": True, "true": True, "0": False, "false": False}
MAX_NAMES = 50
"""No route knows that many. Later ones are ignored, since one of the first must be unknown."""


def read_query(request: HTTPServerRequest, known: Collection[str]) -> dict[str, str]:
    """The query's values by name. Raises Invalid for an unknown name and for one that is repeated."""
    values: dict[str, str] = {}
    faults: list[Fault] = []
    for name, given in islice(request.query_arguments.items(), MAX_NAMES):
        if name not in known:
            faults.append(Fault(name[:80], f"is not a query parameter of this route; {_known_names(name, known)}"))
        elif len(given) > 1:
            faults.append(Fault(name, "appears twice; leave one out"))
        else:
            values[name] = given[0].decode("utf-8", "replace")
    if faults:
        raise Invalid(faults)
    return values


def _known_names(name: str, known: Collection[str]) -> str:
    if near := nearest(name, known):
        return f'the nearest one is "{near}"'
    return f"it takes {', '.join(sorted(known))}" if known else "it takes none"


def read_flag(values: Mapping[str, str], name: str) -> bool:
    """Whether a flag is on. One that is absent is off."""
    text = values.get(name, "0").lower()
    if text not in FLAGS:
        raise Invalid([Fault(name, "is neither on (1, true) nor off (0, false)")])
    return FLAGS[text]


def read_text(values: Mapping[str, str], name: str, most: int) -> str | None:
    """Text of 1 to ``most`` characters; None when it is absent."""
    text = values.get(name)
    if text is not None and not 1 <= len(text) <= most:
        raise Invalid([Fault(name, f"has {len(text)} characters; write 1 to {most}, or leave it out")])
    return text


def read_integer(values: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number from ``least`` to ``most``; ``default`` when it is absent."""
    text = values.get(name)
    if text is None:
        return default
    number = int(text) if re.fullmatch(r"[0-9]{1,100}", text, re.ASCII) else least - 1
    if number < least:
        raise Invalid([Fault(name, f"is not a whole number from {least} to {most}")])
    if number > most:
        raise Invalid([Fault(name, f"is too large; write a whole number from {least} to {most}")])
    return number


def read_since(values: Mapping[str, str], now: int, name: str = "since") -> int | None:
    """The time (in milliseconds) that ``since``, or another ``name``, names: by itself or by a duration before ``now``; None when it is
    absent."""
    if name not in values:
        return None
    try:
        return read_moment(values[name])
    except ValueError as error:
        with suppress(ValueError):
            return max(0, now - round(read_duration(values[name]) * 1000))
        raise Invalid([Fault(name, f'{error}, or a duration ago ("1h")')]) from None


def read_all(*reads: Callable[[], Any]) -> list[Any]:
    """The results of several reads. Raises Invalid with the faults of all of them."""
    faults: list[Fault] = []
    values = []
    for read in reads:
        try:
            values.append(read())
        except Invalid as error:
            faults += error.faults
    if faults:
        raise Invalid(faults)
    return values


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Where the requested bytes start and end (exclusive). None for all bytes: without a Range, and for one that is not supported (several
    ranges, another unit), as RFC 9110 allows. Raises a 416 for a range past the end."""
    match = re.fullmatch(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", header or "", re.ASCII)
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, end = max(0, size - int(match[2])), size
    if start >= size or start >= end:
        words = f"the range starts past the end; there are {size} bytes so far"
        raise Problem(416, words, headers={"Content-Range": f"bytes */{size}"})
    return start, end
