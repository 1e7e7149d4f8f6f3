"""The port of the hub: hints of what is new in the store, from the processes that write logs to those that have readers of them.

It carries no log and promises nothing: a hint may be lost, come twice or late. Who listens looks at the store once a second in any case.
"""

from collections.abc import Callable
from typing import Protocol

from fastlane.models.logs.hint import Hint

OnHint = Callable[[Hint | None], None]
"""Called with a hint; with None when some may have been missed."""


class Hub(Protocol):
    """Tells and hears hints; one connection in each direction for a process, however many listen."""

    def publish(self, hint: Hint) -> None:
        """Sends it soon, or drops it when that cannot be done. Never waits and never fails."""

    def subscribe(self, execution_id: str, on_hint: OnHint) -> Callable[[], None]:
        """Calls back with each hint of this execution, and with None once it has begun to hear and after each gap, until the function that
        it returns is called."""
