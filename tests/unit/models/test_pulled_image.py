"""Which images are an engine's, until when one is kept, and who needs it."""

import pytest

from fastlane.models.image import PulledImage, may_need, pulled_name, repository

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
IMAGE = PulledImage("engine", f"registry:5000/team/name@{A}", 100)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (f"ubuntu:latest@{A}", f"ubuntu@{A}"),
        (f"ubuntu@{A}", f"ubuntu@{A}"),
        (f"registry:5000/team/name:1@{A}", f"registry:5000/team/name@{A}"),
        (f"registry:5000/name@{A}", f"registry:5000/name@{A}"),
        (A, None),
        ("ubuntu:latest", None),
    ],
)
def test_an_engine_has_what_it_pulled_by_name_and_digest(reference: str, name: str | None) -> None:
    assert pulled_name(reference) == name


@pytest.mark.parametrize(
    ("name", "found"), [("a", "a"), ("a:1", "a"), ("h:1/a", "h:1/a"), ("h:1/a:2", "h:1/a"), (f"h:1/a:2@{A}", "h:1/a"), (f"a@{A}", "a")]
)
def test_a_repository_is_a_name_without_tag_and_digest(name: str, found: str) -> None:
    assert repository(name) == found


@pytest.mark.parametrize(
    ("references", "needed", "unsure"),
    [
        ((), False, ()),
        ((f"registry:5000/team/name:1@{A}",), True, ()),
        ((f"registry:5000/team/name:1@{B}",), False, ()),
        (("registry:5000/team/name:1", "registry:5000/team/name", "name", "other:1"), False, ("name:1", "name")),
    ],
)
def test_who_needs_an_image_is_told_by_the_digest_and_else_by_the_registry(
    references: tuple[str, ...], needed: bool, unsure: tuple[str, ...]
) -> None:
    assert may_need(IMAGE, references) == (needed, frozenset(f"registry:5000/team/{name}" for name in unsure))


def test_an_image_is_unused_from_then_on_unless_a_worker_is_about_to_remove_it() -> None:
    assert [IMAGE.is_unused(now) for now in (99, 100)] == [False, True]
    taken = IMAGE.taken(150)
    assert [(taken.is_unused(now), taken.is_being_removed(now)) for now in (149, 150)] == [(False, True), (True, False)]
    kept = taken.kept(50)
    assert (kept.keep_until, kept.removed_by, kept.version) == (100, None, 3)
    assert taken.kept(120).keep_until == 120
