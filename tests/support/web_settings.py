"""The settings of HTTP for tests."""

from typing import Any

from fastlane.config.settings import Settings


def web_settings(**changes: Any) -> Settings:
    """The settings of a server that sets nothing, on loopback, with these changes."""
    return Settings.defaults(**changes)
