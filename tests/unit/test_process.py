"""What a process does to itself at its start."""

import gc
import sys

from fastlane.process import SWITCH_INTERVAL, YOUNG_OBJECTS, freeze_loaded, tune_interpreter


def test_what_a_process_has_loaded_is_left_out_of_collections() -> None:
    gc.unfreeze()  # the tests have left out what they loaded (tests/conftest.py)
    loaded = len(gc.get_objects())
    try:
        freeze_loaded()
        assert gc.get_freeze_count() >= loaded // 2
        assert len(gc.get_objects()) < loaded // 2
    finally:
        gc.unfreeze()
        gc.freeze()


def test_a_process_collects_young_garbage_rarely_and_lets_threads_take_turns_often() -> None:
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    try:
        tune_interpreter()
        assert gc.get_threshold() == (YOUNG_OBJECTS, *threshold[1:])
        assert abs(sys.getswitchinterval() - SWITCH_INTERVAL) < SWITCH_INTERVAL / 10
    finally:
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
