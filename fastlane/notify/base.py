"""The port of a sender: what carries a message out of fastlane."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastlane.models.execution import Execution
from fastlane.models.notify.delivery import Delivery, Reply


@dataclass(frozen=True, slots=True)
class Message:
    """One attempt of a delivery. ``id`` is the same in each attempt; ``at`` is when this one began (milliseconds). ``secrets``: what it is
    signed with."""

    id: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    at: int


class Sender(Protocol):
    """Sends messages. Several may be on their way at once."""

    @property
    def deadline(self) -> float:
        """Seconds after which ``send`` has returned."""

    async def send(self, message: Message) -> Reply:
        """What the receiver answered. Raises nothing of its own: a receiver that cannot be reached is a reply, too."""

    async def close(self) -> None:
        """Ends its connections."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """How a worker notifies: ``make_body`` writes what is sent about an execution, ``sender`` sends it."""

    make_body: Callable[[Execution, Delivery], bytes]
    sender: Sender
