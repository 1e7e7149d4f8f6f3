"""A fastlane that may send webhooks to loopback, and a receiver there."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.pool import Pool, SignedReceiver
from tests.support.fastlane import HOST, Fastlane
from tests.support.receiver import Receiver, receiving
from tests.support.redis import RealRedis

OLD, NEW = (f"whsec_{base64.b64encode(letter * 32).decode()}" for letter in (b"o", b"n"))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Fastlane]:
    """Its tasks ``told-…`` have a webhook by default; the others' webhooks are signed. Bodies to ``/listed`` are signed."""
    told = (Webhook(NotificationTrigger.FINISHES, f"{receiver.url}/pool", {}, 0),)
    listed = (SignedReceiver(f"{receiver.url}/listed", (OLD,)),)
    pools = (
        Pool("told", "told-", (HOST,), webhooks=told),
        Pool("default", "", (HOST,), webhook_secrets=(NEW, OLD), webhook_receivers=listed),
    )
    async with Fastlane(
        tmp_path, shared_redis.url, pools=pools, webhook_allow=("127.0.0.1",), webhook_timeout=1.0, public_url="https://fl.example.com"
    ) as crew:
        yield crew
