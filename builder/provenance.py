"""Says what the files of a release were made from: an in-toto statement (SLSA provenance 1.0), unsigned. A maintainer signs it.

``python -m builder.provenance FOLDER COMMIT VERSION`` writes ``FOLDER/provenance.intoto.json`` about the other files there. The same
files and the same commit give the same statement: it has no time and names no machine.
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
    repository = f"git+{source()}"
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path.name, "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}} for path in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{source()}/blob/main/docs/releasing.md",
                "externalParameters": {"command": "make dist", "version": version},
                "resolvedDependencies": [{"uri": repository, "digest": {"gitCommit": commit}}],
            },
            "runDetails": {"builder": {"id": f"{source()}/blob/main/scripts/dist"}},
        },
    }


if __name__ == "__main__":
    target, commit, version = sys.argv[1:]
    text = json.dumps(statement(Path(target), commit, version), indent=2) + "\n"
    Path(target, NAME).write_text(text, "utf-8")
