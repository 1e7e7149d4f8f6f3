"""The actions of operators: pausing dispatch, changing pools and hosts, and repairing by hand what a crash left behind."""

from fastlane.errors import Fault, Forbidden
from fastlane.services.operations import Registration
from fastlane.web.api import hosts
from fastlane.web.api.actions import DISPATCH_PAUSED, EXECUTION_STOPPED, POOL_PAUSED
from fastlane.web.api.contract import flag
from fastlane.web.handler import Handler
from fastlane.web.http.query import read_flag
from fastlane.web.routes.executions import EXECUTION
from fastlane.web.routing import ADMIN, route


@route("POST", "/dispatch/pause", "pauseDispatch", DISPATCH_PAUSED, access=ADMIN)
async def pause_dispatch(handler: Handler) -> object:
    """Pauses all dispatch. What runs goes on."""
    return await handler.services.pools.pause_all(handler.requester)


@route("POST", "/dispatch/resume", "resumeDispatch", DISPATCH_PAUSED, refusals=(409,), access=ADMIN)
async def resume_dispatch(handler: Handler) -> object:
    """Resumes all dispatch; after a backup of the store was restored, once a worker has rebuilt the queue. Paused pools stay paused."""
    return await handler.services.pools.resume_all(handler.requester)


OPEN_SERVER = (
    "hosts are registered and removed by administrators only, and this server has neither users nor tokens: add some (`fastlane password`, "
    "`fastlane token`), or name the hosts in the settings"
)


@route("GET", "/hosts", "listHosts", hosts.KNOWN_HOSTS)
async def list_hosts(handler: Handler) -> object:
    """All hosts: the ones of the settings, and registered ones."""
    handler.set_header("Cache-Control", "no-store")
    return await handler.services.hosts.read()


@route("POST", "/hosts", "registerHost", hosts.KNOWN_HOST, body=hosts.HOST_BODY, refusals=(409,), access=ADMIN)
async def register_host(handler: Handler) -> object:
    """Registers a host in a pool; every worker connects to it within a second."""
    refuse_open_server(handler)
    given = handler.read_body()
    wanted = Registration(given["address"], given["pool"], given.get("weight", 1), given.get("maxRunning"))
    return await handler.services.hosts.register(wanted, handler.requester)


@route(
    "DELETE",
    "/hosts/{host}",
    "removeHost",
    hosts.HOST_REMOVED,
    query={"force": flag("Removes it with all that is left there: what is bound to it ends as host-lost.")},
    refusals=(404, 409),
    access=ADMIN,
)
async def remove_host(handler: Handler, host: str) -> object:
    """Removes a host that is drained and has nothing left."""
    refuse_open_server(handler)
    return await handler.services.hosts.remove(host, force=read_flag(handler.query, "force"), requester=handler.requester)


@route("POST", "/docker-executor/blacklist", "drainHost", hosts.HOST_DRAINED, body=hosts.DRAIN_BODY, refusals=(404, 409), access=ADMIN)
async def drain_host(handler: Handler) -> object:
    """Drains a host: it gets no new work, and what runs there goes on."""
    return await _drain(handler, drained=True)


@route("PUT", "/docker-executor/blacklist", "drainHostByPut", hosts.HOST_DRAINED, body=hosts.DRAIN_BODY, refusals=(404, 409), access=ADMIN)
async def drain_host_by_put(handler: Handler) -> object:
    """Drains a host, as POST does."""
    return await _drain(handler, drained=True)


@route("DELETE", "/docker-executor/blacklist", "undrainHost", hosts.HOST_DRAINED, body=hosts.DRAIN_BODY, refusals=(404, 409), access=ADMIN)
async def undrain_host(handler: Handler) -> object:
    """Gives a drained host work again."""
    return await _drain(handler, drained=False)


async def _drain(handler: Handler, *, drained: bool) -> object:
    return await handler.services.hosts.drain(handler.read_body()["host"], drained=drained, requester=handler.requester)


def refuse_open_server(handler: Handler) -> None:
    """Raises Forbidden on a server without logins."""
    if handler.context.authenticator is None:
        raise Forbidden([Fault("", OPEN_SERVER)])


@route(
    "POST",
    EXECUTION + "/end",
    "endExecution",
    EXECUTION_STOPPED,
    body=hosts.REASON_BODY,
    refusals=(404, 409),
    more="It must have been asked to stop. Its container may still be running until its host answers.",
    access=ADMIN,
)
async def end_execution(handler: Handler, task_id: str, job_id: str, execution_id: str) -> object:
    """Ends an execution as stopped that does not end by itself."""
    return await handler.services.operator.end_execution(task_id, job_id, execution_id, handler.read_body()["reason"], handler.requester)


@route(
    "POST",
    EXECUTION + "/mark-cleaned",
    "markExecutionCleaned",
    hosts.EXECUTION_CLEANED,
    body=hosts.REASON_BODY,
    refusals=(404, 409),
    access=ADMIN,
)
async def mark_execution_cleaned(handler: Handler, task_id: str, job_id: str, execution_id: str) -> object:
    """Counts the service of an execution that has ended as removed."""
    return await handler.services.operator.mark_cleaned(task_id, job_id, execution_id, handler.read_body()["reason"], handler.requester)


@route("POST", "/queue/rebuild", "rebuildQueue", hosts.QUEUE_REBUILD, body=hosts.REASON_BODY, access=ADMIN)
async def rebuild_queue(handler: Handler) -> object:
    """Has the workers rebuild the queue from the store. What runs goes on."""
    return await handler.services.operator.rebuild_queue(handler.read_body()["reason"], handler.requester)


@route("POST", "/workers/{worker}/forget", "forgetWorker", hosts.WORKER_FORGOTTEN, body=hosts.REASON_BODY, refusals=(404,), access=ADMIN)
async def forget_worker(handler: Handler, worker: str) -> object:
    """Drops what a worker last said of itself; one that is alive reports itself again."""
    return await handler.services.operator.forget_worker(worker, handler.read_body()["reason"], handler.requester)


@route("GET", "/pools", "listPools", hosts.POOLS)
async def list_pools(handler: Handler) -> object:
    """All pools: their rules, their hosts, and what runs and waits there."""
    handler.set_header("Cache-Control", "no-store")
    return await handler.services.pool_reader.read()


@route("POST", "/pools/reload", "reloadPools", hosts.RELOADED, refusals=(409,), access=ADMIN)
async def reload_pools(handler: Handler) -> object:
    """Reads the pools from the settings again, here and then in every other process; if any has a fault, none changes."""
    return await handler.services.directory.reload(handler.requester)


@route("POST", "/pools/{pool}/pause", "pausePool", POOL_PAUSED, refusals=(404,), access=ADMIN)
async def pause_pool(handler: Handler, pool: str) -> object:
    """Pauses all dispatch to the pool."""
    return await handler.services.pools.pause(pool, handler.requester)


@route("POST", "/pools/{pool}/resume", "resumePool", POOL_PAUSED, refusals=(404,), access=ADMIN)
async def resume_pool(handler: Handler, pool: str) -> object:
    """Resumes dispatch to the pool."""
    return await handler.services.pools.resume(pool, handler.requester)
