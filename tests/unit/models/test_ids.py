"""Ids are UUIDs, and stand in the order in which they were made."""

from uuid import RFC_4122, UUID

from hypothesis import given, strategies as st

from fastlane.models.ids import derived_id, new_id, nonce

MOMENTS = st.integers(0, 2**48 - 1)


@given(MOMENTS)
def test_a_new_id_is_a_uuid_of_version_7_that_tells_its_moment(now: int) -> None:
    made = UUID(new_id(now))
    assert (made.version, made.variant, made.int >> 80) == (7, RFC_4122, now)


def test_new_ids_of_one_moment_differ() -> None:
    assert len({new_id(1_645_113_692_000) for _ in range(10_000)}) == 10_000


@given(MOMENTS, MOMENTS)
def test_ids_stand_in_the_order_of_their_moments(one: int, other: int) -> None:
    if one != other:
        assert (new_id(one) < new_id(other)) is (one < other)


@given(st.uuids(), st.text(max_size=50))
def test_a_derived_id_is_a_uuid_of_version_8_beside_what_it_derives_from(whole: UUID, name: str) -> None:
    made = UUID(derived_id(str(whole), name))
    assert (made.version, made.variant, made.int >> 80) == (8, RFC_4122, whole.int >> 80)


def test_nonces_differ() -> None:
    assert len({nonce() for _ in range(10_000)}) == 10_000
