"""A copy of this project in a folder of its own, and the commands that a newcomer types there."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 600


@contextmanager
def checkout(*parts: str) -> Iterator[Path]:
    """A folder with the files that git knows, as they are now; ``parts``: only these folders and files. Its path is short enough for
    sockets."""
    folder = Path(tempfile.mkdtemp(prefix="flm", dir="/tmp"))
    listed = subprocess.run(["git", "ls-files", "-z", *parts], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    for name in filter(None, listed.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def committed_checkout() -> Iterator[Path]:
    """Such a copy with a history of one commit."""
    with checkout() as folder:
        for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all"]):
            subprocess.run(["git", *words], cwd=folder, check=True, timeout=60)
        yield folder


def unpinned(text: str) -> str:
    """A file of the checkout with the tags of its images alone, which have digests in the commit of a release (``scripts/pin``)."""
    return re.sub("@sha256:[0-9a-f]{64}", "", text)


def plain_environment() -> dict[str, str]:
    """The environment without the settings of the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("FASTLANE_", "MAKE", "PYTHONPATH"))}


def command(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in the folder; its code, and in ``stdout`` all that it printed."""
    return subprocess.run(
        words,
        cwd=folder,
        env={**plain_environment(), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def succeed(folder: Path, *words: str, **environment: str) -> str:
    """Runs a command that must succeed; what it printed."""
    done = command(folder, *words, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout
