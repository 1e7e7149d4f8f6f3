"""Counts what attempts of deliveries come to, around the carriers that make them."""

from collections.abc import Callable, Mapping
from typing import Any

from fastlane.models.notify.delivery import Kind, Reply
from fastlane.scheduler.notify.carriers import Carrier

Count = Callable[[str, str], None]
"""Counts an attempt: its kind, and what it came to."""


class CountedCarrier:
    """A carrier whose attempts are counted."""

    def __init__(self, carrier: Carrier, kind: Kind, count: Count) -> None:
        self._carrier = carrier
        self._kind = kind
        self._count = count

    @property
    def deadline(self) -> float:
        return self._carrier.deadline

    async def carry(self, *arguments: Any) -> Reply:
        """What the carrier's attempt came to."""
        reply = await self._carrier.carry(*arguments)
        self._count(self._kind.value, "held" if reply.is_held else "delivered" if reply.is_success else "failed")
        return reply

    async def close(self) -> None:
        await self._carrier.close()


def counted(carriers: Mapping[Kind, Carrier], count: Count) -> Mapping[Kind, Carrier]:
    """The carriers, with their attempts counted."""
    return {kind: CountedCarrier(carrier, kind, count) for kind, carrier in carriers.items()}
