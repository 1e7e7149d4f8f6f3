"""How a recorded terminal becomes a picture."""

import re
from html import unescape

from tests.browser.recording import COLUMNS, drawing

STYLED = re.compile(r"<[^>]+>")


def rows(picture: str) -> list[str]:
    return [unescape(STYLED.sub("", row)) for row in re.findall(r"<text[^>]*>(.*?)</text>", picture)]


def test_each_letter_is_drawn_and_a_long_line_is_broken_where_a_terminal_breaks_it():
    long = "".join(chr(ord("a") + number % 26) for number in range(COLUMNS + 7))
    events = [(0.0, "$ "), (1.0, "echo <&>"), (2.0, f"\n<&>\n{long[:50]}"), (2.5, f"{long[50:]}\n"), (3.0, "x" * COLUMNS), (3.5, "\n$ ")]
    assert rows(drawing(events, ["echo <&>"])) == ["$ echo <&>", "<&>", long[:COLUMNS], long[COLUMNS:], "x" * COLUMNS, "$ "]


def test_what_was_typed_has_a_colour_of_its_own():
    picture = drawing([(0.0, "$ "), (1.0, "ls"), (2.0, "\nfile\n$ ")], ["ls"])
    assert [bool(found) for found in re.findall(r'<text[^>]*?( class="k")?>', picture)] == [True, False, False]
