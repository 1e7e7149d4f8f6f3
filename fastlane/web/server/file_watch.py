"""Watches files that are read again when they change. It compares their content, so it sees a change however the files are replaced."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from fastlane.config.access_files import Fingerprint, fingerprint

EVERY = 1.0
"""Seconds between two looks."""

log = structlog.get_logger()


class FileWatch:
    """Calls ``on_change`` after each change of the files since they were as ``seen``. ``on_change`` reads them itself; when it fails, it is
    called again only after the next change."""

    def __init__(self, files: Sequence[Path], seen: Fingerprint, on_change: Callable[[], Awaitable[None]]) -> None:
        self._files = tuple(files)
        self._seen = seen
        self._on_change = on_change

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            found = await asyncio.to_thread(fingerprint, self._files)
            if found != self._seen:
                self._seen = found
                try:
                    await self._on_change()
                except Exception:
                    log.exception("files.not_reloaded", files=[str(file) for file in self._files])
            await asyncio.sleep(EVERY)
