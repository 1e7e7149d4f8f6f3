"""``python -m tests.support.hasty ROLE``: fastlane itself, whose reconciler makes a round every other second rather than twice a minute."""

import sys
from dataclasses import replace

from fastlane import app, log
from fastlane.config.load import load
from fastlane.config.types import Role

EVERY = 2.0
"""Seconds."""


def main(role: Role) -> int:
    """Runs until a signal."""
    settings = load(role).settings
    log.configure(settings.log_format, settings.log_level)
    return app.run(role, settings, app.Factories(worker_settings=lambda settings: replace(app.worker_settings(settings), reconcile=EVERY)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
