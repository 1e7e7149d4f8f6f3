"""A server with workers: what is enqueued runs, on the executor that ends at once."""

import asyncio
from pathlib import Path
from typing import Any

from fastlane.models.placement.pool import Pool
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.worker import Worker
from tests.support.defaults import default_limits, default_worker
from tests.support.instant import InstantExecutor
from tests.support.server import HOST, POOLS, Server
from tests.support.waiting import until


class StaffedServer(Server):
    """Used as an async context manager. ``workers``: how many, each with a connection of its own to Redis."""

    def __init__(self, path: Path, redis_url: str, *, workers: int = 2, pools: tuple[Pool, ...] = POOLS, **settings: Any) -> None:
        super().__init__(path, redis_url, pools=pools, **settings)
        self._pools = pools
        self.executor = InstantExecutor((HOST,), self.clock)
        self._redis_url = redis_url
        self._workers = workers
        self._working: list[tuple[asyncio.Task[None], RedisQueue]] = []

    async def __aenter__(self) -> "StaffedServer":
        await super().__aenter__()
        settings = default_worker(self._pools, default_limits(gone_after=1.0), reconcile=0.5)
        for _ in range(self._workers):
            queue = RedisQueue(self._redis_url, self.installation)
            await queue.open()
            worker = Worker(self.store, queue, queue.generation, queue.reports, self.executor, self.clock, settings, self.hints.publish)
            self._working.append((asyncio.create_task(worker.run()), queue))
        await self._all_well()
        return self

    async def _all_well(self) -> None:
        """Returns when the queue is made (which takes earlier reports away) and the workers have reported: until then the server says,
        truly, that it is not well."""

        async def well() -> bool:
            generation = await self.store.generation()
            made = generation.number > 0 and generation.builder is None
            return made and (await Server.ask(self, "GET", "/healthcheck")).status == 200

        await until(well, "the server to be well")

    async def __aexit__(self, *error: object) -> None:
        for task, _ in self._working:
            task.cancel()
        await asyncio.gather(*(task for task, _ in self._working), return_exceptions=True)
        for _, queue in self._working:
            await queue.close()
        await super().__aexit__(*error)
