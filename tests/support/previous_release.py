"""The program of the release before this one, to run it beside today's. ``scripts/previous-release`` keeps it after each release.

It is a file of the tests, since a clone may have neither tags nor history: the program of 0.1.0 at a6caaed, the last commit with version 22
of SQLite's schema. See decision 0044.
"""

import json
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from functools import lru_cache
from pathlib import Path

ARCHIVE = Path(__file__).parent / "previous" / "fastlane.tar.xz"


def unpack(folder: Path) -> Path:
    """Unpacks it. Returns the folder that is to be first on PYTHONPATH."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # the first releases of Python 3.11 have none
        archive.extractall(folder)
    return folder


def make_file(path: Path) -> None:
    """Makes an empty SQLite file as it does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")  # of this connection: nothing survives the test
        for statement in _statements():
            db.execute(statement)


@lru_cache(maxsize=1)
def _statements() -> list[str]:
    found = output_of("""
import json
from fastlane.storage.sqlite.schema import MIGRATIONS
print(json.dumps([statement for one in MIGRATIONS for part in one.parts for statement in part]))
print(json.dumps([[one.version, one.min_reader] for one in MIGRATIONS]))
""")
    statements, versions = map(json.loads, found.splitlines())
    schema = "CREATE TABLE schema (version INTEGER PRIMARY KEY, min_reader INTEGER NOT NULL) STRICT"
    return [*statements, schema, *(f"INSERT INTO schema VALUES ({version}, {reader})" for version, reader in versions)]


def output_of(code: str, *arguments: str) -> str:
    """What a piece of Python prints that imports this program."""
    with tempfile.TemporaryDirectory() as folder:
        around = {"PYTHONPATH": str(unpack(Path(folder)))}
        done = subprocess.run([sys.executable, "-c", code, *arguments], env=around, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout
