"""No settings but those that a test makes."""

import os

import pytest

from fastlane.config import legacy


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path):
    """No variables of ours, and an empty current directory."""
    for name in list(os.environ):
        if name.startswith(("FASTLANE_", "DOCKER_")) or name in legacy.NAMES:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
