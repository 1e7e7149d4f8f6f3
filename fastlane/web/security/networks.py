"""A list of networks, and whether an address is in one of them."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network


class Networks:
    """The networks of a setting."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(network, strict=False) for network in networks]

    def admits(self, address: str | None) -> bool:
        """Whether the address is in one of the networks. One that is not known is in none."""
        if address is None:
            return False
        found = ip_address(address)
        mapped = getattr(found, "ipv4_mapped", None) or found
        return any(mapped in network for network in self._networks)
