"""A share of the long tests, which the commit decides: each commit has its answer soon, and some commits together try them all.

FASTLANE_TEST_SHARES is the number of shares (1: all tests, as without it). Tests that share a process are in one share, since what they
start for each other costs most; each case of a crash is by itself.
"""

import hashlib
import os
import subprocess
from collections.abc import Iterable

import pytest

from tests.support.docs import ROOT
from tests.support.side_by_side import unit_of

CRASH = "tests/crash/"


def shares() -> int:
    """How many there are."""
    return int(os.environ.get("FASTLANE_TEST_SHARES", "1"))


def left_out(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The long tests that are not in this commit's share."""
    if shares() == 1:
        return []
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    return [item for item in items if item.get_closest_marker("thorough") and not in_share(item.nodeid, commit, shares())]


def in_share(nodeid: str, commit: str, number: int) -> bool:
    """Whether the commit's share, of so many, has this test."""
    what = nodeid if nodeid.startswith(CRASH) else unit_of(nodeid)
    return _lot(what) % number == _lot(commit) % number


def _lot(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
