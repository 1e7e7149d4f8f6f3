"""Slows down who guesses: failed logins are counted per address, in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

FREE = 10
"""So many failures lately cost nothing; each further one doubles the wait."""
LONGEST_WAIT = 60.0
LATELY = 900.0
"""An address that did not fail for so long, in seconds, begins anew."""
MOST_ADDRESSES = 4_096


@dataclass(slots=True)
class _Row:
    failures: int
    last: float


class LoginThrottle:
    """How often each address has failed lately. An IPv6 address stands for its network of 64 bits, which one machine has for itself."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._rows: OrderedDict[str, _Row] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the address may try again; 0 for at once."""
        row = self._rows.get(_key(address))
        if row is None or row.failures < FREE:
            return 0.0
        delay = min(LONGEST_WAIT, 2.0 ** (row.failures - FREE))
        return max(0.0, row.last + delay - self._now())

    def count(self, address: str) -> int:
        """One more failure; also an attempt whose outcome is open counts, until ``refund``. How many that makes."""
        key, now = _key(address), self._now()
        row = self._rows.pop(key, None)
        failures = row.failures if row is not None and now - row.last < LATELY else 0
        self._rows[key] = _Row(min(failures + 1, 1_000), now)
        if len(self._rows) > MOST_ADDRESSES:
            self._rows.popitem(last=False)
        return failures + 1

    def refund(self, address: str) -> None:
        """The attempt was none of a guesser. (The others stay: else one good password would allow any number of guesses at another.)"""
        key = _key(address)
        row = self._rows.get(key)
        if row is None:
            return
        row.failures -= 1
        if row.failures <= 0:
            del self._rows[key]


def _key(address: str) -> str:
    try:
        ip = ip_address(address)
    except ValueError:
        return "unknown"
    return str(ip_network((ip, 64), strict=False)) if ip.version == 6 else address
