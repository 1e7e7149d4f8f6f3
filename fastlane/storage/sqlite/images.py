"""Statements for the images that engines pulled for executions."""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple

from fastlane.models.image import PulledImage
from fastlane.storage.sqlite.rows import fetched
from fastlane.storage.sqlite.schema import UNDER_WAY

_FIELDS = "engine_id, reference, keep_until, removed_by, version"
_OF_ENGINE = f"SELECT {_FIELDS} FROM images WHERE engine_id = ? ORDER BY reference"
_INSERT = f"INSERT OR IGNORE INTO images ({_FIELDS}) VALUES (?, ?, ?, ?, ?)"
_UPDATE = "UPDATE images SET keep_until = ?, removed_by = ?, version = ? WHERE engine_id = ? AND reference = ? AND version = ?"
_DELETE = "DELETE FROM images WHERE engine_id = ? AND reference = ? AND version = ?"
_UNDER_WAY = f"""WITH live AS (SELECT spec, image_reference FROM executions INDEXED BY executions_under_way WHERE {UNDER_WAY})
    SELECT spec ->> 'image' FROM live UNION SELECT image_reference FROM live WHERE image_reference IS NOT NULL"""


def of_engine(db: sqlite3.Connection, engine_id: str) -> Sequence[PulledImage]:
    """Those of one engine."""
    return [PulledImage(*row) for row in fetched(db, _OF_ENGINE, (engine_id,))]


def write(db: sqlite3.Connection, image: PulledImage) -> bool:
    """Writes a version of a row after the one before it."""
    if image.version == 1:
        return db.execute(_INSERT, astuple(image)).rowcount == 1
    values = (image.keep_until, image.removed_by, image.version, image.engine_id, image.reference, image.version - 1)
    return db.execute(_UPDATE, values).rowcount == 1


def drop(db: sqlite3.Connection, image: PulledImage) -> bool:
    """Deletes this version of a row."""
    return db.execute(_DELETE, (image.engine_id, image.reference, image.version)).rowcount == 1


def under_way(db: sqlite3.Connection) -> frozenset[str]:
    """The images of the executions under way."""
    return frozenset(row[0] for row in fetched(db, _UNDER_WAY, ()))
