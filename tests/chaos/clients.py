"""Those who ask for jobs, change, stop, repeat and follow them, and write down what they were answered."""

import contextlib
import json
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import Any

from tests.chaos import plan
from tests.chaos.checker import ACCEPTED, FINAL
from tests.chaos.record import Journal, now
from tests.support.waiting import wait_until

Row = dict[str, Any]
TASK = "chaos"
CRON_RETRIES = 2
TRY_FOR = 90.0
"""Seconds for which a client sends a request with a key again."""
ANSWER_WITHIN = 8.0
FOLLOWS_FOR = 300.0
REFUSED = range(400, 500)
GONE, UNAVAILABLE = 404, 503
DOUBTS = ("the store did not answer", "the store cannot be used")
"""Words of a 503 whose request may have been done after all (docs/operations.md)."""
TELL = 'echo "$FASTLANE_EXECUTION_ID $(hostname) $(date +%s)" >> /witness/starts; '
"""The beginning of each script: its container tells of its start, outside of every engine."""


def script(name: str, lines: int, pause: float, code: int) -> str:
    """What a container does: it tells of each line before it writes it."""
    return (
        f'{TELL}sleep 1; i=0; while [ $i -lt {lines} ]; do echo "{name} $i" >> /witness/lines-$FASTLANE_EXECUTION_ID; '
        f'echo "{name} $i"; i=$((i+1)); sleep {pause}; done; sleep 1; exit {code}'
    )


def labels() -> Sequence[str]:
    """The labels of a service that declare a job with a run each minute."""
    command = shlex.join(["sh", "-c", script("labelled", 2, 0.05, 0)])
    return (
        f"com.docker.stack.namespace={TASK}",
        "fastlane.cron=* * * * *",
        f"fastlane.command={command}",
        f"fastlane.retries={CRON_RETRIES}",
    )


class Clients:
    """The clients of the API servers at these ports."""

    def __init__(self, ports: Sequence[int], token: str, image: str, mount: str, journal: Journal) -> None:
        self._ports = ports
        self._headers = {"Authorization": f"Bearer {token}"}
        self._image = image
        self._mount = mount
        self._journal = journal
        self._ended = threading.Event()
        self._turn = count()

    def end(self) -> None:
        """No wish is sent again after that."""
        self._ended.set()

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int | None, Any]:
        """One request: its status, None where no answer came; and its body."""
        headers = self._headers | ({} if key is None else {"Idempotency-Key": key})
        connection = HTTPConnection("127.0.0.1", self._port(), timeout=ANSWER_WITHIN)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, HTTPException, ValueError):
            return None, None
        finally:
            connection.close()

    def insist(self, method: str, path: str, body: object = None) -> tuple[int | None, Any]:
        """Asks until there is an answer that is no refusal for now. Not for what must not be done twice."""
        began = time.monotonic()
        while True:
            status, answer = self.ask(method, path, body)
            if (status is not None and status < 500) or time.monotonic() > began + TRY_FOR:
                return status, answer
            time.sleep(0.5)

    def fulfil(self, wish: plan.Wish) -> None:
        """Asks for a job, and does what its client does then."""
        job = self._post(wish)
        if job is None:
            return
        if wish.stopped_after is not None and not self._ended.wait(wish.stopped_after):
            self.stop(job)
        if wish.changed_after is not None and not self._ended.wait(wish.changed_after):
            self._change(job, wish)
        if wish.again:
            self._run_again(job, wish)
        if wish.followed:
            self._follow(job)

    def stop(self, job: str) -> int:
        """Asks to stop a job until that is answered. Returns when it was first asked."""
        sent = now()
        while True:
            asked = now()
            self._journal.write("stop", job=job, sent=asked, status=None)  # before it is sent: it may be done without an answer
            status, _ = self.ask("POST", f"/tasks/{TASK}/jobs/{job}/stop")
            self._journal.write("stop", job=job, sent=asked, answered=now(), status=status)
            if status in (200, 404, 409) or (now() > sent + TRY_FOR * 1000 and self._ended.is_set()):
                return sent
            time.sleep(0.5)

    def begin_cron(self, number: int) -> tuple[str, int]:
        """A job that runs each minute: its id, and since when."""
        body = self._body(f"cron-{number}", script(f"cron-{number}", 2, 0.05, 0), CRON_RETRIES) | {"cron": "* * * * *"}
        status, answer = self.ask("POST", f"/tasks/{TASK}", body)
        assert status == ACCEPTED, answer
        return answer["jobId"], now()

    def labelled(self, name: str) -> tuple[str, int]:
        """The job that a service's labels have declared, once it is there, and since when it is known."""

        def found() -> str | None:
            return next((row["id"] for row in self.rows(f"/tasks/{TASK}/jobs") if row["name"] == name), None)

        return wait_until(found, f"the job {name}"), now()

    def rows(self, path: str) -> Iterator[Any]:
        """All rows of a list."""
        url: str | None = f"{path}?perPage=100"
        while url:
            status, page = wait_until(lambda url=url: (got := self.ask("GET", url))[0] == ACCEPTED and got, f"{url} to be answered")
            assert status == ACCEPTED
            yield from page["items"]
            url = page["nextUrl"] and "/" + page["nextUrl"].split("/", 3)[3]

    def log(self, path: str) -> str:
        """A stored stdout; empty where the answer says that there is none, since nothing of it has started."""

        def answered() -> tuple[int, bytes] | None:
            with contextlib.suppress(OSError, HTTPException), closing(HTTPConnection("127.0.0.1", self._port(), timeout=60)) as connection:
                connection.request("GET", path, headers=self._headers)
                answer = connection.getresponse()
                body = answer.read()
                return (answer.status, body) if answer.status == ACCEPTED or b"has no output" in body else None
            return None

        status, body = wait_until(answered, path)
        return body.decode() if status == ACCEPTED else ""

    def _port(self) -> int:
        return self._ports[next(self._turn) % len(self._ports)]

    def _post(self, wish: plan.Wish) -> str | None:
        """Asks for a job; again and again if it has a key, until there is an answer. Returns its id."""
        body = self._body(wish.name, script(wish.name, wish.lines, wish.pause, wish.code), wish.retries)
        body |= {} if wish.changed_after is None else {"startIn": f"{plan.START_IN}s"}
        facts = {"name": wish.name, "code": wish.code, "retries": wish.retries}
        job: str | None = self._until_answered("post", f"/tasks/{TASK}", body, wish, facts, "POST").get("jobId")
        return job

    def _change(self, job: str, wish: plan.Wish) -> None:
        """Lets a job end with another code."""
        code = 4 - wish.code
        body = {"command": ["sh", "-c", script(wish.name, wish.lines, wish.pause, code)]}
        self._until_answered("change", f"/tasks/{TASK}/jobs/{job}", body, wish, {"job": job, "code": code}, "PATCH")

    def _run_again(self, job: str, wish: plan.Wish) -> None:
        """Runs a job again once its executions have ended."""

        def ended() -> bool:
            status, page = self.ask("GET", f"/tasks/{TASK}/jobs/{job}/executions?perPage=100")
            return status == ACCEPTED and bool(page["items"]) and all(row["status"] in FINAL for row in page["items"])

        while not ended():
            if self._ended.wait(1):
                return
        self._until_answered("again", f"/tasks/{TASK}/jobs/{job}/retry", None, wish, {"job": job}, "POST")

    def _until_answered(self, kind: str, path: str, body: object, wish: plan.Wish, facts: Row, method: str) -> Row:
        """Sends a request, with a key again and again until it is accepted or refused for good. Writes down each answer, and returns that
        of the accepted one, else nothing."""
        key, began = f"{kind}-{wish.name}" if wish.keyed else None, time.monotonic()
        while True:
            sent = now()
            status, answer = self.ask(method, path, body, key)
            accepted: Row = answer if status == ACCEPTED else {}
            doubt = status == UNAVAILABLE and any(words in answer["detail"] for words in DOUBTS)
            given = {"doubt": doubt, "job": accepted.get("jobId")} | facts | {"execution": accepted.get("executionId")}
            self._journal.write(kind, key=key, sent=sent, answered=now(), status=status, **given)
            done = accepted or key is None or status in REFUSED
            if done or time.monotonic() - began > TRY_FOR or self._ended.wait(1):
                return accepted

    def _follow(self, job: str) -> None:
        """Follows a job's log to its end, from where it was whenever it is cut off; writes down what came."""
        text, cursor, began, cuts, whole = "", None, time.monotonic(), -1, False
        while not whole and time.monotonic() < began + FOLLOWS_FOR:
            cuts += 1
            for event, id, data in self._events(f"/tasks/{TASK}/jobs/{job}/logs?follow=1", cursor):
                cursor = id or cursor
                text += data.get("text", "") if event == "log" else ""
                whole = whole or event == "end"
            if not whole and self.ask("GET", f"/tasks/{TASK}/jobs/{job}")[0] == GONE:
                break
            time.sleep(0 if whole else 0.5)
        self._journal.write("followed", job=job, text=text, whole=whole, cuts=cuts)

    def _events(self, path: str, cursor: str | None) -> Iterator[tuple[str, str | None, Any]]:
        """The events of one connection, until it ends or is silent for long: the name, the id and the data of each."""
        headers = self._headers | {"Accept": "text/event-stream"} | ({} if cursor is None else {"Last-Event-ID": cursor})
        connection = HTTPConnection("127.0.0.1", self._port(), timeout=30)
        try:
            connection.request("GET", path, headers=headers)
            answer, fields = connection.getresponse(), dict[str, str]()
            while answer.status == ACCEPTED and (line := answer.readline()):
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if line != b"\n":
                    fields[name] = value
                elif "data" in fields:
                    yield fields.get("event", ""), fields.get("id"), json.loads(fields["data"])
                    fields = {}
        except (OSError, HTTPException, ValueError):
            return
        finally:
            connection.close()

    def _body(self, name: str, command: str, retries: int) -> dict[str, Any]:
        rules = {"retries": retries, "retryDelay": "1s"}
        container = {"mounts": [self._mount], "stopGrace": "2s"}
        return {"image": self._image, "command": ["sh", "-c", command], "name": name, "container": container, **rules}
