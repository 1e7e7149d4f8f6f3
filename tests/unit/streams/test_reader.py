"""One reader for all: whoever comes, whenever, and takes however little, gets each byte once; hints may be lost, and the store fail."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from fastlane.errors import StoreDown
from fastlane.models.job import Execution
from fastlane.models.log import Cursor, Hint, Piece, Slice
from fastlane.models.status import Status
from fastlane.storage.base import Store
from fastlane.streams import batch as batch_module, reader, reader as hint_wait
from fastlane.streams.batch import Batch, BatchCache
from fastlane.streams.reader import Detached, OnHint, Reader
from tests.support.factories import make_execution
from tests.support.waiting import until


@dataclass
class Rows:
    """A store of one execution's log, that answers after a while, and sometimes not."""

    dice: random.Random
    faults: float = 0.0
    pieces: list[Piece] = field(default_factory=list)
    status: Status = Status.RUNNING
    large_chunks: bool = True
    reads: int = 0

    async def execution(self, id: str) -> Execution:
        found = make_execution(id=id, status=self.status)
        await self._pause()
        return found

    async def read_log(self, _id: str, offset: int, limit: int) -> Slice:
        found: list[Piece] = []
        place = 0
        self.reads += 1
        limit = self.dice.randint(1, limit) if self.large_chunks else limit
        for piece in self.pieces:
            if place + len(piece.data) > offset and place < offset + limit:
                found.append(Piece(piece.stream, piece.time, piece.data[max(0, offset - place) :]))
            place += len(piece.data)
        await self._pause()
        return Slice(tuple(found), offset + sum(len(piece.data) for piece in found))

    async def _pause(self) -> None:
        for _ in range(self.dice.randrange(4)):
            await asyncio.sleep(0)
        if self.dice.random() < self.faults:
            raise StoreDown("busy")


@dataclass
class LossyHub:
    """A hub that loses some of its hints."""

    dice: random.Random
    lost: float
    subscribers: list[OnHint] = field(default_factory=list)

    def publish(self, hint: Hint) -> None:
        for on_hint in self.subscribers:
            if self.dice.random() >= self.lost:
                on_hint(hint)

    def subscribe(self, _id: str, on_hint: OnHint) -> Callable[[], None]:
        self.subscribers.append(on_hint)
        return lambda: self.subscribers.remove(on_hint)


class Consumer:
    """A follower that is not always ready."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.data = b""
        self.text = ""

    def consume(self, batch: Batch) -> bool:
        if self._dice.random() < 0.2:
            return False
        self.data += b"".join(piece.data for piece in batch.pieces)
        self.text += "".join(message.text for message in batch.messages)
        return True

    async def follow(self, reader: Reader, cursor: Cursor) -> None:
        """As ``follower.Follower`` does it."""
        position = Detached(cursor)
        while not position.ended:
            try:
                batch = await reader.batch(position.cursor)
            except StoreDown:
                continue
            if batch is not None:
                position = Detached(batch.end) if self.consume(batch) else position
                await asyncio.sleep(0)
                continue
            attached = reader.attach(self, position.cursor)
            if attached is None:
                await reader.moved()
                continue
            position = await attached


class Batches(Consumer):
    """A follower that is always ready, and knows the size of each batch."""

    def __init__(self) -> None:
        super().__init__(random.Random(0))
        self.sizes: list[int] = []

    def consume(self, batch: Batch) -> bool:
        self.sizes.append(batch.size)
        self.data += b"".join(piece.data for piece in batch.pieces)
        return True


@pytest.mark.parametrize("lost", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(12))
async def test_each_follower_gets_each_byte_once(monkeypatch, seed, lost):
    for module in (reader, hint_wait):
        monkeypatch.setattr(module, "EVERY", 0.02)
    monkeypatch.setattr(reader, "SLICE", 37)
    monkeypatch.setattr(reader, "GATHER", 0.0)
    monkeypatch.setattr(reader, "AT_ONCE", 2)
    dice = random.Random(seed)
    rows, hub = Rows(dice, faults=0.05 if seed % 2 else 0.0), LossyHub(dice, lost)
    one = Reader(cast(Store, rows), cast(Any, hub), BatchCache(9_000), "e")
    consumers: list[Consumer] = []
    following: list[asyncio.Task[None]] = []

    def come() -> None:
        consumers.append(Consumer(dice))
        following.append(asyncio.create_task(consumers[-1].follow(one, Cursor("e", 0))))

    try:
        for number in range(80):
            rows.pieces.append(Piece(1, number, dice.choice(["ä", "€x", "😀", "line\n"]).encode()[: dice.randint(1, 9)]))
            hub.publish(Hint("e", 1 << 40, Status.RUNNING))
            if dice.random() < 0.1:
                come()
            for _ in range(dice.randrange(6)):
                await asyncio.sleep(0)
        rows.pieces.append(Piece(1, 80, b"\xf0\x9f"))
        rows.status = Status.DONE
        hub.publish(Hint("e", 1 << 40, Status.DONE))
        come()
        await asyncio.wait_for(asyncio.gather(*following), 20)
    finally:
        await one.close()
    whole = b"".join(piece.data for piece in rows.pieces)
    assert {consumer.data for consumer in consumers} == {whole}
    assert {consumer.text for consumer in consumers} == {whole.decode(errors="replace")}
    assert hub.subscribers == []


class LastWords(Rows):
    """A store to which the last piece of a log is written, and then its end, just as the status is asked for."""

    async def execution(self, id: str) -> Execution:
        if not self.status.final:
            self.pieces.append(Piece(1, 1, b"last words\n"))
            self.status = Status.DONE
        return await super().execution(id)


async def test_what_is_written_just_before_the_end_is_handed_out_before_it():
    one = Reader(cast(Store, LastWords(random.Random(5))), cast(Any, LossyHub(random.Random(5), 0.0)), BatchCache(9_000), "e")
    follower = Batches()
    try:
        await asyncio.wait_for(follower.follow(one, Cursor("e", 0)), 30)
    finally:
        await one.close()
    assert follower.data == b"last words\n"


async def test_who_comes_with_a_forged_beginning_of_a_character_spoils_nobody_elses_text(monkeypatch):
    monkeypatch.setattr(reader, "EVERY", 0.02)
    dice = random.Random(1)
    rows, hub = Rows(dice), LossyHub(dice, 0.0)
    rows.pieces.append(Piece(1, 1, b"honest"))
    one = Reader(cast(Store, rows), cast(Any, hub), BatchCache(9_000), "e")
    forger, other = Consumer(dice), Consumer(dice)
    try:
        first = asyncio.create_task(forger.follow(one, Cursor("e", 6, (b"\xf0\x9f", b""))))
        await until(lambda: hub.subscribers, "the first to wait for more")
        second = asyncio.create_task(other.follow(one, Cursor("e", 0)))
        await until(lambda: other.data == b"honest", "the second to have what there is")
        rows.pieces.append(Piece(1, 1, b" text"))
        hub.publish(Hint("e", 11, Status.RUNNING))
        await until(lambda: other.data == b"honest text", "the second to have the rest")
        rows.status = Status.DONE
        hub.publish(Hint("e", 11, Status.DONE))
        await asyncio.wait_for(asyncio.gather(first, second), 20)
    finally:
        await one.close()
    assert other.text == "honest text"


async def test_who_comes_late_to_a_log_of_single_lines_gets_it_in_large_batches_and_no_line_is_kept():
    """Each line was a batch for those that were there."""
    rows, hub, cache = Rows(random.Random(2), large_chunks=False), LossyHub(random.Random(2), 0.0), BatchCache(1 << 30)
    one = Reader(cast(Store, rows), cast(Any, hub), cache, "e")
    early, late = Batches(), Batches()
    try:
        following = [asyncio.create_task(early.follow(one, Cursor("e", 0)))]
        for number in range(100):
            rows.pieces.append(Piece(1, number, b"line\n"))
            hub.publish(Hint("e", 5 * len(rows.pieces), Status.RUNNING))
            await until(lambda: len(early.data) == 5 * len(rows.pieces), "the line to be handed out")
        following.append(asyncio.create_task(late.follow(one, Cursor("e", 0))))
        await until(lambda: late.data == early.data, "the late one to have the log")
        assert len(early.sizes) == 100
        assert len(late.sizes) < 20
        assert [cache.get(Cursor("e", offset)) for offset in range(0, 500, 5)] == [None] * 100
        rows.status = Status.DONE
        hub.publish(Hint("e", 500, Status.DONE))
        await asyncio.wait_for(asyncio.gather(*following), 20)
    finally:
        await one.close()


async def test_those_that_come_at_once_share_what_one_of_them_read():
    rows, hub = Rows(random.Random(3), large_chunks=False), LossyHub(random.Random(3), 0.0)
    rows.pieces.extend(Piece(1, number, b"line\n") for number in range(10))
    one = Reader(cast(Store, rows), cast(Any, hub), BatchCache(1 << 20), "e")
    first, rest = Batches(), [Batches() for _ in range(50)]
    try:
        following = [asyncio.create_task(first.follow(one, Cursor("e", 0)))]
        await until(lambda: len(first.data) == 50, "the first to have the log")
        before = rows.reads
        following += [asyncio.create_task(other.follow(one, Cursor("e", 0))) for other in rest]
        await until(lambda: all(other.data == first.data for other in rest), "all to have the log")
        assert rows.reads - before < 20
        rows.status = Status.DONE
        hub.publish(Hint("e", 50, Status.DONE))
        await asyncio.wait_for(asyncio.gather(*following), 20)
    finally:
        await one.close()


async def test_a_log_of_single_bytes_is_read_from_the_store_once_for_all_its_followers(monkeypatch):
    """Its batches have few bytes, and will not have more."""
    monkeypatch.setattr(batch_module, "MOST_PIECES", 10)
    rows = Rows(random.Random(4), large_chunks=False)
    rows.pieces.extend(Piece(number % 2 + 1, number, b".") for number in range(500))
    rows.status = Status.DONE
    one = Reader(cast(Store, rows), cast(Any, LossyHub(random.Random(4), 0.0)), BatchCache(1 << 20), "e")
    reads = []
    try:
        for _ in range(2):
            before = rows.reads
            await asyncio.wait_for(Batches().follow(one, Cursor("e", 0)), 20)
            reads.append(rows.reads - before)
    finally:
        await one.close()
    assert reads[0] >= 50
    assert reads[1] < 10


class Costly(Batches):
    """A follower whose first batch costs a tenth of a second of processor time."""

    def consume(self, batch: Batch) -> bool:
        end = time.thread_time() + (0 if self.data else 0.1)
        while time.thread_time() < end:
            pass
        return super().consume(batch)


async def test_however_much_a_batch_costs_the_next_one_comes_soon(monkeypatch):
    monkeypatch.setattr(reader, "SHARE", 1_000)
    rows, hub = Rows(random.Random(4)), LossyHub(random.Random(4), 0.0)
    one = Reader(cast(Store, rows), cast(Any, hub), BatchCache(9_000), "e")
    costly = Costly()
    try:
        following = asyncio.create_task(costly.follow(one, Cursor("e", 0)))
        await until(lambda: rows.reads > 1, "it to wait for more")
        rows.pieces.append(Piece(1, 1, b"first "))
        hub.publish(Hint("e", 6, Status.RUNNING))
        await until(lambda: costly.data == b"first ", "the first batch")
        rows.pieces.append(Piece(1, 2, b"second"))
        rows.status = Status.DONE
        hub.publish(Hint("e", 12, Status.DONE))
        await until(lambda: costly.data == b"first second", "the second batch", patience=8)  # a minute and a half without a bound
        await asyncio.wait_for(following, 20)
    finally:
        await one.close()
