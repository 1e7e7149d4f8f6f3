"""The scripts as texts: one command each, and each says what it takes and answers."""

import re
from pathlib import Path

import pytest

from fastlane.queue.redis import connection
from fastlane.queue.redis.connection import Script

FOLDER = Path(connection.__file__).parent / "scripts"
NAMES = sorted(path.stem for path in FOLDER.glob("*.lua") if path.stem != "entries")


def test_every_script_of_the_folder_is_a_command_of_the_adapter():
    texts = [path.read_text("utf-8") for path in FOLDER.parent.glob("*.py")]
    assert sorted({name for text in texts for name in re.findall(r'_scripts\.run\("(\w+)"', text)}) == NAMES
    assert [*Script.read_all()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_script_begins_with_what_it_does_its_keys_arguments_and_answer(name):
    lines = (FOLDER / f"{name}.lua").read_text("utf-8").splitlines()
    header = [line for line in lines[: next(number for number, line in enumerate(lines) if not line.startswith("--"))]]
    assert header[0].startswith(f"-- {name}: ")
    for part in ("-- Keys: ", "-- Arguments: ", "-- Answer: "):
        assert any(line.startswith(part) for line in header), part


@pytest.mark.parametrize("name", NAMES)
def test_no_script_looks_for_keys_or_loops_without_an_end(name):
    text = re.sub(r"'(HGETALL|HKEYS)', REPORTS\)", "", Script.read(name).text)  # a field for each worker and host
    for word in ("'KEYS'", "'SCAN'", "'HGETALL'", "'HKEYS'", "'HSCAN'", "while true"):
        assert word not in text


def test_a_script_s_digest_changes_with_what_stands_before_it():
    put, claim = Script.read("put"), Script.read("claim")
    assert put.digest != claim.digest
    assert put.text.startswith((FOLDER / "entries.lua").read_text("utf-8"))
