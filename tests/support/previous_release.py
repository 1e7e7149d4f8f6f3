"""The program of the release before this one, to run it beside today's. ``scripts/previous-release`` keeps it after each release.

It is a file of the tests, since a clone may have neither tags nor history. Before the first release it is that of a commit whose schema of
SQLite was two versions older. See decision 0044.
"""

import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).parent / "previous" / "fastlane.tar.xz"


def unpack(folder: Path) -> Path:
    """Unpacks it. Returns the folder that is to be first on PYTHONPATH."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder
