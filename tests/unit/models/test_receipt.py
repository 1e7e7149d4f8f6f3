"""Chains of seals: each way in which a seal or a row can be changed by hand is found, and named."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from fastlane.models.receipt import (
    ChainBuilder,
    ChainCheck,
    ChainHead,
    Removals,
    SealedRow,
    SealKeys,
    SealKind,
    ranges,
    read_receipt,
    receipt_document,
    receipt_faults,
    removal,
    row_faults,
)

KEYS = SealKeys(["k" * 32])
NONE = Removals(())


def row(id: str, **values: object) -> SealedRow:
    return SealedRow(SealKind.EXECUTION, id, {"status": "done", "exit_code": 0, **values}, {"exitCode": values.get("exit_code", 0)})


def chain(count: int, keys: SealKeys = KEYS) -> list:
    builder = ChainBuilder(keys, "job", "task", None)
    return [builder.append(row(f"e{number}"), 7) for number in range(1, count + 1)]


def faults(seals, head=None, keys: SealKeys = KEYS) -> list[str]:
    check = ChainCheck(keys)
    found = [fault for seal in seals for fault in check.faults(seal)]
    return [f"{one.where} {one.what}" for one in [*found, *(check.head_faults(head) if head else ())]]


def head_of(seals) -> ChainHead:
    return KEYS.signed_head(ChainHead("job", "task", seals[-1].number, seals[-1].digest))


def test_a_whole_chain_has_no_faults_and_goes_on_where_it_ended():
    seals = chain(3)
    assert faults(seals, head_of(seals)) == []
    more = ChainBuilder(KEYS, "job", "task", seals[-1]).append(row("e4"), 9)
    assert faults([*seals, more]) == []
    assert ChainCheck(KEYS, seals[1]).faults(seals[2]) == []


CHANGES = {
    "job_id": "other",
    "task_id": "other",
    "number": 5,
    "previous": "1" * 64,
    "kind": SealKind.TICK,
    "row": "other",
    "facts": {"exitCode": 1},
    "fields": {},
    "sealed_at": 8,
    "key": "0" * 16,
    "signature": "0" * 64,
    "id": "other",
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_field_of_a_seal_that_is_changed_is_found(name):
    seals = chain(3)
    seals[1] = replace(seals[1], **{name: CHANGES[name]})
    assert any(words.startswith("seal 2") or words.startswith("seal 5") for words in faults(seals))


def test_seals_that_are_deleted_swapped_or_inserted_are_found_at_their_place():
    seals = chain(5)
    assert faults([*seals[:1], *seals[3:]]) == ["seal 2 to 3 is missing: it was deleted"]
    assert "seal 1 is missing" in faults(seals[1:])[0]
    assert "seal 2 is missing" in faults([seals[0], seals[2], seals[1], *seals[3:]])[0]
    foreign = ChainBuilder(SealKeys(["x" * 32]), "job", "task", seals[0]).append(row("forged"), 7)
    assert any("is signed with the key" in words for words in faults([seals[0], foreign, *seals[2:]]))
    assert any("does not follow" in words for words in faults([seals[0], foreign, *seals[2:]]))


def test_a_chain_that_was_cut_at_its_end_is_found_by_its_head():
    seals = chain(4)
    assert faults(seals[:2], head_of(seals)) == ["seal 3 to 4 is missing at the end of the chain: it was deleted"]
    assert "signature" in faults(seals[:2], replace(head_of(seals), number=2, digest=seals[1].digest))[0]
    other = ChainBuilder(KEYS, "job", "task", seals[2]).append(row("forged"), 7)
    assert faults([*seals[:3], other], head_of(seals)) == ["seal 4 is not the one with which the chain ended: it was replaced"]
    assert ChainBuilder(KEYS, "job", "task", seals[1], head_of(seals)).append(row("e5"), 9).number == 5
    check = ChainCheck(KEYS)
    assert [check.faults(seal) for seal in seals] == [[]] * 4
    assert check.head_faults(None) != []


def test_a_row_that_differs_is_named_with_its_field_and_both_values():
    (seal,) = chain(1)
    assert row_faults(KEYS, seal, row("e1"), NONE) == []
    (fault,) = row_faults(KEYS, seal, row("e1", exit_code=3), NONE)
    assert fault.what == "the field exit_code is 3, and was 0 when it was sealed"
    (fault,) = row_faults(KEYS, seal, row("e1", spec={"image": "x"}), NONE)
    assert fault.what == "the field spec is not as it was sealed"
    assert len(row_faults(KEYS, seal, row("e2"), NONE)) == 2, "the digests of another row's fields do not fit"


def test_a_missing_row_is_a_fault_unless_a_removal_covers_it():
    seals = chain(4)
    gone = ChainBuilder(KEYS, "job", "task", seals[-1]).append(removal(ranges([1, 2, 4]), ranges([3])), 9)
    removals = Removals([gone])
    assert gone.facts["rows"] == [[1, 2], [4, 4]]
    assert [bool(row_faults(KEYS, seal, None, removals)) for seal in seals] == [False, False, True, False]
    assert [removals.has_log(number) for number in range(1, 6)] == [True, True, True, True, False]


def test_a_digest_of_a_field_says_nothing_without_the_key_nor_about_another_row():
    mine, other = SealKeys(["a" * 32]), SealKeys(["b" * 32])
    digests = [mine.fields("e1", {"spec": 1}), mine.fields("e2", {"spec": 1}), other.fields("e1", {"spec": 1})]
    assert len({one["spec"] for one in digests}) == 3


def test_an_older_key_still_verifies_what_it_signed():
    seals = chain(2)
    both = SealKeys(["n" * 32, "k" * 32])
    assert faults(seals, keys=both) == []
    assert row_faults(both, seals[0], row("e1"), NONE) == []
    assert "is not among the keys" in faults(seals, keys=SealKeys(["n" * 32]))[0]


def test_a_receipt_is_checked_alone_and_each_change_of_it_is_found():
    (seal,) = chain(1)
    document = receipt_document(seal)
    assert read_receipt(document) == seal
    assert receipt_faults(KEYS, document) == []
    for name in document:
        value = document[name]
        changed = {**document, name: {"x": 1} if isinstance(value, dict) else value + 1 if isinstance(value, int) else "tick"}
        if name == "version":
            with pytest.raises(ValueError, match="version"):
                receipt_faults(KEYS, changed)
        else:
            assert receipt_faults(KEYS, changed) != [], name
    for wrong in ({}, [], "x", {"version": 1}, {**document, "number": None}, {**document, "facts": 3}):
        with pytest.raises(ValueError, match="receipt"):
            read_receipt(wrong)


@given(st.lists(st.integers(1, 60)))
def test_the_ranges_of_a_removal_are_exactly_its_numbers(numbers):
    removals = Removals([ChainBuilder(KEYS, "job", "task", None).append(removal(ranges(numbers[:3], ranges(numbers[3:])), ()), 1)])
    assert {number for number in range(62) if removals.has_row(number)} == set(numbers)
