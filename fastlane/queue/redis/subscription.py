"""What every subscription to a channel needs: to notice a dead connection, and to reconnect with growing pauses."""

import asyncio
import random

from fastlane.queue.redis.pipeline import Connection, pack

IDLE = 5.0
"""Seconds of silence after which the server is asked whether it is still there."""
FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0


class Backoff:
    """Pauses between attempts to connect: each twice as long as the one before, up to a second, with jitter."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """Begins with the shortest pause again."""
        self._failures = 0

    async def pause(self) -> None:
        """Waits after a failure."""
        longest = min(MAX_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        await asyncio.sleep(random.uniform(longest / 2, longest))


async def send(connection: Connection, deadline: float, *command: str) -> None:
    """Sends a command; its answer comes with the messages. Raises TimeoutError after ``deadline`` seconds."""
    async with asyncio.timeout(deadline):
        await connection.send_packed_command(pack(command), check_health=False)


async def next_message(connection: Connection, deadline: float) -> list[str]:
    """Returns the next message of any kind. Pings the server when none came for a while, since a dead connection is silent too; raises
    TimeoutError when the server does not answer within ``deadline`` seconds."""
    message: list[str] | None = await connection.read_response(timeout=IDLE)
    if message is None:
        await send(connection, deadline, "PING")
        message = await connection.read_response(timeout=deadline)
        if message is None:
            raise TimeoutError
    return message
