"""Slows down password guessing: failed logins are counted for each address, in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

FREE_FAILURES = 10
"""This many recent failures cost nothing; each further one doubles the wait."""
MAX_WAIT = 60.0
RESET_AFTER = 900.0
"""Seconds without a failure after which an address starts again from zero."""
MAX_FAILURES = 1_000
MAX_ADDRESSES = 4_096


@dataclass(slots=True)
class _Failures:
    count: int
    last: float


class LoginThrottle:
    """Counts each address's recent failed logins. An IPv6 address counts as its /64 network, since one machine usually has all of it."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._addresses: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the address may try again; 0 when it may try now."""
        failures = self._addresses.get(_key(address))
        if failures is None or failures.count < FREE_FAILURES:
            return 0.0
        delay = min(MAX_WAIT, 2.0 ** (failures.count - FREE_FAILURES))
        return max(0.0, failures.last + delay - self._now())

    def count_failure(self, address: str) -> None:
        """Counts a failure. A login whose outcome is still open counts too, until ``refund``."""
        key, now = _key(address), self._now()
        failures = self._addresses.pop(key, None)
        count = failures.count if failures is not None and now - failures.last < RESET_AFTER else 0
        self._addresses[key] = _Failures(min(count + 1, MAX_FAILURES), now)
        if len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)

    def refund(self, address: str) -> None:
        """Takes back one failure, because the login succeeded. The others stay: otherwise one known password would allow any number of
        guesses at another."""
        key = _key(address)
        failures = self._addresses.get(key)
        if failures is None:
            return
        failures.count -= 1
        if failures.count <= 0:
            del self._addresses[key]


def _key(address: str) -> str:
    try:
        ip = ip_address(address)
    except ValueError:
        return "unknown"
    return str(ip_network((ip, 64), strict=False)) if ip.version == 6 else address
