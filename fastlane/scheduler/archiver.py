"""Moves the logs of executions that ended long ago to the archive, one after another, and removes there what has no execution any more.

A move has steps, each of which may be the last that a process takes. (1) The log's row says which object it will have. (2) The object is
written. (3) It is read back whole. (4) The row says so: from now on, the log is read from there. (5) Its parts in the store go. (6) The row
says that, too. A later round goes on from the row. An object is deleted before its row.

One worker does this for all. Should two do it at once, each writes an object of its own, and the row names one of them. An object is
deleted only after a row that names it was written as ``going``, or names another one. While the archive fails, nothing is removed, and the
worker tries again, less and less often.
"""

import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Set
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import BinaryIO, TypeVar, cast

import structlog

from fastlane.clock import Clock
from fastlane.errors import ArchiveDamaged, ArchiveDown, FastlaneError, TransientError
from fastlane.metrics import ArchiveOutcome, Metrics
from fastlane.models.log_archive import ArchivedLog, ArchiveState
from fastlane.storage.archive_port import BEGINNING, LogArchive, LogObjects, Place

log = structlog.get_logger()

EVERY, LONGEST_WAIT = 30.0, 300.0
"""Seconds between two rounds, and at most while the archive fails."""
ROUND = 30_000
"""Milliseconds for which logs move before the rest of a round has its turn, and the worker asks again whether it is chosen."""
WALK_EVERY = 3_600_000
"""Milliseconds after which all ended executions are walked through again: some could not go when they were passed."""
PAGE, ORPHAN_PAGES = 200, 5
"""Executions, and rows, that are looked at together; and the pages of rows whose executions are looked for in one round."""
LONGEST_REST = 1.0
"""Seconds that it rests after a step at most: for as long as the step took."""
MOST_FAILED = 3
"""Logs for which the archive fails one after another, after which a round ends."""
IN_MEMORY = 1024 * 1024
"""Bytes of an object from which on it is packed in a temporary file."""

T = TypeVar("T")


class Archiver:
    """The moves of one store, made while this worker ``is_chosen``. ``after``: seconds after the end of an execution."""

    def __init__(
        self, archive: LogArchive, clock: Clock, is_chosen: Callable[[], Awaitable[bool]], after: float, metrics: Metrics | None = None
    ) -> None:
        assert archive.objects is not None
        self._archive, self._clock, self._is_chosen = archive, clock, is_chosen
        self._objects: LogObjects = archive.objects
        self._after = round(after * 1000)
        self._metrics = metrics or Metrics()
        self._place: Place = BEGINNING
        self._walked_at: int | None = None
        self._orphans_after = ""
        self._done_at = clock.now()
        self._failed: set[str] = set()
        """Logs for which the archive failed when they were tried last."""
        self._failure: ArchiveDown | None = None
        self._got_on, self._in_a_row = False, 0
        """Of this round: the archive's last failure, whether it did not fail for some log, and for how many in a row it has failed."""

    async def run(self) -> None:
        """Makes rounds."""
        wait, said = EVERY, ""
        while True:
            try:
                has_ended = not await self._is_chosen() or await self.round()
                self._done_at = self._clock.now()
                if has_ended:
                    self._metrics.archive_lagged(0)
                wait, said = EVERY if has_ended else 0.0, ""
            except ArchiveDown as error:
                self._metrics.archived(ArchiveOutcome.FAILED)
                self._metrics.archive_lagged((self._clock.now() - self._done_at) / 1000)
                if said != str(error):  # once for each reason, or an outage of a day fills a disk
                    said = str(error)
                    log.warning("archive.failed", error=said)
                wait = min(max(wait, EVERY) * 2, LONGEST_WAIT)
            except TransientError as error:
                log.debug("archive.waiting", error=str(error))
                wait = max(wait, EVERY)
            await self._clock.sleep(wait)

    async def round(self) -> bool:
        """Goes on with what was begun, moves what is due, and removes what has no execution; last, what failed before. False when more is
        due than may move in one round. Raises ArchiveDown when the archive fails for some logs in a row, or for all that there are;
        TransientError for others. What is proved goes from the store even while the archive is away."""
        await self._clear_proved()
        await self._objects.prepare(is_new=not await self._archive.any())
        late = frozenset(self._failed)
        self._failure, self._got_on, self._in_a_row = None, False, 0
        await self._finish(lambda id: id not in late)
        has_ended = await self._move_ripe()
        await self._remove_orphans(late)
        with suppress(ArchiveDown):
            await self._finish(lambda id: id in late)
        if self._failure is not None and not self._got_on:
            raise self._failure
        return has_ended

    async def _clear_proved(self) -> None:
        async for one in self._unfinished():
            if one.state is ArchiveState.PROVED:
                await self._unless_faulty(one.id, partial(self._clear, one))

    async def _finish(self, is_wanted: Callable[[str], bool]) -> None:
        async for one in self._unfinished():
            if is_wanted(one.id):
                await self._unless_faulty(one.id, partial(self._go_on, one))

    async def _unfinished(self) -> AsyncGenerator[ArchivedLog]:
        after = ""
        while logs := await self._archive.unfinished(PAGE, after):
            for one in logs:
                yield one
            after = logs[-1].id

    async def _move_ripe(self) -> bool:
        """Moves what is due, for a while; whether that was all."""
        began = self._clock.now()
        before = self._clock.now() - self._after
        if self._walked_at is None or self._clock.now() - self._walked_at >= WALK_EVERY:
            self._walked_at, self._place = self._clock.now(), BEGINNING
        while True:
            page = await self._archive.ripe(before, PAGE, self._place)
            for ended_at, id in page.logs:
                self._metrics.archive_lagged(max(0, self._clock.now() - self._after - ended_at) / 1000)
                await self._unless_faulty(id, partial(self._move, id, None))
                self._place = (ended_at, id)
                if self._clock.now() - began >= ROUND:
                    return False
            if page.next is None:
                return True
            self._place = page.next

    async def _remove_orphans(self, left_out: Set[str]) -> None:
        for _ in range(ORPHAN_PAGES):
            page = await self._archive.orphans(PAGE, self._orphans_after)
            for one in page.logs:
                if one.id not in left_out:
                    await self._unless_faulty(one.id, partial(self._remove, one))
            self._orphans_after = page.next or ""
            if page.next is None:
                return

    async def _go_on(self, seen: ArchivedLog) -> None:
        if seen.state is ArchiveState.GOING:
            await self._remove(seen)
        elif seen.state is ArchiveState.WRITING:
            await self._move(seen.id, seen)

    async def _move(self, execution_id: str, seen: ArchivedLog | None) -> None:
        """Moves a log, and rests. ``seen``: the row of an earlier try."""
        proved = await self._gently(partial(self._proved, execution_id, seen))
        if proved is not None:
            await self._clear(proved)

    async def _proved(self, execution_id: str, seen: ArchivedLog | None) -> ArchivedLog | None:
        """Writes the object of a log, and proves it; its row after that. None when the log has been removed, or another worker is at it."""
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
            packed = await self._archive.pack(execution_id, cast(BinaryIO, file), self._clock.now())
            if packed is None:
                if seen is not None:
                    await self._remove(seen)
                return None
            if seen is not None:
                seen = await self._discard(seen)
                if seen is None:
                    return None
            packed = replace(packed, version=1 if seen is None else seen.version + 1)
            if not await self._archive.write_archived(packed):
                return None
            await self._objects.put(packed.key, cast(BinaryIO, file), packed.size)
        if await self._is_whole(packed) and await self._archive.is_as_packed(packed):
            proved = replace(packed, state=ArchiveState.PROVED, version=packed.version + 1)
            if await self._archive.write_archived(proved):
                return proved
        if not await self._is_own(packed):
            await self._objects.delete(packed.key)
        return None

    async def _is_whole(self, packed: ArchivedLog) -> bool:
        """Whether the object is there as it was packed. Raises ArchiveDown when it is not, unless another worker goes on with this log."""
        try:
            found = await self._objects.digest(packed.key, packed.size)
        except (ArchiveDown, ArchiveDamaged) as error:
            wrong = str(error)
        else:
            if found == packed.digest:
                return True
            wrong = f"{packed.key} in the archive is not as it was written: its SHA-256 is {found}, not {packed.digest}"
        if await self._is_own(packed):
            raise ArchiveDown(wrong)
        return False

    async def _is_own(self, packed: ArchivedLog) -> bool:
        """Whether the row of the log names this object, and not to remove it."""
        row = await self._archive.get(packed.id)
        return row is not None and row.key == packed.key and row.state is not ArchiveState.GOING

    async def _clear(self, proved: ArchivedLog) -> None:
        while await self._gently(lambda: self._archive.clear_archived(proved.id)):
            pass
        moved = replace(proved, state=ArchiveState.MOVED, version=proved.version + 1)
        if await self._archive.write_archived(moved):
            self._metrics.archived(ArchiveOutcome.MOVED)
            log.info("archive.moved", execution_id=moved.id, key=moved.key, bytes=moved.size, log_bytes=moved.end_offset, lines=moved.lines)

    async def _remove(self, seen: ArchivedLog) -> None:
        """Removes a log from the archive, unless its row has changed."""
        going = await self._discard(seen)
        if going is None:
            return
        if await self._archive.forget(going):
            self._metrics.archived(ArchiveOutcome.REMOVED)
            log.info("archive.removed", execution_id=seen.id, key=seen.key)

    async def _discard(self, seen: ArchivedLog) -> ArchivedLog | None:
        """Deletes the object of a log, whose row is ``going`` before: that row. None, and nothing deleted, when the row has changed."""
        going = seen
        if seen.state is not ArchiveState.GOING:
            going = replace(seen, state=ArchiveState.GOING, version=seen.version + 1)
            if not await self._archive.write_archived(going):
                return None
        await self._objects.delete(going.key)
        return going

    async def _gently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Takes a step, and rests for as long as it took, so that others get on in between."""
        began = self._clock.now()
        answer = await step()
        await self._clock.sleep(min((self._clock.now() - began) / 1000, LONGEST_REST))
        return answer

    async def _unless_faulty(self, execution_id: str, step: Callable[[], Awaitable[None]]) -> None:
        """Takes a step. A fault of this log alone is logged; the archive's is one, until some logs have failed in a row. Raises
        TransientError for others, since the next log would meet them, too."""
        try:
            await step()
        except ArchiveDown as error:
            self._in_a_row, self._failure = self._in_a_row + 1, error
            if execution_id not in self._failed:
                self._leave_alone(execution_id, error)
            self._failed.add(execution_id)
            if self._in_a_row >= MOST_FAILED:
                raise
        except TransientError:
            raise
        except (FastlaneError, OSError) as error:
            self._leave_alone(execution_id, error)
        else:
            self._in_a_row, self._got_on = 0, True
            self._failed.discard(execution_id)

    def _leave_alone(self, execution_id: str, error: Exception) -> None:
        self._metrics.archived(ArchiveOutcome.FAILED)
        log.warning("archive.log_left_alone", execution_id=execution_id, error=str(error))
