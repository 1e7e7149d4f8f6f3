"""IP addresses of clients, and the networks of a setting."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address


@lru_cache(maxsize=256)
def read_address(text: str) -> Address | None:
    """An IP address; None for other text. An IPv4 address that is mapped into IPv6, as on a dual-stack socket, is returned as IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=256)
def address_text(text: str) -> str | None:
    """An IP address in its usual form; None for other text."""
    address = read_address(text)
    return None if address is None else str(address)


class Networks:
    """The addresses and networks of a setting: false when there are none, and ``address in networks``."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(network, strict=False) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)
