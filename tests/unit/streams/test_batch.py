"""Parts of a log as text: no character is split, and each message's cursor is a place to go on from."""

from hypothesis import example, given, strategies as st

from fastlane.models.log import NOTHING, STDERR, STDOUT, Cursor, Piece
from fastlane.streams.batch import LARGEST_PART, MOST_PIECES, Batch, BatchCache, batch_of, cut, last_batch

START = Cursor("e", 0)
TEXT = st.one_of(st.binary(min_size=1, max_size=5), st.text(min_size=1, max_size=3).map(str.encode))
PIECES = st.lists(st.builds(Piece, st.sampled_from([STDOUT, STDERR]), st.just(1), TEXT), max_size=15)


def text_of(batches: list[Batch], stream: int) -> str:
    return "".join(message.text for batch in batches for message in batch.messages if message.stream == stream)


def bytes_of(pieces: list[Piece], stream: int) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.stream == stream)


@given(PIECES)
@example([Piece(STDERR, 1, b"\xed\xa0")])  # Python's decoder waits for more after it, and then takes it for two characters
def test_each_streams_messages_are_its_text(pieces):
    batch = batch_of(START, pieces)
    for stream in (STDOUT, STDERR):
        whole = bytes_of(pieces, stream).decode(errors="replace")
        assert text_of([batch, last_batch(batch.end, 1)], stream) == whole


@given(PIECES)
def test_a_follower_that_resumes_after_any_message_gets_the_rest(pieces):
    log = b"".join(piece.data for piece in pieces)
    whole = [batch_of(START, pieces)]
    whole.append(last_batch(whole[0].end, 1))
    messages = [message for batch in whole for message in batch.messages]
    for place, message in enumerate(messages, 1):
        cursor = Cursor("e", message.offset, message.unfinished)
        rest = batch_of(cursor, _from(pieces, message.offset))
        assert [*rest.messages, *last_batch(rest.end, 1).messages] == messages[place:]
    assert whole[-1].end == Cursor("e", len(log))


def _from(pieces: list[Piece], offset: int) -> list[Piece]:
    left = []
    for piece in pieces:
        if offset < len(piece.data):
            left.append(Piece(piece.stream, piece.time, piece.data[offset:]))
        offset = max(0, offset - len(piece.data))
    return left


def test_a_message_is_never_large():
    batch = batch_of(START, [Piece(STDOUT, 1, b"x" * (3 * LARGEST_PART + 1))])
    assert [len(message.text) for message in batch.messages] == [LARGEST_PART] * 3 + [1]


@given(PIECES, st.integers(1, 7))
def test_pieces_are_cut_into_runs_of_one_size(pieces, size):
    runs = list(cut(pieces, size))
    assert [sum(len(piece.data) for piece in run) for run in runs[:-1]] == [size] * (len(runs) - 1)
    assert all(0 < sum(len(piece.data) for piece in run) <= size for run in runs)
    for stream in (STDOUT, STDERR):
        assert bytes_of([piece for run in runs for piece in run], stream) == bytes_of(pieces, stream)


def test_a_run_has_few_enough_pieces_to_be_handled_at_once():
    pieces = [Piece(number % 2 + 1, 1, b"\n") for number in range(2 * MOST_PIECES + 1)]
    assert [len(run) for run in cut(pieces, 1 << 20)] == [MOST_PIECES, MOST_PIECES, 1]


def test_a_batch_is_rendered_once_in_each_form():
    calls = []

    def render(batch: Batch) -> bytes:
        calls.append(batch)
        return b"rendered"

    batch = batch_of(START, [])
    assert [batch.rendered(render), batch.rendered(render)] == [b"rendered", b"rendered"]
    assert calls == [batch]


def test_what_was_not_asked_for_the_longest_is_forgotten_first():
    batches = [batch_of(Cursor("e", place), [Piece(STDOUT, 1, b"x" * 10)]) for place in (0, 10, 20)]
    recent = BatchCache(most=2 * batches[0].weight)
    recent.keep(batches[0])
    recent.keep(batches[1])
    assert recent.get(Cursor("e", 0)) is batches[0]
    recent.keep(batches[2])
    found = [recent.get(Cursor("e", place)) for place in (0, 10, 20)]
    assert found == [batches[0], None, batches[2]]
    assert recent.get(Cursor("e", 0, (b"\xc3", b""))) is None
    recent.keep(batch_of(Cursor("e", 30), [Piece(STDOUT, 1, b"x" * 1_000)]))
    assert recent.get(Cursor("e", 30)) is None


def test_a_batch_of_many_messages_counts_for_what_they_take_of_memory():
    one, many = (batch_of(START, [Piece(STDOUT, 1, b"x" * (1_000 // count))] * count) for count in (1, 1_000))
    recent = BatchCache(most=100_000)
    recent.keep(one)
    assert recent.get(START) is one
    recent.keep(many)
    assert recent.get(START) is None


def test_a_log_that_ends_within_characters_of_both_streams_ends_with_a_sign_for_each():
    batch = last_batch(Cursor("e", 9, (b"\xc3", b"\xf0\x9f")), 1)
    assert [(message.stream, message.text, message.unfinished) for message in batch.messages] == [
        (STDOUT, "\ufffd", (b"", b"\xf0\x9f")),
        (STDERR, "\ufffd", NOTHING),
    ]
    assert last_batch(Cursor("e", 9), 1).messages == []
