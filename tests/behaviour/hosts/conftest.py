"""A server that registers hosts, and its administrator."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlane.models.pool import Pool
from tests.support.credentials import basic, user
from tests.support.fastlane import HOST, Answer, Fastlane
from tests.support.redis import RealRedis

ADMIN, RUNNER = basic("ann", "secret"), basic("bob", "secret")
USERS = (user("ann", "secret", "admin"), user("bob", "secret", "run"))
NEW, OTHER = "10.0.1.1:2376", "10.0.1.2:2376"
POOLS = (
    Pool("grown", "grown-", (), 10, insecure=True, register=("10.0.1.*:2376", "ssh://*")),
    Pool("closed", "closed-", (), 10, register=("tls.example.com:2376",)),
    Pool("default", "", (HOST,), 10),
)


class Administered(Fastlane):
    """A server with users, whose tests call it as its administrator."""

    def __init__(self, folder: Path, redis_url: str, **settings: Any) -> None:
        super().__init__(folder, redis_url, **{"pools": POOLS, "users": USERS} | settings)

    async def call(self, method: str, path: str, body: Any = None, login: dict[str, str] | None = None) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        return await self.ask(method, path, data=data, headers=ADMIN if login is None else login)

    async def register(self, address: str = NEW, pool: str = "grown", **more: Any) -> Answer:
        return await self.call("POST", "/hosts", {"address": address, "pool": pool, **more})

    async def known(self) -> dict[str, dict[str, Any]]:
        """The hosts by address."""
        return {row["address"]: row for row in (await self.call("GET", "/hosts")).json["items"]}

    async def drain(self, host: str, method: str = "POST") -> Answer:
        return await self.call(method, "/docker-executor/blacklist", {"host": host})

    async def seen(self, address: str, **values: Any) -> dict[str, Any]:
        """A host, once the list shows it with these values."""

        async def shown() -> dict[str, Any] | None:
            row = (await self.known()).get(address)
            return row if row is not None and values.items() <= row.items() else None

        found = await self.until(shown, f"{address} with {values}")
        assert found is not None
        return found

    async def gone(self, address: str) -> None:
        async def absent() -> bool:
            return address not in [view.name for report in await self.queue.reports.current() for view in report.hosts]

        await self.until(absent, f"no worker that knows {address}")


@pytest.fixture
async def server(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Administered]:
    """A server without workers."""
    async with Administered(tmp_path, shared_redis.url) as server:
        yield server
