"""Checks a receipt in a file, and the log beside it, with the keys alone: no server, no store."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from fastlane.clock import iso
from fastlane.models.receipt import SealKeys, receipt_faults

MOST = 1024 * 1024
"""Bytes that a receipt has at most."""
PART = 1024 * 1024
"""Bytes of a log that are read at once."""
MOMENTS = {"scheduledFor": "due", "startedAt": "started", "finishedAt": "ended", "due": "due", "until": "until"}
"""The facts that are moments, and the words for them."""


def check_file(path: Path, secrets: Sequence[str], log_file: Path | None = None) -> tuple[Any, list[str]]:
    """The receipt in a file, and what is wrong with it. ``log_file``: a file that is to be the execution's log. Raises OSError."""
    try:
        with path.open("rb") as file:
            document = orjson.loads(file.read(MOST))
        faults = receipt_faults(SealKeys(secrets), document)
    except orjson.JSONDecodeError:
        return None, ["this is not a receipt: it is not JSON"]
    except ValueError as error:
        return None, [str(error)]
    if log_file is not None:
        faults += _log_faults(document["facts"].get("log"), log_file)
    return document, faults


def _log_faults(sealed: Any, path: Path) -> list[str]:
    if not isinstance(sealed, dict):
        return ["the receipt says nothing of a log: the execution wrote nothing"]
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while part := file.read(PART):
            digest.update(part)
            size += len(part)
    if digest.hexdigest() == sealed.get("sha256"):
        return []
    return [f"{path} is not the log that was sealed: it has {size:,} bytes, and the log had {sealed.get('bytes')}"]


def lines_of(document: Any) -> Iterator[str]:
    """What a receipt proves, in words."""
    yield f"{document['kind']} {document['row']} of {document['task']}/{document['job']}: not changed since it was sealed"
    for name, value in document["facts"].items():
        if value is not None and name in MOMENTS and isinstance(value, int):
            yield f"  {MOMENTS[name]}: {iso(value)}"
        elif value is not None:
            yield f"  {name}: {orjson.dumps(value).decode() if isinstance(value, dict | list) else value}"
    yield f"  sealed: {iso(document['sealedAt'])}, as number {document['number']} of its chain, with the key {document['key']}"
