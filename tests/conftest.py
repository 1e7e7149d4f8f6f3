"""The fixtures that any test may ask for."""

from tests.support.engine import engine

__all__ = ["engine"]
