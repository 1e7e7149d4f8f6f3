"""The models of tests/specification fit the code: the steps that they name exist, their conditions are the store's, and each thing that
must hold has a mutant that breaks it. `make test-model` explores them."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from fastlane.executors.port import Executor
from fastlane.models.job import Execution
from fastlane.models.status import Status
from fastlane.models.transitions import RULES, ExecutionChange
from fastlane.queue.port import QueueGeneration, TimedQueue
from fastlane.storage.base import Store
from tests.specification.__main__ import PAGE, row_of
from tests.specification.checker import HERE, LEFT_OUT, MODELS, ROOT, Exploration, changed, mutants, read, rules
from tests.support.factories import make_execution

pytestmark = pytest.mark.texts

MODULES = {path.stem: path.read_text("utf-8") for path in HERE.glob("*.tla")}
SEAMS = {name for text in MODULES.values() for line in re.findall(r"^\\\* seam: (.+)$", text, re.MULTILINE) for name in line.split(", ")}
SCRIPTS = ROOT / "fastlane" / "queue" / "redis" / "scripts"
MONGO = [ROOT / "fastlane" / "storage" / "mongo" / name for name in ("commits.py", "idempotency.py")]


def is_in_the_code(seam: str) -> bool:
    port, dot, name = seam.partition(".")
    if not dot:
        return any(re.search(rf"^(async )?def {seam}\(", path.read_text("utf-8"), re.MULTILINE) for path in MONGO)
    if port == "store":
        return name in RULES or hasattr(Store, name)
    if port == "queue":
        return any(hasattr(one, name) for one in (TimedQueue, QueueGeneration)) and Path(SCRIPTS, f"{name}.lua").exists()
    return port == "engine" and hasattr(Executor, name)


def test_each_step_of_a_model_is_one_of_the_code() -> None:
    assert len(SEAMS) > 30
    assert [seam for seam in sorted(SEAMS) if not is_in_the_code(seam)] == []


def test_each_step_of_a_model_is_in_the_table_of_seams() -> None:
    page = (ROOT / "docs" / "internals" / "seams.md").read_text("utf-8")
    assert [seam for seam in sorted(SEAMS) if "." in seam and f"`{seam}`" not in page] == []


def test_each_change_of_an_execution_is_in_a_model_or_left_out_with_a_reason() -> None:
    named = {name for name in RULES if re.search(rf'Allowed\("{name}"', MODULES["Execution"])}
    assert named | LEFT_OUT.keys() == RULES.keys()
    assert named & LEFT_OUT.keys() == set()


def as_python(condition: str) -> str:
    for old, new in ((" = ", " == "), (" # ", " != "), ("\\in", "in"), ("/\\", "and"), ("~", "not ")):
        condition = condition.replace(old, new)
    return condition


def row_as_modelled(execution: Execution) -> object:
    class Row:
        status, epoch, settled = execution.status.value, execution.epoch, execution.settled
        bound, stop = 0 if execution.service_id is None else 1, execution.stop_requested_at is not None

    return Row


@pytest.mark.parametrize("name", RULES)
def test_a_change_is_permitted_in_the_models_where_the_store_permits_it(name: str) -> None:
    (condition,) = re.findall(rf'name = "{name}" -> (.+)$', rules(), re.MULTILINE)
    permitted = 0
    for status, epoch, service, stop, settled in product(Status, (1, 2), (None, "s"), (None, 1), (False, True)):
        row = replace(make_execution(), status=status, epoch=epoch, service_id=service, stop_requested_at=stop, settled=settled)
        change = ExecutionChange(name, row.id, {}, 1 if RULES[name].fenced else None, "op")
        by_model = eval(as_python(condition), {"row": row_as_modelled(row), "epoch": 1})
        assert by_model == change.permitted(row), row
        permitted += by_model
    assert permitted


def test_each_thing_that_must_hold_has_a_mutant_that_breaks_it() -> None:
    broken = {(one.model.module, one.breaks) for one in mutants()}
    wanted = {(model.module, name) for model in MODELS for name in (*model.invariants, *model.properties)}
    assert wanted - broken == set()
    assert broken - wanted == set()


def test_the_text_of_each_mutant_is_in_its_model_once() -> None:
    for mutant in mutants():
        texts = {mutant.model.module: MODULES[mutant.model.module], "Rules": rules()}
        assert changed(texts, mutant) != texts


def test_the_page_has_the_figures_of_each_model_and_mutant_as_they_are_declared() -> None:
    page = PAGE.read_text("utf-8")
    for model in MODELS:
        begin = row_of(model, Exploration(0, 0, 0, None, (), "")).partition(" | 0 | ")[0]
        (line,) = [line for line in page.splitlines() if line.startswith(begin)]
        assert line.endswith(" | nothing |"), line
    for mutant in mutants():
        assert f"| {mutant.meaning} | `{mutant.breaks}` |" in page, mutant.id
    for name in {name for model in MODELS for name in (*model.invariants, *model.properties)}:
        assert f"| `{name}` |" in page, name


VIOLATED = """Error: Invariant StartsOnce is violated.
Error: The behavior up to this point is:
State 1: <Initial predicate>
State 2: <Create line 1, col 1 to line 2, col 2 of module Execution>
3,000 states generated, 1,234 distinct states found, 5 states left on queue.
"""


def test_the_output_of_the_checker_is_read() -> None:
    found = read(VIOLATED, 1.0, ("Ends",))
    assert (found.broken, found.steps, found.states) == ("StartsOnce", ("Initial", "Create"), 1234)
    assert read("Error: Temporal properties were violated.\n", 1.0, ("Ends",)).broken == "Ends"
    with pytest.raises(RuntimeError):
        read("Error: Parsing or semantic analysis failed.\n", 1.0, ())
