"""The statement of what the files of a release were made from."""

import hashlib
import json
import subprocess
import sys

from builder.provenance import NAME
from tests.support.docs import ROOT


def test_the_statement_names_each_file_with_its_digest_the_commit_and_the_version_and_is_the_same_again(tmp_path):
    (tmp_path / "b.whl").write_bytes(b"wheel")
    (tmp_path / "a.tar.gz").write_bytes(b"sources")
    texts = []
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "builder.provenance", str(tmp_path), "c" * 40, "0.2.0"], cwd=ROOT, check=True, timeout=60)
        texts.append((tmp_path / NAME).read_text("utf-8"))
        (tmp_path / "SHA256SUMS").write_text("of these files, and made after it")
    assert texts[0] == texts[1]
    found = json.loads(texts[0])
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    digests = {"a.tar.gz": b"sources", "b.whl": b"wheel"}
    subjects = [{"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}} for name, content in digests.items()]
    assert found["subject"] == subjects
    definition = found["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"command": "make dist", "version": "0.2.0"}
    assert definition["resolvedDependencies"][0]["digest"] == {"gitCommit": "c" * 40}


def test_the_statement_of_an_image_names_its_digest_and_the_images_that_it_is_built_on():
    words = ["--image", f"example.com:5000/fastlane:0.2.0@sha256:{'a' * 64}", "c" * 40, "0.2.0"]
    bases = [f"python:3.13-slim@sha256:{'b' * 64}", "127.0.0.1:5000/node"]
    command = [sys.executable, "-m", "builder.provenance", *words, *bases]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, timeout=60, capture_output=True).stdout)
    assert found["subject"] == [{"name": "pkg:docker/example.com:5000/fastlane@0.2.0", "digest": {"sha256": "a" * 64}}]
    _, python, node = found["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert python == {"uri": "pkg:docker/python@3.13-slim", "digest": {"sha256": "b" * 64}}
    assert node == {"uri": "pkg:docker/127.0.0.1:5000/node@latest"}
