"""Slows down password guessing, in bounded memory: failed logins are counted for each address, each wider network and each user name.

Without the networks, one who has many addresses could guess from each; without the names, one who has many networks. A wait for a name
would also let strangers keep a user out, so it does not apply to addresses from which that user has logged in before. An address that has
to wait by itself counts no further in its network and for the name: one machine with an old password must not keep others out.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

FREE_FAILURES = 10
"""This many recent failures of an address cost nothing; each further one doubles the wait."""
FREE_IN_NETWORK = 40
"""The same for a wider network: several machines, or one that has all of it."""
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
    """Counts recent failed logins. ``name``: the user name that was sent; None for a token, which nobody can guess."""

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
