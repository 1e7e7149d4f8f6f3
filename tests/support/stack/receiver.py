"""A receiver of webhooks as a service beside the stack, in the network that leads out of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.stack.deployed import Stack
from tests.support.stack.images import HAPROXY

NAME = "receiver"
URL = f"http://{NAME}:8000/hook"
PROGRAM = """
import http.server, json
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(json.dumps({"headers": {name.lower(): value for name, value in self.headers.items()}, "body": body}), flush=True)
        self.send_response(204)
        self.end_headers()
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("", 8000), Receiver).serve_forever()
"""


@contextmanager
def receiving(stack: Stack) -> Iterator[None]:
    """A service of that name takes what is posted, until the block ends."""
    where = ("--network", "fastlane_default", "--endpoint-mode", "dnsrr")
    stack.docker("service", "create", "-q", "--name", NAME, *where, HAPROXY, "python3", "-c", PROGRAM)
    try:
        yield
    finally:
        stack.docker("service", "rm", NAME)


def received(stack: Stack) -> list[dict[str, Any]]:
    """What was posted so far: ``headers`` and ``body`` of each message."""
    return [json.loads(line) for line in stack.docker("service", "logs", "--raw", NAME).splitlines()]
