"""Tickets and sessions: access for a browser, which cannot send a token when it opens a page or a WebSocket.

A ticket is good once, for 30 seconds, for a job or an execution. A page that was opened with a ticket starts a session, which may read that
job for 12 hours. A browser that logged in with a token has a session that may do what the token may, for 12 hours too. All are 256 random
bits. Redis keeps only their digests, so every replica knows them, and a copy of its data grants nothing. This module knows no credentials,
only their seals; what a seal's owner may do is looked up in the settings at each use.
"""

import re
import secrets
from dataclasses import astuple, dataclass
from hashlib import sha256

import orjson

from fastlane.errors import FastlaneError
from fastlane.services.parts import Service, ServiceParts

TICKET_TTL = 30 * 1_000
"""Milliseconds."""
SESSION_TTL = 12 * 3_600 * 1_000
"""Milliseconds. Connections that are open at the end of a session stay open."""
MAX_PER_MINUTE = 300
"""Tickets that one process makes with one credential in a minute, so that what Redis keeps is bounded."""
MINUTE = 60 * 1_000
FORMAT = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a ticket or a session allows: to read a job or an execution, by the credential with this seal."""

    seal: str
    task_id: str
    job_id: str
    execution_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A new ticket. ``expires_at`` in milliseconds."""

    text: str
    expires_at: int


class TooManyTickets(FastlaneError):
    """Too many tickets were made with this credential (an HTTP 429). ``wait``: seconds until more may be made."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"{MAX_PER_MINUTE} tickets were made within a minute; a ticket is good for a whole page, so make fewer")
        self.wait = wait


class Tickets(Service):
    """Makes and redeems tickets, and starts sessions. Every method but ``unchecked`` raises QueueDown."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._tickets = parts.queue.tickets
        self._created: dict[str, int] = {}
        self._minute = 0

    async def create(self, grant: Grant) -> Ticket:
        """A new ticket. Raises TooManyTickets."""
        now = self._clock.now()
        self._count(grant.seal, now)
        return Ticket(await self._keep("ticket", grant, TICKET_TTL), now + TICKET_TTL)

    def unchecked(self) -> Ticket:
        """A ticket for a server that lets everyone in. It is not stored, since nothing checks it."""
        return Ticket(secrets.token_urlsafe(32), self._clock.now() + TICKET_TTL)

    async def redeem(self, text: str) -> Grant | None:
        """Uses a ticket up; None when it was used before, has expired, or never existed."""
        return _read(await self._tickets.take(_digest("ticket", text))) if FORMAT.fullmatch(text) else None

    async def peek(self, text: str) -> Grant | None:
        """What a ticket allows, without using it up."""
        return _read(await self._tickets.peek(_digest("ticket", text))) if FORMAT.fullmatch(text) else None

    async def start_session(self, grant: Grant) -> str:
        """Starts a session; its secret, which the browser sends with each request."""
        return await self._keep("visit", grant, SESSION_TTL)

    async def session(self, secret: str) -> Grant | None:
        """What the session with this secret allows; None when it is over or never existed."""
        return _read(await self._tickets.peek(_digest("visit", secret))) if FORMAT.fullmatch(secret) else None

    async def start_login(self, seal: str) -> str:
        """Starts the session of a browser that logged in with the credential of this seal; its secret. Raises TooManyTickets."""
        self._count(seal, self._clock.now())
        return await self._keep("login", Grant(seal, "", ""), SESSION_TTL)

    async def login(self, secret: str) -> str | None:
        """The seal of the session with this secret; None when it is over or never existed."""
        grant = _read(await self._tickets.peek(_digest("login", secret))) if FORMAT.fullmatch(secret) else None
        return None if grant is None else grant.seal

    async def end_login(self, secret: str) -> None:
        """Ends the session with this secret, if there is one."""
        if FORMAT.fullmatch(secret):
            await self._tickets.take(_digest("login", secret))

    def _count(self, seal: str, now: int) -> None:
        if now // MINUTE != self._minute:
            self._minute = now // MINUTE
            self._created.clear()
        self._created[seal] = self._created.get(seal, 0) + 1
        if self._created[seal] > MAX_PER_MINUTE:
            raise TooManyTickets(60 - now % MINUTE // 1_000)

    async def _keep(self, kind: str, grant: Grant, ttl: int) -> str:
        text = secrets.token_urlsafe(32)
        await self._tickets.put(_digest(kind, text), orjson.dumps(astuple(grant)).decode(), ttl=ttl)
        return text


def _digest(kind: str, text: str) -> str:
    """The kind is part of it, so that a ticket cannot be used as a session, nor a session as a ticket."""
    return sha256(f"{kind} {text}".encode()).hexdigest()


def _read(kept: str | None) -> Grant | None:
    return None if kept is None else Grant(*orjson.loads(kept))
