"""The fixtures that any test may ask for."""

from tests.support.engine import engine
from tests.support.registry import private_registry, registry
from tests.support.swarms import joined_managers, separate_swarms, three_managers, three_swarms

__all__ = ["engine", "joined_managers", "private_registry", "registry", "separate_swarms", "three_managers", "three_swarms"]
