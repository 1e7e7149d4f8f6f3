"""Opens the store when a process starts, perhaps before the store does: services of one stack begin in any order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from fastlane.errors import StoreDown
from fastlane.storage.base import Store

log = structlog.get_logger()

PAUSE = 1.0
"""Seconds between two tries. A try may take some seconds itself."""


@asynccontextmanager
async def awaited(store: Store) -> AsyncIterator[Store]:
    """The store, open until the context ends. Waits, and says so, while it cannot be reached or used."""
    await _open(store)
    try:
        yield store
    finally:
        await store.close()


async def _open(store: Store) -> None:
    waited = False
    while True:
        try:
            await store.open()
            break
        except StoreDown as error:
            log.warning("store.waiting", error=str(error))
            waited = True
        await asyncio.sleep(PAUSE)
    if waited:
        log.info("store.opened")
