"""The claim loop of a worker (dispatcher, leases, rebuilder, the queue in Redis); each entry is recorded in the witness and finished.

It reads the folder of the store, the Redis URL and the installation from ``FASTLANE_…`` settings, as ``fastlane worker`` does.
"""

import asyncio
import signal
import sys
from functools import partial

import click
import uvloop

from benchmarks.witness import note
from fastlane import app, log, process
from fastlane.clock import SystemClock
from fastlane.config.load import load
from fastlane.queue.port import TimedQueue
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.dispatcher import Dispatcher
from fastlane.scheduler.leases import Assignment, Leases
from fastlane.scheduler.rebuilder import Rebuilder
from tests.support.defaults import Views, hosts_of, ports_of
from tests.support.instant import InstantExecutor

OWNER = "lateness"


async def finish(queue: TimedQueue, assignment: Assignment, _now: int) -> None:
    """Handles an entry: records it in the witness and finishes it."""
    note(assignment.id)
    await queue.finish({assignment.id: assignment.lease.revision})


async def work() -> None:
    """Prints ``ready``, then works forever."""
    settings = load("worker", options={}, config=None).settings
    log.configure(settings.log_format, settings.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clock = SystemClock()
    async with app.opened(app.make_store(settings)) as store:
        queue = RedisQueue(settings.redis_url or "", settings.installation)
        leases = Leases(queue, clock, OWNER, duration=settings.lease, every=settings.renew)
        executor = InstantExecutor(hosts_of(settings.pools))
        ports = ports_of(store, queue, clock, executor=executor, pools=settings.pools, owner=OWNER)
        rebuilder = Rebuilder(ports)
        dispatcher = Dispatcher(ports, Views(executor.hosts), leases, rebuilder, partial(finish, queue))
        queue.subscribe(dispatcher.wake, leases.hint_stop)
        async with app.opened(queue), asyncio.TaskGroup() as loops:
            tasks = [loops.create_task(run()) for run in (dispatcher.run, leases.run)]
            click.echo("ready")
            sys.stdout.flush()
            await stop.wait()
            for task in tasks:
                task.cancel()
        await rebuilder.close()


if __name__ == "__main__":
    process.tune_interpreter()
    uvloop.run(work())
