"""fastlane runs commands in containers: now, later or on a schedule, for anyone who can send an HTTP request."""

__version__ = "0.1.0"
