"""TLC explores each model, and finds the fault of each mutant. ``FASTLANE_SPECIFICATION=small``: single states within small
bounds, and some of the mutants, which the commit decides."""

import os
from functools import partial

import pytest

from tests.faults.__main__ import git
from tests.faults.mutants import lot
from tests.specification.checker import MODELS, WITHIN, Model, explore, mutants

pytestmark = [pytest.mark.model, pytest.mark.timeout(WITHIN)]

SMALL = os.environ.get("FASTLANE_SPECIFICATION") == "small"
MUTANTS = {mutant.id: mutant for mutant in mutants()}
FEW = 4
TRIED = sorted(MUTANTS, key=partial(lot, git("rev-parse", "HEAD")))[:FEW] if SMALL else list(MUTANTS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_nothing_of_what_must_hold_is_broken_in_any_state(model: Model) -> None:
    found = explore(model, small=SMALL)
    assert found.broken is None, found.output
    assert found.states > 50


@pytest.mark.parametrize("id", TRIED)
def test_the_fault_of_a_mutant_is_found(id: str) -> None:
    found = explore(MUTANTS[id].model, mutant=MUTANTS[id])
    assert found.broken == MUTANTS[id].breaks, f"{MUTANTS[id].meaning}: not found in {found.states} states"
