"""Runs jobs on three managers while faults strike, and writes down what clients were answered and what stands in the end.

The managers are engines on this machine, each as if on a machine of its own. One API server and two workers share a store on SQLite and a
Redis that keeps its data. See ``checker`` for what is written, and for how it is judged.
"""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from redis import RedisError

from tests.chaos import plan
from tests.chaos.checker import FINAL, Witness
from tests.support.installation import Installation, installed
from tests.support.nodes import NodesView, agreed, image_of
from tests.support.redis import RealRedis
from tests.support.start_witness import TELL
from tests.support.swarms import Swarms
from tests.support.waiting import wait_until

TASK = "chaos"
WORKERS = 2
CRONS = 2
CRON_RETRIES = 2
TRY_FOR = 90.0
"""Seconds for which a client sends a wish with a key again."""
ANSWER_WITHIN = 8.0
ENDED_WITHIN = 300.0
"""Seconds after the last fault in which everything has ended: a lost host is given up after less than one, and then come the retries."""
GONE_WITHIN = 120.0
SETTINGS = {"lease": "3s", "renew": "1s", "host_lost_after": "30s", "breaker_reset": "3s", "listen": "127.0.0.1"}


class Journal:
    """The record while it is written: each row is on the disk before the next step."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._lock = threading.Lock()

    def write(self, kind: str, **row: object) -> None:
        """Adds a row."""
        with self._lock:
            self._file.write(json.dumps({"kind": kind, **row}) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Clients:
    """Those who ask for jobs and stop them."""

    def __init__(self, fastlane: Installation, image: str, journal: Journal) -> None:
        self.fastlane = fastlane
        self._image = image
        self._journal = journal
        self._ended = threading.Event()

    def end(self) -> None:
        """No wish is sent again after that."""
        self._ended.set()

    def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int | None, Any]:
        """One request: its status, None where no answer came; and its body."""
        headers = {"Authorization": f"Bearer {self.fastlane.token}", **({} if key is None else {"Idempotency-Key": key})}
        connection = HTTPConnection("127.0.0.1", self.fastlane.port, timeout=ANSWER_WITHIN)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, HTTPException, ValueError):
            return None, None
        finally:
            connection.close()

    def fulfil(self, wish: plan.Wish) -> None:
        """Asks for a job; again and again if it has a key, until there is an answer."""
        key, began = wish.name if wish.keyed else None, time.monotonic()
        while True:
            sent = now()
            status, answer = self.ask("POST", f"/tasks/{TASK}", self._body(wish), key)
            job = answer["jobId"] if status == 200 else None
            self._journal.write(
                "post", name=wish.name, key=key, sent=sent, answered=now(), status=status, job=job, code=wish.code, retries=wish.retries
            )
            if job is not None or key is None or time.monotonic() - began > TRY_FOR or self._ended.wait(1):
                break
        if job is not None and wish.stopped_after is not None and not self._ended.wait(wish.stopped_after):
            self.stop(job)

    def stop(self, job: str) -> int:
        """Asks to stop a job until that is answered. Returns when it was first asked."""
        sent = now()
        while True:
            self._journal.write("stop", job=job, sent=now(), status=None)  # before it is sent: it may be done without an answer
            status, _ = self.ask("POST", f"/tasks/{TASK}/jobs/{job}/stop")
            if status in (200, 404, 409):
                return sent
            if time.monotonic() > sent / 1000 + TRY_FOR and self._ended.wait(1):
                return sent

    def begin_cron(self, number: int) -> tuple[str, int]:
        """A job that runs each minute: its id, and since when."""
        body = self._body(plan.Wish(0, f"cron-{number}", False, 2, 0.05, 0, CRON_RETRIES, None)) | {"cron": "* * * * *"}
        status, answer = self.ask("POST", f"/tasks/{TASK}", body)
        assert status == 200, answer
        return answer["jobId"], now()

    def rows(self, path: str) -> Iterator[Any]:
        """All rows of a list."""
        url: str | None = f"{path}?perPage=100"
        while url:
            status, page = wait_until(lambda url=url: (got := self.ask("GET", url))[0] == 200 and got, f"{url} to be answered")
            assert status == 200
            yield from page["items"]
            url = page["nextUrl"] and "/" + page["nextUrl"].split("/", 3)[3]

    def _body(self, wish: plan.Wish) -> dict[str, Any]:
        script = (
            f'{TELL}sleep 1; i=0; while [ $i -lt {wish.lines} ]; do echo "{wish.name} $i" >> /witness/lines-$FASTLANE_EXECUTION_ID; '
            f'echo "{wish.name} $i"; i=$((i+1)); sleep {wish.pause}; done; sleep 1; exit {wish.code}'
        )
        container = {"mounts": [self.fastlane.witness.mount], "stopGrace": "2s"}
        rules = {"retries": wish.retries, "retryDelay": "1s"}
        return {"image": self._image, "command": ["sh", "-c", script], "name": wish.name, "container": container, **rules}


class Troubles:
    """What makes faults and mends them."""

    def __init__(self, fastlane: Installation, bed: Swarms, redis: RealRedis, journal: Journal) -> None:
        self._fastlane = fastlane
        self._bed = bed
        self._redis = redis
        self._journal = journal
        self._lock = threading.Lock()

    def strike(self, fault: plan.PlannedFault, wait: Callable[[float], object]) -> None:
        """Makes a fault, lets it last, and mends it."""
        node = self._bed.nodes[fault.target]
        makes: Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "worker-killed": (lambda: self._kill("worker", fault.target), lambda: self._again("worker", WORKERS)),
            "worker-frozen": (lambda: self._freeze("worker", fault.target), self._thaw),
            "api-killed": (lambda: self._kill("api", 0), lambda: self._again("api", 1)),
            "api-frozen": (lambda: self._freeze("api", 0), self._thaw),
            "queue-killed": (self._redis.kill, self._redis_again),
            "queue-frozen": (self._redis.pause, self._redis.go_on),
            "queue-emptied": (self._empty, lambda: None),
            "engine-killed": (node.kill, node.start),
            "engine-halted": (node.halt, node.start),
            "engine-frozen": (node.pause, node.resume),
            "node-cut": (node.cut, node.mend),
            "disk-full": (node.fill, node.empty),
        }
        strike, mend = makes[fault.name]
        self._journal.write("fault", at=now(), name=fault.name, target=fault.target, lasts=fault.lasts)
        strike()
        wait(fault.lasts)
        mend()

    def _kill(self, role: str, target: int) -> None:
        with self._lock:
            for process in self._fastlane.running(role)[target % WORKERS :][:1]:
                process.kill()
                process.wait()

    def _again(self, role: str, count: int) -> None:
        with self._lock:
            while len(self._fastlane.running(role)) < count:
                self._fastlane.start(role)

    def _freeze(self, role: str, target: int) -> None:
        for process in self._fastlane.running(role)[target % WORKERS :][:1]:
            process.send_signal(signal.SIGSTOP)

    def _thaw(self) -> None:
        for role in ("worker", "api"):
            for process in self._fastlane.running(role):
                process.send_signal(signal.SIGCONT)

    def _empty(self) -> None:
        with contextlib.suppress(OSError, RedisError):
            self._redis.flush()

    def _redis_again(self) -> None:
        self._redis.kill()
        self._redis.start()


def run(seed: int, seconds: float, folder: Path, say: Callable[[str], None]) -> tuple[list[dict[str, Any]], Witness]:
    """Makes a run. Returns its record and what its containers told."""
    record = folder / "record.jsonl"
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with contextlib.ExitStack() as stack:
        bed = stack.enter_context(Swarms("joined"))
        image = stack.enter_context(image_of(bed))
        redis = stack.enter_context(RealRedis(*durable))
        journal = Journal(record)
        stack.callback(journal.close)
        view = NodesView(bed, [node.tcp for node in bed.nodes])
        policy = {"mounts": [f"{folder}/witness"], "stopGrace": "10s"}
        rules = {"maxRunning": 30, "policy": policy}
        fastlane = stack.enter_context(installed(folder, view, redis=redis.url, pool=rules, with_token=True, **SETTINGS))
        fastlane.serve("api")
        for _ in range(WORKERS):
            fastlane.start("worker")
        fastlane.until_healthy()
        clients, troubles = Clients(fastlane, image, journal), Troubles(fastlane, bed, redis, journal)
        crons = [clients.begin_cron(number) for number in range(CRONS)]
        _strike_and_wish(seed, seconds, clients, troubles, say)
        agreed(bed)
        fastlane.until_healthy(ENDED_WITHIN)
        for job, since in crons:
            journal.write("cron", job=job, retries=CRON_RETRIES, since=since, until=clients.stop(job))
        say("the faults are over; waiting for the ends of all executions")
        _until_ended(clients)
        _write_down(clients, journal, view, fastlane.name)
        return _read(record), _witness(fastlane.witness.folder)


def _strike_and_wish(seed: int, seconds: float, clients: Clients, troubles: Troubles, say: Callable[[str], None]) -> None:
    began = time.monotonic()

    def at(moment: float) -> None:
        time.sleep(max(0.0, began + moment - time.monotonic()))

    def strike(fault: plan.PlannedFault) -> None:
        at(fault.at)
        say(f"{fault.at:5.0f} s  {fault.name} {fault.target}, for {fault.lasts:.0f} s")
        troubles.strike(fault, time.sleep)

    def fulfil(wish: plan.Wish) -> None:
        at(wish.at)
        clients.fulfil(wish)

    faults, wishes = plan.faults(seed, seconds), plan.wishes(seed, seconds)
    with ThreadPoolExecutor(len(faults) + len(wishes)) as pool:
        results = [*(pool.submit(strike, fault) for fault in faults), *(pool.submit(fulfil, wish) for wish in wishes)]
        at(seconds)
        clients.end()
    for result in results:
        result.result()


def _until_ended(clients: Clients) -> None:
    began = time.monotonic()
    while time.monotonic() < began + ENDED_WITHIN:
        rows = list(clients.rows("/executions"))
        if rows and all(row["status"] in FINAL for row in rows):
            return
        time.sleep(2)


def _write_down(clients: Clients, journal: Journal, view: NodesView, installation: str) -> None:
    for job in clients.rows("/jobs"):
        id = job["id"]
        journal.write("job", job=id, name=job["name"])
        for row in clients.rows(f"/tasks/{TASK}/jobs/{id}/ticks"):
            journal.write("tick", job=id, row=row)
        for row in clients.rows(f"/tasks/{TASK}/jobs/{id}/executions"):
            journal.write("execution", row=row, log=_log(clients, f"/tasks/{TASK}/jobs/{id}/executions/{row['executionId']}/stdout"))
    left = view.services(installation)
    began = time.monotonic()
    while left and time.monotonic() < began + GONE_WITHIN:
        time.sleep(1)
        left = view.services(installation)
    journal.write("left", services=left)


def _log(clients: Clients, path: str) -> str:
    """Its stdout; empty where the answer says that it never started."""
    answer = clients.fastlane.get(path)
    assert answer.status == 200 or b"never started" in answer.body, answer
    return answer.body.decode() if answer.status == 200 else ""


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _witness(folder: Path) -> Witness:
    starts = [tuple(line.split()) for line in (folder / "starts").read_text().splitlines()]
    lines = {path.name.removeprefix("lines-"): path.read_text() for path in folder.glob("lines-*")}
    return Witness([(id, container) for id, container in starts], lines)
