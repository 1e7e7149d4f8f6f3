"""What is kept of a body, and how much memory all bodies take."""

import pytest

from fastlane.web.http import connection
from fastlane.web.http.connection import BODIES, UNCOUNTED, HeldMemory, RequestBody


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setattr(connection, "MAX_HELD", 1_000 / BODIES)
    return HeldMemory()


def test_a_body_up_to_its_limit_is_kept(memory):
    received = RequestBody(memory, 10)
    for chunk in (b"12345", b"67890"):
        received.receive(chunk)
    assert (bytes(received.data), received.too_large) == (b"1234567890", False)


def test_a_body_over_its_limit_is_too_large_and_keeps_no_more(memory):
    received = RequestBody(memory, 10)
    for chunk in (b"12345", b"678901"):
        received.receive(chunk)
    assert (bytes(received.data), received.too_large) == (b"12345", True)


def test_a_body_without_a_limit_is_drained(memory, monkeypatch):
    monkeypatch.setattr(connection, "DRAIN_LIMIT", 10)
    received = RequestBody(memory, None)
    received.receive(b"1234567890")
    assert (bytes(received.data), received.too_large, received.undrainable) == (b"", False, False)
    received.receive(b"1")
    assert received.undrainable


@pytest.mark.parametrize(
    ("limit", "announced", "exceeds"), [(10, "10", False), (10, "11", True), (10, "", False), (10, "١٢", False), (None, "11", False)]
)
def test_an_announced_length_is_compared_with_the_limit(memory, limit, announced, exceeds):
    assert RequestBody(memory, limit).exceeds_limit(announced) is exceeds


def test_only_what_is_beyond_a_small_body_counts(memory):
    first, second = RequestBody(memory, 1 << 20), RequestBody(memory, 1 << 20)
    first.receive(b"x" * UNCOUNTED)
    assert memory.bodies == 0
    first.receive(b"x" * 900)
    second.receive(b"x" * UNCOUNTED)
    assert (memory.bodies, second.out_of_memory) == (900, False)
    second.receive(b"x" * 101)
    assert (memory.bodies, second.out_of_memory, len(second.data)) == (900, True, UNCOUNTED)


def test_memory_that_is_released_twice_counts_once(memory):
    received = RequestBody(memory, 1 << 20)
    received.receive(b"x" * (UNCOUNTED + 500))
    received.release()
    received.release()
    assert memory.bodies == 0
