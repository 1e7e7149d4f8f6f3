"""A setting: a row of the table in ``settings``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastlane.config.types import Invocation, SettingType

PREFIX = "FASTLANE_"


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table. ``default`` is a value as a user would write it or, for a ``computed`` default, a description of it."""

    name: str
    type: SettingType
    default: str
    meaning: str
    secret: bool = False
    computed: Callable[[Invocation, Mapping[str, Any]], Any] | None = None

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()

    def value(self, written: object, invocation: Invocation) -> Any:
        """The value that a user wrote, resolved. Raises ValueError or Invalid."""
        return self._resolved(self.type.read(written), invocation)

    def default_value(self, invocation: Invocation, values: Mapping[str, Any]) -> Any:
        """The default, resolved; ``values`` are those of the settings above this one. Raises ValueError for a bad DOCKER_HOST."""
        found = self.computed(invocation, values) if self.computed else self.type.read(self.default)
        return self._resolved(found, invocation)

    def _resolved(self, value: Any, invocation: Invocation) -> Any:
        return value if value is None else self.type.resolve(value, invocation)
