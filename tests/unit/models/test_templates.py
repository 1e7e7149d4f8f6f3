"""How Swarm's templates are escaped, and what that costs."""

import pytest

from fastlane.models.container import literal, literal_size


@pytest.mark.parametrize("text", ["", "plain", "{", "{{", "{{{", "{{{{", "a{{b}}c{{d", "✓{{✓", "{ {"])
def test_the_size_of_an_escaped_text_is_known_without_escaping_it(text: str) -> None:
    assert literal_size(text) == len(literal(text).encode())
