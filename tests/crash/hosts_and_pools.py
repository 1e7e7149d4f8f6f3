"""The scenarios of a host that is removed by force, and of pools that are read again: a process falls amid that, or amid what follows."""

import signal

from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from tests.crash.api_and_reconciler import Request
from tests.crash.ground import Ground, Process
from tests.crash.scenarios import Scenario, ended, ready


async def lost(ground: Ground) -> None:
    """It ran once, and was lost with its host."""
    row = await ground.row()
    found = row.status, row.exit_code, row.failure.reason if row.failure else None, ground.starts
    assert found == (Status.FAILED, None, FailureReason.HOST_LOST, 1), await ground.told()


async def noted(ground: Ground) -> None:
    """The container waits, and the store knows on which engine."""
    await ready(ground)

    async def known() -> bool:
        return any(host.engine_id for host in await ground.store.hosts())

    await ground.until(known, "the host to be noted")


class Removed(Request):
    """Its host is removed by force, by an API that falls."""

    ends_by_itself = False

    async def request(self, ground: Ground) -> None:
        await ground.enqueue()
        await ground.start()
        await noted(ground)
        (host,) = await ground.store.hosts()
        self.answer = await ground.post(f"/hosts/{host.id}?force=1", None, method="DELETE")

    async def before(self, ground: Ground) -> None:
        """Its host has to be known first."""

    async def after(self, ground: Ground) -> None:
        ground.ends_by_itself = self.seam == "before store.write_host"

    async def check(self, ground: Ground) -> None:
        await (ended if self.seam == "before store.write_host" else lost)(ground)


class LostWithHost(Scenario):
    """Its host is removed by force, and its owner falls as it ends it."""

    ends_by_itself = False

    async def during(self, ground: Ground, process: Process) -> None:
        await noted(ground)
        (host,) = await ground.store.hosts()
        assert (await ground.services.hosts.remove(host.id, force=True)).lost == 1

    async def check(self, ground: Ground) -> None:
        await lost(ground)


class Reloaded(Request):
    """The pools are read again while it runs, by an API that falls: the other processes are told, or keep their pools."""

    ends_by_itself = False
    revision = 2

    async def before(self, ground: Ground) -> None:
        await ground.enqueue()
        await ground.start()
        await ready(ground)

    async def request(self, ground: Ground) -> None:
        if self.answer is None:
            await ground.serves()  # with the old settings
            change_settings(ground)
        self.answer = await ground.post("/pools/reload", {})

    async def after(self, ground: Ground) -> None:
        if self.seam == "before store.record_pools":
            await in_force(ground, 1)
            if not any(process.frozen for process in ground.processes):
                await self.repeat(ground)
        ground.ends_by_itself = True

    async def repeat(self, ground: Ground) -> None:
        """The next API begins with the new pools, which the others keep apart from until it is asked to reload, too."""
        await ground.start("api")
        await self.request(ground)
        await self.answered()
        self.revision = 3

    async def check(self, ground: Ground) -> None:
        await ended(ground)
        told = self.seam == "after store.record_pools" or not any(process.frozen for process in ground.processes)
        await in_force(ground, self.revision if told else 1)


class HungUp(Scenario):
    """Its worker is told by SIGHUP to read its pools again, and falls as it records them. The next one begins with them."""

    ends_by_itself = False

    async def during(self, ground: Ground, process: Process) -> None:
        await ready(ground)
        change_settings(ground)
        process.running.send_signal(signal.SIGHUP)

    async def after(self, ground: Ground) -> None:
        ground.ends_by_itself = True

    async def check(self, ground: Ground) -> None:
        await ended(ground)
        await in_force(ground)


def change_settings(ground: Ground) -> None:
    """Changes the pool in the file from which the processes have it."""
    with ground.config.open("a") as file:
        file.write("maxRunning = 7\n")


async def in_force(ground: Ground, number: int | None = None) -> None:
    """Every live worker has the pools of the last revision, which has this number."""

    async def current() -> bool:
        revision, reports = await ground.store.pools_revision(), await ground.queue.reports.current()
        found = {report.pools_digest for report in reports}
        return found == {revision.digest} and number in (None, revision.number)

    await ground.until(current, f"the pools of revision {number or 'latest'} in every worker")
