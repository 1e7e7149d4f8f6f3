"""An operation of the API: its method, its path, and the type of its answer."""

from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """``path`` has parameters in braces. ``keyed``: it takes an Idempotency-Key, so that it may be sent again."""

    id: str
    method: str
    path: str
    keyed: bool = False

    def path_of(self, parameters: dict[str, str]) -> str:
        """The path with these parameters, percent-encoded."""
        return self.path.format_map({name: quote(value, safe="") for name, value in parameters.items()})
