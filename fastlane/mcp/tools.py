"""The tools that programs which talk may call. Each is an operation of the API: ``tools.json`` is written from the declarations of routes
(``tests/support/mcp_tools.py``), and has for each tool its operation, its arguments and their schema.

``Tool`` makes the request of a call, and the tool's result from the API's answer. It knows nothing of how the request is sent: it passes
each ``ApiCall`` to a function. So access, limits and redaction are the API's own. Results are short: what is left out is said, with the
way to get it.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

LIMIT = 32 * 1024
"""Characters of a tool's result, and bytes of a log that are asked for: some 10,000 tokens."""
ROWS = "20"
"""Rows of a list, unless a call says otherwise."""
LARGEST = 4 * 1024 * 1024
"""Bytes of an answer of the API that are read."""
STEPS = ((4_000, 100), (1_000, 50), (300, 20), (100, 5))
"""To shorten JSON: the most characters of a text in it, and the most rows of a list, until it is short enough."""
MOST_FIELDS = 50
"""Fields that an object keeps at least: more than any has whose fields are not a user's own."""
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)

Content = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request of the API. ``path`` has its parameters in braces; ``keyed``: it takes an Idempotency-Key."""

    operation: str
    method: str
    path: str
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    keyed: bool = False

    @property
    def target(self) -> str:
        """The path with its parameters, percent-encoded."""
        return self.path.format_map({name: quote(value, safe="") for name, value in self.parameters.items()})


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """The API's answer. ``headers`` by their names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


SendCall = Callable[[ApiCall], Awaitable[ApiAnswer]]
"""Sends a request. Raises CallFailed when no answer comes."""


class CallFailed(Exception):
    """A call without a result. The text says why, for the program that called."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool. ``place`` says for each argument where the request has it: ``path``, ``query``, ``header`` or ``body``, and by which name.
    ``of_execution``: the operation when the argument ``execution`` is given, by its id and path; ``query``: what is always in the query.
    ``is_list``: it answers with a page of rows; ``is_text``: with a log."""

    name: str
    description: str
    method: str
    path: str
    schema: Mapping[str, Any]
    place: Mapping[str, tuple[str, str]]
    query: Mapping[str, str]
    of_execution: tuple[str, str] | None
    is_list: bool
    is_text: bool

    @property
    def writes(self) -> bool:
        """Whether a call changes something."""
        return self.method != "GET"

    @property
    def listed(self) -> dict[str, Any]:
        """The tool as ``tools/list`` shows it."""
        hints = {"readOnlyHint": not self.writes, "destructiveHint": False, "idempotentHint": not self.writes, "openWorldHint": False}
        return {"name": self.name, "description": self.description, "inputSchema": self.schema, "annotations": hints}

    async def run(self, arguments: Mapping[str, Any], send: SendCall) -> Content:
        """The content of the result. Raises CallFailed."""
        call = self.call(arguments)
        answer = await send(call)
        if self.is_text:
            return _log_content(answer)
        value = _read_json(answer)
        while self.is_list and len(answer.body) > LIMIT and (rows := int(call.query["perPage"])) > 1:
            fewer = max(1, min(rows - 1, rows * LIMIT * 3 // (len(answer.body) * 4)))
            call = replace(call, query={**call.query, "perPage": str(fewer)})
            answer = await send(call)
            value = _read_json(answer)
        return self._json_content(call, value)

    def call(self, arguments: Mapping[str, Any]) -> ApiCall:
        """The request of a call with these arguments. Raises CallFailed with every fault."""
        given = {name: value for name, value in arguments.items() if value is not None}
        faults = [self._unknown(name) for name in given if name not in self.place]
        faults += [f"{name}: is missing" for name in self.schema["required"] if name not in given]
        parts: dict[str, dict[str, Any]] = {"path": {}, "query": dict(self.query), "header": {}, "body": {}}
        for name, value in given.items():
            if name in self.place:
                place, key = self.place[name]
                fault, parts[place][key] = READERS[place](value)
                faults += [f"{name}: {fault}"] if fault else []
        if faults:
            raise CallFailed("; ".join(faults))
        if self.is_list:
            parts["query"].setdefault("perPage", ROWS)
        if self.is_text:
            parts["header"]["Range"] = bounded_range(parts["header"].get("Range"))
        operation, path = (self.name, self.path)
        if self.of_execution is not None and "execution_id" in parts["path"]:
            operation, path = self.of_execution
        keyed = ("header", "Idempotency-Key") in self.place.values()
        return ApiCall(operation, self.method, path, parts["path"], parts["query"], parts["header"], parts["body"] or None, keyed)

    def _unknown(self, name: str) -> str:
        return f"{name[:80]}: is not an argument of {self.name}; it takes {', '.join(self.place) or 'none'}"

    def _json_content(self, call: ApiCall, value: Any) -> Content:
        text, whole = shortened(value)
        notes = []
        if not whole:
            notes.append(f"Parts are left out here; {call.method} {call.target} of the API has all of it.")
        following = dict(parse_qsl(urlsplit(_next_url(value)).query))
        if "after" in following:
            taken = [(name, key) for name, (place, key) in self.place.items() if place == "query" and key in following]
            new = [f"{name}={following[key]}" for name, key in taken if following[key] != call.query.get(key)]
            notes.append(f"There is more: call {self.name} again with the same arguments and {' and '.join(new)}")
        return _texts(text, *notes)


def _texts(*texts: str) -> Content:
    return [{"type": "text", "text": text} for text in texts]


def _read_path(value: object) -> tuple[str, Any]:
    if not isinstance(value, str) or value in ("", ".", ".."):
        return "is not an id; lists show the ids", None
    return "", value


def _read_query(value: object) -> tuple[str, Any]:
    if isinstance(value, bool):
        return "", str(int(value))
    if not isinstance(value, str | int | float):
        return "is not text, a number or a boolean", None
    return "", str(value)


def _read_header(value: object) -> tuple[str, Any]:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return "is not text of printable ASCII characters", None
    return "", value


READERS: Mapping[str, Callable[[object], tuple[str, Any]]] = {
    "path": _read_path,
    "query": _read_query,
    "header": _read_header,
    "body": lambda value: ("", value),
}
"""Reads an argument for a place in the request: its fault, if it has one, and its value there. The API checks the value itself."""


def bounded_range(text: str | None) -> str:
    """The part of a log to ask for: the last ``LIMIT`` bytes, or what the range names, no more of it than that. Raises CallFailed."""
    match = RANGE.fullmatch("bytes=-" + str(LIMIT) if text is None else text)
    if match is None or not (match[1] or match[2]):
        raise CallFailed("range: is not a range of bytes, such as bytes=0-9999 or bytes=-9999")
    if not match[1]:
        return f"bytes=-{min(int(match[2]), LIMIT)}"
    start = int(match[1])
    last = start + LIMIT - 1
    return f"bytes={start}-{min(int(match[2]), last) if match[2] else last}"


def _read_json(answer: ApiAnswer) -> Any:
    """The JSON of an answer. Raises CallFailed for a refusal, and for an answer that is too large."""
    if answer.status >= 400:
        raise CallFailed(_refusal(answer))
    if len(answer.body) > LARGEST:
        raise CallFailed(f"the answer is larger than {LARGEST >> 20} MiB; ask for less: with perPage, or for one job")
    return json.loads(answer.body)


def _refusal(answer: ApiAnswer) -> str:
    """A problem (RFC 9457) as text."""
    try:
        problem = json.loads(answer.body)
        words = [str(problem["detail"]), *(f"{row['field']}: {row['message']}" for row in problem.get("errors", ()) if row["field"])]
    except (ValueError, LookupError, TypeError):
        words = ["no details"]
    wait = answer.headers.get("Retry-After")
    again = f"; try again after {wait} seconds" if wait else ""
    return f"{answer.status}: {'; '.join(dict.fromkeys(words))}{again}"[:LIMIT]


def _log_content(answer: ApiAnswer) -> Content:
    """What a log has, after a line that says whose it is and which part is shown. Raises CallFailed."""
    if answer.status == 416 and answer.headers.get("Content-Range") == "bytes */0":
        return _texts("Nothing is written so far.")
    if answer.status >= 400:
        raise CallFailed(_refusal(answer))
    headers, data = answer.headers, answer.body[-LIMIT:]
    about = [f"execution {headers.get('Fastlane-Execution-Id')}, status {headers.get('Fastlane-Status')}"]
    if "Fastlane-Exit-Code" in headers:
        about.append(f"exit code {headers['Fastlane-Exit-Code']}")
    if "Fastlane-Truncated" in headers:
        about.append("a part of the log is not stored, or not any more")
    match = re.fullmatch(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", headers.get("Content-Range", ""))
    if match is not None and (int(match[1]) > 0 or int(match[2]) + 1 < int(match[3])):
        first, last, size = map(int, match.groups())
        about.append(f"bytes {first} to {last} of {size}")
        if first > 0:
            about.append(f"what comes before: range=bytes={max(0, first - LIMIT)}-{first - 1}")
        if last + 1 < size:
            about.append(f"what comes after: range=bytes={last + 1}-{min(size, last + 1 + LIMIT) - 1}")
    return _texts("; ".join(about), data.decode(errors="replace")[-LIMIT:])


def _next_url(value: Any) -> str:
    found = value.get("nextUrl") if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def shortened(value: Any) -> tuple[str, bool]:
    """The value as JSON, ``LIMIT`` characters at most, and whether nothing is left out: long texts lose their middle, and long lists their
    end."""
    text = _json(value)
    if len(text) <= LIMIT:
        return text, True
    for characters, rows in STEPS:
        text = _json(_cut(value, characters, rows))
        if len(text) <= LIMIT:
            return text, False
    return text[: LIMIT - 1] + "…", False


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cut(value: Any, characters: int, rows: int) -> Any:
    match value:
        case str() if len(value) > characters:
            head, tail = characters // 4, characters - characters // 4
            return f"{value[:head]} … {len(value) - characters} characters left out … {value[-tail:]}"
        case list():
            more = [f"… {len(value) - rows} more left out"] if len(value) > rows else []
            return [*(_cut(part, characters, rows) for part in value[:rows]), *more]
        case dict():
            most = max(rows, MOST_FIELDS)
            kept: dict[str, Any] = {name: _cut(part, characters, rows) for name, part in list(value.items())[:most]}
            return kept | ({"…": f"{len(value) - most} more left out"} if len(value) > most else {})
    return value


@cache
def all_tools() -> Sequence[Tool]:
    """Every tool, in the order in which they are listed."""
    rows = json.loads(files("fastlane.mcp").joinpath("tools.json").read_text("utf-8"))
    return tuple(_tool(row) for row in rows)


def _tool(row: Mapping[str, Any]) -> Tool:
    return Tool(
        **{
            **row,
            "place": {name: (place, key) for name, (place, key) in row["place"].items()},
            "of_execution": tuple(row["of_execution"]) if row["of_execution"] else None,
        }
    )


def tools_for(*, may_run: bool) -> Mapping[str, Tool]:
    """The tools by name; those that write only if ``may_run``."""
    return {tool.name: tool for tool in all_tools() if may_run or not tool.writes}
