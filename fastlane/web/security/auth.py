"""Authenticates requests by HTTP Basic and bearer tokens, if the settings name any (``Authenticator``), slows down repeated failures
(``LoginThrottle``), checks a principal's rights (``authorize``), and limits the rate of each caller's requests (``RequestRates``).
``models/access.py`` defines what each principal may do.

A valid password of each user is remembered by a keyed digest, so only its first request pays for the hash. One thread computes the hashes.
Only a few logins may wait for it, and fewer from each network, so no client can take over the event loop, the memory or the places.
"""

import asyncio
import secrets
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b, sha256
from ipaddress import ip_address, ip_network
from math import ceil

import structlog

from fastlane.config.access import Token, User, token_digest
from fastlane.models.access import Principal, Role, needed_role, refusal
from fastlane.web.http.problems import RETRY_AFTER, Problem

FREE_FAILURES = 10
"""This many recent failures of an address cost nothing; each further one doubles the wait."""
FREE_IN_NETWORK = 40
"""The same for a wider network: several machines, or a single one that has the whole network."""
FREE_FOR_NAME = 100
"""The same for a user name."""
MAX_WAIT = 60.0
RESET_AFTER = 900.0
"""Seconds without a failure after which a count starts again from zero."""
MAX_FAILURES = 1_000
MAX_ADDRESSES = 4_096
"""Addresses, networks and names that are remembered, of each."""
LONGEST_NAME = 64
"""Characters. No user has a longer name, so all longer ones count as one."""


@dataclass(slots=True)
class _Failures:
    count: int
    last: float


class _Counter:
    """Counts recent failures by key; the first ``free`` cost nothing."""

    def __init__(self, now: Callable[[], float], free: int) -> None:
        self._now = now
        self._free = free
        self._recent: OrderedDict[Hashable, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._recent)

    def wait(self, key: Hashable) -> float:
        failures = self._recent.get(key)
        if failures is None or failures.count < self._free:
            return 0.0
        delay = min(MAX_WAIT, 2.0 ** min(10, failures.count - self._free))
        return max(0.0, failures.last + delay - self._now())

    def count(self, key: Hashable) -> int:
        failures = self._recent.get(key)
        return failures.count if failures is not None else 0

    def add(self, key: Hashable) -> None:
        now, failures = self._now(), self._recent.pop(key, None)
        count = failures.count if failures is not None and now - failures.last < RESET_AFTER else 0
        self._recent[key] = _Failures(min(count + 1, MAX_FAILURES), now)
        if len(self._recent) > MAX_ADDRESSES:
            self._recent.popitem(last=False)

    def refund(self, key: Hashable) -> None:
        failures = self._recent.get(key)
        if failures is not None:
            failures.count -= 1
            if failures.count <= 0:
                del self._recent[key]


class LoginThrottle:
    """Counts recent failed logins. ``name``: the user name that was sent; None for a token, which cannot be guessed."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._addresses = _Counter(now, FREE_FAILURES)
        self._networks = _Counter(now, FREE_IN_NETWORK)
        self._names = _Counter(now, FREE_FOR_NAME)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait(self, address: str, name: str | None = None) -> float:
        """Seconds until this address may try again to log in as this user; 0 when it may try now."""
        waits = (self._addresses.wait(address_key(address)), self._networks.wait(network_key(address)))
        if name is None or self._is_known(address, name):
            return max(waits)
        return max(*waits, self._names.wait(name[:LONGEST_NAME]))

    def count_failure(self, address: str, name: str | None = None) -> None:
        """Counts a failure. A login whose outcome is still open counts too, until ``refund``."""
        self._addresses.add(address_key(address))
        if self._addresses.count(address_key(address)) <= FREE_FAILURES:
            for counter, key in self._wider(address, name):
                counter.add(key)

    def refund(self, address: str, name: str | None = None) -> None:
        """Takes back one failure, because the login succeeded. The others stay: otherwise one known password would allow any number of
        guesses at another."""
        if self._addresses.count(address_key(address)) <= FREE_FAILURES:
            for counter, key in self._wider(address, name):
                counter.refund(key)
        self._addresses.refund(address_key(address))
        if name is not None:
            self._known[address_key(address), name] = None
            self._known.move_to_end((address_key(address), name))
            if len(self._known) > MAX_ADDRESSES:
                self._known.popitem(last=False)

    def _is_known(self, address: str, name: str) -> bool:
        return (address_key(address), name) in self._known

    def _wider(self, address: str, name: str | None) -> Iterator[tuple[_Counter, Hashable]]:
        yield self._networks, network_key(address)
        if name is not None:
            yield self._names, name[:LONGEST_NAME]


class LoginSlots:
    """Places for logins that wait for their hash: ``most`` in all, ``most_of_network`` for one network, so that no one takes them all."""

    def __init__(self, most: int, most_of_network: int) -> None:
        self._most = most
        self._most_of_network = most_of_network
        self._taken: Counter[str] = Counter()

    def acquire(self, address: str) -> bool:
        """Takes a place; False when there is none for this address."""
        network = network_key(address)
        if self._taken.total() >= self._most or self._taken[network] >= self._most_of_network:
            return False
        self._taken[network] += 1
        return True

    def release(self, address: str) -> None:
        """Gives the place back."""
        network = network_key(address)
        self._taken[network] -= 1
        if self._taken[network] <= 0:
            del self._taken[network]


def address_key(address: str) -> str:
    """An address. An IPv6 address counts as its /64 network, since one machine usually has all of it."""
    return _network(address, 32, 64)


def network_key(address: str) -> str:
    """The wider network of an address: what a provider often gives to one customer."""
    return _network(address, 24, 48)


def _network(address: str, of_4: int, of_6: int) -> str:
    try:
        ip = ip_address(address)
    except ValueError:
        return "unknown"
    return str(ip_network((ip, of_4 if ip.version == 4 else of_6), strict=False))


MAX_REMEMBERED = 1_024
"""Users whose verified password is remembered: the ones that came last."""
MAX_VERIFYING = 32
"""Different passwords that may wait for their hash. A further one gets a 503."""
MAX_OF_NETWORK = 10
"""How many waiting passwords may come from one network (/24, /48)."""

log = structlog.get_logger()


OnRefusal = Callable[[str | None, str], None]
"""Called for each refused login with the user, if one has that name, and the address."""


def ignore_refusal(_user: str | None, _address: str) -> None:
    """Ignores the refusal."""


class Authenticator:
    """Finds the principal of a credential. ``replace`` changes the users and tokens. ``close`` ends its thread. ``refused`` is called
    for logins that fail."""

    def __init__(self, users: Sequence[User], tokens: Sequence[Token], refused: OnRefusal = ignore_refusal) -> None:
        self._refused = refused
        self._throttle = LoginThrottle()
        self._slots = LoginSlots(MAX_VERIFYING, MAX_OF_NETWORK)
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[str, bytes] = OrderedDict()  # the verified password of each credential, by its seal
        self._verifying: dict[bytes, asyncio.Task[str | None]] = {}
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._principals: Mapping[str, Principal] = {}
        self.replace(users, tokens)

    def replace(self, users: Sequence[User], tokens: Sequence[Token]) -> set[str]:
        """Lets these users and tokens in from now on, and no others. Returns the seals of the credentials that are gone, or that may now do
        something else."""
        before = self._principals
        digests = [(user.principal, user.password.digest) for user in users] + [(token.principal, token.digest) for token in tokens]
        self._users = {user.principal.name: user for user in users}
        self._token_principals = {token.digest: token.principal for token in tokens}
        self._seals = {principal.name: _seal(principal.name, digest) for principal, digest in digests}
        self._principals = {self._seals[principal.name]: principal for principal, _ in digests}
        self._decoy = users[0].password.decoy() if users else None
        return {seal for seal, principal in before.items() if self._principals.get(seal) != principal}

    @property
    def credentials(self) -> Sequence[str]:
        """What people log in with: ``password`` where there are users, ``token`` where there are tokens."""
        return [way for way, known in (("password", self._users), ("token", self._token_principals)) if known]

    def credential_of(self, principal: Principal) -> str:
        """What the principal logs in with: one of ``credentials``."""
        return "password" if principal.name in self._users else "token"

    def seal(self, principal: Principal) -> str:
        """An opaque name of the principal's credential. It changes with the password or token. Raises a 401 when that has just been
        revoked."""
        found = self._seals.get(principal.name)
        if found is None:
            raise self._unauthorized(f"the login was revoked; send {self._ways()}")
        return found

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
        """The principal of this Authorization header, if it has a token, or a password that was verified before. Takes microseconds."""
        scheme, credential = _parts(header)
        if scheme == "bearer":
            return self._token_principals.get(token_digest(credential))
        try:
            name, password = self._basic(credential) if scheme == "basic" else ("", "")
        except Problem:
            return None
        seal = self._seals.get(name, "") if name in self._users else ""
        if self._remembered.get(seal) != self._digest(name, password):
            return None
        self._remembered.move_to_end(seal)
        return self._principals.get(seal)

    async def authenticate(self, header: str, address: str) -> Principal:
        """The principal of this Authorization header, sent from ``address``. Raises a 401 for a wrong or missing credential, a 429 after
        too many failures, and a 503 when too many other logins wait."""
        scheme, credential = _parts(header)
        match scheme:
            case "bearer" if self._token_principals:
                return self.principal_of_token(credential, address)
            case "basic" if self._users:
                return await self.principal_of_password(*self._basic(credential), address)
            case "":
                raise self._unauthorized(f"this server needs a login; send {self._ways()}")
        raise self._unauthorized(f"this server does not accept this kind of Authorization header; send {self._ways()}")

    def principal_of_token(self, token: str, address: str) -> Principal:
        """The principal of a token, sent from ``address``. Raises a 401 for an unknown one, and a 429 after too many of these."""
        found = self._token_principals.get(token_digest(token))
        if found is None:
            raise self._guessed("bearer", address)
        return found

    def close(self) -> None:
        """Ends the thread, and cancels the logins that wait for it."""
        for task in self._verifying.values():
            task.cancel()
        self._thread.shutdown(cancel_futures=True)

    def _guessed(self, scheme: str, address: str) -> Problem:
        """The refusal of what nobody has, which counts as a guess. Raises a 429 after too many of them."""
        self._check_throttle(address, None)
        self._throttle.count_failure(address)
        return self._failed(scheme, None, address)

    async def principal_of_password(self, name: str, password: str, address: str) -> Principal:
        """The user of a name and a password, sent from ``address``. Raises a 401 for a wrong pair, a 429 after too many of these, and a 503
        when too many other logins wait."""
        if not self._users:
            raise self._guessed("basic", address)
        digest = self._digest(name, password)
        task = self._verifying.get(digest)
        if task is None:
            self._check_throttle(address, name)
            if not self._slots.acquire(address):
                raise Problem(503, "too many logins at the same time; send it again in a few seconds", retry_after=RETRY_AFTER)
            self._throttle.count_failure(address, name)
            task = asyncio.create_task(self._verify(name, password, digest, address), name="verify a password")
            self._verifying[digest] = task
            task.add_done_callback(lambda _: self._verified(digest, address))
        seal = await asyncio.shield(task)
        principal = None if seal is None else self._principals.get(seal)
        if principal is None:
            raise self._failed("basic", name, address)
        return principal

    async def _verify(self, name: str, password: str, digest: bytes, address: str) -> str | None:
        """The seal of the user, if it is their password. Computes one hash whether the user exists or not, so that the time taken does not
        reveal it."""
        user = self._users.get(name)
        expected = user.password if user else self._decoy
        assert expected is not None
        seal = self._seals[name] if user else None
        good = await asyncio.get_running_loop().run_in_executor(self._thread, expected.matches, password)
        if not good or seal is None:
            return None
        self._throttle.refund(address, name)
        self._remembered[seal] = digest
        self._remembered.move_to_end(seal)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return seal

    def _verified(self, digest: bytes, address: str) -> None:
        self._verifying.pop(digest, None)
        self._slots.release(address)

    def _basic(self, encoded: str) -> tuple[str, str]:
        try:
            name, colon, password = b64decode(encoded, validate=True).decode().partition(":")
        except (NotBase64, ValueError):
            colon = ""
        if not colon:
            raise self._unauthorized("the Authorization header is not Basic and the base64 of USER:PASSWORD in UTF-8; curl -u writes it")
        return name, password

    def _check_throttle(self, address: str, name: str | None) -> None:
        wait = ceil(self._throttle.wait(address, name))
        if wait > 0:
            self._refused(name if name in self._users else None, address)
            words = f"too many failed logins from your address or its network, or as this user; try again in {wait} seconds"
            raise Problem(429, words, retry_after=wait)

    def _failed(self, scheme: str, name: str | None, address: str) -> Problem:
        """Logs a failed login, and returns its answer. The log leaves out a name that no user has: it may be a password in the wrong
        field."""
        self._refused(name if name in self._users else None, address)
        log.warning("auth.failed", scheme=scheme, user=name if name in self._users else None, address=address)
        what = "the token is unknown" if scheme == "bearer" else "the user is unknown or the password is wrong"
        return self._unauthorized(f"{what}; send {self._ways()}")

    def _unauthorized(self, detail: str) -> Problem:
        challenge = 'Basic realm="fastlane", charset="UTF-8"' if self._users else 'Bearer realm="fastlane"'
        return Problem(401, detail, headers={"WWW-Authenticate": challenge})

    def _ways(self) -> str:
        ways = ["HTTP Basic (curl -u USER)"] if self._users else []
        ways += ['a bearer token (curl -H "Authorization: Bearer TOKEN")'] if self._token_principals else []
        return " or ".join(ways) or "a login that its administrator has yet to configure"

    def _digest(self, name: str, password: str) -> bytes:
        return blake2b(f"{name}:{password}".encode("utf-8", "surrogateescape"), key=self._key, digest_size=32).digest()


def _parts(header: str) -> tuple[str, str]:
    """The scheme of an Authorization header, in lower case, and the credential, without the blanks around them."""
    scheme, _, rest = header.strip().partition(" ")
    return scheme.lower(), rest.strip()


def _seal(name: str, digest: bytes) -> str:
    return blake2b(digest, key=sha256(name.encode()).digest(), person=b"fastlane seal", digest_size=24).hexdigest()


def make_authenticator(users: Sequence[User], tokens: Sequence[Token], refused: OnRefusal = ignore_refusal) -> Authenticator | None:
    """The authenticator of a server with these users and tokens; None when there are neither, and everyone may do everything."""
    return Authenticator(users, tokens, refused) if users or tokens else None


def authorize(principal: Principal, method: str, task_id: str | None, write_role: Role | None) -> None:
    """Raises a 403 if the principal may not use this method, on this task when the path names one. ``write_role`` is the role that the
    route's writes need; None: the general rule."""
    needed = needed_role(method, of_task=task_id is not None)
    if needed is not Role.READ and write_role is not None:
        needed = write_role
    if words := refusal(principal, needed, task_id):
        raise Problem(403, words)


BURST = 10.0
"""Seconds' worth of requests that a caller may make at once."""
MAX_CALLERS = 4_096


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RequestRates:
    """Counts the requests of each caller in this process. ``rate``: requests a second, on average; None: no limit."""

    def __init__(self, rate: int | None, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._rate is not None

    def check(self, caller: str | None) -> None:
        """Counts a request. Raises a 429 when the caller may not make it now."""
        if wait := self.take(caller):
            words = f"more than {self._rate} requests a second came from you; send this one again after a pause"
            raise Problem(429, words, retry_after=ceil(wait))

    def take(self, caller: str | None) -> float:
        """Counts a request. Returns 0 when the caller may make it, else the seconds until it may. None stands for no caller in particular,
        and has no limit."""
        if self._rate is None or caller is None:
            return 0.0
        now, most = self._now(), self._rate * BURST
        bucket = self._buckets.pop(caller, None) or _Bucket(most, now)
        bucket.tokens = min(most, bucket.tokens + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        self._buckets[caller] = bucket
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate
        bucket.tokens -= 1
        return 0.0
