"""The settings of HTTP for tests: those of a server that sets nothing, on loopback."""

from dataclasses import fields
from typing import Any

from fastlane.config.settings import Settings
from fastlane.web.settings import WebSettings


def web_settings(**changes: Any) -> WebSettings:
    """The default settings with these changes."""
    settings = Settings.defaults()
    defaults = {field.name: getattr(settings, field.name) for field in fields(WebSettings) if hasattr(settings, field.name)}
    return WebSettings(**{**defaults, "version": "9.9.9", "listen_is_loopback": True, **changes})
