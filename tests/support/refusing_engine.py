"""Makes a real engine refuse calls: a relay changes request lines so that the engine itself answers with a 400 or a 404, or changes the
status of an answer, as a faulty proxy does. The calls have the names of ``lost_answers.CALLS``."""

import re

from tests.support.lost_answers import call_of
from tests.support.relay import Filter

LINE = re.compile(rb"^(GET|POST|DELETE) (\S+) HTTP/1\.1\r\n")
SPOILED = {
    "update": (b"version=", b"version=x"),
    "inspect": (b"?insertDefaults=", b"?insertDefaults=x"),
}
"""What is replaced in the path of a call, so that the engine refuses it."""


class RefusingEngine:
    """The filters of a relay before an engine. ``refused``: the calls that the engine does not understand from now on; it does not carry
    them out. ``hidden``: the calls that it answers with a 404, as it does for a service that is not there. ``broken``: how many answers to
    each of these calls become a 500, although the call was carried out. ``garbled``: the calls whose answers have another form than an
    engine's."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.hidden: set[str] = set()
        self.broken: dict[str, int] = {}
        self.garbled: set[str] = set()
        self.calls: list[str] = []

    def filters(self) -> tuple[Filter, Filter]:
        """The filters of one connection, on which one call follows another's answer."""
        last = ""

        def requests(data: bytes) -> bytes:
            nonlocal last
            found = LINE.match(data)
            if found is None:
                return data
            last = call_of(found[0].decode().strip())
            self.calls.append(last)
            return self._spoiled(last, found[0]) + data[found.end() :]

        def answers(data: bytes) -> bytes:
            if last in self.garbled:
                return data.replace(b'"Spec":', b'"Spek":')
            left = self.broken.get(last, 0)
            if not left or not data.startswith(b"HTTP/1.1 2"):
                return data
            self.broken[last] = left - 1
            return re.sub(rb"^HTTP/1\.1 [^\r]*", b"HTTP/1.1 500 Something New", data, count=1)

        return requests, answers

    def _spoiled(self, call: str, line: bytes) -> bytes:
        if call in self.hidden:
            return line.replace(b"/services/", b"/services/no-", 1)
        if call not in self.refused:
            return line
        before, after = SPOILED[call]
        if call == "inspect" and b"?" not in line:
            return line.replace(b" HTTP/1.1", after + b" HTTP/1.1")
        return line.replace(before, after)
