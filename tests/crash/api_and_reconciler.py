"""The scenarios of an API that falls amid a request, and of a reconciler that falls amid a repair."""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import replace

from fastlane.models.status import Status
from tests.crash.ground import COMMAND, IMAGE, Ground, Process
from tests.crash.scenarios import Missing, Scenario, ended, never_started, nothing, ready, stopped
from tests.support.seams import Trip


class Request(Scenario):
    """An API falls amid a request. Frozen, it is woken when all is over, and answers late."""

    def __init__(self) -> None:
        self.answer: asyncio.StreamReader | None = None

    async def request(self, ground: Ground) -> None:
        """Sends it."""
        raise NotImplementedError

    async def fall(self, ground: Ground, trip: Trip) -> Process:
        process = await ground.start("api", trip)
        await self.request(ground)
        await ground.trips(process)
        return process

    async def answered(self) -> None:
        """Its answer is a good one."""
        assert self.answer is not None
        async with asyncio.timeout(60):
            head = await self.answer.readline()
        assert head.startswith(b"HTTP/1.1 200"), head

    async def wake(self, ground: Ground, process: Process) -> None:
        before = [replace(row, op="") for row in await ground.executions()]
        process.running.send_signal(signal.SIGCONT)
        await self.answered()
        await ground.over()
        after = [replace(row, op="") for row in await ground.executions()]
        assert not before or after == before, await ground.told()


class Posted(Request):
    """A job that runs now."""

    body: Mapping[str, object] = {}

    async def before(self, ground: Ground) -> None:
        """Nothing stands before it."""

    async def request(self, ground: Ground) -> None:
        self.answer = await ground.post("/tasks/trial", {"image": IMAGE, "command": list(COMMAND), **self.body})

    async def check(self, ground: Ground) -> None:
        known = self.seam != "before store.create" or await ground.executions()
        await (ended if known else nothing)(ground)


class PostedLater(Posted):
    """A job that is due in a moment."""

    body: Mapping[str, object] = {"startIn": "1s"}


class PostedAgain(Posted):
    """A job that runs now, asked for with a key. Who sent it sees no answer, and sends it again to the next API: it runs once."""

    signals = ("KILL",)
    method, path = "POST", "/tasks/trial"

    async def request(self, ground: Ground) -> None:
        body = {"image": IMAGE, "command": list(COMMAND)}
        self.answer = await ground.post(self.path, body, method=self.method, key="once")

    async def after(self, ground: Ground) -> None:
        await ground.start("api")
        await self.request(ground)
        await self.answered()

    async def check(self, ground: Ground) -> None:
        assert len(await ground.store.jobs_of("trial", 10)) == 1, await ground.told()
        await ended(ground)


class PutAgain(PostedAgain):
    """The same by a PUT, which without a key would run the job twice."""

    method, path = "PUT", "/tasks/trial/jobs/01a2137a-ea28-776d-a93f-727c6cfea531"


class Stop(Request):
    """A job is stopped while its container runs, by an API that falls."""

    ends_by_itself = False

    async def request(self, ground: Ground) -> None:
        await ground.start()
        await ready(ground)
        await self.stop(ground)

    async def stop(self, ground: Ground) -> None:
        """The request."""
        (job,) = await ground.store.jobs_of("trial", 10)
        self.answer = await ground.post(f"/tasks/trial/jobs/{job.id}/stop", {})

    async def after(self, ground: Ground) -> None:
        ground.ends_by_itself = self.seam == "before store.stop_job"

    async def check(self, ground: Ground) -> None:
        await (ended if self.seam == "before store.stop_job" else stopped)(ground)


class StopFirst(Stop):
    """A job is stopped before any worker sees it, by an API that falls."""

    async def request(self, ground: Ground) -> None:
        await self.stop(ground)

    async def check(self, ground: Ground) -> None:
        await (ended if self.seam == "before store.stop_job" else never_started)(ground)


class StopLater(StopFirst):
    """A job that is due in a moment is stopped by an API that falls."""

    async def before(self, ground: Ground) -> None:
        await ground.enqueue(at=ground.clock.now() + 2000)

    async def check(self, ground: Ground) -> None:
        await (ended if self.seam == "before store.stop_job" else nothing)(ground)


class EndedByHand(Stop):
    """Its worker died before it could stop it, and an administrator ends it by hand, by an API that falls."""

    async def request(self, ground: Ground) -> None:
        worker = await ground.start()
        await ready(ground)

        async def known() -> bool:
            return (await ground.row()).status is Status.RUNNING

        await ground.until(known, "the store to know that it runs")
        worker.running.kill()
        await worker.running.wait()
        await self.stop(ground)
        await self.answered()
        row = await ground.row()
        path = f"/tasks/trial/jobs/{row.job_id}/executions/{row.id}/end"
        self.answer = await ground.post(path, {"reason": "its host burnt down"})

    async def after(self, ground: Ground) -> None:
        """A worker comes that finds it as it was left."""

    async def check(self, ground: Ground) -> None:
        if self.seam == "before store.end-by-hand":
            await stopped(ground)
        else:
            row = await ground.row()
            found = row.status, row.exit_code, row.truncated, ground.starts
            assert found == (Status.STOPPED, None, True, 1), await ground.told()


class Repair(Scenario):
    """A worker falls amid its reconciler's round."""

    reconcile = 0.3


class Unqueued(Repair):
    """An execution of which the queue knows nothing: the API that took it in died before it said so."""

    async def before(self, ground: Ground) -> None:
        job = await ground.enqueue()
        assert job.execution_id is not None
        await ground.queue.cancel(job.execution_id)


class UnqueuedLater(Repair):
    """The same of a job that is due later."""

    async def before(self, ground: Ground) -> None:
        job = await ground.enqueue(at=ground.clock.now() + 500)
        await ground.queue.cancel(job.job_id)


class LeftBehind(Repair):
    """A first worker ended at the first trip; the reconciler of a second one falls at the next. (The first frees the slot while it removes
    the service: at a seam of the removal the entry is taken away here, whichever came first.)"""

    def __init__(self) -> None:
        self.first = True

    async def fall(self, ground: Ground, trip: Trip) -> Process:
        first, self.first = self.first, False
        self.reconcile = 60.0 if first else 0.3
        process = await super().fall(ground, trip)
        if first and trip.seam == "before engine.remove":
            await ground.queue.finish({row.id: 0 for row in await ground.executions()})
        return process


class Unsettled(LeftBehind, Missing):
    """A final execution that nobody settled, and of which the queue knows nothing."""

    async def fall(self, ground: Ground, trip: Trip) -> Process:
        process = await super().fall(ground, trip)
        await ground.queue.finish({row.id: 0 for row in await ground.executions()})
        return process
