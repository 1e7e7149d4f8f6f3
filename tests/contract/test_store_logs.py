"""What every store promises about logs: chunks in one unbroken line, and any range of them read back byte for byte."""

import asyncio
import random
from dataclasses import replace

import pytest

from fastlane.models.log import STDERR, STDOUT, Chunk, Head, Mark, Piece
from fastlane.storage.base import Store
from tests.support.factories import chunk, joined, new

CHUNKS = (
    (Piece(STDOUT, 10, b"one\n"), Piece(STDERR, 11, b"ERR"), Piece(STDOUT, 12, b"two\n")),
    (Piece(STDERR, 13, b"only errors"),),
    (),
    (Piece(STDOUT, 1_700_000_000_000_000_001, b"\x00\xff"), Piece(STDOUT, 15, b"x")),
    (Piece(STDOUT, 16, b"abc"), Piece(STDERR, 17, b"d")),
    (),
)
PIECES = tuple(piece for pieces in CHUNKS for piece in pieces)


@pytest.fixture
async def store(store) -> Store:
    """A store with the executions that the tests write the logs of."""
    for id in ("e", "f"):
        job, tick, execution = new()
        await store.create(job, replace(tick, execution_id=id), replace(execution, id=id))
    return store


async def write_chunks(store: Store, execution_id: str = "e") -> Head:
    head = Head()
    for pieces in CHUNKS:
        part = chunk(execution_id, head, pieces, dropped=0 if pieces else 5)
        assert await store.append(part)
        head = part.end
    return head


async def read_all(store: Store, execution_id: str, offset: int, limit: int, stream: int | None) -> bytes:
    """Everything from the offset on, slice by slice."""
    found = b""
    while part := await store.read_log(execution_id, offset, limit, stream):
        data = joined(part.pieces)
        assert part.next_offset == offset + len(data)
        if not data:
            return found
        found += data
        offset = part.next_offset


async def test_an_execution_without_a_log_has_an_empty_head(store):
    assert await store.log_head("e") == Head()
    part = await store.read_log("e", 0, 100)
    assert (part.pieces, part.next_offset) == ((), 0)


async def test_the_head_is_where_the_last_chunk_ended(store):
    head = await write_chunks(store)
    assert await store.log_head("e") == head
    assert head == Head(6, len(joined(PIECES)), 14, 15, 10, {STDOUT: Mark(16, 1), STDERR: Mark(17, 1)})
    assert head.truncated


async def test_pieces_come_back_with_their_streams_and_times(store):
    await write_chunks(store)
    assert (await store.read_log("e", 0, 1_000)).pieces == PIECES
    for stream in (STDOUT, STDERR):
        expected = tuple(piece for piece in PIECES if piece.stream == stream)
        assert (await store.read_log("e", 0, 1_000, stream)).pieces == expected


async def test_a_piece_is_cut_so_that_the_first_begins_at_the_offset(store):
    await write_chunks(store)
    assert (await store.read_log("e", 5, 2)).pieces == (Piece(STDERR, 11, b"RR"), Piece(STDOUT, 12, b"two\n"))
    assert (await store.read_log("e", 5, 1, STDOUT)).pieces == (Piece(STDOUT, 12, b"wo\n"),)


@pytest.mark.parametrize("stream", [None, STDOUT, STDERR])
@pytest.mark.parametrize("limit", [1, 6, 13, 1_000])
async def test_a_log_read_from_any_offset_is_its_slice(store, stream, limit):
    await write_chunks(store)
    whole = joined(PIECES, stream)
    for offset in range(len(whole) + 3):
        assert await read_all(store, "e", offset, limit, stream) == whole[offset:]


async def test_a_slice_is_as_many_chunks_as_fit_and_one_at_least(store):
    await write_chunks(store)
    sizes = [len(joined(pieces)) for pieces in CHUNKS if pieces]
    assert (await store.read_log("e", 0, 1)).next_offset == sizes[0]
    assert (await store.read_log("e", 0, sizes[0] + sizes[1])).next_offset == sizes[0] + sizes[1]
    assert (await store.read_log("e", 0, sizes[0] + sizes[1] - 1)).next_offset == sizes[0]


async def test_logs_of_two_executions_do_not_mix(store):
    await write_chunks(store, "e")
    part = chunk("f", Head(), [Piece(STDOUT, 1, b"another")])
    assert await store.append(part)
    assert await read_all(store, "f", 0, 100, None) == b"another"
    assert await read_all(store, "e", 0, 100, None) == joined(PIECES)


async def test_a_chunk_that_does_not_start_at_the_head_is_refused(store):
    first = chunk("e", Head(), [Piece(STDOUT, 1, b"abc")])
    second = chunk("e", first.end, [Piece(STDOUT, 2, b"def")])
    assert not await store.append(second)
    assert not await store.append(chunk("e", Head(0, 3, 3), [Piece(STDOUT, 2, b"x")]))
    assert await store.append(first)
    assert not await store.append(first)
    assert not await store.append(chunk("e", Head(1, 2, 2), [Piece(STDOUT, 2, b"x")]))
    assert not await store.append(chunk("e", Head(2, 3, 3), [Piece(STDOUT, 2, b"x")]))
    assert await store.log_head("e") == first.end
    assert await store.append(second)
    assert await read_all(store, "e", 0, 100, None) == b"abcdef"


async def test_a_chunk_whose_end_does_not_follow_from_its_pieces_is_an_error(store):
    good = chunk("e", Head(), [Piece(STDOUT, 1, b"abc")])
    for end in (Head(1, 4, 4), Head(2, 3, 3), Head(1, 3, 0, 3)):
        with pytest.raises(ValueError, match="does not follow"):
            await store.append(Chunk("e", good.start, end, good.pieces))
    assert await store.log_head("e") == Head()


async def test_logs_of_executions_that_are_gone_are_pruned_page_by_page_and_no_others(store):
    kept, late = [await execution_with_a_log(store) for _ in range(5)], [f"gone-{number}" for number in range(5)]
    for id in late:
        assert await store.append(chunk(id, Head(), [Piece(STDOUT, 1, b"late")]))
    after, pages = "", 1
    while (after := await store.prune_logs(after, 3)) is not None:
        pages += 1
    assert pages == 4
    assert [(await store.log_head(id)).offset for id in late] == [0] * 5
    assert [(await store.log_head(id)).offset for id in kept] == [3] * 5
    assert await store.prune_logs("", 100) is None


async def test_a_long_log_is_pruned_in_several_steps(store):
    head = Head()
    for _ in range(100):
        part = chunk("gone", head, [Piece(STDOUT, 1, b"abc")])
        assert await store.append(part)
        head = part.end
    steps = 1
    while await store.prune_logs("", 10) is not None:
        steps += 1
        assert (await store.log_head("gone")).offset < head.offset
    assert steps > 2
    assert await store.log_head("gone") == Head()


async def execution_with_a_log(store) -> str:
    job, tick, execution = new()
    await store.create(job, tick, execution)
    assert await store.append(chunk(execution.id, Head(), [Piece(STDOUT, 1, b"abc")]))
    return execution.id


async def test_two_pumps_that_race_leave_one_unbroken_log(store, open_store):
    source = random.Random(1).randbytes(20_000)
    streams = [STDOUT if byte % 3 else STDERR for byte in source]

    async def pump(one: Store, seed: int) -> int:
        """Appends what the log lacks, and begins anew from the head whenever it is refused."""
        chance = random.Random(seed)
        head, refused = await one.log_head("e"), 0
        while head.offset < len(source):
            upper = min(len(source), head.offset + chance.randint(1, 300))
            pieces = [Piece(streams[place], place, source[place : place + 1]) for place in range(head.offset, upper)]
            part = chunk("e", head, pieces)
            if await one.append(part):
                head = part.end
            else:
                refused += 1
                head = await one.log_head("e")
        return refused

    refused = await asyncio.gather(pump(store, 1), pump(await open_store(), 2))
    assert sum(refused) > 0
    assert await read_all(store, "e", 0, 500, None) == source
    for stream in (STDOUT, STDERR):
        expected = bytes(byte for byte, its in zip(source, streams, strict=True) if its == stream)
        assert await read_all(store, "e", 0, 500, stream) == expected


async def test_a_large_chunk_comes_back_whole(store):
    data = random.Random(2).randbytes(3_000_000)
    assert await store.append(chunk("e", Head(), [Piece(STDERR, 1, data)]))
    part = await store.read_log("e", 1_000_000, 10, STDERR)
    assert joined(part.pieces) == data[1_000_000:]


@pytest.mark.parametrize("chunks", [0, 1, 2, 7, 40])
async def test_what_was_written_since_a_moment_begins_where_the_first_piece_of_then_begins(store, chunks):
    shuffled = random.Random(chunks)
    head, pieces, time = Head(), [], 0
    for _ in range(chunks):
        some = []
        for _ in range(shuffled.randrange(4)):
            time += shuffled.randrange(3)
            some.append(Piece(shuffled.choice((STDOUT, STDERR)), time, b"x" * shuffled.randrange(1, 5)))
        part = chunk("e", head, some)
        assert await store.append(part)
        head = part.end
        pieces += some
    for stream in (STDOUT, STDERR, None):
        for moment in range(time + 2):
            before = sum(len(piece.data) for piece in pieces if stream in (piece.stream, None) and piece.time < moment)
            assert await store.log_since("e", stream, moment) == before, (stream, moment)
