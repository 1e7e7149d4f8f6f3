"""A fastlane in which things have happened, for pictures: always the same, at the same time of the same day, with the same ids."""

import json
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from playwright.async_api import BrowserContext, Route

from fastlane.clock import AlignedClock, SystemClock
from fastlane.models import transitions
from fastlane.models.host import Disk, HostView
from fastlane.models.job import Ending, Failure, Usage
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.queue.port import Lane, Report
from tests.support.fastlane import HOST, Fastlane

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
MOMENT = round(NOW.timestamp() * 1_000)
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
SECOND_HOST, GPU = "10.0.0.8:2375", "10.0.9.3:2375"
POOLS = (Pool("gpu", "train-", (GPU,), max_running=2), Pool("default", "", (HOST, SECOND_HOST)))
NEVER = "0 0 29 2 *"
CRONS = {
    "invoices": "15 * * * mon-fri",
    "backup-database": "0 2 * * *",
    "clean-up": "@hourly",
    "train-forecast": "0 20 * * sun",
    "import-customers": "40 6 * * *",
}
LOG = b"""Reading 1,204 invoices of 2026-02
\x1b[32mok\x1b[0m   1,198 invoices have a page of their own
\x1b[33mwarn\x1b[0m 6 invoices have no address: see https://wiki.example.com/invoices
Writing report.pdf: 64 pages, 2.1 MB
Sent to finance@example.com
"""


class StillClock(AlignedClock):
    """Shows the time at which it is set, whatever other clocks show."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.at = MOMENT

    @property
    def skew(self) -> int:
        return 0

    def now(self) -> int:
        return self.at

    async def align(self, ask: Callable[[], Awaitable[int]]) -> None:
        """Stays as it is."""


DUMP = b"dumping the table orders\npg_dump: error: could not write to output file: No space left on device\n"


class Sample:
    """Fills a fastlane with what happened until ``MOMENT``; its clock is a ``StillClock``."""

    def __init__(self, server: Fastlane, clock: StillClock) -> None:
        self.server = server
        self.clock = clock
        self.replies: dict[str, dict[str, Any]] = {}
        self.failed = ""
        """The id of the execution that failed on a node."""
        self._jobs_made = 0

    async def fill(self) -> None:
        await self._jobs()
        for hour in range(23, -1, -1):
            await self._hour(hour)
        await self._failures()
        await self._under_way()
        await self._schedules()
        self.clock.at = MOMENT
        await self._hosts()
        await self.server.count_ends()

    async def _enqueue(self, task: str, **fields: Any) -> dict[str, Any]:
        """Enqueues a job, whose id depends on its task and on how many jobs there were before alone."""
        self._jobs_made += 1
        random.seed(f"{task} {self._jobs_made}")
        return await self.server.enqueue(task, **fields)

    async def _jobs(self) -> None:
        body: Mapping[str, Mapping[str, Any]] = {
            "invoices": {
                "name": "Monthly report",
                "image": "registry.example.com/invoices:4.2",
                "command": "python -m invoices report --month last",
                "timezone": "Europe/Berlin",
                "envs": {"MODE": "full", "API_TOKEN": "hush"},
                "resources": {"memory": "512m", "cpus": 1},
                "retries": 2,
                "timeout": "15m",
                "labels": {"team": "finance"},
            },
            "backup-database": {"image": "postgres:17", "command": "pg_dump --format custom shop"},
            "clean-up": {"image": "alpine:3.21", "command": "find /data -mtime +30 -delete"},
            "train-forecast": {"image": "pytorch/pytorch:2.6", "command": "python train.py --epochs 40"},
            "import-customers": {"image": "python:3.13", "command": "python -m importer --from s3://bucket/customers"},
        }
        self.clock.at = MOMENT - 26 * HOUR
        for task, fields in body.items():
            self.replies[task] = await self._enqueue(task, **{**fields, "cron": NEVER})
            self.clock.at += SECOND

    async def _schedules(self) -> None:
        """Gives the jobs their schedules: the times at which those would have run are not played here."""
        self.clock.at = MOMENT - 4 * MINUTE
        for task, cron in CRONS.items():
            await self.server.ask("PATCH", self.replies[task]["jobUrl"], data=json.dumps({"cron": cron}))
        await self._enqueue("send-newsletter", image="mailer:7", command="send --list weekly", startIn="6h")

    async def run(
        self, task: str, at: int, seconds: float, code: int = 0, memory: int = 180_000_000, log: bytes = b"", node: str | None = None
    ) -> str:
        """Has a job of the sample run at a moment, for so long by its own account. The id of the execution."""
        server = self.server
        self.clock.at = at
        reply = (await server.post(self.replies[task]["jobUrl"] + "run")).json
        self.clock.at += 180 + at // MINUTE % 7 * 60
        started = await server.run(reply, node=node)
        if log:
            await server.append_log(started, (1, log), at=at + SECOND)
        head = await server.store.log_head(started.id)
        failure = Failure(FailureReason.EXIT, f"exit code {code}") if code else None
        status = Status.FAILED if code else Status.DONE
        usage = Usage(memory, round(seconds * 640))
        finished = self.clock.at + round(seconds * SECOND)
        ending = Ending(status, finished, code, failure, stdout_bytes=head.stdout, stderr_bytes=head.stderr, usage=usage)
        await server.change(transitions.end(started, ending))
        await server.queue.cancel(started.id)
        return str(started.id)

    async def _hour(self, ago: int) -> None:
        """What ends in each hour of the day before."""
        at = MOMENT - ago * HOUR - 15 * MINUTE
        code = 1 if ago in (9, 17) else 0
        log = LOG if ago == 0 else b""
        await self.run("invoices", at, 38 + 17 * ((ago * 7) % 5), code, 180_000_000 + (ago * 37 % 11) * 28_000_000, log)
        for number in range(1 + (ago * 5) % 4):
            await self.run("clean-up", at - number * 3 * MINUTE, 4 + number)

    async def _failures(self) -> None:
        self.failed = await self.run("backup-database", MOMENT - 7 * HOUR, 92, 137, 510_000_000, DUMP, "node3")
        await self.run("import-customers", MOMENT - 170 * MINUTE, 12, 3)

    async def _under_way(self) -> None:
        server, clock = self.server, self.clock
        for task, minutes in (("train-forecast", 84), ("clean-up", 1)):
            clock.at = MOMENT - minutes * MINUTE
            await server.run((await server.post(self.replies[task]["jobUrl"] + "run")).json)
        clock.at = MOMENT - 30 * SECOND
        await server.pull(await self._enqueue("transcode", command="ffmpeg -i in.mp4 out.webm"))
        await server.queue.generation.set_generation("1")
        claimed = await server.queue.claim("1", "worker-a", [Lane(pool.name, pool.max_running) for pool in POOLS], 3, lease=HOUR)
        assert len(claimed.leases) == 3
        for _ in range(3):
            clock.at += 4 * SECOND
            await self._enqueue("transcode", command="ffmpeg -i in.mp4 out.webm")

    async def _hosts(self) -> None:
        since = MOMENT - 12 * MINUTE
        disk = Disk(412_000_000_000, 960_000_000_000)
        hosts = (
            HostView(HOST, True, swarm_id="one", running=2, cpus=16, memory=67_000_000_000, disk=disk),
            HostView(SECOND_HOST, False, "refused the connection", since, swarm_id="two", circuit="open", faults=5),
            HostView(GPU, True, swarm_id="three", running=1, cpus=32, memory=270_000_000_000, disk=disk),
        )
        await self.server.queue.reports.announce(Report("worker-a", MOMENT - 75 * HOUR, hosts, clock_skew=1, version="1.4.0"), ttl=600_000)


async def hold_still(context: BrowserContext) -> None:
    """Has the pages of a context show the time of the sample, also where they go by the server's clock."""

    async def dated(route: Route) -> None:
        if route.request.resource_type == "document":  # what another than the network answered may open no WebSocket to this machine
            return await route.continue_()
        reply = await route.fetch()
        await route.fulfill(response=reply, headers={**reply.headers, "date": NOW.strftime("%a, %d %b %Y %H:%M:%S GMT")})

    await context.clock.set_fixed_time(NOW)
    await context.route(lambda url: not any(part in url for part in ("/events", "/static/", "/ws")), dated)
