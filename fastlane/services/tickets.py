"""Tickets and visits: how somebody who has a credential lets a browser in that cannot send it. Knows no credential, only their seals.

A ticket is good once, for 30 seconds, for a job or an execution. A page that was opened with one is a visit of that job: it may read it for
12 hours. Both are 256 random bits; Redis keeps their digests, so that every replica knows them and no copy of its data is worth anything.
Who may do what is asked anew at each use, of the settings as they are then.
"""

import re
import secrets
from dataclasses import astuple, dataclass
from hashlib import sha256

import orjson

from fastlane.clock import Clock
from fastlane.errors import FastlaneError
from fastlane.queue.base import TicketStore

TICKET_HOLDS = 30 * 1_000
"""Milliseconds."""
VISIT_HOLDS = 12 * 3_600 * 1_000
"""Milliseconds; the connections of a visit that are open then stay open."""
MOST = 300
"""So many tickets a minute may be made with one credential, by one process: what Redis keeps of them has a bound."""
MINUTE = 60 * 1_000
FORM = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a ticket or a visit stands for: whose credential (its seal), and the job or execution that may be read."""

    seal: str
    task_id: str
    job_id: str
    execution_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A new ticket. ``expires_at`` in milliseconds."""

    text: str
    expires_at: int


class TooMany(FastlaneError):
    """Too many tickets were made with this credential; ``wait``: seconds until there may be more (an HTTP 429)."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"{MOST} tickets were made within a minute; a ticket is good for a whole page, so make fewer")
        self.wait = wait


class Tickets:
    """Makes and takes them. Every method but ``blank`` raises QueueDown when the queue is."""

    def __init__(self, store: TicketStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._made: dict[str, int] = {}
        self._minute = 0

    async def make(self, what: Grant) -> Ticket:
        """A new ticket for this. Raises TooMany."""
        now = self._clock.now()
        self._count(what.seal, now)
        return Ticket(await self._keep("ticket", what, TICKET_HOLDS), now + TICKET_HOLDS)

    def blank(self) -> Ticket:
        """One that opens what is open to everybody. It is not kept: nobody will ask for it."""
        return Ticket(secrets.token_urlsafe(32), self._clock.now() + TICKET_HOLDS)

    async def take(self, text: str) -> Grant | None:
        """What a ticket stands for, once; None for one that is used, too old, or was never made."""
        return _read(await self._store.take(_digest("ticket", text))) if FORM.fullmatch(text) else None

    async def show(self, text: str) -> Grant | None:
        """The same, and it stays as good as it was."""
        return _read(await self._store.peek(_digest("ticket", text))) if FORM.fullmatch(text) else None

    async def begin_visit(self, what: Grant) -> str:
        """A new visit of a job: the secret that its page shows with each request."""
        return await self._keep("visit", what, VISIT_HOLDS)

    async def visit(self, text: str) -> Grant | None:
        """What the visit with this secret may read; None when it is over, or never began."""
        return _read(await self._store.peek(_digest("visit", text))) if FORM.fullmatch(text) else None

    def _count(self, seal: str, now: int) -> None:
        if now // MINUTE != self._minute:
            self._minute = now // MINUTE
            self._made.clear()
        self._made[seal] = self._made.get(seal, 0) + 1
        if self._made[seal] > MOST:
            raise TooMany(60 - now % MINUTE // 1_000)

    async def _keep(self, kind: str, what: Grant, ttl: int) -> str:
        text = secrets.token_urlsafe(32)
        await self._store.put(_digest(kind, text), orjson.dumps(astuple(what)).decode(), ttl=ttl)
        return text


def _digest(kind: str, text: str) -> str:
    """With the kind in it: a ticket is no visit, nor the other way round."""
    return sha256(f"{kind} {text}".encode()).hexdigest()


def _read(kept: str | None) -> Grant | None:
    return None if kept is None else Grant(*orjson.loads(kept))
