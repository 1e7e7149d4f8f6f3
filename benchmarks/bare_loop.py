"""The baseline for lateness: a loop that takes due entries out of a sorted set with a script, and sleeps until the next one is due."""

import asyncio
import sys
import time

import click
import uvloop
from redis.asyncio import Redis

from benchmarks.witness import note

MAX_SLEEP = 0.1
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
local next_one = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return { due, next_one[2] or '' }
"""
"""Returns the ids that are due, and the due time of the next one in milliseconds."""


async def loop(url: str, key: str) -> None:
    """Loops forever."""
    async with Redis.from_url(url, decode_responses=True) as redis:
        take = redis.register_script(TAKE)
        click.echo("ready")
        sys.stdout.flush()
        while True:
            due, next_one = await take(keys=[key])
            for token in due:
                note(token)
            wait = float(next_one) / 1000 - time.time() if next_one else MAX_SLEEP
            if wait > 0 and len(due) < 100:
                await asyncio.sleep(min(wait, MAX_SLEEP))


if __name__ == "__main__":
    uvloop.run(loop(*sys.argv[1:]))
