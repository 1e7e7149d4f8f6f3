"""Counts the starts of containers outside of Docker: each container adds a line to a file in a folder that it mounts."""

import contextlib
from collections import Counter
from pathlib import Path

TELL = 'echo "$FASTLANE_EXECUTION_ID $(hostname)" >> /witness/starts; '
"""The beginning of a script whose starts are counted. The host name is the beginning of the container's id."""
HOLD = "until [ -e /witness/go-$FASTLANE_JOB_ID ]; do sleep 0.05; done; "
"""Makes a script wait until ``release``, whatever happens to its node meanwhile."""


class StartWitness:
    """The folder, which containers mount at ``/witness``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def mount(self) -> str:
        """For a job's ``container.mounts``. The folder is made if it does not exist."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return f"{self.folder}:/witness"

    def starts(self) -> Counter[str]:
        """How often each execution has started."""
        return Counter(id for id, _ in self._lines())

    def containers_of(self, execution_id: str) -> list[str]:
        """The host names of the containers that an execution has started."""
        return [name for id, name in self._lines() if id == execution_id]

    def release(self, job_id: str) -> None:
        """Lets a job's containers go on from ``HOLD``."""
        (self.folder / f"go-{job_id}").touch()

    def _lines(self) -> list[list[str]]:
        with contextlib.suppress(FileNotFoundError):
            return [line.split() for line in (self.folder / "starts").read_text().splitlines()]
        return []
