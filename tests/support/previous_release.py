"""The program of the release before this one, to run it beside today's. ``scripts/previous-release`` keeps it after each release.

It is a file of the tests, since a clone may have neither tags nor history: the program of 0.1.0 at a6caaed, the last commit with version 22
of SQLite's schema. See decision 0044.
"""

import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).parent / "previous" / "fastlane.tar.xz"


def unpack(folder: Path) -> Path:
    """Unpacks it. Returns the folder that is to be first on PYTHONPATH."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder
