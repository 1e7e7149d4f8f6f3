"""Statements for the quotas of mails."""

import sqlite3
from collections.abc import Sequence

from fastlane.models.delivery import MailQuota
from fastlane.storage.notices import QUOTA_FIELDS, quota_document, quota_from
from fastlane.storage.sqlite.rows import fetched

_ALL = ", ".join(QUOTA_FIELDS)
_INSERT = f"INSERT OR IGNORE INTO mail_quotas ({_ALL}) VALUES ({', '.join('?' * len(QUOTA_FIELDS))})"
_UPDATE = f"UPDATE mail_quotas SET {', '.join(f'{name} = ?' for name in QUOTA_FIELDS)} WHERE id = ? AND version = ?"


def get(db: sqlite3.Connection, quota_id: str) -> MailQuota | None:
    """One quota."""
    rows = fetched(db, f"SELECT {_ALL} FROM mail_quotas WHERE id = ?", (quota_id,))
    return quota_from(dict(zip(QUOTA_FIELDS, rows[0], strict=True))) if rows else None


def after(db: sqlite3.Connection, limit: int, last: str) -> Sequence[MailQuota]:
    """Those with greater ids than this one, by id."""
    query = f"SELECT {_ALL} FROM mail_quotas WHERE id > ? ORDER BY id LIMIT ?"
    return [quota_from(dict(zip(QUOTA_FIELDS, row, strict=True))) for row in fetched(db, query, (last, limit))]


def write(db: sqlite3.Connection, quota: MailQuota) -> bool:
    """Writes a version of a row after the one before it."""
    values = tuple(quota_document(quota).values())
    if quota.version == 1:
        return db.execute(_INSERT, values).rowcount == 1
    return db.execute(_UPDATE, (*values, quota.id, quota.version - 1)).rowcount == 1


def prune(db: sqlite3.Connection, before: int) -> None:
    """Deletes those whose last mail was before a moment."""
    db.execute("DELETE FROM mail_quotas WHERE told_at < ?", (before,))
