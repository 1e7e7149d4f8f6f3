"""What a template becomes with an event."""

from typing import Any

import pytest

from fastlane.models.notify import filled

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
