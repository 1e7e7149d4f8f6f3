"""``/dispatch/pause`` and ``/dispatch/resume``."""

from fastlane.errors import Fault, Forbidden
from fastlane.models.access import Role
from fastlane.web.api.actions import DISPATCH_PAUSED, EXECUTION_STOPPED, POOL_PAUSED
from fastlane.web.api.contract import flag, operation
from fastlane.web.api.hosts import (
    DRAIN_BODY,
    EXECUTION_CLEANED,
    HOST_BODY,
    HOST_DRAINED,
    HOST_REMOVED,
    KNOWN_HOST,
    KNOWN_HOSTS,
    POOLS,
    QUEUE_REBUILD,
    REASON_BODY,
    RELOADED,
    WORKER_FORGOTTEN,
    read_drained,
    read_reason,
    read_registration,
)
from fastlane.web.handler import Handler
from fastlane.web.http.query import read_flag
from fastlane.web.http.strict_json import read_object


class PauseDispatchHandler(Handler):
    """``/dispatch/pause``."""

    write_role = Role.ADMIN

    @operation("pauseDispatch", DISPATCH_PAUSED)
    async def on_post(self) -> None:
        """Pauses all dispatch. What runs goes on."""
        await self.answer(DISPATCH_PAUSED, await self.services.pools.pause_all(self.requester))


class ResumeDispatchHandler(Handler):
    """``/dispatch/resume``."""

    write_role = Role.ADMIN

    @operation("resumeDispatch", DISPATCH_PAUSED)
    async def on_post(self) -> None:
        """Resumes all dispatch, also after a backup of the store was restored. Paused pools stay paused."""
        await self.answer(DISPATCH_PAUSED, await self.services.pools.resume_all(self.requester))


OPEN_SERVER = (
    "hosts are registered and removed by administrators only, and this server has neither users nor tokens: add some (`fastlane password`, "
    "`fastlane token`), or name the hosts in the settings"
)


class HostsHandler(Handler):
    """``/hosts``."""

    accepts_body = True
    write_role = Role.ADMIN

    @operation("listHosts", KNOWN_HOSTS)
    async def on_get(self) -> None:
        """All hosts: those of the settings, and registered ones."""
        self.set_header("Cache-Control", "no-store")
        await self.answer(KNOWN_HOSTS, await self.services.hosts.read())

    @operation("registerHost", KNOWN_HOST, body=HOST_BODY, refusals=(409,))
    async def on_post(self) -> None:
        """Registers a host in a pool; every worker connects to it within a second."""
        refuse_open_server(self)
        wanted = read_registration(read_object(bytes(self.body)))
        await self.answer(KNOWN_HOST, await self.services.hosts.register(wanted, self.requester))


class HostHandler(Handler):
    """``/hosts/H``."""

    write_role = Role.ADMIN

    @operation(
        "removeHost",
        HOST_REMOVED,
        query={"force": flag("Removes it with all that is left there: what is bound to it ends as host-lost.")},
        refusals=(404, 409),
    )
    async def on_delete(self, host: str) -> None:
        """Removes a host that is drained and has nothing left."""
        refuse_open_server(self)
        await self.answer(
            HOST_REMOVED, await self.services.hosts.remove(host, force=read_flag(self.query, "force"), requester=self.requester)
        )


class BlacklistHandler(Handler):
    """``/docker-executor/blacklist``."""

    accepts_body = True
    write_role = Role.ADMIN

    @operation("drainHost", HOST_DRAINED, body=DRAIN_BODY, refusals=(404, 409))
    async def on_post(self) -> None:
        """Drains a host: it gets no new work, and what runs there goes on."""
        await self._drain(drained=True)

    @operation("drainHostByPut", HOST_DRAINED, body=DRAIN_BODY, refusals=(404, 409))
    async def on_put(self) -> None:
        """Drains a host, as POST does."""
        await self._drain(drained=True)

    @operation("undrainHost", HOST_DRAINED, body=DRAIN_BODY, refusals=(404, 409))
    async def on_delete(self) -> None:
        """Gives a drained host work again."""
        await self._drain(drained=False)

    async def _drain(self, *, drained: bool) -> None:
        name = read_drained(read_object(bytes(self.body)))
        await self.answer(HOST_DRAINED, await self.services.hosts.drain(name, drained=drained, requester=self.requester))


def refuse_open_server(handler: Handler) -> None:
    """Raises Forbidden on a server that anyone may use."""
    if handler.context.authenticator is None:
        raise Forbidden([Fault("", OPEN_SERVER)])


class OperatorHandler(Handler):
    """An action that only administrators may do, and that says why."""

    accepts_body = True
    write_role = Role.ADMIN

    @property
    def reason(self) -> str:
        """Why it is done. Raises Invalid."""
        return read_reason(read_object(bytes(self.body)))


class EndExecutionHandler(OperatorHandler):
    """``/tasks/T/jobs/J/executions/E/end``."""

    @operation(
        "endExecution",
        EXECUTION_STOPPED,
        body=REASON_BODY,
        refusals=(404, 409),
        more="It must have been asked to stop. Its container may still be running until its host answers.",
    )
    async def on_post(self, task_id: str, job_id: str, execution_id: str) -> None:
        """Ends an execution as stopped that does not end by itself."""
        done = await self.services.operator.end_execution(task_id, job_id, execution_id, self.reason, self.requester)
        await self.answer(EXECUTION_STOPPED, done)


class MarkCleanedHandler(OperatorHandler):
    """``/tasks/T/jobs/J/executions/E/mark-cleaned``."""

    @operation("markExecutionCleaned", EXECUTION_CLEANED, body=REASON_BODY, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str, execution_id: str) -> None:
        """Counts the service of an execution that has ended as removed."""
        done = await self.services.operator.mark_cleaned(task_id, job_id, execution_id, self.reason, self.requester)
        await self.answer(EXECUTION_CLEANED, done)


class RebuildQueueHandler(OperatorHandler):
    """``/queue/rebuild``."""

    @operation("rebuildQueue", QUEUE_REBUILD, body=REASON_BODY)
    async def on_post(self) -> None:
        """Has the workers build the queue anew from the store. What runs goes on."""
        await self.answer(QUEUE_REBUILD, await self.services.operator.rebuild_queue(self.reason, self.requester))


class ForgetWorkerHandler(OperatorHandler):
    """``/workers/W/forget``."""

    @operation("forgetWorker", WORKER_FORGOTTEN, body=REASON_BODY, refusals=(404,))
    async def on_post(self, worker: str) -> None:
        """Drops what a worker last said of itself; one that is alive reports itself again."""
        await self.answer(WORKER_FORGOTTEN, await self.services.operator.forget_worker(worker, self.reason, self.requester))


class PoolsHandler(Handler):
    """``/pools``."""

    @operation("listPools", POOLS)
    async def on_get(self) -> None:
        """All pools: their rules, their hosts, and what runs and waits there."""
        self.set_header("Cache-Control", "no-store")
        await self.answer(POOLS, await self.services.pool_reader.read())


class ReloadPoolsHandler(Handler):
    """``/pools/reload``."""

    write_role = Role.ADMIN

    @operation("reloadPools", RELOADED, refusals=(409,))
    async def on_post(self) -> None:
        """Reads the pools from the settings again, here and then in every other process; if any has a fault, none changes."""
        await self.answer(RELOADED, await self.services.directory.reload(self.requester))


class PausePoolHandler(Handler):
    """``/pools/P/pause``."""

    write_role = Role.ADMIN

    @operation("pausePool", POOL_PAUSED, refusals=(404,))
    async def on_post(self, pool: str) -> None:
        """Pauses all dispatch to the pool."""
        await self.answer(POOL_PAUSED, await self.services.pools.pause(pool, self.requester))


class ResumePoolHandler(Handler):
    """``/pools/P/resume``."""

    write_role = Role.ADMIN

    @operation("resumePool", POOL_PAUSED, refusals=(404,))
    async def on_post(self, pool: str) -> None:
        """Resumes dispatch to the pool."""
        await self.answer(POOL_PAUSED, await self.services.pools.resume(pool, self.requester))
