"""What a process does to itself at its start."""

import gc

from fastlane.process import freeze_loaded


def test_what_a_process_has_loaded_is_left_out_of_collections() -> None:
    loaded = len(gc.get_objects())
    try:
        freeze_loaded()
        assert gc.get_freeze_count() >= loaded // 2
        assert len(gc.get_objects()) < loaded // 2
    finally:
        gc.unfreeze()
