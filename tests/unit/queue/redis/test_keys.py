"""The key names of an installation."""

import re

from fastlane.queue.redis.scripts import Keys

keys = Keys("mine")
ALL = [*keys.declared(["main", "@ticks", "a-b_c"]), keys.workers, keys.reports, keys.check, keys.channel]


def test_all_keys_share_the_hash_slot_of_their_installation():
    assert {re.match(r"\{(.*?)\}:", key).group(1) for key in ALL} == {"fl:mine:v1"}


def test_no_two_keys_are_the_same():
    assert len(set(ALL)) == len(ALL)


def test_two_installations_share_no_key():
    assert not set(ALL) & {*Keys("mine2").declared(["main"]), Keys("mine2").channel}


def test_a_script_s_keys_are_the_fixed_ones_then_three_for_each_lane_then_its_own():
    fixed = keys.declared([])
    own = keys.declared(["b", "a"], "x", "y")
    assert own[: len(fixed)] == fixed
    assert [key.split(":v1}:")[-1] for key in own[len(fixed) :]] == [
        "timed:b",
        "ready:b",
        "slots:b",
        "expiries:b",
        "waiting:b",
        "timed:a",
        "ready:a",
        "slots:a",
        "expiries:a",
        "waiting:a",
        "x",
        "y",
    ]
