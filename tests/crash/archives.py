"""The scenario of the archive: a worker falls at each write of a log's move there, and the log stays whole, in one place."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fastlane.archive.folder import MARK, LogFolder
from fastlane.models.log_archive import ArchiveState
from fastlane.storage.retention_port import LogPage
from tests.crash.ground import Ground
from tests.crash.scenarios import Scenario, ended
from tests.support.seams import Trip


class Archived(Scenario):
    """A job that runs once. Its log moves to a folder as soon as it has ended."""

    settings: Mapping[str, str] = {"ARCHIVE_AFTER": "1s"}
    folder: Path

    async def run(self, ground: Ground, trips: Sequence[Trip]) -> None:
        self.folder = ground.folder / "archive"
        self.folder.mkdir()
        ground.installation.settings["ARCHIVE_URL"] = f"file://{self.folder}"
        ground.store.log_archive.objects = LogFolder(self.folder)
        await super().run(ground, trips)

    async def check(self, ground: Ground) -> None:
        row = await ground.row()

        async def moved() -> bool:
            log = await ground.store.log_archive.get(row.id)
            return log is not None and log.state is ArchiveState.MOVED

        await ground.until(moved, "a log in the archive")
        await ended(ground)
        log = await ground.store.log_archive.get(row.id)
        assert log is not None
        names = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]
        assert sorted(names) == sorted([MARK, log.key]), await ground.told()
        assert await ground.store.retention.stored_logs(10) == LogPage([], None), await ground.told()
