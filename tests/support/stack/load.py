"""Requests to the stack without a second try, on kept connections and on new ones, as long as something else goes on."""

import http.client
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from urllib.parse import urlsplit

from tests.support.stack.front import front

TASK = "under-load"
POST = json.dumps({"image": "ubuntu", "command": "echo later", "startIn": "12h"})
PAUSE = 0.1
"""Seconds between two requests of one client."""


@dataclass
class Load:
    """What became of the requests. ``accepted``: the paths of the jobs that were accepted; ``failures``: what went wrong, in words."""

    answered: int = 0
    accepted: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def under_load(addresses: Sequence[str], token: str) -> Iterator[Load]:
    """Two clients that submit jobs and two that read, one of each on a kept connection. They end with the context."""
    made, over = Load(), Event()
    with front(addresses, cut=False) as url, ThreadPoolExecutor() as pool:
        clients = [pool.submit(_ask, made, over, url, token, posts, kept) for posts in (True, False) for kept in (True, False)]
        try:
            yield made
        finally:
            over.set()
        for client in clients:
            client.result()


def _ask(made: Load, over: Event, url: str, token: str, posts: bool, kept: bool) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    headers = {"Authorization": f"Bearer {token}", **({} if kept else {"Connection": "close"})}
    what = ("POST", f"/tasks/{TASK}", POST) if posts else ("GET", "/executions?perPage=1", None)
    while not over.wait(PAUSE):
        try:
            connection.request(*what, headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            made.failures.append(f"{what[0]} on a {'kept' if kept else 'new'} connection: {error!r}")
            connection.close()
            continue
        made.answered += 1
        if answer.status >= 400:
            made.failures.append(f"{what[0]}: {answer.status} {body[:500]!r}")
        elif posts:
            made.accepted.append(urlsplit(json.loads(body)["jobUrl"]).path)
    connection.close()
