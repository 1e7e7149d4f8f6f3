"""``python -m tests.support.hasty ROLE``: fastlane itself, whose reconciler makes a round every other second rather than twice a minute."""

from dataclasses import replace

from fastlane import app
from fastlane.cli import server
from fastlane.config.settings import Settings
from fastlane.scheduler.worker import WorkerSettings

EVERY = 2.0
"""Seconds."""

plain = app.worker_settings


def worker_settings(settings: Settings) -> WorkerSettings:
    """As fastlane has them, but for that."""
    return replace(plain(settings), reconcile=EVERY)


if __name__ == "__main__":
    app.worker_settings = worker_settings
    server.main()
