"""Which addresses a webhook may be sent to: public ones, and those that the setting ``webhook_allow`` lists. Pure."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""Reserved for networks' own use (RFC 8215), which not every Python knows."""


def is_allowed(address: str, allowed: Sequence[str]) -> bool:
    """Whether a webhook may be sent to this IP address. ``allowed``: addresses and networks that may be private. An IPv6 address that
    stands for an IPv4 address is as that one is."""
    networks = [ipaddress.ip_network(one) for one in allowed]
    return all(_is_public(one) or any(one in network for network in networks) for one in _meant(_parsed(address)))


def literal_address(url: str) -> str | None:
    """The IP address that a URL has in place of a name, in any form that a system resolves without a name server; None for a name."""
    host = urlsplit(url).hostname or ""
    try:
        return str(_parsed(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # such as 127.1, 0x7f000001 and 2130706433
    except OSError:
        return None


def _parsed(address: str) -> IpAddress:
    return ipaddress.ip_address(address.partition("%")[0])


def _meant(address: IpAddress) -> Iterator[IpAddress]:
    """The addresses that packets to this one may reach: itself or, where it contains IPv4 addresses, those."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    elif address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    else:
        yield address


def _is_public(address: IpAddress) -> bool:
    return address.is_global and not address.is_multicast and address not in _LOCAL_NAT64
