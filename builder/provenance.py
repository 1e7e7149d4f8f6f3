"""Says what the files of a release were made from: in-toto statements (SLSA provenance 1.0), unsigned. A maintainer signs them.

``python -m builder.provenance FOLDER COMMIT VERSION`` writes ``FOLDER/provenance.intoto.json`` about the other files there.
``python -m builder.provenance --image NAME@sha256:… COMMIT VERSION BASE…`` prints one about an image and the images that it is built on.
The same files and the same commit give the same statement: it has no time and names no machine.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from builder.readme import source

NAME = "provenance.intoto.json"


def statement(folder: Path, commit: str, version: str) -> dict[str, Any]:
    """The statement about each file of the folder, by SHA-256."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in (NAME, "SHA256SUMS"))
    subjects = [{"name": path.name, "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}} for path in files]
    return _statement(subjects, commit, version, [])


def statement_of_image(reference: str, commit: str, version: str, bases: list[str]) -> dict[str, Any]:
    """The statement about the image, of which the reference has the digest. Its bases count as well as its sources."""
    name, _, digest = reference.partition("@sha256:")
    return _statement([{"name": _package_url(name), "digest": {"sha256": digest}}], commit, version, [_base(found) for found in bases])


def _statement(subjects: list[dict[str, Any]], commit: str, version: str, bases: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{source()}/blob/main/docs/releasing.md",
                "externalParameters": {"command": "make dist", "version": version},
                "resolvedDependencies": [{"uri": f"git+{source()}", "digest": {"gitCommit": commit}}, *bases],
            },
            "runDetails": {"builder": {"id": f"{source()}/blob/main/scripts/dist"}},
        },
    }


def _base(reference: str) -> dict[str, Any]:
    name, _, digest = reference.partition("@sha256:")
    return {"uri": _package_url(name), **({"digest": {"sha256": digest}} if digest else {})}


def _package_url(name: str) -> str:
    """The image as a package URL, as BuildKit writes it: what follows the last colon is the tag, unless it is a registry's port."""
    repository, colon, tag = name.rpartition(":")
    return f"pkg:docker/{repository}@{tag}" if colon and "/" not in tag else f"pkg:docker/{name}@latest"


def _as_text(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=2) + "\n"


if __name__ == "__main__":
    if sys.argv[1] == "--image":
        reference, commit, version, *bases = sys.argv[2:]
        sys.stdout.write(_as_text(statement_of_image(reference, commit, version, bases)))
    else:
        target, commit, version = sys.argv[1:]
        Path(target, NAME).write_text(_as_text(statement(Path(target), commit, version)), "utf-8")
