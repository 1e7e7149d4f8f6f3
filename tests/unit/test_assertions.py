"""Each test can fail by what it claims: it asserts, or it calls a helper of the tests that does; and no assertion is true of any value."""

import ast
import builtins
from collections import defaultdict
from collections.abc import Set
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.texts

ROOT = Path(__file__).parents[2]
RAISERS = frozenset({"raises", "warns", "fail", "expect", "wait_for", "wait_until", "until", "check_schema", "validate"})
"""What fails a test by itself: pytest's own, and waits for a condition with a deadline."""
COMMON = frozenset(dir(builtins)) | frozenset(dir(list)) | frozenset(dir(dict)) | {"open", "close", "start", "run", "read", "write", "info"}
"""Names of helpers that other objects have, too."""

BY_EXCEPTION = {
    "tests/adapters/redis/test_queue.py::test_signals_are_heard_again_after_a_restart": "its wait for a wake-up has a deadline",
    "tests/behaviour/hosts/test_forced_removal.py::test_a_host_with_more_services_than_can_be_looked_at_in_time_is_cleared_nevertheless": (
        "`seen` raises when the host stays away"
    ),
    "tests/behaviour/outages/test_outages.py::test_a_server_ends_while_entries_still_wait_for_the_queue": "it hangs",
    "tests/client/test_compose.py::test_no_value_of_any_attribute_is_more_than_a_fault": "another exception",
    "tests/contract/test_queue.py::test_a_queue_that_answers_passes_its_check": "the check raises",
    "tests/contract/test_store.py::test_a_store_that_works_passes_its_check": "the check raises",
    "tests/crash/test_seams.py::test_a_job_starts_once_and_ends_right_whatever_falls": "`wait` raises what the case found",
    "tests/crash/test_wire.py::test_a_job_starts_once_and_ends_right_whatever_answer_is_lost": "`wait` raises what the case found",
    "tests/integration/test_refusals.py::test_a_swarm_starts_and_stops_a_service_of_the_largest_size": "the engine refuses it",
    "tests/unit/config/test_settings.py::test_no_value_makes_a_reader_fail_in_another_way_than_by_refusing_it": "another exception",
    "tests/unit/models/test_paging.py::test_a_walk_is_never_past_the_end": "a page past the end raises",
    "tests/unit/test_log.py::test_a_log_without_standard_error_stops_nothing": "a write to a stream that is missing raises",
    "tests/unit/test_log.py::test_a_log_on_a_full_disk_stops_nothing": "a write to a full disk raises",
}
"""Tests that claim only that something works at all, and what fails them."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def files() -> dict[str, ast.Module]:
    """The code of all tests, by their paths."""
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / "tests").rglob("*.py"))}


@cache
def functions(tree: ast.AST) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


@cache
def called(function: ast.AST) -> set[str]:
    """The names of what a function calls, whatever it is called on."""
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {call.id if isinstance(call, ast.Name) else call.attr for call in calls if isinstance(call, ast.Name | ast.Attribute)}


@cache
def asserts(function: ast.AST) -> bool:
    return any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(function)) or bool(called(function) & RAISERS)


def asserting_helpers(trees: dict[str, ast.Module], known: Set[str] = frozenset()) -> set[str]:
    """The names of helpers whose every definition asserts, itself or by another of them, or by one that is known."""
    found: defaultdict[str, list[Function]] = defaultdict(list)
    for tree in trees.values():
        for function in functions(tree):
            if not function.name.startswith("test_") and function.name not in COMMON:
                found[function.name].append(function)
    names = set(known)
    while more := {
        name for name, all_of in found.items() if name not in names and all(asserts(one) or called(one) & names for one in all_of)
    }:
        names |= more
    return names & found.keys()


def silent_tests() -> set[str]:
    everywhere = asserting_helpers(files())
    silent = set()
    for file, tree in files().items():
        own = {function.name for function in functions(tree)}
        helpers = everywhere - own | asserting_helpers({file: tree}, everywhere - own)
        for function in functions(tree):
            if function.name.startswith("test_") and not asserts(function) and not called(function) & helpers:
                silent.add(f"{file}::{function.name}")
    return silent


def test_each_test_asserts_something_or_it_is_said_what_fails_it() -> None:
    assert silent_tests() == set(BY_EXCEPTION)


def always_true(condition: ast.expr) -> bool:
    """Whether an assertion is true of any value that its left side can have: a constant, a tuple, a length of 0 or more."""
    match condition:
        case ast.Constant(value):
            return bool(value)
        case ast.Tuple(elements):
            return bool(elements)
        case ast.BoolOp(ast.Or(), values):
            return any(map(always_true, values))
        case ast.Compare(ast.Call(ast.Name("len")), [ast.GtE()], [ast.Constant(0)]):
            return True
        case ast.Compare(ast.Name(name), [ast.Eq() | ast.Is() | ast.LtE() | ast.GtE()], [ast.Name(other)]):
            return name == other
    return False


def test_no_assertion_is_true_of_any_value() -> None:
    found = {
        f"{file}:{node.lineno}"
        for file, tree in files().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert) and always_true(node.test)
    }
    assert not found


def test_such_assertions_are_found() -> None:
    for text in ("True", "(x == 1, 'words')", "len(x) >= 0", "x == x", "x is None or len(x) >= 0"):
        assert always_true(ast.parse(text, mode="eval").body), text
    for text in ("x == 0", "len(x) > 0", "x", "()", "x() == x()"):
        assert not always_true(ast.parse(text, mode="eval").body), text
    source = "def check(): assert x\ndef test_a(): check()\ndef test_b(): x = 1\n"
    assert asserting_helpers({"test_x.py": ast.parse(source)}) == {"check"}
