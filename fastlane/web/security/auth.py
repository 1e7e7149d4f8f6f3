"""Who is asking: HTTP Basic and bearer tokens, when the settings name any. What each may do is ``models/access.py``'s business.

A credential that was found good is remembered by a keyed digest, so only its first request pays for the hash. Hashes are computed in one
thread, a few waiting at most, so that neither the loop nor the memory is anybody's to take; and who guesses is slowed down.
"""

import asyncio
import hmac
import secrets
from base64 import b64decode
from binascii import Error as NotBase64
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b, sha256
from math import ceil

import structlog
from tornado.httputil import HTTPServerRequest

from fastlane.config.credentials import Token, User, token_digest
from fastlane.models.access import Principal, Role, needed_role, refusal
from fastlane.web.http.problems import Problem
from fastlane.web.security.origins import RequestOrigins
from fastlane.web.security.throttle import LoginThrottle

MOST_REMEMBERED = 1_024
MOST_VERIFYING = 16
"""So many different passwords wait for their hash; who comes with a further one is told to come again."""

log = structlog.get_logger()


class Authenticator:
    """Knows who may come in. ``close`` ends its thread."""

    def __init__(self, users: Sequence[User], tokens: Sequence[Token], attempts: LoginThrottle | None = None) -> None:
        self._users = {user.principal.name: user for user in users}
        self._tokens = tuple(tokens)
        digests = [(one.principal, one.password.digest) for one in users] + [(one.principal, one.digest) for one in tokens]
        self._seals = {principal.name: _seal(principal.name, digest) for principal, digest in digests}
        self._holders = {self._seals[principal.name]: principal for principal, _ in digests}
        self._decoy = users[0].password.decoy() if users else None
        self._attempts = attempts or LoginThrottle()
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, Principal] = OrderedDict()
        self._verifying: dict[bytes, asyncio.Task[Principal | None]] = {}
        self._thread = ThreadPoolExecutor(1, "passwords")

    async def identify(self, request: HTTPServerRequest, addresses: RequestOrigins) -> Principal:
        """Who sent a request. Raises as ``admit`` does."""
        header = request.headers.get("Authorization", "")
        return self.recall(header) or await self.admit(header, addresses.client(request) or "unknown")

    def seal(self, principal: Principal) -> str:
        """Names somebody's credential and tells nothing of it; another password or token has another seal."""
        return self._seals[principal.name]

    def holder(self, seal: str) -> Principal | None:
        """Who has the credential with this seal, with what they may do now; None when nobody has it any more."""
        return self._holders.get(seal)

    def no_ticket(self, address: str) -> Problem:
        """The refusal of a ticket that opens nothing (any more). It is no guess of a guesser's, only late, so nobody is slowed down; but
        then no line of the usual log may be had for each."""
        log.debug("auth.ticket_refused", address=address)
        words = "the ticket is used, older than 30 seconds, or not for this; a new one comes from POST …/ws-ticket"
        return self._unknown(f"{words}; or send {self._ways()}")

    def recall(self, header: str) -> Principal | None:
        """Whose credential this Authorization header is, if it was found good before. Takes microseconds."""
        digest = self._digest(header)
        principal = self._remembered.get(digest)
        if principal is not None:
            self._remembered.move_to_end(digest)
        return principal

    async def admit(self, header: str, address: str) -> Principal:
        """Whose credential it is; ``address`` is who sends it. Raises a 401 for a wrong one or none, a 429 when the address has tried too
        often, a 503 when too many others are being looked at."""
        scheme, _, rest = header.strip().partition(" ")
        match scheme.lower():
            case "bearer" if self._tokens:
                return self._admit_token(header, rest.strip(), address)
            case "basic" if self._users:
                return await self._admit_password(header, rest.strip(), address)
            case "":
                raise self._unknown(f"this server wants to know who you are; send {self._ways()}")
        raise self._unknown(f"this server does not take such an Authorization header; send {self._ways()}")

    def close(self) -> None:
        """Ends the thread; what waits for it is given up."""
        for task in self._verifying.values():
            task.cancel()
        self._thread.shutdown(cancel_futures=True)

    def _admit_token(self, header: str, token: str, address: str) -> Principal:
        digest, found = token_digest(token), None
        for one in self._tokens:
            if hmac.compare_digest(digest, one.digest):
                found = one.principal
        if found is None:
            self._slow(address)
            self._attempts.count(address)
            raise self._failed("bearer", None, address)
        self._remember(self._digest(header), found)
        return found

    async def _admit_password(self, header: str, encoded: str, address: str) -> Principal:
        name, password = self._basic(encoded)
        digest = self._digest(header)
        task = self._verifying.get(digest)
        if task is None:
            self._slow(address)
            if len(self._verifying) >= MOST_VERIFYING:
                raise Problem(503, "too many log in at this moment; send it again in a few seconds", headers={"Retry-After": "2"})
            self._attempts.count(address)
            task = asyncio.create_task(self._verify(name, password, digest, address), name="verify a password")
            self._verifying[digest] = task
            task.add_done_callback(lambda _: self._verifying.pop(digest, None))
        principal = await asyncio.shield(task)
        if principal is None:
            raise self._failed("basic", name, address)
        return principal

    async def _verify(self, name: str, password: str, digest: bytes, address: str) -> Principal | None:
        """One hash, whether there is such a user or not: the time taken does not tell."""
        user = self._users.get(name)
        expected = user.password if user else self._decoy
        assert expected is not None
        good = await asyncio.get_running_loop().run_in_executor(self._thread, expected.matches, password)
        if not good or user is None:
            return None
        self._attempts.refund(address)
        self._remember(digest, user.principal)
        return user.principal

    def _basic(self, encoded: str) -> tuple[str, str]:
        try:
            name, colon, password = b64decode(encoded, validate=True).decode().partition(":")
        except (NotBase64, ValueError):
            colon = ""
        if not colon:
            raise self._unknown("the Authorization header is not Basic and the base64 of USER:PASSWORD in UTF-8; curl -u writes it")
        return name, password

    def _slow(self, address: str) -> None:
        wait = ceil(self._attempts.wait(address))
        if wait > 0:
            words = f"too many failed logins from your address; try again in {wait} seconds"
            raise Problem(429, words, headers={"Retry-After": str(wait)})

    def _failed(self, scheme: str, name: str | None, address: str) -> Problem:
        """The refusal, and its line in the log. A name that no user has is not told: it may be a password in the wrong place."""
        log.warning("auth.failed", scheme=scheme, user=name if name in self._users else None, address=address)
        what = "the token is not known" if scheme == "bearer" else "the user is not known or the password is wrong"
        return self._unknown(f"{what}; send {self._ways()}")

    def _unknown(self, detail: str) -> Problem:
        challenge = 'Basic realm="fastlane", charset="UTF-8"' if self._users else 'Bearer realm="fastlane"'
        return Problem(401, detail, headers={"WWW-Authenticate": challenge})

    def _ways(self) -> str:
        ways = ["HTTP Basic (curl -u USER)"] if self._users else []
        ways += ['a bearer token (curl -H "Authorization: Bearer TOKEN")'] if self._tokens else []
        return " or ".join(ways)

    def _digest(self, header: str) -> bytes:
        return blake2b(header.encode("utf-8", "surrogateescape"), key=self._key, digest_size=32).digest()

    def _remember(self, digest: bytes, principal: Principal) -> None:
        self._remembered[digest] = principal
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)


def _seal(name: str, digest: bytes) -> str:
    return blake2b(digest, key=sha256(name.encode()).digest(), person=b"fastlane seal", digest_size=24).hexdigest()


def authenticator_of(users: Sequence[User], tokens: Sequence[Token]) -> Authenticator | None:
    """The gate of a server with these users and tokens; None, and everybody may everything, when there is neither."""
    return Authenticator(users, tokens) if users or tokens else None


def authorize(principal: Principal, method: str, task_id: str | None, write_role: Role | None) -> None:
    """Raises a 403 when this one may not do that, on this task if the path names one; ``write_role`` is what the route's writes need, None
    for the rule of all."""
    needed = needed_role(method, of_task=task_id is not None)
    if needed is not Role.READ and write_role is not None:
        needed = write_role
    if words := refusal(principal, needed, task_id):
        raise Problem(403, words)
