"""The port of the hub: hints of what is new in the store, from the processes that write logs to those that have readers of them.

It carries no log and promises nothing: a hint may be lost, or come twice or late. Subscribers read the store once a second in any case.
"""

from collections.abc import Callable
from typing import Protocol

from fastlane.models.log import Hint

OnHint = Callable[[Hint | None], None]
"""Called with a hint; with None when some may have been missed."""


class Hub(Protocol):
    """Publishes hints and subscribes to them, over one connection in each direction for a process."""

    def publish(self, hint: Hint) -> None:
        """Sends the hint soon, or drops it when that is not possible. Never waits and never fails."""

    def subscribe(self, execution_id: str, on_hint: OnHint) -> Callable[[], None]:
        """Calls back with each hint about this execution, and with None once the subscription has begun and after each gap, until the
        function that it returns is called."""
