"""What a template becomes with an event."""

import tracemalloc
from typing import Any

import pytest

from fastlane.models.notify import MAX_POST, TooLong, filled

EVENT = {"status": "failed", "exitCode": 3, "failure": {"message": 'it said "no"'}, "labels": {}, "host": None, "x-y": "{{status}}"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{status}}", "failed"),
        ("{{exitCode}}", 3),
        ("{{ failure }}", {"message": 'it said "no"'}),
        ("exit {{exitCode}}: {{failure.message}}", 'exit 3: it said "no"'),
        ("{{labels}} {{host}}.", "{} ."),
        ("{{none}}", None),
        ("{{failure.none.more}}", None),
        ("{{status.more}}|{{}}|{status}|{{sta tus}}", "|{{}}|{status}|{{sta tus}}"),
        ("{{x-y}}!", "{{status}}!"),
        ({"{{status}}": ["{{status}}", 1, True, None, {"a": "{{exitCode}}"}]}, {"{{status}}": ["failed", 1, True, None, {"a": 3}]}),
    ],
)
def test_names_become_values(template: Any, expected: Any) -> None:
    assert filled(template, EVENT) == expected


def test_a_template_that_would_become_too_long_is_refused_before_it_has() -> None:
    event = {"command": "é" * 100_000, "metadata": {"custom": {"x": "y" * 200_000}}, "status": "done"}
    filled({"a": "{{command}}" * 5}, event)
    for template in ({"a": ["{{command}}"] * 6}, {"a": "{{command}} " * 1_480}, {"a": ["{{metadata}}"] * 1_000}):
        tracemalloc.start()
        with pytest.raises(TooLong, match="longer than 1 MiB"):
            filled(template, event)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_POST
        tracemalloc.stop()


def test_many_short_fields_are_not_too_long() -> None:
    assert filled({"a": "{{status}}," * 1_480}, {"status": "done"}) == {"a": "done," * 1_480}
