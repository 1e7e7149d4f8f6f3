"""A mailbox: an e-mail address that gets a mail about how an execution ended, and on which occasion; and which may get any. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastlane.models.notify.occasion import Occasion

RETRIES = 7
"""How many attempts may follow a failed one: with the waits between them, some 7 hours, as many servers are down for an hour or two."""
MAX_MAILBOXES = 20
"""Addresses of one list."""
MAX_ADDRESS = 254

ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    re.ASCII,
)
MAX_LOCAL = 64
ANY = "*"
"""What the setting ``notify_allow`` lists when any address may get mails."""
SUBDOMAINS = "*."
ROUTED = frozenset("%!")
"""Characters by which some mail servers read another address out of the part before the ``@``: ``victim%example.org@example.com``."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address, and the occasion on which it gets a mail."""

    occasion: Occasion
    address: str = field(repr=False)

    @property
    def origin(self) -> str:
        """What a log may name of it: its domain."""
        return f"mailto:{self.address.rpartition('@')[2].lower()}"

    @property
    def url(self) -> str:
        """The address as a URL."""
        return f"mailto:{self.key}"

    @property
    def key(self) -> str:
        """The address without differences that no server makes."""
        return self.address.lower()

    @property
    def retries(self) -> int:
        """How many attempts may follow a failed one."""
        return RETRIES


def read_address(value: object) -> str:
    """An e-mail address. Raises ValueError."""
    if not isinstance(value, str) or len(value) > MAX_ADDRESS or not ADDRESS.fullmatch(value) or len(value.rpartition("@")[0]) > MAX_LOCAL:
        raise ValueError("is not an e-mail address; write one such as team@example.com, in ASCII and without a name beside it")
    return value


def read_allowed(text: str) -> str:
    """What ``notify_allow`` lists: an address, a domain, ``*.`` and a domain for its subdomains, or ``*``. Raises ValueError."""
    try:
        if "@" in text and not text.startswith(ANY):
            read_address(text)
        elif text != ANY:
            read_address(f"any@{text.removeprefix(SUBDOMAINS)}")
    except ValueError:
        raise ValueError(f"{text!r} is not a domain such as example.com, nor an address such as team@example.com") from None
    return text.lower()


def is_allowed(address: str, allowed: Sequence[str]) -> bool:
    """Whether an address may get mails: it, its domain, or a domain above that is listed. One that a server may read as the address of
    another domain has to be listed itself."""
    address = address.lower()
    if ANY in allowed or address in allowed:
        return True
    local, _, domain = address.rpartition("@")
    above = (domain[place:] for place, letter in enumerate(domain) if letter == ".")
    return not ROUTED & set(local) and (domain in allowed or any(f"*{one}" in allowed for one in above))


def one_each(mailboxes: Sequence[Mailbox]) -> list[Mailbox]:
    """The first mailbox of each address: one that stands in two lists gets one mail."""
    return list({mailbox.key: mailbox for mailbox in reversed(mailboxes)}.values())[::-1]
