"""Loses one answer of Redis or of an engine at a relay: the request is passed on and carried out, its answer is swallowed, and the
connection is cut.

``redis_filters`` knows enough RESP to tell one script from another inside a pipeline, ``engine_filters`` enough HTTP/1.1 for method and
path.
"""

import re
from collections import deque
from typing import Any

import hiredis

from fastlane.queue.redis.connection import Script
from tests.support.relay import Filter, Filters, Last

SCRIPTS = {script.digest: name for name, script in Script.read_all().items()}

CALLS = {
    "create": r"POST /services/create",
    "update": r"POST /services/[^/]+/update",
    "inspect": r"GET /services/[^/]+",
    "services": r"GET /services",
    "delete": r"DELETE /services/[^/]+",
    "tasks": r"GET /tasks",
    "logs": r"GET /tasks/[^/]+/logs",
    "nodes": r"GET /nodes",
    "container": r"GET /containers/[^/]+/json",
    "distribution": r"GET /distribution/.+/json",
    "image": r"GET /images/.+/json",
}
"""Each call of an engine that fastlane makes for an execution: its method and path, without version and query."""


class LostAnswer:
    """Which answer is lost: the ``nth`` one to the call named ``lost``, once. ``dropped`` says that it was; ``seen`` are the calls."""

    def __init__(self, lost: str, nth: int = 1) -> None:
        self.dropped = False
        self.seen: list[str] = []
        self._lost = lost
        self._left = nth

    def hit(self, name: str) -> bool:
        """Whether the answer to this call is to be lost."""
        self.seen.append(name)
        if name != self._lost or self.dropped:
            return False
        self._left -= 1
        return self._left == 0


def redis_filters(loss: LostAnswer) -> Filters:
    """Loses an answer of Redis. A script's name is that of its file; any other command's is its first word."""

    def filters() -> tuple[Filter, Filter]:
        waiting: deque[str] = deque()
        asked, answered = hiredis.Reader(), hiredis.Reader()
        unfinished = bytearray()
        cut = False

        def requests(data: bytes) -> bytes:
            asked.feed(data)
            while (command := asked.gets()) is not False:
                word = command[0].decode().upper()
                waiting.append(SCRIPTS.get(command[1].decode(), word) if word == "EVALSHA" else word)
            return data

        def answers(data: bytes) -> bytes | None:
            nonlocal cut
            if cut:
                return None
            whole = bytearray()
            for byte in data:  # so that the answers before the lost one, in the same packet, still pass
                unfinished.append(byte)
                answered.feed(bytes([byte]))
                answer = answered.gets()
                if answer is False:
                    continue
                name = waiting.popleft() if waiting else "message"
                if not is_idle(name, answer) and loss.hit(name):
                    loss.dropped = cut = True
                    break
                whole += unfinished
                unfinished.clear()
            if cut:
                return Last(whole) if whole else None
            return bytes(whole)

        return requests, answers

    return filters


def is_idle(name: str, answer: Any) -> bool:
    """Whether it is the answer to a claim that gave nothing, or of a script that is to be called again, or loaded first."""
    if isinstance(answer, hiredis.ReplyError) or (isinstance(answer, list) and answer[:1] == [b"LANE"]):
        return True
    return name == "claim" and not answer[3]


def engine_filters(loss: LostAnswer, kept: int) -> Filters:
    """Loses an engine's answer, but for its first ``kept`` bytes. A call's name is one of ``CALLS``."""

    def filters() -> tuple[Filter, Filter]:
        buffer = bytearray()
        body = 0
        losing = False
        let = kept

        def requests(data: bytes) -> bytes:
            nonlocal body, losing
            buffer.extend(data)
            while True:
                if body:
                    taken = min(body, len(buffer))
                    del buffer[:taken]
                    body -= taken
                end = buffer.find(b"\r\n\r\n")
                if body or end < 0:
                    return data
                head = bytes(buffer[:end]).decode("latin-1")
                del buffer[: end + 4]
                length = re.search(r"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
                body = int(length.group(1)) if length else 0
                losing = loss.hit(call_of(head.partition("\r\n")[0])) or losing

        def answers(data: bytes) -> bytes | None:
            nonlocal let
            if not losing:
                return data
            loss.dropped = True
            passed, let = data[:let], max(0, let - len(data))
            if let:
                return passed
            return Last(passed) if passed else None

        return requests, answers

    return filters


def call_of(line: str) -> str:
    """The name of a request line's call."""
    method, path, _ = line.split(" ")
    short = f"{method} {re.sub(r'^/v[0-9.]+', '', path.partition('?')[0])}"
    return next((name for name, pattern in CALLS.items() if re.fullmatch(pattern, short)), short)
