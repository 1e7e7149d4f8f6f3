"""Roles and patterns: who may do what."""

import pytest

from fastlane.models.access import Principal, Role, needed_role, refusal

ROLES = [Role.READ, Role.TRIGGER, Role.RUN, Role.ADMIN]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_all_that_a_lesser_one_may(role):
    assert [needed for needed in ROLES if role.covers(needed)] == ROLES[: ROLES.index(role) + 1]
    assert list(Role) == ROLES


@pytest.mark.parametrize(
    ("method", "of_task", "role"),
    [
        ("GET", True, Role.READ),
        ("GET", False, Role.READ),
        ("HEAD", False, Role.READ),
        ("POST", True, Role.RUN),
        ("PUT", True, Role.RUN),
        ("DELETE", True, Role.RUN),
        ("POST", False, Role.ADMIN),
        ("DELETE", False, Role.ADMIN),
        ("PROPFIND", False, Role.ADMIN),
    ],
)
def test_a_read_needs_read_a_write_on_a_task_run_and_any_other_write_admin(method, of_task, role):
    assert needed_role(method, of_task=of_task) is role


@pytest.mark.parametrize(
    ("pattern", "task", "sees"),
    [
        ("", "anything", True),
        ("team-a-", "team-a-nightly", True),
        ("team-a-", "a-team-a-nightly", False),
        ("team-a$", "team-a-nightly", False),
        ("a|b", "b1", True),
        ("(?i)A", "a", True),
    ],
)
def test_a_pattern_is_matched_from_the_start_of_the_task_id(pattern, task, sees):
    assert Principal("x", Role.RUN, pattern).sees(task) is sees


def test_a_refusal_names_the_role_that_is_needed():
    words = refusal(Principal("vera", Role.READ), Role.RUN, "t")
    assert words is not None
    assert "'vera' is read" in words
    assert "needs run" in words


@pytest.mark.parametrize("role", list(Role))
def test_a_refusal_names_the_pattern_whatever_the_role(role):
    words = refusal(Principal("rob", role, "team-a-"), Role.READ, "team-b-x")
    assert words is not None
    assert "'team-a-'" in words
    assert "'team-b-x'" in words


def test_what_is_about_no_task_asks_for_the_role_alone():
    assert refusal(Principal("root", Role.ADMIN, "team-a-"), Role.ADMIN, None) is None
    assert refusal(Principal("rob", Role.RUN), Role.ADMIN, None) is not None
