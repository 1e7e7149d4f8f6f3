"""Follows an engine's events about services. Events only hasten a look: what happened while nothing was connected comes in no later
stream.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from fastlane.errors import HostDown
from fastlane.executors.swarm.faults import connection_words, message, refusal
from fastlane.executors.swarm.transport import EngineTransport

CONNECT_WITHIN = 5.0
LONGEST = 60.0
"""Seconds after which the engine is asked anew, so that a connection that died unnoticed does not last."""
OF_SERVICES = quote(json.dumps({"type": ["service"]}, separators=(",", ":")), safe="")
"""The filter, letter by letter as a proxy in front of the engine may compare it (``stack/engine-filter.cfg``)."""


async def watch_services(transport: EngineTransport, version: str, ignored: str, on_change: Callable[[], None]) -> None:
    """Calls ``on_change`` at each event about a service whose name does not begin with ``ignored``. Returns after a minute. ``version`` of
    the API. Raises HostDown, OrderRefused."""
    timeout, context = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN), await transport.context()
    url = URL(f"{transport.base}/v{version}/events?filters={OF_SERVICES}", encoded=True)
    try:
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(LONGEST),
                transport.session(timeout, limit=1) as session,
                session.get(url, allow_redirects=False, ssl=context) as response,
            ):
                if response.status != 200:
                    raise refusal(response.status, message(await response.read()), transport.name)
                async for line in response.content:
                    if not _name(line).startswith(ignored):
                        on_change()
                raise HostDown(f"{transport.name} ended its stream of events")
    except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
        raise transport.explain(HostDown(f"{transport.name} {connection_words(error) or 'sent no events'}")) from error


def _name(line: bytes) -> str:
    """The name of the service that an event is about; empty where it has none."""
    actor = orjson.loads(line).get("Actor") or {}
    return str((actor.get("Attributes") or {}).get("name", ""))
