"""What a process does to itself at its start."""

import gc
import sys

import psutil

from fastlane.process import SWITCH_INTERVAL, YOUNG_OBJECTS, freeze_loaded, tune_interpreter

PAGE, PAGES = 4096, 20_000


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


def test_what_a_start_leaves_free_between_what_stays_is_given_back() -> None:
    pieces = [bytes(PAGE) for _ in range(PAGES)]
    between = pieces[::10]  # each part of the heap keeps something
    del pieces
    held = psutil.Process().memory_info().rss
    try:
        freeze_loaded()
    finally:
        gc.unfreeze()
    assert held - psutil.Process().memory_info().rss > PAGE * (PAGES - len(between)) // 2


def test_a_process_collects_young_garbage_rarely_and_lets_threads_take_turns_often() -> None:
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    try:
        tune_interpreter()
        assert gc.get_threshold() == (YOUNG_OBJECTS, *threshold[1:])
        assert abs(sys.getswitchinterval() - SWITCH_INTERVAL) < SWITCH_INTERVAL / 10
    finally:
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
