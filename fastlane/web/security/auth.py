"""Authenticates requests by HTTP Basic and bearer tokens, if the settings name any. ``models/access.py`` says what each principal may do.

A valid credential is remembered by a keyed digest, so only its first request pays for the password hash. One thread computes the hashes and
few may wait for it, so a client cannot take over the event loop or the memory; repeated failures slow an address down.
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

from fastlane.config.credentials import Token, User, token_digest
from fastlane.models.access import Principal, Role, needed_role, refusal
from fastlane.web.http.problems import Problem
from fastlane.web.security.throttle import LoginThrottle

MAX_REMEMBERED = 1_024
MAX_VERIFYING = 16
"""Different passwords that may wait for their hash. The next one gets a 503."""

log = structlog.get_logger()


class Authenticator:
    """Finds the principal of a credential. ``close`` ends its thread."""

    def __init__(self, users: Sequence[User], tokens: Sequence[Token]) -> None:
        self._users = {user.principal.name: user for user in users}
        self._tokens = tuple(tokens)
        digests = [(user.principal, user.password.digest) for user in users] + [(token.principal, token.digest) for token in tokens]
        self._seals = {principal.name: _seal(principal.name, digest) for principal, digest in digests}
        self._principals = {self._seals[principal.name]: principal for principal, _ in digests}
        self._decoy = users[0].password.decoy() if users else None
        self._throttle = LoginThrottle()
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, Principal] = OrderedDict()
        self._verifying: dict[bytes, asyncio.Task[Principal | None]] = {}
        self._thread = ThreadPoolExecutor(1, "passwords")

    def seal(self, principal: Principal) -> str:
        """An opaque name of the principal's credential. It changes with the password or token."""
        return self._seals[principal.name]

    def principal_of(self, seal: str) -> Principal | None:
        """The principal whose credential has this seal, with their present rights; None when the credential no longer exists."""
        return self._principals.get(seal)

    def ticket_refused(self, address: str) -> Problem:
        """The answer to a ticket that is not valid here. Tickets cannot be guessed, so the throttle does not count this; it is logged at
        debug level only, so that clients cannot flood the log."""
        log.debug("auth.ticket_refused", address=address)
        words = "the ticket is used, older than 30 seconds, or not for this; a new one comes from POST …/ws-ticket"
        return self._unauthorized(f"{words}; or send {self._ways()}")

    def cached(self, header: str) -> Principal | None:
        """The principal of this Authorization header, if it was authenticated before. Takes microseconds."""
        digest = self._digest(header)
        principal = self._remembered.get(digest)
        if principal is not None:
            self._remembered.move_to_end(digest)
        return principal

    async def authenticate(self, header: str, address: str) -> Principal:
        """The principal of this Authorization header, sent from ``address``. Raises a 401 for a wrong or missing credential, a 429 when the
        address has failed too often, and a 503 when too many other logins wait."""
        scheme, _, rest = header.strip().partition(" ")
        match scheme.lower():
            case "bearer" if self._tokens:
                return self._authenticate_token(header, rest.strip(), address)
            case "basic" if self._users:
                return await self._authenticate_password(header, rest.strip(), address)
            case "":
                raise self._unauthorized(f"this server needs a login; send {self._ways()}")
        raise self._unauthorized(f"this server does not accept this kind of Authorization header; send {self._ways()}")

    def close(self) -> None:
        """Ends the thread, and cancels the logins that wait for it."""
        for task in self._verifying.values():
            task.cancel()
        self._thread.shutdown(cancel_futures=True)

    def _authenticate_token(self, header: str, token: str, address: str) -> Principal:
        digest, found = token_digest(token), None
        for known in self._tokens:
            if hmac.compare_digest(digest, known.digest):
                found = known.principal
        if found is None:
            self._check_throttle(address)
            self._throttle.count_failure(address)
            raise self._failed("bearer", None, address)
        self._remember(self._digest(header), found)
        return found

    async def _authenticate_password(self, header: str, encoded: str, address: str) -> Principal:
        name, password = self._basic(encoded)
        digest = self._digest(header)
        task = self._verifying.get(digest)
        if task is None:
            self._check_throttle(address)
            if len(self._verifying) >= MAX_VERIFYING:
                raise Problem(503, "too many logins at the same time; send it again in a few seconds", headers={"Retry-After": "2"})
            self._throttle.count_failure(address)
            task = asyncio.create_task(self._verify(name, password, digest, address), name="verify a password")
            self._verifying[digest] = task
            task.add_done_callback(lambda _: self._verifying.pop(digest, None))
        principal = await asyncio.shield(task)
        if principal is None:
            raise self._failed("basic", name, address)
        return principal

    async def _verify(self, name: str, password: str, digest: bytes, address: str) -> Principal | None:
        """Computes one hash whether the user exists or not, so that the time taken does not reveal it."""
        user = self._users.get(name)
        expected = user.password if user else self._decoy
        assert expected is not None
        good = await asyncio.get_running_loop().run_in_executor(self._thread, expected.matches, password)
        if not good or user is None:
            return None
        self._throttle.refund(address)
        self._remember(digest, user.principal)
        return user.principal

    def _basic(self, encoded: str) -> tuple[str, str]:
        try:
            name, colon, password = b64decode(encoded, validate=True).decode().partition(":")
        except (NotBase64, ValueError):
            colon = ""
        if not colon:
            raise self._unauthorized("the Authorization header is not Basic and the base64 of USER:PASSWORD in UTF-8; curl -u writes it")
        return name, password

    def _check_throttle(self, address: str) -> None:
        wait = ceil(self._throttle.wait(address))
        if wait > 0:
            words = f"too many failed logins from your address; try again in {wait} seconds"
            raise Problem(429, words, headers={"Retry-After": str(wait)})

    def _failed(self, scheme: str, name: str | None, address: str) -> Problem:
        """Logs a failed login, and returns its answer. The log leaves out a name that no user has: it may be a password in the wrong
        field."""
        log.warning("auth.failed", scheme=scheme, user=name if name in self._users else None, address=address)
        what = "the token is unknown" if scheme == "bearer" else "the user is unknown or the password is wrong"
        return self._unauthorized(f"{what}; send {self._ways()}")

    def _unauthorized(self, detail: str) -> Problem:
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
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


def _seal(name: str, digest: bytes) -> str:
    return blake2b(digest, key=sha256(name.encode()).digest(), person=b"fastlane seal", digest_size=24).hexdigest()


def make_authenticator(users: Sequence[User], tokens: Sequence[Token]) -> Authenticator | None:
    """The authenticator of a server with these users and tokens; None when there are neither, and everyone may do everything."""
    return Authenticator(users, tokens) if users or tokens else None


def authorize(principal: Principal, method: str, task_id: str | None, write_role: Role | None) -> None:
    """Raises a 403 if the principal may not use this method, on this task when the path names one. ``write_role`` is the role that the
    route's writes need; None: the general rule."""
    needed = needed_role(method, of_task=task_id is not None)
    if needed is not Role.READ and write_role is not None:
        needed = write_role
    if words := refusal(principal, needed, task_id):
        raise Problem(403, words)
